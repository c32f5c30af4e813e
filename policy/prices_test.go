// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/resilienced/resilienced/policy/prices"
	"github.com/resilienced/resilienced/rules/budget"
)

const priced = `version: 1
targets:
  - {match: "openai/*", preset: llm}
  - {match: openai/gpt-4o-mini, preset: llm, price: {input: 7}}
  - {match: lit, preset: llm}
  - {match: "eur/*", preset: llm, price: {currency: EUR}}
prices:
  updated: 2026-11-20
  models:
    openai/gpt-4.1: {input: 1, output: 2}
    own/model: {per_call: 3}
  aliases:
    lit: own/model
    openai/mine: openai/gpt-4o
    openai/gpt-5: openai/gpt-4.1
    nobody: openai/gpt-4o
`

// The first that says something: the entry, an alias, the file, the default
// table, and else nobody knows.
func TestWhichPriceHolds(t *testing.T) {
	p := parse(t, priced)
	table := "default table of 2026-11-01"
	for name, want := range map[string][3]string{ // input, per_call, source
		"openai/gpt-4o-mini":        {"7", "unknown", "p.yaml:4"},
		"openai/gpt-4o":             {"2500000", "unknown", table},
		"openai/gpt-4.1":            {"1", "unknown", "p.yaml:10"},
		"openai/mine":               {"2500000", "unknown", "alias of openai/gpt-4o (p.yaml:14), " + table},
		"openai/gpt-5":              {"1", "unknown", "alias of openai/gpt-4.1 (p.yaml:15), p.yaml:10"},
		"lit":                       {"unknown", "3", "alias of own/model (p.yaml:13), p.yaml:11"},
		"own/model":                 {"unknown", "3", "p.yaml:11"},
		"nobody":                    {"2500000", "unknown", "alias of openai/gpt-4o (p.yaml:16), " + table},
		"anthropic/claude-sonnet-5": {"2000000", "unknown", table},
		"openai/gpt-x":              {"unknown", "unknown", "preset llm"},
		"gpt-4o":                    {"unknown", "unknown", "preset llm"},
		"openai/gpt-4o-2099":        {"unknown", "unknown", "preset llm"},
		"eur/x":                     {"unknown", "unknown", "preset llm"},
	} {
		got := values(p, name)
		if in, call := got["price.input"], got["price.per_call"]; in.Value != want[0] || call.Value != want[1] {
			t.Errorf("%s costs %s and %s, want %v", name, in.Value, call.Value, want)
		}
		field := "price.input"
		if want[0] == "unknown" {
			field = "price.per_call"
		}
		if got[field].Source != want[2] {
			t.Errorf("%s of %s comes from %q, want %q", field, name, got[field].Source, want[2])
		}
		if c := p.Target(name); (c.Price == nil) != (want[0] == "unknown" && want[1] == "unknown") || c.Price != nil && c.Price.Currency != "USD" {
			t.Errorf("Target(%s) has the price %+v", name, c.Price)
		}
	}
}

// A drill has the prices that a service has: its transcript is about money too.
func TestDefaultTable(t *testing.T) {
	drill, err := Parse("p.yaml", []byte("version: 1"), Options{Exact: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range []*Policy{Default(), parse(t, "version: 1"), drill} {
		if p.Target("openai/gpt-4o").Price == nil || p.Target("openai/gpt-x").Price != nil {
			t.Error("a service knows the models of the default table, and no others")
		}
	}
	if parse(t, "version: 1\nprices: {table: none}").Target("openai/gpt-4o").Price != nil {
		t.Error("table: none has a price")
	}
}

func TestPricesAsOf(t *testing.T) {
	var all bytes.Buffer
	if err := prices.Default().Dated(time.Date(2027, 1, 5, 0, 0, 0, 0, time.UTC)).WriteYAML(&all); err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{
		"":                      "2026-11-01",
		"prices: {table: none}": "",
		"prices: {updated: 2026-10-01, models: {a/b: {input: 1}}}":              "2026-10-01",
		"prices: {updated: 2026-12-01, models: {a/b: {input: 1}}}":              "2026-11-01", // others come from the default table
		"prices: {table: none, updated: 2026-12-01, models: {a/b: {input: 1}}}": "2026-12-01",
		all.String(): "2027-01-05", // nothing is left to the default table
	} {
		p := parse(t, "version: 1\n"+text)
		day, ok := p.PricesAsOf()
		if got := day.Format(time.DateOnly); ok != (want != "") || ok && got != want {
			t.Errorf("%.60q is of %s, %v; want %s", text, got, ok, want)
		}
		if p.Stale(day.Add(90*24*time.Hour)) || ok && !p.Stale(day.Add(90*24*time.Hour+1)) {
			t.Errorf("%.60q: prices are stale after 90 days", text)
		}
	}
}

func TestPricesAreListed(t *testing.T) {
	list := parse(t, priced).Prices()
	if len(list) != prices.Default().Len()+4 { // own/model, lit, openai/mine, nobody
		t.Errorf("%d prices", len(list))
	}
	three := int64(3)
	want := NamedPrice{"lit", budget.Price{PerCall: &three, Currency: "USD"}, "alias of own/model (p.yaml:13), p.yaml:11"}
	for _, got := range list {
		if got.Name == "lit" {
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			return
		}
	}
	t.Error("lit has no price")
}

// A policy with all prices of an import is read, and fits.
func TestManyPrices(t *testing.T) {
	var b strings.Builder
	b.WriteString("version: 1\nprices:\n  updated: 2026-11-01\n  models:\n")
	for i := range 2500 {
		fmt.Fprintf(&b, "    provider/some-model-name-%d: {input: 2500000, output: 10000000, cached_input: 1250000}\n", i)
	}
	p := parse(t, b.String())
	if c := p.Target("provider/some-model-name-2499"); c.Price == nil || *c.Price.Input != 2_500_000 {
		t.Errorf("price %+v", c.Price)
	}
	t.Logf("2500 prices take %d bytes", b.Len())
}

// A table spliced into a policy is what the policy then has, and all that
// changes.
func TestSplicedPolicy(t *testing.T) {
	old := example(t)
	today := time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)
	text, err := prices.Splice(old.Source(), prices.Default().Dated(today))
	if err == nil {
		_, err = Parse("new.yaml", text, Options{})
	}
	// The example has an alias of a model that the table lacks.
	if err == nil || !strings.Contains(err.Error(), `no price of "openai/gpt-small" is known`) {
		t.Errorf("an alias to nowhere: %v", err)
	}
	text = bytes.Replace(text, []byte("openai/gpt-small-eu: openai/gpt-small\n"), []byte("openai/gpt-small-eu: openai/gpt-4o-mini\n"), 1)
	next, err := Parse("new.yaml", text, Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range Diff(old, next) {
		if c.Where != "prices" {
			t.Errorf("Splice changed %+v", c)
		}
	}
	if day, ok := next.PricesAsOf(); !ok || !day.Equal(today) {
		t.Errorf("prices are of %v", day)
	}
}

func BenchmarkParse2500Prices(b *testing.B) {
	var text strings.Builder
	text.WriteString("version: 1\nprices:\n  updated: 2026-11-01\n  models:\n")
	for i := range 2500 {
		fmt.Fprintf(&text, "    provider/some-model-name-%d: {input: 2500000, output: 10000000, cached_input: 1250000}\n", i)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse("b", []byte(text.String()), Options{}); err != nil {
			b.Fatal(err)
		}
	}
}
