// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/resilienced/resilienced/policy/prices"
	"github.com/resilienced/resilienced/policy/strict"
	"github.com/resilienced/resilienced/rules/budget"
	"github.com/resilienced/resilienced/rules/fallback"
	"github.com/resilienced/resilienced/rules/limit"
)

// read reads one of the policies that come with the product.
func read(t *testing.T, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "deploy", "policies", name))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func example(t *testing.T) *Policy {
	t.Helper()
	p, err := Parse("example.yaml", read(t, "example.yaml"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestExample(t *testing.T) {
	p := example(t)
	c := p.Target("openai/gpt-large")
	if c.Kind != "llm" || c.Limit.Concurrency != 64 || c.Limit.Scope != limit.ScopeCredential || *c.Price.Output != 10_000_000 ||
		c.Retry.TaskBudget != 3 || len(c.Rules) != 2 || c.DryBreaker {
		t.Errorf("openai/gpt-large is %+v", c)
	}
	for name, kind := range map[string]string{
		"openai/other": "llm", "tool/search": "fast", "tool/x": "tool", "tool/transfer_funds": "action", "judge/x": "strict", "x": "default",
	} {
		if got := p.Target(name).Kind; got != kind {
			t.Errorf("kind of %s is %s, want %s", name, got, kind)
		}
	}
	if c := p.Target("local/llama"); *c.Price.PerCall != 0 || c.Price.Currency != "USD" {
		t.Errorf("price of local/llama is %+v", c.Price)
	}
	if c := p.Target("judge/x"); !c.DryRetry || c.Breaker.ConsecutiveFailures != 3 {
		t.Errorf("judge/x is %+v", c)
	}
	answer, ok := p.Chain("answer")
	if !ok || len(answer.Levels) != 4 || *answer.ContentPolicy != 2 || answer.Levels[3].Kind != fallback.SelfHosted {
		t.Errorf("answer is %+v", answer)
	}
	d := p.RunDefaults()
	if *d.Caps.Cost != 5_000_000 || d.Caps.Tokens != nil || *d.Caps.WallMS != (24*time.Hour).Milliseconds() {
		t.Errorf("run defaults are %+v", d)
	}
	if !slices.Equal(p.TargetNames(), []string{"openai/gpt-large", "tool/search", "tool/transfer_funds"}) {
		t.Errorf("target names are %v", p.TargetNames())
	}
	if !bytes.Equal(p.Source(), read(t, "example.yaml")) || len(p.Hash()) != 64 || p.Hash() == Default().Hash() {
		t.Error("Source or Hash is wrong")
	}
}

// The example is normative for the shape: it has every field.
func TestExampleHasEveryField(t *testing.T) {
	var root struct {
		Targets        []yaml.Node
		Defaults       yaml.Node
		Runs, Quotas   yaml.Node
		Prices         yaml.Node
		Classification []yaml.Node
		Chains         map[string]yaml.Node
		Rest           map[string]any `yaml:",inline"`
	}
	if err := yaml.Load(read(t, "example.yaml"), &root); err != nil {
		t.Fatal(err)
	}
	d := newDecoder("example.yaml")
	p := Default()
	first := strict.Place{Extra: []strict.Key{{Name: "match", Read: ignore}, {Name: "preset", Read: ignore}, {Name: "kind", Read: ignore}, {Name: "classification", Read: func(n *yaml.Node, _ string) {
		hasAll(t, d, ruleSchema(), n.Content[0], strict.Place{})
	}}}}
	said := p.schema.Read(d, &root.Targets[0], first)
	said = append(said, p.schema.Read(d, &root.Defaults, strict.Place{})...)
	missing(t, p.schema, said)
	hasAll(t, d, runSchema(), &root.Runs, strict.Place{})
	chain := root.Chains["answer"]
	hasAll(t, d, chainSchema(), &chain, strict.Place{Extra: []strict.Key{{Name: "levels", Read: func(n *yaml.Node, _ string) {
		hasAll(t, d, levelSchema(), n.Content[0], strict.Place{})
	}}}})
	for _, key := range []string{"targets", "runs", "operations", "namespaces"} {
		if !strict.Has(&root.Quotas, key) {
			t.Errorf("quotas has no %s", key)
		}
	}
	section := root.Prices
	for _, key := range []string{"table", "updated", "models", "aliases"} {
		if !strict.Has(&section, key) {
			t.Errorf("prices has no %s", key)
		}
	}
	var priceFields []strict.Setting[budget.Price]
	strict.New[budget.Price]().Read(d, &section, strict.Place{Extra: []strict.Key{
		{Name: "table", Read: ignore},
		{Name: "updated", Read: ignore},
		{Name: "aliases", Read: ignore},
		{Name: "models", Read: func(n *yaml.Node, _ string) {
			for i := 1; i < len(n.Content); i += 2 {
				priceFields = append(priceFields, prices.Schema().Read(d, n.Content[i], strict.Place{})...)
			}
		}},
	}})
	missing(t, prices.Schema(), priceFields)
	if err := d.Err(); err != nil {
		t.Error(err)
	}
	for _, key := range []string{"version", "unknown_targets", "dry_run"} {
		if _, ok := root.Rest[key]; !ok {
			t.Errorf("%s is missing", key)
		}
	}
}

func ignore(*yaml.Node, string) {}

func hasAll[T any](t *testing.T, d *strict.Decoder, s *strict.Schema[T], n *yaml.Node, in strict.Place) {
	t.Helper()
	missing(t, s, s.Read(d, n, in))
}

func missing[T any](t *testing.T, s *strict.Schema[T], said []strict.Setting[T]) {
	t.Helper()
	for _, f := range s.Fields {
		if !slices.ContainsFunc(said, func(s strict.Setting[T]) bool { return s.Field.Path == f.Path }) {
			t.Errorf("the example does not say %s", f.Path)
		}
	}
}

func TestMinimal(t *testing.T) {
	p, err := Parse("minimal.yaml", read(t, "minimal.yaml"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	for name, kind := range map[string]string{"llm/x": "llm", "tool/x": "tool", "pay/x": "action"} {
		if got := p.Target(name).Kind; got != kind {
			t.Errorf("kind of %s is %s, want %s", name, got, kind)
		}
	}
}

func ExampleParse() {
	p, err := Parse("policy.yaml", []byte(`
version: 1
targets:
  - {match: "tool/*", preset: tool, call_timeout: 5s}
`), Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, s := range p.Explain("tool/search")[:5] {
		fmt.Printf("%s = %s (%s)\n", s.Field, s.Value, s.Source)
	}
	_, err = Parse("policy.yaml", []byte("version: 1\ntargets: [{match: x, preset: lmm}]"), Options{})
	fmt.Println(err)
	// Output:
	// match = tool/* (policy.yaml:4)
	// preset = tool (policy.yaml:4)
	// kind = tool (policy.yaml:4)
	// idempotent = true (kind tool)
	// call_timeout = 5s (policy.yaml:4)
	// policy.yaml:2:30: targets[0].preset: "lmm" is not known; did you mean "llm"?
}
