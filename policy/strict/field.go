// SPDX-License-Identifier: Apache-2.0

package strict

import (
	"cmp"
	"strconv"
	"time"

	"go.yaml.in/yaml/v4"
)

// The functions of this file make the fields of a schema, each for one type of
// value. of points at the value in a T.

// Number is a whole number in lo…hi.
func Number[T any, N int | int64](path string, lo, hi int64, of func(*T) *N) *Field[T] {
	return &Field[T]{
		Path: path,
		Read: func(d *Decoder, n *yaml.Node, path string) (func(*T), bool) {
			value, ok := d.Integer(n, path, lo, hi)
			return func(t *T) { *of(t) = N(value) }, ok
		},
		Show: func(t *T) string { return strconv.FormatInt(int64(*of(t)), 10) },
		JSON: IntegerJSON(lo, hi),
	}
}

// Optional is a number in 0…hi that may be absent. get returns nil then.
func Optional[T any](path string, hi int64, get func(*T) *int64, set func(*T, *int64)) *Field[T] {
	return &Field[T]{
		Path: path,
		Read: func(d *Decoder, n *yaml.Node, path string) (func(*T), bool) {
			value, ok := d.Integer(n, path, 0, hi)
			return func(t *T) { set(t, &value) }, ok
		},
		Show: func(t *T) string { return showOr(get(t), Unknown) },
		JSON: IntegerJSON(0, hi),
	}
}

const (
	// Unlimited is the word that takes a limit away.
	Unlimited = "unlimited"
	// Unknown is how a value is shown that nobody gave.
	Unknown = "unknown"
)

func showOr(value *int64, otherwise string) string {
	if value == nil {
		return otherwise
	}
	return strconv.FormatInt(*value, 10)
}

// Cap is a number in lo…hi, or the word unlimited, which is nil.
func Cap[T any](path string, lo, hi int64, get func(*T) *int64, set func(*T, *int64)) *Field[T] {
	return &Field[T]{
		Path: path,
		Read: func(d *Decoder, n *yaml.Node, path string) (func(*T), bool) {
			if n.Kind == yaml.ScalarNode && n.Value == Unlimited {
				return func(t *T) { set(t, nil) }, true
			}
			if n.Kind != yaml.ScalarNode || n.ShortTag() == "!!str" {
				d.WrongType(n, path, "a whole number, or unlimited")
				return nil, false
			}
			value, ok := d.Integer(n, path, lo, hi)
			return func(t *T) { set(t, &value) }, ok
		},
		Show: func(t *T) string { return showOr(get(t), Unlimited) },
		JSON: AnyOf(IntegerJSON(lo, hi), EnumJSON(Unlimited)),
	}
}

// Duration is a duration in lo…hi.
func Duration[T any](path string, lo, hi time.Duration, of func(*T) *time.Duration) *Field[T] {
	return anyDuration(path, lo, hi, false, of)
}

// Switch is a duration in lo…hi that zero switches off.
func Switch[T any](path string, lo, hi time.Duration, of func(*T) *time.Duration) *Field[T] {
	return anyDuration(path, lo, hi, true, of)
}

func anyDuration[T any](path string, lo, hi time.Duration, zeroOK bool, of func(*T) *time.Duration) *Field[T] {
	return &Field[T]{
		Path: path,
		Read: func(d *Decoder, n *yaml.Node, path string) (func(*T), bool) {
			value, ok := d.Duration(n, path, lo, hi, zeroOK)
			return func(t *T) { *of(t) = value }, ok
		},
		Show: func(t *T) string { return FormatDuration(*of(t)) },
		JSON: DurationJSON(lo, hi, zeroOK),
	}
}

// Flag is true or false.
func Flag[T any](path string, of func(*T) *bool) *Field[T] {
	return &Field[T]{
		Path: path,
		Read: func(d *Decoder, n *yaml.Node, path string) (func(*T), bool) {
			value, ok := d.Boolean(n, path)
			return func(t *T) { *of(t) = value }, ok
		},
		Show: func(t *T) string { return strconv.FormatBool(*of(t)) },
		JSON: BooleanJSON(),
	}
}

// Text is a name.
func Text[T any](path string, of func(*T) *string) *Field[T] {
	return &Field[T]{
		Path: path,
		Read: func(d *Decoder, n *yaml.Node, path string) (func(*T), bool) {
			value, ok := d.Text(n, path)
			return func(t *T) { *of(t) = value }, ok
		},
		Show: func(t *T) string { return cmp.Or(*of(t), Unknown) },
		JSON: TextJSON(),
	}
}

// Enum is one of the words; the i-th stands for the i-th value.
func Enum[T any, E comparable](path string, words []string, values []E, of func(*T) *E) *Field[T] {
	return &Field[T]{
		Path: path,
		Read: func(d *Decoder, n *yaml.Node, path string) (func(*T), bool) {
			i, ok := d.OneOf(n, path, words)
			return func(t *T) { *of(t) = values[i] }, ok
		},
		Show: func(t *T) string {
			for i, v := range values {
				if v == *of(t) {
					return words[i]
				}
			}
			return ""
		},
		JSON: EnumJSON(words...),
	}
}

// Named is an enumeration whose values say their names.
type Named interface {
	~uint8
	String() string
}

// Range is one of the named values from first to last. get reports false if
// there is none.
func Range[T any, E Named](path string, first, last E, get func(*T) (E, bool), set func(*T, E)) *Field[T] {
	names := Names(first, last)
	return &Field[T]{
		Path: path,
		Read: func(d *Decoder, n *yaml.Node, path string) (func(*T), bool) {
			i, ok := d.OneOf(n, path, names)
			return func(t *T) { set(t, first+E(i)) }, ok
		},
		Show: func(t *T) string {
			if e, ok := get(t); ok && e >= first && e <= last {
				return e.String()
			}
			return Unknown
		},
		JSON: EnumJSON(names...),
	}
}

// Names are the names of the values from first to last.
func Names[E Named](first, last E) []string {
	var names []string
	for v := first; v <= last; v++ {
		names = append(names, v.String())
	}
	return names
}

// Currency is an ISO 4217 code.
func Currency[T any](path string, get func(*T) string, set func(*T, string)) *Field[T] {
	return &Field[T]{
		Path: path,
		Read: func(d *Decoder, n *yaml.Node, path string) (func(*T), bool) {
			value, ok := d.Text(n, path)
			if ok && !isCurrency(value) {
				d.Fail(At(n), path, "%q is not a currency; write an ISO 4217 code of three capitals, such as USD", value)
				ok = false
			}
			return func(t *T) { set(t, value) }, ok
		},
		Show: func(t *T) string { return cmp.Or(get(t), Unknown) },
		JSON: JSON{"type": "string", "pattern": "^[A-Z]{3}$"},
	}
}

func isCurrency(s string) bool {
	if len(s) != 3 {
		return false
	}
	for _, r := range []byte(s) {
		if r < 'A' || r > 'Z' {
			return false
		}
	}
	return true
}
