// SPDX-License-Identifier: Apache-2.0

package prices

import (
	"math/big"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func sample(tb testing.TB) string {
	tb.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "litellm.json"))
	if err != nil {
		tb.Fatal(err)
	}
	return string(text)
}

func imported(t *testing.T, only ...string) *Import {
	t.Helper()
	im, err := ImportLiteLLM("litellm.json", strings.NewReader(sample(t)), only...)
	if err != nil {
		t.Fatal(err)
	}
	return im
}

func TestImportedPrices(t *testing.T) {
	im := imported(t)
	got := make(map[string]string)
	for _, name := range im.Table.Names() {
		p, _ := im.Table.Price(name)
		got[name] = Line(p)
	}
	want := map[string]string{
		"openai/plain-1":           "input: 2500000, output: 10000000, cached_input: 1250000",
		"acme/exact":               "input: 100001, output: 1", // rounded up
		"acme/per-call":            "input: 1000000, output: 1000000, per_call: 5000",
		"acme/embed":               "input: 130000, output: 0",
		"acme/tiers":               "input: 2500000, output: 15000000, cached_input: 625000",
		"acme/tiers-cheaper":       "input: 2000000, output: 2000000",
		"acme/audio":               "input: 1000000, output: 2500000",
		"acme/reasoning":           "input: 1000000, output: 8000000",
		"anthropic/claude-like":    "input: 3000000, output: 15000000, cached_input: 300000",
		"bedrock/amazon.like-v1:0": "input: 60000, output: 240000",
		"cohere/command-like":      "input: 1000000, output: 1000000",
		"vertex_ai/gem-like":       "input: 1000000, output: 1000000",
		"bricks/dbu":               "input: 1000000, output: 1000000",
		"no-provider":              "input: 1000000, output: 1000000",
		"openai/twice-2":           "input: 2000000, output: 9000000",
		"acme/no-unit":             "input: 1000000, output: 1000000",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("prices (-want +got):\n%s", diff)
	}
	if !im.Table.Updated().IsZero() || im.Others != 0 {
		t.Errorf("the table is of %v, %d others", im.Table.Updated(), im.Others)
	}
}

func TestImportedNotes(t *testing.T) {
	want := []Note{
		{"acme/audio", "input_cost_per_audio_token is dearer than the standard price and is taken for all such tokens"},
		{"acme/reasoning", "output_cost_per_reasoning_token is dearer than the standard price and is taken for all such tokens"},
		{"acme/tiers", "cache_read_input_token_cost_above_200k_tokens is dearer than the standard price and is taken for all such tokens"},
		{"acme/tiers", "input_cost_per_token_above_200k_tokens is dearer than the standard price and is taken for all such tokens"},
		{"acme/tiers", "input_cost_per_token_batches is not in the price"},
		{"acme/tiers", "input_cost_per_token_priority is not in the price"},
		{"acme/tiers", "output_cost_per_token_above_200k_tokens is dearer than the standard price and is taken for all such tokens"},
		{"anthropic/claude-like", "cache_creation_input_token_cost is not in the price"},
		{"anthropic/claude-like", "cache_creation_input_token_cost_above_1hr is not in the price"},
		{"anthropic/claude-like", "provider_specific_entry is not in the price"},
		{"anthropic/claude-like", "search_context_cost_per_query is not in the price"},
		{"openai/twice-2", "the list has two models of this name with different prices; the dearer ones are taken"},
	}
	if diff := cmp.Diff(want, imported(t).Notes); diff != "" {
		t.Errorf("notes (-want +got):\n%s", diff)
	}
}

func TestSkippedModels(t *testing.T) {
	absent := "; what is absent is not taken for zero"
	want := []Skip{
		{"acme/*", "this is no name of a target: it is empty or too long, or has a wildcard, a control character or space at an end"},
		{"acme/absurd", `["acme/absurd"].input_cost_per_token is absurd: 2.5 dollars; most likely another unit is meant`},
		{"acme/characters", "input_cost_per_character is in a unit that a price table has not"},
		{"acme/field-twice", `["acme/field-twice"].input_cost_per_token is there twice`},
		{"acme/free", "its prices are zero, which may mean that nobody knows them; write its price into the policy if it is free"},
		{"acme/huge", `["acme/huge"].input_cost_per_token is absurd: 1e999999999`},
		{"acme/image", `its mode is "image_generation", which is not priced by text tokens alone`},
		{"acme/list", `["acme/list"] is no object`},
		{"acme/negative", `["acme/negative"].input_cost_per_token is negative: -1e-06`},
		{"acme/new-unit", "output_cost_per_smile is in a unit that a price table has not"},
		{"acme/no-input", "it has no input_cost_per_token" + absent},
		{"acme/no-output", "it has no output_cost_per_token" + absent},
		{"acme/null", "it has no input_cost_per_token" + absent},
		{"acme/own-tiers", "tiered_pricing has prices in a form that a price table has not"},
		{"acme/rerank", `its mode is "rerank", which is not priced by text tokens alone`},
		{"acme/text", `["acme/text"].input_cost_per_token is no number`},
		{"acme/tiny", `["acme/tiny"].input_cost_per_token is absurd: 1e-999999999`},
		{"acme/whisper", `its mode is "audio_transcription", which is not priced by text tokens alone`},
	}
	if diff := cmp.Diff(want, imported(t).Skipped); diff != "" {
		t.Errorf("skipped (-want +got):\n%s", diff)
	}
}

