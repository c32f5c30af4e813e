// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

// field is one key of a policy that ends in a value: how it is read into a T
// and shown again.
type field[T any] struct {
	path      string // such as retry.max_attempts
	entryOnly bool   // not allowed under defaults
	read      func(d *decoder, n *yaml.Node, path string) (func(*T), bool)
	show      func(*T) string
}

// setting is one field as a file sets it.
type setting[T any] struct {
	field *field[T]
	apply func(*T)
	pos   position
}

// schema is the set of fields that a mapping of a policy may have. One table
// says what may be written, how it is checked, merged and explained.
type schema[T any] struct {
	fields []*field[T]
	byPath map[string]*field[T]
	groups map[string][]string // keys of each mapping in it, by path
	// words are mappings for which one word may stand: enforcement: DRY_RUN.
	words map[string]word[T]
}

// word reads a single value in the place of a mapping.
type word[T any] struct {
	read func(d *decoder, n *yaml.Node, path string) []setting[T]
}

func newSchema[T any](fields ...*field[T]) *schema[T] {
	s := &schema[T]{
		fields: fields, byPath: make(map[string]*field[T]),
		groups: make(map[string][]string), words: make(map[string]word[T]),
	}
	for _, f := range fields {
		s.byPath[f.path] = f
		for path := f.path; path != ""; {
			group, key := split(path)
			if !slices.Contains(s.groups[group], key) {
				s.groups[group] = append(s.groups[group], key)
			}
			path = group
		}
	}
	return s
}

// split takes the last key off a path.
func split(path string) (group, key string) {
	i := strings.LastIndexByte(path, '.')
	return path[:max(i, 0)], path[i+1:]
}

// place is where a mapping is read: its path in the file and in the schema,
// and what is special there.
type place struct {
	path     string
	group    string
	extra    []extraKey
	defaults bool // under defaults, where some fields may not be
	// elsewhere says where a key belongs that is unknown here; "" for nowhere.
	elsewhere func(key string) string
}

// extraKey is a key beside the fields, with a reader of its own.
type extraKey struct {
	key  string
	read func(n *yaml.Node, path string)
}

// read reads a mapping: the settings in it, in order.
func (s *schema[T]) read(d *decoder, n *yaml.Node, in place) []setting[T] {
	if n.Kind != yaml.MappingNode {
		keys := s.keys(in)
		d.wrongType(n, in.path, "a mapping with keys such as "+strings.Join(keys[:min(3, len(keys))], ", "))
		return nil
	}
	var settings []setting[T]
	for i := 0; i+1 < len(n.Content); i += 2 {
		settings = append(settings, s.readKey(d, n.Content[i], n.Content[i+1], in)...)
	}
	return settings
}

func (s *schema[T]) readKey(d *decoder, key, value *yaml.Node, in place) []setting[T] {
	path, full := join(in.path, key.Value), in.full(key.Value)
	for _, x := range in.extra {
		if x.key == key.Value {
			x.read(value, path)
			return nil
		}
	}
	if f, ok := s.byPath[full]; ok && s.allowed(f, in) && isWord(key.Value) {
		apply, ok := f.read(d, value, path)
		if !ok {
			return nil
		}
		return []setting[T]{{f, apply, at(value)}}
	}
	if _, ok := s.groups[full]; ok && isWord(key.Value) {
		if w, ok := s.words[full]; ok && value.Kind != yaml.MappingNode {
			return w.read(d, value, path)
		}
		return s.read(d, value, place{path: path, group: full, defaults: in.defaults})
	}
	if !d.full() {
		d.fail(at(key), path, "the key %q is not known here%s", key.Value, s.hint(key.Value, in))
	}
	return nil
}

// full is the path in the schema of a key of the mapping.
func (in place) full(key string) string {
	if in.group == "" {
		return key
	}
	return in.group + "." + key
}

func (s *schema[T]) allowed(f *field[T], in place) bool { return !f.entryOnly || !in.defaults }

// keys are the keys that a mapping may have.
func (s *schema[T]) keys(in place) []string {
	var keys []string
	for _, x := range in.extra {
		keys = append(keys, x.key)
	}
	for _, key := range s.groups[in.group] {
		if f := s.byPath[in.full(key)]; f == nil || s.allowed(f, in) {
			keys = append(keys, key)
		}
	}
	return keys
}

// hint says what an unknown key may have been meant to be: one that belongs
// elsewhere, a key of the same mapping, or else any of those.
func (s *schema[T]) hint(key string, in place) string {
	if in.elsewhere != nil && in.elsewhere(key) != "" {
		return "; it belongs " + in.elsewhere(key)
	}
	for _, f := range s.fields {
		if group, last := split(f.path); last == key && group != in.group && s.allowed(f, in) {
			if group == "" {
				return "; it does not belong under " + in.group
			}
			return "; it belongs under " + group
		}
	}
	keys := s.keys(in)
	if near := didYouMean(key, keys); near != "" {
		return near
	}
	return "; known are " + strings.Join(keys, ", ")
}
