// SPDX-License-Identifier: Apache-2.0

package strict

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
	// MaxBytes is the most bytes that a file may have.
	MaxBytes = 1 << 20
	maxDepth = 16 // of nested lists and mappings
)

// Document reads text as one YAML document and returns its root. It notes
// everything that YAML allows and these files do not: a second document,
// anchors, aliases, merge keys, tags, duplicate keys and deep nesting. It
// returns nil if there is nothing to go on with.
func (d *Decoder) Document(text []byte) *yaml.Node {
	if !d.readable(text) {
		return nil
	}
	root, err := load(text)
	if err != nil {
		d.failLoad(err)
		return nil
	}
	if root == nil || IsNull(root) {
		d.Fail(Position{}, "", "the %s is empty; begin with %s", d.kind.Name, d.kind.Begin)
		return nil
	}
	if !d.plain(root, "", 0) {
		return nil
	}
	return root
}

// readable checks what must hold before the text is given to the YAML parser.
func (d *Decoder) readable(text []byte) bool {
	if len(text) > MaxBytes {
		d.Fail(Position{}, "", "the %s has %d bytes; at most %d are read, so %s", d.kind.Name, len(text), MaxBytes, d.kind.Fewer)
		return false
	}
	pos := Position{1, 1}
	for rest := text; len(rest) > 0; {
		r, size := utf8.DecodeRune(rest)
		switch {
		case r == utf8.RuneError && size == 1:
			d.Fail(pos, "", "this is not UTF-8; save the file as UTF-8")
			return false
		case r == '\n':
			pos = Position{pos.Line + 1, 0}
		case r < ' ' && r != '\t' && r != '\r', r == 0x7f:
			d.Fail(pos, "", "the control character %U is not allowed; remove it", r)
			return false
		}
		pos.Column++
		rest = rest[size:]
	}
	return true
}

// secondDocumentError says where a second document begins.
type secondDocumentError struct{ Position }

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
		return nil, secondDocumentError{At(&second)}
	case !errors.Is(err, io.EOF):
		return nil, err
	}
	if len(first.Content) == 0 {
		return nil, nil
	}
	return first.Content[0], nil
}

// failLoad notes why the text is not one YAML document.
func (d *Decoder) failLoad(err error) {
	if second, ok := errors.AsType[secondDocumentError](err); ok {
		d.Fail(second.Position, "", "a second document begins here; put everything in one and remove the ---")
		return
	}
	le, ok := errors.AsType[*yaml.LoadError](err)
	if !ok {
		d.Fail(Position{}, "", "this is not YAML: %v", err)
		return
	}
	what := le.Message
	if le.ContextMsg != "" {
		what = le.ContextMsg + ": " + what
	}
	pos := Position{le.Mark.Line, le.Mark.Column}
	if pos.Line == 0 {
		pos = Position{le.ContextMark.Line, le.ContextMark.Column}
	}
	d.Fail(pos, "", "this is not YAML: %s", what)
}

// plain walks the tree once and notes what no policy may have. It reports
// whether the tree may be walked again.
func (d *Decoder) plain(n *yaml.Node, path string, depth int) bool {
	if depth > maxDepth {
		d.Fail(At(n), path, "this is nested deeper than %d levels; no part of a %s is", maxDepth, d.kind.Name)
		return false
	}
	if n.Kind == yaml.AliasNode || n.Anchor != "" {
		d.Fail(At(n), path, "anchors and aliases are not supported; write the values out, or put what is common under defaults")
		return false
	}
	if n.Style&yaml.TaggedStyle != 0 {
		d.Fail(At(n), path, "the tag %s is not supported; write the value without it", n.Tag)
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

func (d *Decoder) plainMapping(n *yaml.Node, path string, depth int) bool {
	ok := true
	lines := make(map[string]int, len(n.Content)/2)
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if key.Kind != yaml.ScalarNode || key.Anchor != "" || key.Style&yaml.TaggedStyle != 0 {
			d.Fail(At(key), path, "a key must be plain text")
			ok = false
			continue
		}
		here := Join(path, key.Value)
		if key.ShortTag() == "!!merge" {
			d.Fail(At(key), here, "merge keys are not supported; put what is common under defaults")
			ok = false
		}
		if line, twice := lines[key.Value]; twice {
			d.Fail(At(key), here, "the key %q is in line %d already; keep one of the two", key.Value, line)
		}
		lines[key.Value] = key.Line
		ok = d.plain(value, here, depth+1) && ok
	}
	return ok
}

// Join appends a key to a path.
func Join(path, key string) string {
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

// IsNull tells whether a node is a missing value, or the word null.
func IsNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" }
