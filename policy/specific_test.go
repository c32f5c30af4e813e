// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// The entry of each pattern has the pattern as its credential.
func TestMostSpecificWins(t *testing.T) {
	var text strings.Builder
	text.WriteString("version: 1\ntargets:\n")
	for _, pattern := range []string{
		"*", "open*", "*/gpt*", "openai/*", "openai/*x", "openai/gpt", "openai/gp?", "openai/gpt*", "openai/gpt?*", "?penai/gpt-large", "a?c*", "a*c?",
	} {
		text.WriteString("  - {match: \"" + pattern + "\", preset: llm, credential: \"" + pattern + "\"}\n")
	}
	p := parse(t, text.String())
	for name, want := range map[string]string{
		"zzz":                "*",
		"openai":             "open*",
		"x/gpt":              "*/gpt*",
		"openai/a/b":         "openai/*",
		"openai/a/x":         "openai/*x",
		"openai/gpt":         "openai/gpt",   // no wildcard comes first
		"openai/gpx":         "openai/gp?",   // more before the first wildcard
		"openai/gpt-large":   "openai/gpt?*", // more question marks
		"xpenai/gpt-large":   "?penai/gpt-large",
		"azcz":               "a?c*", // a tie: the one written first
		"openai/gpt*":        "openai/gpt?*",
		"":                   "*",
		"openai/gpt\xff\xfe": "openai/gpt?*",
	} {
		if got := p.Target(name).Credential; got != want {
			t.Errorf("%q is held by %q, want %q", name, got, want)
		}
	}
}

// Whatever the name, resolution answers with that name and never panics.
func TestResolutionOfAnyName(t *testing.T) {
	p := parse(t, "version: 1\ntargets: [{match: 'a*', preset: llm}, {match: '*?b', preset: tool}, {match: x, preset: fast}]")
	rapid.Check(t, func(t *rapid.T) {
		name := string(rapid.SliceOfN(rapid.ByteRange('a', 'c'), 0, 6).Draw(t, "name"))
		if rapid.Bool().Draw(t, "wild") {
			name = rapid.String().Draw(t, "any")
		}
		c := p.Target(name)
		named := c.Kind != "default"
		if c.Name != name || p.Named(name) != named || p.Target(name) != c || p.Single(name).Levels[0].Target != name {
			t.Fatalf("Target(%q) = %+v", name, c)
		}
		if got := values(p, name)["kind"].Value; got != c.Kind {
			t.Fatalf("Explain(%q) says kind %s, Target says %s", name, got, c.Kind)
		}
	})
}