func TestImportOnly(t *testing.T) {
	im := imported(t, "openai/*", "anthropic/*")
	if diff := cmp.Diff([]string{"anthropic/claude-like", "openai/plain-1", "openai/twice-2"}, im.Table.Names()); diff != "" {
		t.Errorf("names (-want +got):\n%s", diff)
	}
	if len(im.Skipped) != 0 || im.Others < 20 {
		t.Errorf("skipped %v, %d others", im.Skipped, im.Others)
	}
}

func TestNoList(t *testing.T) {
	for text, want := range map[string]string{
		"":        "f.json:1:1: the list ends in the middle; fetch the file again",
		"[]":      "f.json:1:2: this is no object of models; give LiteLLM's model_prices_and_context_window.json",
		"<html>":  "f.json:1:1: this is not JSON: invalid character '<' looking for beginning of value",
		`{"a": {`: `f.json:1:8: ["a"]: the list ends in the middle; fetch the file again`,
		"{} {}":   "f.json:1:5: there is more behind the list; remove it",
		"{\"a\": {\n\"input_cost_per_token\": NaN}}": `f.json:2:25: ["a"]: input_cost_per_token: this is not JSON: invalid character 'N' looking for beginning of value`,
	} {
		_, err := ImportLiteLLM("f.json", strings.NewReader(text))
		if err == nil || err.Error() != want {
			t.Errorf("%q: %v\nwant %s", text, err, want)
		}
	}
	endless := strings.NewReader(strings.Repeat(" ", maxImport+1))
	if _, err := ImportLiteLLM("f.json", endless); err == nil || !strings.Contains(err.Error(), "more than 33554432 bytes") {
		t.Errorf("32 MiB and a byte: %v", err)
	}
}

// Any decimal of dollars becomes the exact number of micro-USD, rounded up.
func TestDollarsAreExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		digits := rapid.Int64Range(0, 1_000_000_000_000).Draw(t, "digits")
		exponent := rapid.IntRange(-30, -15).Draw(t, "exponent")
		text := strconv.FormatInt(digits, 10) + "e" + strconv.Itoa(exponent)
		im, err := ImportLiteLLM("f", strings.NewReader(`{"a/b": {"input_cost_per_token": `+text+`, "output_cost_per_token": 1e-6}}`))
		if err != nil {
			t.Fatal(err)
		}
		p, ok := im.Table.Price("a/b")
		if !ok {
			t.Fatalf("skipped: %v", im.Skipped)
		}
		// want − 1 < digits·10^(exponent+12) ≤ want
		shift := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(-exponent-12)), nil)
		scaled, want := big.NewInt(digits), big.NewInt(*p.Input)
		if scaled.Cmp(new(big.Int).Mul(want, shift)) > 0 ||
			want.Sign() > 0 && scaled.Cmp(new(big.Int).Mul(new(big.Int).Sub(want, big.NewInt(1)), shift)) <= 0 {
			t.Fatalf("%s dollars become %d", text, *p.Input)
		}
	})
}

// FuzzImportLiteLLM holds that any input is an error with a place, or prices
// that a policy can hold and that are written and read again as they are.
func FuzzImportLiteLLM(f *testing.F) {
	f.Add([]byte(sample(f)))
	for _, seed := range []string{"", "{}", `{"a":1}`, `{"a":{"input_cost_per_token":1e-6,"output_cost_per_token":1}}`, `[[[[`, `{"a":{"b":{"c":[{}]}}}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		im, err := ImportLiteLLM("f", strings.NewReader(string(text)))
		if err != nil {
			if im != nil || !strings.HasPrefix(err.Error(), "f:") {
				t.Fatalf("%v, %v", im, err)
			}
			return
		}
		for _, name := range im.Table.Names() {
			p, _ := im.Table.Price(name)
			if p.Input == nil || p.Output == nil || *p.Input < 0 || *p.Output < 0 || *p.Input > maxPerMillion {
				t.Fatalf("%q costs %s", name, Line(p))
			}
		}
		rereads(t, im.Table)
	})
}
