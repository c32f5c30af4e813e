// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

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

// Explain is complete: whatever field of target.Config differs, some line of it
// does too.
func TestExplainSaysEveryField(t *testing.T) {
	p := example(t)
	c, sources := p.sources(p.entryOf("openai/gpt-large"))
	before := p.show(&c, sources)
	leaves := 0
	for path, change := range leavesOf(reflect.ValueOf(&c).Elem(), "") {
		if path == ".Name" || path == ".Kind" {
			continue // what was asked for, and the head
		}
		leaves++
		undo := change()
		if after := p.show(&c, sources); slices.Equal(before, after) {
			t.Errorf("Explain does not say %s", path)
		}
		undo()
	}
	if after := p.show(&c, sources); leaves < 60 || !slices.Equal(before, after) {
		t.Errorf("%d fields were tried", leaves)
	}
	for _, s := range before {
		if s.Field == "" || s.Source == "" {
			t.Errorf("%+v has no source", s)
		}
	}
}

// leavesOf are the fields of a struct and of those in it, each with a function
// that changes it and returns how to undo that.
func leavesOf(v reflect.Value, path string) map[string]func() func() {
	leaves := make(map[string]func() func())
	if v.Kind() == reflect.Struct {
		for i := range v.NumField() {
			maps.Copy(leaves, leavesOf(v.Field(i), path+"."+v.Type().Field(i).Name))
		}
		return leaves
	}
	if v.Kind() == reflect.Pointer && v.Type().Elem().Kind() == reflect.Struct && !v.IsNil() {
		return leavesOf(v.Elem(), path)
	}
	leaves[path] = func() func() {
		old := reflect.ValueOf(v.Interface())
		switch v.Kind() {
		case reflect.Bool:
			v.SetBool(!v.Bool())
		case reflect.Int, reflect.Int64:
			v.SetInt(v.Int() + int64(time.Millisecond))
		case reflect.Uint8:
			v.SetUint(1 - min(v.Uint(), 1))
		case reflect.String:
			v.SetString(v.String() + "x")
		default: // a pointer to a number, a list
			v.SetZero()
		}
		return func() { v.Set(old) }
	}
	return leaves
}

func TestExplainSaysRulesAndChains(t *testing.T) {
	p := parse(t, `version: 1
targets:
  - match: a/x
    preset: llm
    classification:
      - {id: own, match: {http: 503}, class: PRESSURE}
chains:
  one: [b/y:PRIMARY, a/x:CROSS_PROVIDER]
  "t w o": {levels: [{target: a/x, kind: PRIMARY, cost_rank: 2}]}
classification:
  - {id: all, match: {grpc: [INTERNAL, UNKNOWN]}, class: TRANSIENT, reason: ODD}
`)
	settings := p.Explain("a/x")
	want := []Setting{
		{"retry_undeclared", "true", "kind llm"},
		{"exact", "false", "default"},
		{"classification.own", "match.http: 503; class: PRESSURE", "p.yaml:6"},
		{"classification.all", "match.grpc: INTERNAL, UNKNOWN; class: TRANSIENT; reason: ODD", "p.yaml:11"},
		{"chains.one.levels[1]", "CROSS_PROVIDER", "p.yaml:8"},
		{`chains["t w o"].levels[0]`, "PRIMARY, cost_rank 2", "p.yaml:9"},
	}
	if diff := cmp.Diff(want, settings[len(settings)-len(want):]); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got := values(p, "nobody"); got["retry_undeclared"] != (Setting{"retry_undeclared", "false", "no entry matches"}) {
		t.Errorf("a target that no entry matches: %v", got["retry_undeclared"])
	}
}

// Every value of every target says where it comes from.
func TestEverySourceIsAPlace(t *testing.T) {
	for _, p := range []*Policy{example(t), Default()} {
		for _, name := range append(p.TargetNames(), "openai/gpt-4o", "openai/gpt-small-eu", "anthropic/x", "search/web", "nobody") {
			for _, s := range p.Explain(name) {
				known := slices.ContainsFunc([]string{"example.yaml:", "preset ", "kind ", "default", "from ", "runs.currency", "no entry matches", "alias of "},
					func(prefix string) bool { return strings.HasPrefix(s.Source, prefix) })
				if !known {
					t.Errorf("%s of %s comes from %q", s.Field, name, s.Source)
				}
			}
		}
	}
}
