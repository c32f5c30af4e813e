// SPDX-License-Identifier: Apache-2.0

package drill

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"
)

const (
	maxBytes  = 1 << 20 // of a file
	maxDepth  = 16      // of nested lists and mappings
	maxFaults = 20      // kept of one file
)

// parser reads one file and notes what is wrong with it.
type parser struct {
	file   string
	faults []Fault
}

// fail notes a fault at n, or of the whole file if n is nil.
func (p *parser) fail(n *yaml.Node, format string, args ...any) {
	line := 0
	if n != nil {
		line = n.Line
	}
	p.failLine(line, fmt.Sprintf(format, args...))
}

func (p *parser) failLine(line int, message string) {
	if len(p.faults) < maxFaults {
		p.faults = append(p.faults, Fault{File: p.file, Line: line, Message: message})
	}
}

// document returns the root of the only YAML document in data, or nil.
func (p *parser) document(data []byte) *yaml.Node {
	if len(data) > maxBytes {
		p.fail(nil, "the file has more than %d bytes", maxBytes)
		return nil
	}
	root, err := load(data)
	switch le := (*yaml.LoadError)(nil); {
	case errors.As(err, &le):
		p.failLine(le.Mark.Line, "this is not YAML: "+le.Message)
		return nil
	case err != nil:
		p.fail(nil, "%v", err)
		return nil
	case root == nil || isNull(root):
		p.fail(nil, "the file is empty")
		return nil
	}
	if !p.plain(root, 0) {
		return nil
	}
	return root
}

// load reads the only document. A panic of the YAML library is an error: what
// it is given may be anything.
func load(data []byte) (root *yaml.Node, err error) {
	defer func() {
		if r := recover(); r != nil {
			root, err = nil, fmt.Errorf("this is not YAML: %v", r)
		}
	}()
	loader, err := yaml.NewLoader(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	var first, second yaml.Node
	if err := loader.Load(&first); errors.Is(err, io.EOF) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	switch err := loader.Load(&second); {
	case err == nil:
		return nil, fmt.Errorf("a second document begins in line %d; a file holds one scenario", second.Line)
	case !errors.Is(err, io.EOF):
		return nil, err
	case len(first.Content) == 0:
		return nil, nil
	}
	return first.Content[0], nil
}

// plain notes what no scenario has: anchors, aliases, tags and deep nesting.
// It reports whether the tree may be walked.
func (p *parser) plain(n *yaml.Node, depth int) bool {
	switch {
	case depth > maxDepth:
		p.fail(n, "this is nested deeper than %d levels; no part of a scenario is", maxDepth)
		return false
	case n.Kind == yaml.AliasNode || n.Anchor != "":
		p.fail(n, "anchors and aliases are not supported; write the value out")
		return false
	case n.Style&yaml.TaggedStyle != 0:
		p.fail(n, "the tag %s is not supported; write the value without it", n.Tag)
		return false
	}
	for _, child := range n.Content {
		if !p.plain(child, depth+1) {
			return false
		}
	}
	return true
}

// entry is one key of a mapping with its value.
type entry struct {
	name       string
	key, value *yaml.Node
}

// entries returns the entries of a mapping; none for nothing. A key that is
// given twice is noted and returned once.
func (p *parser) entries(n *yaml.Node, what string) []entry {
	if isNull(n) {
		return nil
	}
	if n.Kind != yaml.MappingNode {
		p.fail(n, "%s must be a mapping, not %s", what, describe(n))
		return nil
	}
	var all []entry
	lines := make(map[string]int, len(n.Content)/2)
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if key.Kind != yaml.ScalarNode {
			p.fail(key, "a key of %s must be a name, not %s", what, describe(key))
			continue
		}
		if line, twice := lines[key.Value]; twice {
			p.fail(key, "%s has %q in line %d already", what, shorten(key.Value), line)
			continue
		}
		lines[key.Value] = key.Line
		all = append(all, entry{key.Value, key, value})
	}
	return all
}

// items returns the items of a list; none for nothing.
func (p *parser) items(n *yaml.Node, what string) []*yaml.Node {
	if isNull(n) {
		return nil
	}
	if n.Kind != yaml.SequenceNode {
		p.fail(n, "%s must be a list, not %s", what, describe(n))
		return nil
	}
	return n.Content
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" }

// describe says what a node is, for a sentence about what it is not.
func describe(n *yaml.Node) string {
	switch {
	case n.Kind == yaml.MappingNode:
		return "a mapping"
	case n.Kind == yaml.SequenceNode:
		return "a list"
	case isNull(n):
		return "nothing"
	}
	return strconv.Quote(shorten(n.Value))
}

// shorten cuts a text from a file for a message.
func shorten(text string) string {
	const most = 60
	if runes := []rune(text); len(runes) > most {
		return string(runes[:most]) + "…"
	}
	return text
}

// text reads a scalar as it is written, so that y, no and 1 are names.
func (p *parser) text(n *yaml.Node, what string) string {
	if n.Kind != yaml.ScalarNode || isNull(n) {
		p.fail(n, "%s must be a name, not %s", what, describe(n))
		return ""
	}
	return n.Value
}

// word reads one of the words.
func (p *parser) word(n *yaml.Node, what string, words []string) string {
	text := p.text(n, what)
	if text != "" && !slices.Contains(words, text) {
		p.fail(n, "%s cannot be %q%s", what, shorten(text), didYouMean(text, words))
	}
	return text
}

// number reads a whole number in decimal digits.
func (p *parser) number(n *yaml.Node, what string) int64 {
	value, ok := wholeNumber(n)
	if !ok {
		p.fail(n, "%s must be a whole number, not %s", what, describe(n))
	}
	return value
}

// wholeNumber reads decimal digits, with _ between groups.
func wholeNumber(n *yaml.Node) (int64, bool) {
	if n.Kind != yaml.ScalarNode {
		return 0, false
	}
	value, err := strconv.ParseInt(strings.ReplaceAll(n.Value, "_", ""), 10, 64)
	return value, err == nil
}

// flag reads true or false.
func (p *parser) flag(n *yaml.Node, what string) bool {
	if n.Kind != yaml.ScalarNode || n.ShortTag() != "!!bool" {
		p.fail(n, "%s must be true or false, not %s", what, describe(n))
		return false
	}
	return n.Value[0] == 't' || n.Value[0] == 'T'
}
