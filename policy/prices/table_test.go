// SPDX-License-Identifier: Apache-2.0

package prices

import (
	"bytes"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/resilienced/resilienced/policy/strict"
	"github.com/resilienced/resilienced/rules/budget"
)

func day(y, m, d int) time.Time { return time.Date(y, time.Month(m), d, 0, 0, 0, 0, time.UTC) }

func TestDefaultTable(t *testing.T) {
	table := Default()
	if table.Len() < 60 || table.Len() > 150 || !table.Updated().Equal(day(2026, 11, 1)) {
		t.Errorf("%d models of %v", table.Len(), table.Updated())
	}
	providers := make(map[string]int)
	for _, name := range table.Names() {
		p, _ := table.Price(name)
		provider, _, ok := strings.Cut(name, "/")
		providers[provider]++
		if !ok || p.Currency != "USD" || p.Input == nil || *p.Input == 0 || p.Output != nil && *p.Output == 0 {
			t.Errorf("%s: %s", name, Line(p))
		}
		if p.CachedInput != nil && *p.CachedInput > *p.Input {
			t.Errorf("%s: cached input is dearer than input", name)
		}
	}
	for _, provider := range []string{"openai", "anthropic", "gemini", "mistral", "deepseek", "xai", "groq", "cohere", "bedrock"} {
		if providers[provider] == 0 {
			t.Errorf("no model of %s", provider)
		}
	}
	if p, ok := table.Price("openai/gpt-4o"); !ok || Line(p) != "input: 2500000, output: 10000000, cached_input: 1250000" {
		t.Errorf("openai/gpt-4o: %v", p)
	}
	// Exactly this name: no prefix is taken off, no date is guessed.
	for _, name := range []string{"gpt-4o", "openai/gpt-x", "openai/gpt-4o-2099-01-01", "OpenAI/gpt-4o", "openai/gpt-4o ", ""} {
		if _, ok := table.Price(name); ok {
			t.Errorf("%q has a price", name)
		}
	}
	if Default() != table {
		t.Error("the table is read twice")
	}
}

func TestStale(t *testing.T) {
	table := Default()
	if table.Stale(day(2027, 1, 30)) || !table.Stale(day(2027, 1, 30).Add(time.Second)) || (&Table{}).Stale(day(2099, 1, 1)) {
		t.Error("a table is stale after 90 days")
	}
}

func TestReadProblems(t *testing.T) {
	for text, want := range map[string]string{
		"":           "p.yaml:1:1: the price table is empty; begin with prices:",
		"models: {}": "p.yaml:1:1: models: the key \"models\" is not known here; known are prices\np.yaml:1:1: prices is missing; write prices, and under it updated and models",
		"prices: 5":  "p.yaml:1:9: prices: this is the number 5; write a mapping with keys such as updated, models",
		"prices: {update: 2026-11-01, models: {}}": "p.yaml:1:10: prices.update: the key \"update\" is not known here; did you mean \"updated\"?\n" +
			"p.yaml:1:38: prices.models: prices need their day; write updated beside models, such as updated: 2026-11-01",
		"prices: {updated: , models: {}}":                                           "p.yaml:1:19: prices.updated: a value is missing; write a day, such as 2026-11-01, or remove the key",
		"prices: {updated: 2019-12-31, models: {}}":                                 "p.yaml:1:19: prices.updated: \"2019-12-31\" is not a day from 2020-01-01 to 2099-12-31; write one such as 2026-11-01",
		"prices: {updated: 2026-11-01, models: {a/b: {inptu: 1}}}":                  "p.yaml:1:46: prices.models[\"a/b\"].inptu: the key \"inptu\" is not known here; did you mean \"input\"?",
		"prices: {updated: 2026-11-01, models: {a/b: {input: 0.1}}}":                "p.yaml:1:53: prices.models[\"a/b\"].input: this is the number 0.1; write whole micro-USD in decimal digits, without quotes: 2.50 dollars are 2500000",
		"prices: {updated: 2026-11-01, models: {a/b: {input: .nan}}}":               "p.yaml:1:53: prices.models[\"a/b\"].input: this is the number .nan; write whole micro-USD in decimal digits, without quotes: 2.50 dollars are 2500000",
		"prices: {updated: 2026-11-01, models: {a/b: {per_call: 2e9}}}":             "p.yaml:1:56: prices.models[\"a/b\"].per_call: this is the number 2e9; write whole micro-USD in decimal digits, without quotes: 2.50 dollars are 2500000",
		"prices: {updated: 2026-11-01, models: {a/b: {input: -5}}}":                 "p.yaml:1:53: prices.models[\"a/b\"].input: -5 is out of range; write a number from 0 to 10000000000",
		"prices: {updated: 2026-11-01, models: {a/b: {per_call: 1000000001}}}":      "p.yaml:1:56: prices.models[\"a/b\"].per_call: 1000000001 is out of range; write a number from 0 to 1000000000",
		"prices: {updated: 2026-11-01, models: {a/b: {input: 1}, a/b: {input: 2}}}": "p.yaml:1:57: prices.models[\"a/b\"]: the key \"a/b\" is in line 1 already; keep one of the two",
		"prices: {updated: 2026-11-01, models: [a/b]}":                              "p.yaml:1:39: prices.models: this is a list; write a mapping of names to prices, such as openai/gpt-x: {input: 2500000, output: 10000000}",
	} {
		table, err := Read("p.yaml", []byte(text))
		if err == nil || table != nil {
			t.Errorf("%q is taken", text)
			continue
		}
		if diff := cmp.Diff(strings.Split(want, "\n"), strings.Split(err.Error(), "\n")); diff != "" {
			t.Errorf("%q (-want +got):\n%s", text, diff)
		}
	}
}

