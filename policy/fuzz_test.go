// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/resilienced/resilienced/policy/strict"
)

// FuzzParse holds that any text is either a policy that answers for any name
// or a list of problems with their places.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"", "version: 1", "version: 1\ntargets: [{match: 'a*', preset: llm}]\nchains: {c: [a:PRIMARY]}",
		"version: 1\ndefaults: {retry: {max: 1s}}", "version: 1\nruns: {caps: unlimited}\ndry_run: true",
		"version: 1\nclassification: [{id: a, match: {http: 500-503}, class: OK}]", "a: &a [*a]", "? {", "version: 1\n---\n", "%YAML 1.2\n---\n",
		with("limit: {rate: {tokens: 1, per: 1s}}"), with("price: {per_call: 0}"), with("enforcement: {retry: DRY_RUN}"),
	} {
		f.Add([]byte(seed), "a")
	}
	for _, pattern := range []string{"good", "broken"} {
		files, err := filepath.Glob(filepath.Join("testdata", pattern, "*.yaml"))
		if err != nil {
			f.Fatal(err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(text, "own/other")
		}
	}
	schema := compiled(f)
	f.Fuzz(func(t *testing.T, text []byte, name string) {
		p, err := Parse("p", text, Options{})
		if err == nil {
			if err := valid(t, schema, text); err != nil {
				t.Fatalf("the schema refuses %q: %v", text, err)
			}
			p.Warnings()
			if changes := Diff(p, p); len(changes) > 0 {
				t.Fatalf("%q differs from itself: %v", text, changes)
			}
			if c := p.Target(name); c.Name != name || c.Retry.MaxAttempts < 1 || c.Retry.Max < c.Retry.Initial {
				t.Fatalf("Target(%q) = %+v", name, c)
			}
			p.Explain(name)
			for _, chain := range p.ChainNames() {
				if c, ok := p.Chain(chain); !ok || len(c.Levels) == 0 {
					t.Fatalf("Chain(%q) = %+v", chain, c)
				}
			}
			return
		}
		e, ok := errors.AsType[*ParseError](err)
		if !ok || p != nil || len(e.Problems) == 0 || len(e.Problems) > strict.MaxProblems {
			t.Fatalf("Parse returned %v, %v", p, err)
		}
		lines := strings.Count(string(text), "\n") + strings.Count(string(text), "\r") + strings.Count(string(text), "\u0085") +
			strings.Count(string(text), "\u2028") + strings.Count(string(text), "\u2029") + 2
		for _, problem := range e.Problems {
			if problem.Line < 1 || problem.Column < 1 || problem.Line > lines || problem.Text == "" {
				t.Fatalf("%q has the problem %+v", text, problem)
			}
		}
	})
}

// Settings drawn at random resolve to what they say, whatever is beside them.
func TestAnySettingsResolve(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		attempts := rapid.IntRange(1, 1000).Draw(t, "attempts")
		name := rapid.SampledFrom(presetNames()).Draw(t, "preset")
		timeout := rapid.Int64Range(1, (24*time.Hour).Milliseconds()).Draw(t, "timeout")
		d := time.Duration(timeout) * time.Millisecond
		text := "version: 1\ntargets: [{match: '*', preset: " + name + ", call_timeout: " + strict.FormatDuration(d) +
			", retry: {max_attempts: " + strconv.Itoa(attempts) + "}}]"
		p, err := Parse("p", []byte(text), Options{})
		if err != nil {
			t.Fatal(err)
		}
		c := p.Target("any")
		budget := preset(name).Retry.TaskBudget
		if name != presetAction {
			budget = max(budget, attempts-1)
		}
		if c.CallTimeout != d || c.Retry.MaxAttempts != attempts || c.Retry.TaskBudget != budget || c.MaxHold < c.CallTimeout+c.LeaseMargin {
			t.Fatalf("%s gives %+v", text, c)
		}
	})
}
