// SPDX-License-Identifier: Apache-2.0

// Package glob holds the patterns that a policy has for names of targets, and
// which of two is the more specific one.
package glob

import (
	"cmp"
	"strings"
	"unicode/utf8"
)

// Pattern is a pattern for names of targets: * stands for any run of characters,
// also of none and also of slashes; ? stands for one character; every other
// character stands for itself. There is no way to quote a * or a ?.
type Pattern struct {
	text string // in the one form that equal patterns share
	// What makes a pattern more specific, in this order.
	prefix  int // characters before the first wildcard
	literal int // characters that stand for themselves
	singles int // question marks
}

// New reads a pattern. Any text is one.
func New(pattern string) Pattern {
	g := Pattern{text: canonical(pattern)}
	for i, r := range g.text {
		switch r {
		case '?':
			g.singles++
		case '*':
		default:
			g.literal++
			if !Has(g.text[:i]) {
				g.prefix++
			}
		}
	}
	return g
}

// String returns the pattern in the form that equal patterns share.
func (g Pattern) String() string { return g.text }

// Has tells whether a text has a wildcard.
func Has(s string) bool { return strings.ContainsAny(s, "*?") }

// canonical writes each run of wildcards as its question marks and then at
// most one star, so that patterns that match the same names at the same places
// are the same text.
func canonical(pattern string) string {
	var b strings.Builder
	for rest := pattern; rest != ""; {
		plain := strings.IndexAny(rest, "*?")
		if plain < 0 {
			plain = len(rest)
		}
		b.WriteString(rest[:plain])
		rest = rest[plain:]
		after := strings.TrimLeft(rest, "*?")
		run := rest[:len(rest)-len(after)]
		b.WriteString(strings.Repeat("?", strings.Count(run, "?")))
		if strings.Contains(run, "*") {
			b.WriteByte('*')
		}
		rest = after
	}
	return b.String()
}

// Match tells whether the pattern stands for the whole name. It takes at most
// len(pattern)·len(name) steps.
func (g Pattern) Match(name string) bool {
	p, n := 0, 0
	star, retry := -1, 0 // where the last star is, and where to go on after it
	for n < len(name) {
		switch {
		case p < len(g.text) && g.text[p] == '*':
			star, retry = p, n
			p++
			continue
		case p < len(g.text) && g.text[p] == '?':
			n += width(name[n:])
			p++
			continue
		case p < len(g.text) && g.text[p] == name[n]:
			n++
			p++
			continue
		case star < 0:
			return false
		}
		retry += width(name[retry:])
		n, p = retry, star+1
	}
	return strings.Trim(g.text[p:], "*") == ""
}

func width(s string) int {
	_, size := utf8.DecodeRuneInString(s)
	return size
}

// Compare orders patterns, the more specific first.
func (g Pattern) Compare(other Pattern) int {
	return cmp.Or(
		cmp.Compare(other.prefix, g.prefix),
		cmp.Compare(other.literal, g.literal),
		cmp.Compare(other.singles, g.singles),
	)
}
