// SPDX-License-Identifier: Apache-2.0

package drill

import (
	"slices"
	"time"

	"go.yaml.in/yaml/v4"
)

// fieldKind is the type of a field of an answer.
type fieldKind int

const (
	fieldText   fieldKind = iota // string
	fieldNumber                  // int64
	fieldMillis                  // int64, whole milliseconds
	fieldFlag                    // bool
	fieldNames                   // []string, a set in order
	fieldCounts                  // map[string]int64, without zeros
	fieldGroups                  // map[string][]string, without empty ones
)

// field is one field that an expectation on a verb may name.
type field struct {
	name string
	kind fieldKind
}

// fieldError is the reason of an RPC error. Every verb may expect it.
const fieldError = "error"

// expectation is one field that an answer must have.
type expectation struct {
	field field
	want  any // of the type of the field's kind; nil: must be absent
	// orAbsent is set for a zero that is also a possible name: 0 or false.
	orAbsent bool
}

// expect reads what a step expects of its verb's answer.
func (p *parser) expect(v verb, n *yaml.Node) []expectation {
	var all []expectation
	for _, e := range p.entries(n, "expect") {
		i := slices.IndexFunc(v.fields, func(f field) bool { return f.name == e.name })
		switch {
		case i >= 0:
			all = append(all, p.expectation(v.fields[i], e.value, v.name))
		case e.name == fieldError:
			all = append(all, p.expectation(field{fieldError, fieldText}, e.value, v.name))
		default:
			p.fail(e.key, "the answer of %s has no field %q%s", v.name, shorten(e.name), didYouMean(e.name, v.fieldNames()))
		}
	}
	return all
}

func (p *parser) expectation(f field, n *yaml.Node, verb string) expectation {
	e := expectation{field: f}
	what := verb + "'s " + f.name
	if isZero(n) {
		if f.kind == fieldText && n.Kind == yaml.ScalarNode && !isNull(n) && n.Value != "" {
			e.want, e.orAbsent = n.Value, true
		}
		return e
	}
	switch f.kind {
	case fieldText:
		e.want = p.text(n, what)
	case fieldNumber:
		e.want = p.number(n, what)
	case fieldMillis:
		d := p.duration(n, what, time.Millisecond)
		if d%time.Millisecond != 0 {
			p.fail(n, "%s is in whole milliseconds", what)
		}
		e.want = d.Milliseconds()
	case fieldFlag:
		e.want = p.flag(n, what)
	case fieldNames:
		e.want = p.set(n, what)
	case fieldCounts:
		counts := make(map[string]int64)
		for _, c := range p.entries(n, what) {
			counts[c.name] = p.number(c.value, what+"."+shorten(c.name))
		}
		e.want = withoutZeros(counts)
	case fieldGroups:
		groups := make(map[string][]string)
		for _, g := range p.entries(n, what) {
			groups[g.name] = p.set(g.value, what+"."+shorten(g.name))
		}
		e.want = withoutEmpty(groups)
	}
	return e
}

// set reads a list as a set.
func (p *parser) set(n *yaml.Node, what string) []string {
	var all []string
	for _, item := range p.items(n, what) {
		all = append(all, p.text(item, what))
	}
	return asSet(all)
}

// isZero reports whether n is one of the values that an absent field equals:
// 0, false, "" and [], and nothing at all.
func isZero(n *yaml.Node) bool {
	if n.Kind == yaml.MappingNode || n.Kind == yaml.SequenceNode {
		return len(n.Content) == 0
	}
	if n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) != 0 {
		return n.Value == ""
	}
	switch n.ShortTag() {
	case "!!null":
		return true
	case "!!bool":
		return n.Value[0] == 'f' || n.Value[0] == 'F'
	case "!!int":
		value, ok := wholeNumber(n)
		return ok && value == 0
	}
	return n.Value == ""
}

// asSet returns the names in order and each once.
func asSet(names []string) []string {
	set := slices.Clone(names)
	slices.Sort(set)
	return slices.Compact(set)
}

func withoutZeros(counts map[string]int64) map[string]int64 {
	for name, n := range counts {
		if n == 0 {
			delete(counts, name)
		}
	}
	return counts
}

func withoutEmpty(groups map[string][]string) map[string][]string {
	for name, members := range groups {
		if len(members) == 0 {
			delete(groups, name)
		}
	}
	return groups
}
