// SPDX-License-Identifier: Apache-2.0

package strict

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"
)

// Item is one value of a List: how it is read, shown and described.
type Item[V any] struct {
	Read func(d *Decoder, n *yaml.Node, path string) (V, bool)
	Show func(V) string
	JSON JSON
}

// List is a list of values, or a single one.
func List[T, V any](path string, item Item[V], of func(*T) *[]V) *Field[T] {
	return &Field[T]{
		Path: path,
		Read: func(d *Decoder, n *yaml.Node, path string) (func(*T), bool) {
			if n.Kind != yaml.SequenceNode {
				value, ok := item.Read(d, n, path)
				return func(t *T) { *of(t) = []V{value} }, ok
			}
			if len(n.Content) == 0 {
				d.Fail(At(n), path, "this list is empty; write a value, or remove the key")
				return nil, false
			}
			var values []V
			all := true
			for i, element := range n.Content {
				value, ok := item.Read(d, element, path+"["+strconv.Itoa(i)+"]")
				values, all = append(values, value), all && ok
			}
			return func(t *T) { *of(t) = values }, all
		},
		Show: func(t *T) string {
			var shown []string
			for _, v := range *of(t) {
				shown = append(shown, item.Show(v))
			}
			return strings.Join(shown, ", ")
		},
		JSON: AnyOf(item.JSON, ListJSON(item.JSON, 1, 0)),
	}
}

// Lowercase is a mapping of names in lower case to texts.
func Lowercase[T any](path string, of func(*T) *map[string]string) *Field[T] {
	return &Field[T]{
		Path: path,
		Read: func(d *Decoder, n *yaml.Node, path string) (func(*T), bool) {
			if n.Kind != yaml.MappingNode || len(n.Content) == 0 {
				d.WrongType(n, path, "a mapping of header names to values")
				return nil, false
			}
			headers, all := make(map[string]string), true
			for i := 0; i+1 < len(n.Content); i += 2 {
				name, here := n.Content[i].Value, Join(path, n.Content[i].Value)
				if name == "" || name != strings.ToLower(name) {
					d.Fail(At(n.Content[i]), here, "write the header's name in lower case")
					all = false
				}
				value, ok := d.Text(n.Content[i+1], here)
				headers[name], all = value, all && ok
			}
			return func(t *T) { *of(t) = headers }, all
		},
		Show: func(t *T) string {
			var shown []string
			for _, name := range slices.Sorted(maps.Keys(*of(t))) {
				shown = append(shown, name+": "+(*of(t))[name])
			}
			return strings.Join(shown, ", ")
		},
		JSON: JSON{
			"type": "object", "minProperties": 1, "additionalProperties": TextJSON(),
			"propertyNames": JSON{"pattern": "^[^A-Z]+$"},
		},
	}
}

// Has tells whether a mapping has a key.
func Has(n *yaml.Node, key string) bool {
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return true
		}
	}
	return false
}
