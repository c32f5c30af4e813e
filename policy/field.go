// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"cmp"
	"strconv"
	"time"

	"go.yaml.in/yaml/v4"
)

// The functions of this file make the fields of a schema, each for one type of
// value. of points at the value in a T.

func numberField[T any, N int | int64](path string, lo, hi int64, of func(*T) *N) *field[T] {
	return &field[T]{
		path: path,
		read: func(d *decoder, n *yaml.Node, path string) (func(*T), bool) {
			value, ok := d.integer(n, path, lo, hi)
			return func(t *T) { *of(t) = N(value) }, ok
		},
		show: func(t *T) string { return strconv.FormatInt(int64(*of(t)), 10) },
	}
}

// optionalField is a number that may be absent. get returns nil then.
func optionalField[T any](path string, hi int64, get func(*T) *int64, set func(*T, *int64)) *field[T] {
	return &field[T]{
		path: path,
		read: func(d *decoder, n *yaml.Node, path string) (func(*T), bool) {
			value, ok := d.integer(n, path, 0, hi)
			return func(t *T) { set(t, &value) }, ok
		},
		show: func(t *T) string {
			if p := get(t); p != nil {
				return strconv.FormatInt(*p, 10)
			}
			return unknown
		},
	}
}

const (
	unlimited = "unlimited" // the word that takes a limit away
	unknown   = "unknown"   // how a value is shown that nobody gave
)

// capField is a number, or the word unlimited, which is read as nil.
func capField[T any](path string, lo, hi int64, set func(*T, *int64)) *field[T] {
	return &field[T]{
		path: path,
		read: func(d *decoder, n *yaml.Node, path string) (func(*T), bool) {
			if n.Kind == yaml.ScalarNode && n.Value == unlimited {
				return func(t *T) { set(t, nil) }, true
			}
			if n.Kind != yaml.ScalarNode || n.ShortTag() == "!!str" {
				d.wrongType(n, path, "a whole number, or unlimited")
				return nil, false
			}
			value, ok := d.integer(n, path, lo, hi)
			return func(t *T) { set(t, &value) }, ok
		},
	}
}

func durationField[T any](path string, lo, hi time.Duration, of func(*T) *time.Duration) *field[T] {
	return anyDurationField(path, lo, hi, false, of)
}

// switchField is a duration that zero switches off.
func switchField[T any](path string, lo, hi time.Duration, of func(*T) *time.Duration) *field[T] {
	return anyDurationField(path, lo, hi, true, of)
}

func anyDurationField[T any](path string, lo, hi time.Duration, zeroOK bool, of func(*T) *time.Duration) *field[T] {
	return &field[T]{
		path: path,
		read: func(d *decoder, n *yaml.Node, path string) (func(*T), bool) {
			value, ok := d.duration(n, path, lo, hi, zeroOK)
			return func(t *T) { *of(t) = value }, ok
		},
		show: func(t *T) string { return formatDuration(*of(t)) },
	}
}

func flagField[T any](path string, of func(*T) *bool) *field[T] {
	return &field[T]{
		path: path,
		read: func(d *decoder, n *yaml.Node, path string) (func(*T), bool) {
			value, ok := d.boolean(n, path)
			return func(t *T) { *of(t) = value }, ok
		},
		show: func(t *T) string { return strconv.FormatBool(*of(t)) },
	}
}

func textField[T any](path string, of func(*T) *string) *field[T] {
	return &field[T]{
		path: path,
		read: func(d *decoder, n *yaml.Node, path string) (func(*T), bool) {
			value, ok := d.text(n, path)
			return func(t *T) { *of(t) = value }, ok
		},
		show: func(t *T) string { return cmp.Or(*of(t), unknown) },
	}
}

// enumField is one of the words; the i-th stands for the i-th value.
func enumField[T any, E comparable](path string, words []string, values []E, of func(*T) *E) *field[T] {
	return &field[T]{
		path: path,
		read: func(d *decoder, n *yaml.Node, path string) (func(*T), bool) {
			i, ok := d.oneOf(n, path, words)
			return func(t *T) { *of(t) = values[i] }, ok
		},
		show: func(t *T) string {
			for i, v := range values {
				if v == *of(t) {
					return words[i]
				}
			}
			return ""
		},
	}
}

// currencyField is an ISO 4217 code.
func currencyField[T any](path string, get func(*T) string, set func(*T, string)) *field[T] {
	return &field[T]{
		path: path,
		read: func(d *decoder, n *yaml.Node, path string) (func(*T), bool) {
			value, ok := d.text(n, path)
			if ok && !isCurrency(value) {
				d.fail(at(n), path, "%q is not a currency; write an ISO 4217 code of three capitals, such as USD", value)
				ok = false
			}
			return func(t *T) { set(t, value) }, ok
		},
		show: get,
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
