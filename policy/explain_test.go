// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestExplainNamesTheSource(t *testing.T) {
	p := parse(t, `version: 1
defaults:
  retry: {initial: 2s}
targets:
  - match: "openai/*"
    preset: llm
    kind: tool
    price: {input: 5}
    enforcement: DRY_RUN
  - {match: lit, kind: action}
`)
	for name, want := range map[string][]Setting{
		"openai/x": {
			{"match", "openai/*", "p.yaml:5"},
			{"preset", "llm", "p.yaml:6"},
			{"kind", "tool", "p.yaml:7"},
			{"idempotent", "true", "kind tool"},
			{"call_timeout", "2m", "preset llm"},
			{"retry.initial", "2s", "p.yaml:3"},
			{"price.input", "5", "p.yaml:8"},
			{"price.currency", "USD", "runs.currency"},
			{"enforcement.limit", "DRY_RUN", "p.yaml:9"},
		},
		"lit": {
			{"match", "lit", "p.yaml:10"},
			{"preset", "action", "p.yaml:10"},
			{"idempotent", "false", "kind action"},
			{"retry.max_attempts", "1", "preset action"},
			{"retry.initial", "2s", "p.yaml:3"},
			{"credential", "unknown", "preset action"},
		},
		"other": {
			{"kind", "default", "no entry matches"},
			{"idempotent", "false", "kind default"},
			{"call_timeout", "2m", "preset llm"},
			{"retry.initial", "2s", "p.yaml:3"},
			{"price.currency", "unknown", "preset llm"},
		},
	} {
		got := values(p, name)
		for _, w := range want {
			if diff := cmp.Diff(w, got[w.Field]); diff != "" {
				t.Errorf("%s (-want +got):\n%s", name, diff)
			}
		}
	}
}

func TestExplainOfADrill(t *testing.T) {
	p, err := Parse("p.yaml", []byte("version: 1\ntargets: [{match: x, preset: llm, retry: {jitter: FULL}}]"), Options{Exact: true})
	if err != nil {
		t.Fatal(err)
	}
	got := values(p, "x")
	for _, want := range []Setting{
		{"retry.jitter", "NONE", "drill"}, {"retry.retry_after_margin", "false", "drill"}, {"breaker.ramp", "0s", "drill"},
	} {
		if got[want.Field] != want {
			t.Errorf("got %v, want %v", got[want.Field], want)
		}
	}
}

// Explain and Target are put together in different places of the file's life;
// they must not part. What Explain says can be written into a file again.
func TestExplainAgreesWithTarget(t *testing.T) {
	p := example(t)
	for _, name := range append(p.TargetNames(), "openai/x", "tool/y", "judge/z", "local/a", "nobody") {
		for _, f := range p.schema.Fields {
			if got, want := values(p, name)[f.Path].Value, f.Show(p.Target(name)); got != want {
				t.Errorf("%s of %s: Explain says %q, Target has %q", f.Path, name, got, want)
			}
		}
	}
}
