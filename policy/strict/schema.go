// SPDX-License-Identifier: Apache-2.0

package strict

import (
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

// Field is one key of a file that ends in a value: how it is read into a T,
// shown again, and described to an editor.
type Field[T any] struct {
	Path string // such as retry.max_attempts
	// EntryOnly: not allowed where Place.Defaults is set.
	EntryOnly bool
	// Read returns what sets the value, false if the node is no such value.
	Read func(d *Decoder, n *yaml.Node, path string) (func(*T), bool)
	// Show writes the value as a file would; nil for what is never shown.
	Show func(*T) string
	// JSON is the JSON Schema of the value.
	JSON JSON
}

// Setting is one field as a file sets it.
type Setting[T any] struct {
	Field *Field[T]
	Apply func(*T)
	Pos   Position
}

// Schema is the set of fields that a mapping may have. One table says what may
// be written, how it is checked, merged and explained, and what the JSON Schema
// of the file says of it.
type Schema[T any] struct {
	Fields []*Field[T]
	// Words are mappings for which one word may stand: enforcement: DRY_RUN.
	Words map[string]Word[T]

	byPath map[string]*Field[T]
	groups map[string][]string // keys of each mapping in it, by path
}

// Word reads a single value in the place of a mapping.
type Word[T any] struct {
	Read func(d *Decoder, n *yaml.Node, path string) []Setting[T]
	JSON JSON
}

// New makes a schema of fields, whose order is that of the file.
func New[T any](fields ...*Field[T]) *Schema[T] {
	s := &Schema[T]{
		Fields: fields, Words: make(map[string]Word[T]),
		byPath: make(map[string]*Field[T]), groups: make(map[string][]string),
	}
	for _, f := range fields {
		s.byPath[f.Path] = f
		for path := f.Path; path != ""; {
			group, key := split(path)
			if !slices.Contains(s.groups[group], key) {
				s.groups[group] = append(s.groups[group], key)
			}
			path = group
		}
	}
	return s
}

// Field returns the field of that path, nil if there is none.
func (s *Schema[T]) Field(path string) *Field[T] { return s.byPath[path] }

// Group returns the keys of the mapping at a path; "" is the outermost.
func (s *Schema[T]) Group(path string) []string { return s.groups[path] }

// split takes the last key off a path.
func split(path string) (group, key string) {
	i := strings.LastIndexByte(path, '.')
	return path[:max(i, 0)], path[i+1:]
}

// Place is where a mapping is read: its path in the file and in the schema,
// and what is special there.
type Place struct {
	Path     string
	Group    string
	Extra    []Key
	Defaults bool // fields that are EntryOnly may not be here
	// Elsewhere says where a key belongs that is unknown here; "" for nowhere.
	Elsewhere func(key string) string
}

// Key is a key beside the fields, with a reader of its own.
type Key struct {
	Name string
	Read func(n *yaml.Node, path string)
}

// Read reads a mapping: the settings in it, in order.
func (s *Schema[T]) Read(d *Decoder, n *yaml.Node, in Place) []Setting[T] {
	if n.Kind != yaml.MappingNode {
		keys := s.keys(in)
		d.WrongType(n, in.Path, "a mapping with keys such as "+strings.Join(keys[:min(3, len(keys))], ", "))
		return nil
	}
	var settings []Setting[T]
	for i := 0; i+1 < len(n.Content); i += 2 {
		settings = append(settings, s.readKey(d, n.Content[i], n.Content[i+1], in)...)
	}
	return settings
}

func (s *Schema[T]) readKey(d *Decoder, key, value *yaml.Node, in Place) []Setting[T] {
	path, full := Join(in.Path, key.Value), in.full(key.Value)
	for _, x := range in.Extra {
		if x.Name == key.Value {
			x.Read(value, path)
			return nil
		}
	}
	if f, ok := s.byPath[full]; ok && s.allowed(f, in) && isWord(key.Value) {
		apply, ok := f.Read(d, value, path)
		if !ok {
			return nil
		}
		return []Setting[T]{{f, apply, At(value)}}
	}
	if _, ok := s.groups[full]; ok && isWord(key.Value) {
		if w, ok := s.Words[full]; ok && value.Kind != yaml.MappingNode {
			return w.Read(d, value, path)
		}
		return s.Read(d, value, Place{Path: path, Group: full, Defaults: in.Defaults})
	}
	if !d.full() {
		d.Fail(At(key), path, "the key %q is not known here%s", key.Value, s.hint(key.Value, in))
	}
	return nil
}

// full is the path in the schema of a key of the mapping.
func (in Place) full(key string) string {
	if in.Group == "" {
		return key
	}
	return in.Group + "." + key
}

func (s *Schema[T]) allowed(f *Field[T], in Place) bool { return !f.EntryOnly || !in.Defaults }

// keys are the keys that a mapping may have.
func (s *Schema[T]) keys(in Place) []string {
	var keys []string
	for _, x := range in.Extra {
		keys = append(keys, x.Name)
	}
	for _, key := range s.groups[in.Group] {
		if f := s.byPath[in.full(key)]; f == nil || s.allowed(f, in) {
			keys = append(keys, key)
		}
	}
	return keys
}

// hint says what an unknown key may have been meant to be: one that belongs
// elsewhere, a key of the same mapping, or else any of those.
func (s *Schema[T]) hint(key string, in Place) string {
	if in.Elsewhere != nil && in.Elsewhere(key) != "" {
		return "; it belongs " + in.Elsewhere(key)
	}
	for _, f := range s.Fields {
		if group, last := split(f.Path); last == key && group != in.Group && s.allowed(f, in) {
			if group == "" {
				return "; it does not belong under " + in.Group
			}
			return "; it belongs under " + group
		}
	}
	keys := s.keys(in)
	if near := DidYouMean(key, keys); near != "" {
		return near
	}
	return "; known are " + strings.Join(keys, ", ")
}
