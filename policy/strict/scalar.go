// SPDX-License-Identifier: Apache-2.0

package strict

import (
	"cmp"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
)

// maxText is the most bytes that a name may have.
const maxText = 256

// describe says what a node is, for a sentence about what it is not.
func describe(n *yaml.Node) string {
	if n.Kind == yaml.MappingNode {
		return "a mapping"
	}
	if n.Kind == yaml.SequenceNode {
		return "a list"
	}
	value := n.Value
	if utf8.RuneCountInString(value) > 40 {
		value = string([]rune(value)[:40]) + "…"
	}
	switch n.ShortTag() {
	case "!!null":
		return "nothing"
	case "!!int", "!!float":
		return "the number " + value
	case "!!bool":
		return value
	}
	return "the text " + strconv.Quote(value)
}

// WrongType notes that a node is not what is wanted there.
func (d *Decoder) WrongType(n *yaml.Node, path, wanted string) {
	if IsNull(n) {
		d.Fail(At(n), path, "a value is missing; write %s, or remove the key", wanted)
		return
	}
	d.Fail(At(n), path, "this is %s; write %s", describe(n), wanted)
}

// Decimal reads an integer in decimal digits, with _ between groups.
func Decimal(s string) (value int64, isNumber, fits bool) {
	digits := strings.TrimLeft(s, "-")
	if len(s)-len(digits) > 1 || digits == "" || digits[0] == '_' || strings.Trim(digits, "0123456789_") != "" {
		return 0, false, false
	}
	if len(digits) > 1 && digits[0] == '0' {
		return 0, false, false
	}
	value, err := strconv.ParseInt(strings.ReplaceAll(s, "_", ""), 10, 64)
	return value, true, err == nil
}

// Integer reads a whole number in lo…hi.
func (d *Decoder) Integer(n *yaml.Node, path string, lo, hi int64) (int64, bool) {
	const wanted = "a whole number in decimal digits, without quotes"
	if n.Kind != yaml.ScalarNode || n.Style != 0 {
		d.WrongType(n, path, wanted)
		return 0, false
	}
	value, isNumber, fits := Decimal(n.Value)
	if !isNumber {
		d.WrongType(n, path, wanted)
		return 0, false
	}
	if !fits || value < lo || value > hi {
		d.Fail(At(n), path, "%s is out of range; write a number from %d to %d", n.Value, lo, hi)
		return 0, false
	}
	return value, true
}

// Boolean reads true or false.
func (d *Decoder) Boolean(n *yaml.Node, path string) (value, ok bool) {
	if n.Kind == yaml.ScalarNode && n.Style == 0 && (n.Value == "true" || n.Value == "false") {
		return n.Value == "true", true
	}
	d.WrongType(n, path, "true or false")
	return false, false
}

// Text reads a text that is a name: not empty, at most 256 bytes, no control
// characters, no space at its ends.
func (d *Decoder) Text(n *yaml.Node, path string) (string, bool) {
	if n.Kind != yaml.ScalarNode || n.ShortTag() != "!!str" {
		wanted := "a text"
		if n.Kind == yaml.ScalarNode && !IsNull(n) {
			wanted += ", in quotes"
		}
		d.WrongType(n, path, wanted)
		return "", false
	}
	return d.Name(n, path)
}

// Name reads a scalar of any type as a name.
func (d *Decoder) Name(n *yaml.Node, path string) (string, bool) {
	switch s := n.Value; {
	case IsName(s):
		return s, true
	case s == "":
		d.Fail(At(n), path, "this is empty; write a name")
	case len(s) > maxText:
		d.Fail(At(n), path, "this has %d bytes; a name has at most %d", len(s), maxText)
	default:
		d.Fail(At(n), path, "%q has space at an end or a control character; remove it", s)
	}
	return "", false
}

// IsName tells whether a text may be a name.
func IsName(s string) bool {
	return s != "" && len(s) <= maxText && strings.TrimSpace(s) == s && strings.IndexFunc(s, unicode.IsControl) < 0
}

