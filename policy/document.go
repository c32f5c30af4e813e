// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
)

const (
	maxBytes = 1 << 20 // of a policy's text
	maxDepth = 16      // of nested lists and mappings
)

// document reads text as one YAML document and returns its root. It notes
// everything that YAML allows and a policy does not: a second document,
// anchors, aliases, merge keys, tags, duplicate keys and deep nesting. It
// returns nil if there is nothing to go on with.
func (d *decoder) document(text []byte) *yaml.Node {
	if !d.readable(text) {
		return nil
	}
	root, err := load(text)
	if err != nil {
		d.failLoad(err)
		return nil
	}
	if root == nil || isNull(root) {
		d.fail(position{}, "", "the policy is empty; begin with version: 1")
		return nil
	}
	if !d.plain(root, "", 0) {
		return nil
	}
	return root
}

// readable checks what must hold before the text is given to the YAML parser.
func (d *decoder) readable(text []byte) bool {
	if len(text) > maxBytes {
		d.fail(position{}, "", "the policy has %d bytes; at most %d are read, so write fewer entries with wider patterns", len(text), maxBytes)
		return false
	}
	pos := position{1, 1}
	for rest := text; len(rest) > 0; {
		r, size := utf8.DecodeRune(rest)
		switch {
		case r == utf8.RuneError && size == 1:
			d.fail(pos, "", "this is not UTF-8; save the file as UTF-8")
			return false
		case r == '\n':
			pos = position{pos.line + 1, 0}
		case r < ' ' && r != '\t' && r != '\r', r == 0x7f:
			d.fail(pos, "", "the control character %U is not allowed; remove it", r)
			return false
		}
		pos.column++
		rest = rest[size:]
	}
	return true
}

// secondDocumentError says where a second document begins.
type secondDocumentError struct{ position }

func (secondDocumentError) Error() string { return "a second document" }

// load parses the only document of the text; nil if there is none. A panic of
// the YAML library becomes an error.
func load(text []byte) (root *yaml.Node, err error) {
	defer func() {
		if r := recover(); r != nil {
			root, err = nil, fmt.Errorf("the YAML parser failed: %v", r)
		}
	}()
	loader, err := yaml.NewLoader(bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	var first, second yaml.Node
	if err := loader.Load(&first); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, nil
		}
		return nil, err
	}
	switch err := loader.Load(&second); {
	case err == nil:
		return nil, secondDocumentError{at(&second)}
	case !errors.Is(err, io.EOF):
		return nil, err
	}
	if len(first.Content) == 0 {
		return nil, nil
	}
	return first.Content[0], nil
}

// failLoad notes why the text is not one YAML document.
func (d *decoder) failLoad(err error) {
	if second, ok := errors.AsType[secondDocumentError](err); ok {
		d.fail(second.position, "", "a second document begins here; put everything in one and remove the ---")
		return
	}
	le, ok := errors.AsType[*yaml.LoadError](err)
	if !ok {
		d.fail(position{}, "", "this is not YAML: %v", err)
		return
	}
	what := le.Message
	if le.ContextMsg != "" {
		what = le.ContextMsg + ": " + what
	}
	pos := position{le.Mark.Line, le.Mark.Column}
	if pos.line == 0 {
		pos = position{le.ContextMark.Line, le.ContextMark.Column}
	}
	d.fail(pos, "", "this is not YAML: %s", what)
}

// plain walks the tree once and notes what no policy may have. It reports
// whether the tree may be walked again.
func (d *decoder) plain(n *yaml.Node, path string, depth int) bool {
	if depth > maxDepth {
		d.fail(at(n), path, "this is nested deeper than %d levels; no part of a policy is", maxDepth)
		return false
	}
	if n.Kind == yaml.AliasNode || n.Anchor != "" {
		d.fail(at(n), path, "anchors and aliases are not supported; write the values out, or put what is common under defaults")
		return false
	}
	if n.Style&yaml.TaggedStyle != 0 {
		d.fail(at(n), path, "the tag %s is not supported; write the value without it", n.Tag)
		return false
	}
	if n.Kind == yaml.MappingNode {
		return d.plainMapping(n, path, depth)
	}
	ok := true
	for i, item := range n.Content { // of a list; a scalar has none
		ok = d.plain(item, path+"["+strconv.Itoa(i)+"]", depth+1) && ok
	}
	return ok
}

func (d *decoder) plainMapping(n *yaml.Node, path string, depth int) bool {
	ok := true
	lines := make(map[string]int, len(n.Content)/2)
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if key.Kind != yaml.ScalarNode || key.Anchor != "" || key.Style&yaml.TaggedStyle != 0 {
			d.fail(at(key), path, "a key must be plain text")
			ok = false
			continue
		}
		here := join(path, key.Value)
		if key.ShortTag() == "!!merge" {
			d.fail(at(key), here, "merge keys are not supported; put what is common under defaults")
			ok = false
		}
		if line, twice := lines[key.Value]; twice {
			d.fail(at(key), here, "the key %q is in line %d already; keep one of the two", key.Value, line)
		}
		lines[key.Value] = key.Line
		ok = d.plain(value, here, depth+1) && ok
	}
	return ok
}

// join appends a key to a path.
func join(path, key string) string {
	switch {
	case !isWord(key):
		return path + "[" + strconv.Quote(key) + "]"
	case path == "":
		return key
	}
	return path + "." + key
}

// isWord tells whether a key needs no quotes in a path.
func isWord(key string) bool {
	return key != "" && strings.IndexFunc(key, func(r rune) bool {
		return r != '_' && r != '-' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	}) < 0
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" }
