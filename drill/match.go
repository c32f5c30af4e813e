// SPDX-License-Identifier: Apache-2.0

package drill

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// answer is what a verb came back with, by field. A field that is not there is
// absent.
type answer map[string]any

func (a answer) text(name string) string {
	v, _ := a[name].(string)
	return v
}

func (a answer) number(name string) int64 {
	v, _ := a[name].(int64)
	return v
}

func (a answer) flag(name string) bool {
	v, _ := a[name].(bool)
	return v
}

// Mismatch is one field that is not what it had to be.
type Mismatch struct {
	// Field is its name. Empty: the step as a whole.
	Field string
	// Want is what had to come.
	Want string
	// Got is what came.
	Got string
}

// match compares an answer with what was expected of it.
func match(expect []expectation, got answer) []Mismatch {
	var wrong []Mismatch
	for _, e := range expect {
		if !e.matches(got[e.field.name]) {
			wrong = append(wrong, Mismatch{e.field.name, show(e.want), show(got[e.field.name])})
		}
	}
	return wrong
}

func (e expectation) matches(got any) bool {
	got = canonical(got)
	if absent(got) {
		return e.orAbsent || absent(e.want)
	}
	return reflect.DeepEqual(e.want, got)
}

// canonical makes values equal that match: lists are sets, and what counts or
// holds nothing is not there.
func canonical(got any) any {
	switch v := got.(type) {
	case []string:
		return asSet(v)
	case map[string]int64:
		return withoutZeros(maps.Clone(v))
	case map[string][]string:
		sets := make(map[string][]string, len(v))
		for name, members := range v {
			sets[name] = asSet(members)
		}
		return withoutEmpty(sets)
	}
	return got
}

// absent reports whether a value equals an absent one.
func absent(v any) bool {
	if v == nil {
		return true
	}
	r := reflect.ValueOf(v)
	if r.Kind() == reflect.Map || r.Kind() == reflect.Slice {
		return r.Len() == 0
	}
	return r.IsZero()
}

// show writes a value as a scenario would.
func show(v any) string {
	switch v := v.(type) {
	case nil:
		return "nothing"
	case string:
		if v == "" {
			return `""`
		}
		return v
	case []string:
		return "[" + strings.Join(asSet(v), ", ") + "]"
	case map[string]int64:
		parts := make([]string, 0, len(v))
		for _, name := range keys(v) {
			parts = append(parts, name+": "+strconv.FormatInt(v[name], 10))
		}
		return "{" + strings.Join(parts, ", ") + "}"
	case map[string][]string:
		parts := make([]string, 0, len(v))
		for _, name := range keys(v) {
			parts = append(parts, name+": "+show(v[name]))
		}
		return "{" + strings.Join(parts, ", ") + "}"
	}
	return fmt.Sprint(v)
}

// String writes the fields that are not absent, in order of their names.
func (a answer) String() string {
	names := slices.DeleteFunc(keys(a), func(name string) bool { return absent(a[name]) })
	for i, name := range names {
		names[i] = name + ": " + show(a[name])
	}
	return "{" + strings.Join(names, ", ") + "}"
}
