// SPDX-License-Identifier: Apache-2.0

package prices

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/resilienced/resilienced/policy/strict"
)

// The reasons for which Splice leaves a text alone.
var (
	errFlow   = errors.New("the policy, or its section prices, is written in braces; write one key a line, without braces")
	errBreaks = errors.New("the policy has line breaks other than the usual ones; save it with LF or CRLF")
	errUnsure = errors.New("the section prices could not be put into the policy without touching the rest; put it in by hand")
)

// Splice puts a table into the text of a policy and returns the new text: it
// replaces updated and models in the section prices, or adds that section at
// the end. Every other byte stays as it is, comments, table and aliases too.
// The comments between the models that are replaced go with them.
//
// The result was read again, and the error says so if the table is not in it
// as given, if anything else is not as before, or if it is too large.
func Splice(policyText []byte, t *Table) ([]byte, error) {
	root, err := readPolicy(policyText)
	if err != nil {
		return nil, err
	}
	if bytes.ContainsAny(policyText, "\u0085\u2028\u2029") || bytes.Count(policyText, []byte("\r")) != bytes.Count(policyText, []byte("\r\n")) {
		return nil, errBreaks
	}
	s := &splicer{lines: bytes.SplitAfter(policyText, []byte("\n")), root: root}
	out, err := s.splice(t)
	if err != nil {
		return nil, err
	}
	if len(out) > strict.MaxBytes {
		return nil, fmt.Errorf("with %d prices the policy would have %d bytes, and at most %d are read; import fewer models",
			t.Len(), len(out), strict.MaxBytes)
	}
	if !holds(root, out, t) {
		return nil, errUnsure
	}
	return out, nil
}

// readPolicy reads a policy as far as Splice needs: as one plain YAML mapping.
func readPolicy(text []byte) (*yaml.Node, error) {
	d := strict.NewDecoder("policy", strict.Kind{Name: "policy", Begin: "version: 1", Fewer: "write fewer entries with wider patterns"})
	root := d.Document(text)
	if err := d.Err(); err != nil {
		return nil, err
	}
	if root.Kind != yaml.MappingNode || root.Style&yaml.FlowStyle != 0 {
		return nil, errFlow
	}
	return root, nil
}

// splicer is the text of a policy in lines.
type splicer struct {
	lines [][]byte // with their ends
	root  *yaml.Node
}

// splice returns the text with the table in it.
func (s *splicer) splice(t *Table) ([]byte, error) {
	indent := s.root.Content[0].Column - 1
	i := find(s.root, "prices")
	if i < 0 {
		end := s.end(len(s.lines), indent)
		section, err := t.section(indent)
		return s.replace(end, end, section), err
	}
	key, value := s.root.Content[i], s.root.Content[i+1]
	to := len(s.lines)
	if i+2 < len(s.root.Content) {
		to = s.root.Content[i+2].Line - 1
	}
	to = s.end(to, indent)
	if strict.IsNull(value) {
		section, err := t.section(indent)
		return s.replace(key.Line-1, key.Line, section), err
	}
	if value.Kind != yaml.MappingNode || value.Style&yaml.FlowStyle != 0 {
		return nil, errFlow
	}
	return s.within(key, value, to, t)
}

// section is all of the section prices, with a key at a column.
func (t *Table) section(indent int) ([]byte, error) {
	spaces := strings.Repeat(" ", indent)
	body, err := t.body(spaces + "  ")
	return append([]byte(spaces+"prices:\n"), body...), err
}

// within replaces updated and models in a section that ends before line to.
func (s *splicer) within(key, value *yaml.Node, to int, t *Table) ([]byte, error) {
	indent := value.Content[0].Column - 1
	body, err := t.body(strings.Repeat(" ", indent))
	if err != nil {
		return nil, err
	}
	type span struct{ from, to int }
	var old []span
	for i := 0; i+1 < len(value.Content); i += 2 {
		if name := value.Content[i].Value; name != "updated" && name != "models" {
			continue
		}
		next := to
		if i+2 < len(value.Content) {
			next = value.Content[i+2].Line - 1
		}
		from := value.Content[i].Line - 1
		old = append(old, span{from, max(s.end(next, indent), from+1)})
	}
	if len(old) == 0 {
		return s.replace(key.Line, key.Line, body), nil
	}
	for _, o := range slices.Backward(old[1:]) {
		s.lines = slices.Delete(s.lines, o.from, o.to)
	}
	return s.replace(old[0].from, old[0].to, body), nil
}

// end goes back from a line over what belongs to whatever follows: empty
// lines, comments that are not indented further, and the document's end.
func (s *splicer) end(line, indent int) int {
	for ; line > 0; line-- {
		text := strings.TrimRight(string(s.lines[line-1]), "\r\n\t ")
		plain := strings.TrimLeft(text, " \t")
		comment := strings.HasPrefix(plain, "#") && len(text)-len(plain) <= indent
		if text != "" && text != "..." && !comment {
			break
		}
	}
	return line
}

// replace puts text in the place of lines from…to, with the line breaks of the
// file.
func (s *splicer) replace(from, to int, text []byte) []byte {
	before, after := bytes.Join(s.lines[:from], nil), bytes.Join(s.lines[to:], nil)
	if bytes.Contains(before, []byte("\r\n")) || bytes.Contains(after, []byte("\r\n")) {
		text = bytes.ReplaceAll(text, []byte("\n"), []byte("\r\n"))
	}
	if len(before) > 0 && before[len(before)-1] != '\n' {
		before = append(before, text[len(text)-1:]...)
		if text[len(text)-2] == '\r' {
			before = append(before[:len(before)-1], "\r\n"...)
		}
	}
	return slices.Concat(before, text, after)
}

// find is where a mapping has a key, -1 if it has not.
func find(n *yaml.Node, key string) int {
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return i
		}
	}
	return -1
}

// holds tells whether a text is the policy before with the table in it.
func holds(before *yaml.Node, text []byte, t *Table) bool {
	after, err := readPolicy(text)
	if err != nil {
		return false
	}
	old, rest := flatten(before), flatten(after)
	d := strict.NewDecoder("policy", strict.Kind{Name: "policy"})
	var r Reader
	i := find(after, "prices")
	if i < 0 {
		return false
	}
	section := after.Content[i+1]
	strict.New[Table]().Read(d, section, strict.Place{Extra: append(r.Keys(d), ignore("table"), ignore("aliases"))})
	if d.Err() != nil || !r.table.updated.Equal(t.updated) || !maps.EqualFunc(r.table.models, t.models, same) {
		return false
	}
	return slices.Equal(old, rest)
}

func ignore(key string) strict.Key { return strict.Key{Name: key, Read: func(*yaml.Node, string) {}} }

// flatten is what a policy says besides the prices themselves, one text for
// each node.
func flatten(root *yaml.Node) []string {
	var out []string
	var walk func(n *yaml.Node, depth int)
	walk = func(n *yaml.Node, depth int) {
		out = append(out, fmt.Sprintf("%d %d %s %s", depth, n.Kind, n.ShortTag(), n.Value))
		for _, c := range n.Content {
			walk(c, depth+1)
		}
	}
	for i := 0; i+1 < len(root.Content); i += 2 {
		key, value := root.Content[i], root.Content[i+1]
		if key.Value != "prices" {
			walk(key, 0)
			walk(value, 0)
			continue
		}
		for j := 0; j+1 < len(value.Content); j += 2 {
			if name := value.Content[j].Value; name != "updated" && name != "models" {
				walk(value.Content[j], 1)
				walk(value.Content[j+1], 1)
			}
		}
	}
	return out
}
