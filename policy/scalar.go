// SPDX-License-Identifier: Apache-2.0

package policy

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

// maxText is the most bytes that a name in a policy may have.
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

// wrongType notes that a node is not what is wanted there.
func (d *decoder) wrongType(n *yaml.Node, path, wanted string) {
	if isNull(n) {
		d.fail(at(n), path, "a value is missing; write %s, or remove the key", wanted)
		return
	}
	d.fail(at(n), path, "this is %s; write %s", describe(n), wanted)
}

// decimal reads an integer in decimal digits, with _ between groups.
func decimal(s string) (value int64, isNumber, fits bool) {
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

// integer reads a whole number in lo…hi.
func (d *decoder) integer(n *yaml.Node, path string, lo, hi int64) (int64, bool) {
	const wanted = "a whole number in decimal digits, without quotes"
	if n.Kind != yaml.ScalarNode || n.Style != 0 {
		d.wrongType(n, path, wanted)
		return 0, false
	}
	value, isNumber, fits := decimal(n.Value)
	if !isNumber {
		d.wrongType(n, path, wanted)
		return 0, false
	}
	if !fits || value < lo || value > hi {
		d.fail(at(n), path, "%s is out of range; write a number from %d to %d", n.Value, lo, hi)
		return 0, false
	}
	return value, true
}

// boolean reads true or false.
func (d *decoder) boolean(n *yaml.Node, path string) (value, ok bool) {
	if n.Kind == yaml.ScalarNode && n.Style == 0 && (n.Value == "true" || n.Value == "false") {
		return n.Value == "true", true
	}
	d.wrongType(n, path, "true or false")
	return false, false
}

// text reads a text that is a name: not empty, at most 256 bytes, no control
// characters, no space at its ends.
func (d *decoder) text(n *yaml.Node, path string) (string, bool) {
	if n.Kind != yaml.ScalarNode || n.ShortTag() != "!!str" {
		wanted := "a text"
		if n.Kind == yaml.ScalarNode && !isNull(n) {
			wanted += ", in quotes"
		}
		d.wrongType(n, path, wanted)
		return "", false
	}
	return d.name(n, path)
}

// name reads a scalar of any type as a name.
func (d *decoder) name(n *yaml.Node, path string) (string, bool) {
	switch s := n.Value; {
	case s == "":
		d.fail(at(n), path, "this is empty; write a name")
	case len(s) > maxText:
		d.fail(at(n), path, "this has %d bytes; a name has at most %d", len(s), maxText)
	case strings.TrimSpace(s) != s || strings.IndexFunc(s, unicode.IsControl) >= 0:
		d.fail(at(n), path, "%q has space at an end or a control character; remove it", s)
	default:
		return s, true
	}
	return "", false
}

// oneOf reads one of the words.
func (d *decoder) oneOf(n *yaml.Node, path string, words []string) (int, bool) {
	list := strings.Join(words, ", ")
	if n.Kind != yaml.ScalarNode || n.ShortTag() != "!!str" {
		d.wrongType(n, path, "one of "+list)
		return 0, false
	}
	for i, w := range words {
		if w == n.Value {
			return i, true
		}
	}
	if !d.full() {
		near := cmp.Or(didYouMean(n.Value, words), "; write one of "+list)
		d.fail(at(n), path, "%q is not known%s", n.Value, near)
	}
	return 0, false
}

// maxDuration bounds every duration of a policy.
const maxDuration = 365 * 24 * time.Hour

// duration reads a length of time in lo…hi; zero is allowed with zeroOK.
func (d *decoder) duration(n *yaml.Node, path string, lo, hi time.Duration, zeroOK bool) (time.Duration, bool) {
	const wanted = "a duration with units, like 250ms, 30s, 1m30s, 24h or 7d"
	if n.Kind != yaml.ScalarNode {
		d.wrongType(n, path, wanted)
		return 0, false
	}
	if value, isNumber, _ := decimal(n.Value); isNumber && value != 0 {
		d.fail(at(n), path, "%s has no unit; write %ss or %sms", n.Value, n.Value, n.Value)
		return 0, false
	}
	value, ok := parseDuration(n.Value)
	switch {
	case !ok && strings.HasPrefix(n.Value, "-"):
		d.fail(at(n), path, "%s is negative; write a duration from %s to %s", n.Value, formatDuration(lo), formatDuration(hi))
	case !ok:
		d.wrongType(n, path, wanted)
	case value == 0 && zeroOK:
		return 0, true
	case value < lo || value > hi:
		orZero := ""
		if zeroOK {
			orZero = ", or 0 to switch it off"
		}
		d.fail(at(n), path, "%s is out of range; write a duration from %s to %s%s", n.Value, formatDuration(lo), formatDuration(hi), orZero)
	default:
		return value, true
	}
	return 0, false
}

// parseDuration reads what formatDuration writes, and fractions, a d for 24 h,
// and a bare 0. What is not a whole number of milliseconds is refused.
func parseDuration(s string) (time.Duration, bool) {
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

// formatDuration writes a duration of whole milliseconds with the units h, m,
// s and ms, the zero ones left out.
func formatDuration(d time.Duration) string {
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
