// SPDX-License-Identifier: Apache-2.0

package glob

import (
	"testing"

	"pgregory.net/rapid"
)

func TestCoveredBy(t *testing.T) {
	for _, c := range []struct {
		pattern string
		others  []string
		by      string // "": not covered
	}{
		{"a*", nil, ""},
		{"a*", []string{"a?*"}, ""},
		{"a*", []string{"a?*", "a"}, "a"},
		{"a*", []string{"a", "a?", "a???*"}, ""}, // abc is left
		{"a*", []string{"a", "a?", "a??*"}, "a"},
		{"a*b*", []string{"a*b*c", "a*bb*"}, ""},
		{"openai/*", []string{"openai/gpt-*", "openai/o3"}, ""},
		{"a?", []string{"a*"}, "a*"},
	} {
		work := 10_000
		var others []Pattern
		for _, o := range c.others {
			others = append(others, New(o))
		}
		covered, by := New(c.pattern).CoveredBy(others, &work)
		if covered != (c.by != "") || by != c.by {
			t.Errorf("%q by %q: %v, %q", c.pattern, c.others, covered, by)
		}
	}
	work := 0
	if covered, _ := New("a").CoveredBy([]Pattern{New("*")}, &work); covered {
		t.Error("it worked without work left")
	}
}

func draw(t *rapid.T, label string) string {
	return rapid.StringOfN(rapid.SampledFrom([]rune("ab*?")), 0, 5, -1).Draw(t, label)
}

// What is covered leaves no name; of what is not, some name is left. The names
// are all short ones over an alphabet with a letter that no pattern has.
func TestCoveredByIsExact(t *testing.T) {
	names := allNames([]rune("abz"), 7)
	rapid.Check(t, func(t *rapid.T) {
		g := New(draw(t, "pattern"))
		var others []Pattern
		for range rapid.IntRange(0, 3).Draw(t, "others") {
			others = append(others, New(draw(t, "other")))
		}
		work := 1_000_000
		covered, _ := g.CoveredBy(others, &work)
		for _, name := range names {
			left := g.Match(name)
			for _, o := range others {
				left = left && !o.Match(name)
			}
			if left && covered {
				t.Fatalf("%q is left", name)
			}
			if left {
				return
			}
		}
		if !covered && len(g.String()) <= 3 && len(others) <= 1 {
			t.Fatalf("%q by %v: no name is left", g, others)
		}
	})
}

func TestOverlapsLikeTheDumbOne(t *testing.T) {
	names := allNames([]rune("ab"), 8)
	rapid.Check(t, func(t *rapid.T) {
		a, b := New(draw(t, "a")), New(draw(t, "b"))
		common := false
		for _, name := range names {
			common = common || a.Match(name) && b.Match(name)
		}
		if a.Overlaps(b) != common || b.Overlaps(a) != common {
			t.Fatalf("%q and %q: %v, want %v", a, b, a.Overlaps(b), common)
		}
	})
}

// allNames are all texts of at most n letters.
func allNames(letters []rune, n int) []string {
	names, last := []string{""}, []string{""}
	for range n {
		var next []string
		for _, name := range last {
			for _, r := range letters {
				next = append(next, name+string(r))
			}
		}
		names, last = append(names, next...), next
	}
	return names
}