// OneOf reads one of the words.
func (d *Decoder) OneOf(n *yaml.Node, path string, words []string) (int, bool) {
	list := strings.Join(words, ", ")
	if n.Kind != yaml.ScalarNode || n.ShortTag() != "!!str" {
		d.WrongType(n, path, "one of "+list)
		return 0, false
	}
	for i, w := range words {
		if w == n.Value {
			return i, true
		}
	}
	if !d.full() {
		near := cmp.Or(DidYouMean(n.Value, words), "; write one of "+list)
		d.Fail(At(n), path, "%q is not known%s", n.Value, near)
	}
	return 0, false
}

// MaxDuration bounds every duration.
const MaxDuration = 365 * 24 * time.Hour

// Duration reads a length of time in lo…hi; zero is allowed with zeroOK.
func (d *Decoder) Duration(n *yaml.Node, path string, lo, hi time.Duration, zeroOK bool) (time.Duration, bool) {
	const wanted = "a duration with units, like 250ms, 30s, 1m30s, 24h or 7d"
	if n.Kind != yaml.ScalarNode {
		d.WrongType(n, path, wanted)
		return 0, false
	}
	if value, isNumber, _ := Decimal(n.Value); isNumber && value != 0 {
		d.Fail(At(n), path, "%s has no unit; write %ss or %sms", n.Value, n.Value, n.Value)
		return 0, false
	}
	value, ok := ParseDuration(n.Value)
	switch {
	case !ok && strings.HasPrefix(n.Value, "-"):
		d.Fail(At(n), path, "%s is negative; write a duration from %s to %s", n.Value, FormatDuration(lo), FormatDuration(hi))
	case !ok:
		d.WrongType(n, path, wanted+durationMeant(n.Value))
	case value == 0 && zeroOK:
		return 0, true
	case value < lo || value > hi:
		orZero := ""
		if zeroOK {
			orZero = ", or 0 to switch it off"
		}
		d.Fail(At(n), path, "%s is out of range; write a duration from %s to %s%s", n.Value, FormatDuration(lo), FormatDuration(hi), orZero)
	default:
		return value, true
	}
	return 0, false
}

// durationMeant asks for the duration that a text was most likely meant to be:
// one with long names of units, capitals, or spaces.
func durationMeant(text string) string {
	short := strings.NewReplacer(
		"milliseconds", "ms", "millisecond", "ms", "millis", "ms", "msec", "ms",
		"seconds", "s", "second", "s", "secs", "s", "sec", "s", "minutes", "m", "minute", "m", "mins", "m", "min", "m",
		"hours", "h", "hour", "h", "hrs", "h", "hr", "h", "days", "d", "day", "d", " ", "", "_", "",
	).Replace(strings.ToLower(text[:min(len(text), maxText)]))
	if _, ok := ParseDuration(short); !ok || short == "0" {
		return ""
	}
	return "; did you mean " + short + "?"
}

// ParseDuration reads what FormatDuration writes, and fractions, a d for 24 h,
// and a bare 0. What is not a whole number of milliseconds is refused.
func ParseDuration(s string) (time.Duration, bool) {
	if s == "0" {
		return 0, true
	}
	if s == "" || len(s) > 64 {
		return 0, false
	}
	var sum time.Duration
	for s != "" {
		rest := strings.TrimLeft(s, "0123456789.")
		end := strings.IndexAny(rest, "0123456789.")
		if end < 0 {
			end = len(rest)
		}
		number, unit, days := s[:len(s)-len(rest)], rest[:end], time.Duration(1)
		switch unit {
		case "d":
			unit, days = "h", 24
		case "h", "m", "s", "ms":
		default:
			return 0, false
		}
		value, err := time.ParseDuration(number + unit)
		if err != nil || value > (math.MaxInt64-sum)/days {
			return 0, false
		}
		sum += value * days
		s = rest[end:]
	}
	return sum, sum%time.Millisecond == 0
}

// FormatDuration writes a duration of whole milliseconds with the units h, m,
// s and ms, the zero ones left out.
func FormatDuration(d time.Duration) string {
	if d == 0 {
		return "0s"
	}
	var b strings.Builder
	for _, u := range [...]struct {
		size time.Duration
		name string
	}{{time.Hour, "h"}, {time.Minute, "m"}, {time.Second, "s"}, {time.Millisecond, "ms"}} {
		if n := d / u.size; n > 0 {
			b.WriteString(strconv.FormatInt(int64(n), 10) + u.name)
			d -= n * u.size
		}
	}
	return b.String()
}
