// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/pflag"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// enumPrefix is what all names of an enum begin with, such as ACTION_.
func enumPrefix(d protoreflect.EnumDescriptor) string {
	return strings.TrimSuffix(string(d.Values().ByNumber(0).Name()), "UNSPECIFIED")
}

// word is an enum's value as people read it: without prefix, empty for the
// unspecified one, and a number for one that only a newer server knows.
func word(e protoreflect.Enum) string {
	value := e.Descriptor().Values().ByNumber(e.Number())
	switch {
	case e.Number() == 0:
		return ""
	case value == nil:
		return strconv.Itoa(int(e.Number()))
	}
	return strings.TrimPrefix(string(value.Name()), enumPrefix(e.Descriptor()))
}

// dash is a word for a cell that must not be empty.
func dash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

// enumValue is a flag for one value of an enum, in letters of either size, with
// "-" for "_".
type enumValue[E interface {
	~int32
	protoreflect.Enum
}] struct{ value E }

// String returns the word.
func (v *enumValue[E]) String() string { return strings.ToLower(word(v.value)) }

// Type names the words for help.
func (v *enumValue[E]) Type() string { return strings.Join(enumWords(v.value), "|") }

// Set takes a word of the enum.
func (v *enumValue[E]) Set(text string) error {
	name := strings.ToUpper(strings.ReplaceAll(text, "-", "_"))
	d := v.value.Descriptor()
	found := d.Values().ByName(protoreflect.Name(enumPrefix(d) + name))
	if found == nil || found.Number() == 0 {
		return fmt.Errorf("use one of %s", strings.Join(enumWords(v.value), ", "))
	}
	v.value = E(found.Number())
	return nil
}

// enumList is a flag for several values, repeated or with commas.
type enumList[E interface {
	~int32
	protoreflect.Enum
}] struct{ values []E }

// String returns the words.
func (v *enumList[E]) String() string {
	all := make([]string, 0, len(v.values))
	for _, e := range v.values {
		all = append(all, strings.ToLower(word(e)))
	}
	return strings.Join(all, ",")
}

// Type names the words for help.
func (v *enumList[E]) Type() string {
	var e E
	return strings.Join(enumWords(e), "|")
}

// Set adds words.
func (v *enumList[E]) Set(text string) error {
	for part := range strings.SplitSeq(text, ",") {
		var one enumValue[E]
		if err := one.Set(part); err != nil {
			return err
		}
		v.values = append(v.values, one.value)
	}
	return nil
}

// enumWords are the words of an enum.
func enumWords(e protoreflect.Enum) []string {
	values := e.Descriptor().Values()
	var all []string
	for i := range values.Len() {
		if value := values.Get(i); value.Number() != 0 {
			all = append(all, strings.ToLower(strings.TrimPrefix(string(value.Name()), enumPrefix(e.Descriptor()))))
		}
	}
	return all
}

// listing is a list whose words are too many for the head of a line of help.
type listing struct {
	pflag.Value
	name string
}

// Type names the form for help.
func (l listing) Type() string { return l.name }
