// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func warnings(p *Policy) string {
	var lines []string
	for _, w := range p.Warnings() {
		lines = append(lines, w.String())
	}
	return strings.Join(lines, "\n")
}

func TestWarnings(t *testing.T) {
	capped := "version: 1\nruns: {caps: {cost_micros: 5}}\n"
	const unpriced = "it has no price and runs have a cap on cost, so their calls are refused as PRICE_UNKNOWN unless the caller brings an estimate; write price, per_call: 0 if it is free, or unknown_price"
	for _, c := range []problemCase{
		{"version: 1", ""},
		// Shadowed.
		{"version: 1\ntargets: [{match: 'a*', preset: llm}, {match: a, preset: llm}]", ""},
		{
			"version: 1\ntargets: [{match: 'a*', preset: llm}, {match: 'a?*', preset: llm}, {match: a, preset: llm}]",
			`p.yaml:2:19: targets[0].match: no name is left to "a*": a matches it first; remove one of them`,
		},
		// Chains to where no entry is.
		{"version: 1\ntargets: [{match: 'a/*', preset: llm}]\nchains: {c: [a/x:PRIMARY, people:HUMAN_QUEUE]}", ""},
		{
			"version: 1\ntargets: [{match: openai/gpt-x, preset: llm}]\nchains:\n  c: [openai/gpt-y:PRIMARY]\n  d: {levels: [zzz:PRIMARY]}",
			"p.yaml:4:7: chains.c.levels[0]: no entry of targets matches \"openai/gpt-y\"; did you mean \"openai/gpt-x\"?\n" +
				"p.yaml:5:16: chains.d.levels[0]: no entry of targets matches \"zzz\"; add an entry, or it has the numbers of targets that nobody knows",
		},
		{
			"version: 1\ntargets: [{match: 'anthropic/*', preset: llm}]\nchains: {c: [antropic/claude:PRIMARY]}",
			`p.yaml:3:14: chains.c.levels[0]: no entry of targets matches "antropic/claude"; did you mean "anthropic/claude"?`,
		},
		// Without a price, under a cap.
		{"version: 1\ntargets: [{match: x, preset: llm}]", ""},
		{capped + "targets: [{match: x, preset: llm}]", "p.yaml:3:19: targets[0]: " + unpriced},
		{capped + "targets: [{match: 'tool/*', preset: tool}]", "p.yaml:3:19: targets[0]: " + unpriced},
		{capped + "targets: [{match: openai/gpt-x, preset: llm}]", "p.yaml:3:19: targets[0]: " + unpriced},
		{capped + "targets: [{match: openai/gpt-4o, preset: llm}, {match: 'openai/*', preset: llm}]", ""},
		{capped + "prices: {table: none}\ntargets: [{match: openai/gpt-4o, preset: llm}]", "p.yaml:4:19: targets[0]: " + unpriced},
		{capped + "prices: {aliases: {x: openai/gpt-4o}}\ntargets: [{match: x, preset: llm}]", ""},
		{capped + "targets: [{match: x, preset: llm, price: {per_call: 0}}]", ""},
		{capped + "targets: [{match: x, preset: llm, unknown_price: ALLOW_UNPRICED}]", ""},
		{capped + "targets: [{match: x, preset: llm, enforcement: {budget: DRY_RUN}}]", ""},
		// Currencies.
		{
			"version: 1\nruns: {currency: EUR, caps: {cost_micros: 5}}\ntargets: [{match: openai/gpt-4o, preset: llm}, {match: x, preset: llm, price: {input: 1, currency: CHF}}, {match: y, preset: llm, price: {input: 1}}]",
			"p.yaml:3:19: targets[0]: its price is in USD (default table of 2026-11-01) and runs are in EUR, so their calls are refused as CURRENCY_MISMATCH; write price in the entry\n" +
				"p.yaml:3:56: targets[1]: its price is in CHF and runs are in EUR, so their calls are refused as CURRENCY_MISMATCH; nothing is converted, so write one currency",
		},
		// Aliases that say nothing.
		{
			"version: 1\ntargets: [{match: my/llm, preset: llm, price: {input: 1}}, {match: my/other, preset: llm}]\nprices: {aliases: {my/llm: openai/gpt-4o, my/othr: openai/gpt-4o, my/other: openai/o3}}",
			"p.yaml:3:28: prices.aliases[\"my/llm\"]: the entry \"my/llm\" gives the price already (targets[0]), and that comes first; remove one\n" +
				"p.yaml:3:52: prices.aliases[\"my/othr\"]: no entry of targets matches \"my/othr\"; did you mean \"my/other\"?",
		},
	} {
		if diff := cmp.Diff(c.want, warnings(parse(t, c.text))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.text, diff)
		}
	}
}

// What comes with the product warns of nothing.
func TestTheExamplesWarnOfNothing(t *testing.T) {
	for _, name := range []string{"example.yaml", "minimal.yaml"} {
		p, err := Parse(name, read(t, name), Options{})
		if err != nil {
			t.Fatal(err)
		}
		if got := warnings(p); got != "" {
			t.Error(got)
		}
	}
	if w := Default().Warnings(); w != nil {
		t.Error(w)
	}
}

// With as many patterns as fit into a policy, the work ends early, and what
// nobody looked at is not warned of.
func TestWarningsOfManyEntries(t *testing.T) {
	var b strings.Builder
	b.WriteString("version: 1\nruns: {caps: {cost_micros: 1}}\ntargets:\n")
	for i := 0; b.Len() < 900_000; i++ {
		b.WriteString("- {match: '*" + strings.Repeat("a?", i%9) + "x" + string(rune('a'+i%26)) + strings.Repeat("b", i%97) + "*" + strings.Repeat("c", i/97%89) + "', kind: llm}\n")
	}
	p, err := Parse("p.yaml", []byte(dropTwins(b.String())), Options{})
	if err != nil {
		t.Fatal(err)
	}
	w := warner{Policy: p, work: maxWork}
	w.shadowed()
	if w.work >= 0 || w.work < -1000 || len(w.list) > 0 {
		t.Errorf("%d work is left, warnings %v", w.work, w.list)
	}
}

// dropTwins keeps the first of equal lines.
func dropTwins(text string) string {
	seen := make(map[string]bool)
	var b strings.Builder
	for line := range strings.Lines(text) {
		if !seen[line] {
			seen[line] = true
			b.WriteString(line)
		}
	}
	return b.String()
}