// fataler is a test, or a check of rapid.
type fataler interface {
	Helper()
	Fatalf(format string, args ...any)
}

// rereads holds that a table is read as it was written.
func rereads(t fataler, table *Table) {
	t.Helper()
	var b bytes.Buffer
	if err := table.Dated(day(2026, 11, 22)).WriteYAML(&b); err != nil {
		t.Fatalf("WriteYAML: %v", err)
	}
	if b.Len() > strict.MaxBytes {
		return
	}
	again, err := Read("again.yaml", b.Bytes())
	if err != nil {
		t.Fatalf("%q: %v", b.String(), err)
	}
	if !maps.EqualFunc(table.models, again.models, same) || !again.Updated().Equal(day(2026, 11, 22)) {
		t.Fatalf("%q is read as %v", b.String(), again.models)
	}
}

// drawTable makes a table with names of all sorts.
func drawTable(t *rapid.T) *Table {
	table := &Table{models: make(map[string]*budget.Price)}
	value := func(name string, most int64) *int64 {
		if rapid.Bool().Draw(t, name+"?") {
			return nil
		}
		v := rapid.Int64Range(0, most).Draw(t, name)
		return &v
	}
	for range rapid.IntRange(0, 5).Draw(t, "models") {
		name := rapid.OneOf(
			rapid.StringMatching(`[a-z]{1,5}/[a-z0-9.:_-]{1,9}`), rapid.SampledFrom([]string{"1", "true", "null", "~", "a: b", "#x", "- a", "'q'", `"`, `\`, "é/ü", "a #b", "2026-11-01", "<<", "=", "a\u2028b"}),
			rapid.String(),
		).Draw(t, "name")
		p := &budget.Price{Input: value("input", maxPerMillion), Output: value("output", maxPerMillion), PerCall: value("per_call", maxPerCall), Currency: Currency}
		if p.Input != nil {
			p.CachedInput = value("cached", maxPerMillion)
		}
		if named(name) && useless(p) == "" {
			table.models[name] = p
		}
	}
	return table
}

func TestTablesAreReadAsTheyAreWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) { rereads(t, drawTable(t)) })
	if err := Default().WriteYAML(&bytes.Buffer{}); err != nil {
		t.Error(err)
	}
	if err := (&Table{}).WriteYAML(&bytes.Buffer{}); err == nil {
		t.Error("a table without a day is written")
	}
}

// FuzzRead holds that any text is a table that is written again as it is, or a
// list of problems.
func FuzzRead(f *testing.F) {
	f.Add(defaultYAML)
	for _, seed := range []string{"", "prices:", "prices: {updated: 2026-11-01, models: {a: {input: 1}}}", "prices: {models: {? [a] : b}}"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		table, err := Read("f", text)
		if err == nil {
			rereads(t, table)
		} else if !strings.HasPrefix(err.Error(), "f:") {
			t.Fatal(err)
		}
	})
}

// many is a table as large as what an import of everything gives.
func many() *Table {
	const n = 2500
	table := &Table{models: make(map[string]*budget.Price, n)}
	for i := range n {
		in, out, cached := int64(i), int64(2*i), int64(i/2)
		table.models[fmt.Sprintf("provider%d/some-model-name-%d", i%40, i)] = &budget.Price{Input: &in, Output: &out, CachedInput: &cached, Currency: Currency}
	}
	return table.Dated(day(2026, 11, 22))
}

// An import of all that there is fits into a policy.
func TestSizeOfAllModels(t *testing.T) {
	var b bytes.Buffer
	if err := many().WriteYAML(&b); err != nil {
		t.Fatal(err)
	}
	if b.Len() > strict.MaxBytes/3 {
		t.Errorf("2500 models take %d bytes", b.Len())
	}
	rereads(t, many())
}

func BenchmarkRead2500(b *testing.B) {
	var text bytes.Buffer
	if err := many().WriteYAML(&text); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(text.Len()))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Read("b", text.Bytes()); err != nil {
			b.Fatal(err)
		}
	}
}
