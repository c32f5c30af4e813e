// SPDX-License-Identifier: Apache-2.0

package glob

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// dumb is the meaning of a pattern in the fewest words.
func dumb(pattern, name []rune) bool {
	if len(pattern) == 0 {
		return len(name) == 0
	}
	switch pattern[0] {
	case '*':
		return dumb(pattern[1:], name) || len(name) > 0 && dumb(pattern, name[1:])
	case '?':
		return len(name) > 0 && dumb(pattern[1:], name[1:])
	}
	return len(name) > 0 && pattern[0] == name[0] && dumb(pattern[1:], name[1:])
}

func TestGlobMatchesLikeTheDumbOne(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pattern := rapid.StringOfN(rapid.SampledFrom([]rune("ab/é*?")), 0, 12, -1).Draw(t, "pattern")
		name := rapid.StringOfN(rapid.SampledFrom([]rune("ab/é")), 0, 12, -1).Draw(t, "name")
		if got, want := New(pattern).Match(name), dumb([]rune(pattern), []rune(name)); got != want {
			t.Fatalf("%q matches %q: %v, want %v", pattern, name, got, want)
		}
	})
}

func TestGlobTakesAnyBytes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g := New(rapid.String().Draw(t, "pattern"))
		name := string(rapid.SliceOf(rapid.Byte()).Draw(t, "name"))
		g.Match(name)
		if !New("*").Match(name) || name != "" && !New("?*").Match(name) {
			t.Fatalf("* does not match %q", name)
		}
	})
}

func TestGlobIsNotExponential(t *testing.T) {
	pattern := strings.Repeat("*a", 120)
	if New(pattern).Match(strings.Repeat("a", 100_000) + "b") {
		t.Error("it matched")
	}
}

func TestCanonical(t *testing.T) {
	for pattern, want := range map[string]string{
		"": "", "a/b": "a/b", "**": "*", "*?": "?*", "?*?": "??*", "a**b?*c": "a*b?*c", "***x***": "*x*",
	} {
		if got := canonical(pattern); got != want {
			t.Errorf("canonical(%q) = %q, want %q", pattern, got, want)
		}
	}
}
