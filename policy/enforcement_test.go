// SPDX-License-Identifier: Apache-2.0

package policy_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/resilienced/resilienced/policy"
)

const enforcementPolicy = `version: 1
targets:
  - {match: "tool/*", preset: tool}
  - {match: "llm/a", preset: llm, enforcement: {retry: DRY_RUN}}
  - {match: "old/*", preset: llm, enforcement: DRY_RUN}
`

func parsed(t *testing.T, text string) *policy.Policy {
	t.Helper()
	p, err := policy.Parse("p.yaml", []byte(text), policy.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestPrecedence: the most specific entry, then the server, then the policy.
func TestPrecedence(t *testing.T) {
	p := parsed(t, enforcementPolicy)
	for name, c := range map[string]struct {
		over policy.Enforcement
		want map[string]string // by target: what is observed
	}{
		"nothing":         {policy.Enforcement{}, map[string]string{"tool/x": "", "llm/a": "retry", "old/x": all, "new": ""}},
		"the server":      {policy.Enforcement{Observe: true}, map[string]string{"tool/x": all, "llm/a": all, "old/x": all, "new": all}},
		"all is enforced": {policy.Enforcement{Entries: entries("*+")}, map[string]string{"tool/x": "", "llm/a": "", "old/x": "", "new": ""}},
		"a literal wins over its pattern": {
			policy.Enforcement{Entries: entries("tool/x*-", "tool/x+", "tool/*-", "*+")},
			map[string]string{"tool/x": "", "tool/xy": all, "tool/y": all, "llm/a": "", "new": ""},
		},
		"an entry wins over the server": {
			policy.Enforcement{Observe: true, Entries: entries("llm/?+")},
			map[string]string{"tool/x": all, "llm/a": "", "llm/ab": all},
		},
		"equal patterns are one": {policy.Enforcement{Entries: entries("tool/**-")}, map[string]string{"tool/x": all, "new": ""}},
	} {
		over := p.With(c.over)
		for target, want := range c.want {
			for range 2 { // resolved, and from the cache
				if got := strings.Join(policy.Observes(over.Target(target)), " "); got != want {
					t.Errorf("%s: %s observes %q, want %q", name, target, got, want)
				}
			}
			if over.Target(target).Observed() != (want == all) || over.Target(target).Name != target {
				t.Errorf("%s: %s is not what its switches say", name, target)
			}
			if over.Named(target) != p.Named(target) {
				t.Errorf("%s: %s is named otherwise", name, target)
			}
		}
	}
	if p.Target("tool/x").DryRetry || len(policy.Observes(p.Target("new"))) != 0 {
		t.Error("the policy below was changed")
	}
}

const all = "breaker budget limit retry"

// entries are patterns that end in + for ENFORCE and in - for OBSERVE.
func entries(patterns ...string) []policy.Override {
	var list []policy.Override
	for _, p := range patterns {
		last := len(p) - 1
		list = append(list, policy.Override{Match: p[:last], Enforce: p[last] == '+', Source: "set by " + p})
	}
	return list
}

// TestExplainEnforcement: each switch says who set it.
func TestExplainEnforcement(t *testing.T) {
	p := parsed(t, enforcementPolicy)
	of := func(p *policy.Policy, target, field string) policy.Setting {
		settings := p.Explain(target)
		i := slices.IndexFunc(settings, func(s policy.Setting) bool { return s.Field == field })
		if i < 0 {
			t.Fatalf("%s is not explained", field)
		}
		return settings[i]
	}
	if s := of(p, "llm/a", "enforcement.retry"); s.Value != "DRY_RUN" || s.Source != "p.yaml:4" {
		t.Errorf("without more: %+v", s)
	}
	over := p.With(policy.Enforcement{Observe: true, Entries: entries("llm/*+")})
	for key := range strings.FieldsSeq(all) {
		if s := of(over, "llm/a", "enforcement."+key); s.Value != "ENFORCE" || s.Source != "set by llm/*+" {
			t.Errorf("an entry: %+v", s)
		}
		if s := of(over, "new", "enforcement."+key); s.Value != "DRY_RUN" || s.Source != "server --observe" {
			t.Errorf("the server: %+v", s)
		}
	}
	if s := of(over, "llm/a", "retry.max_attempts"); s != of(p, "llm/a", "retry.max_attempts") {
		t.Errorf("a switch changed another field: %+v", s)
	}
}
