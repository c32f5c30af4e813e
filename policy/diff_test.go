// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v4"
	"pgregory.net/rapid"
)

func diffOf(t *testing.T, old, next string) []Change {
	t.Helper()
	p, err := Parse("old.yaml", []byte(old), Options{})
	if err != nil {
		t.Fatal(err)
	}
	n, err := Parse("new.yaml", []byte(next), Options{})
	if err != nil {
		t.Fatal(err)
	}
	return Diff(p, n)
}

const diffBase = `version: 1
targets:
  - {match: "openai/*", preset: llm}
  - {match: openai/gpt-x, preset: llm, call_timeout: 1m}
chains:
  c: [openai/gpt-x:PRIMARY, b:CROSS_PROVIDER]
runs: {caps: {calls: 5}}
classification:
  - {id: a, match: {http: 500}, class: PRESSURE}
  - {id: b, match: {http: 501}, class: PRESSURE}
prices: {updated: 2026-11-01, models: {own/m: {input: 5}}, aliases: {x: own/m}}
`

func TestDiff(t *testing.T) {
	for _, c := range []struct {
		name, from, to string // what is replaced in the base by what
		want           []Change
	}{
		{"comments and forms", "call_timeout: 1m}", "call_timeout: 60s} # a minute", nil},
		{"a value that is the default", "preset: llm}\n", "preset: llm, max_wait: 10s}\n", nil},
		{
			"a value", "call_timeout: 1m", "call_timeout: 90s",
			[]Change{{"target openai/gpt-x", "call_timeout", "1m", "1m30s", "old.yaml:4", "new.yaml:4"}},
		},
		{
			"a preset", `"openai/*", preset: llm`, `"openai/*", preset: strict`, []Change{
				{"target openai/*", "preset", "llm", "strict", "old.yaml:3", "new.yaml:3"},
				{"target openai/*", "kind", "llm", "strict", "old.yaml:3", "new.yaml:3"},
				{"target openai/*", "breaker.consecutive_failures", "5", "3", "preset llm", "preset strict"},
			},
		},
		{
			"what follows", "call_timeout: 1m", "retry: {max_attempts: 6}, call_timeout: 1m", []Change{
				{"target openai/gpt-x", "retry.max_attempts", "3", "6", "preset llm", "new.yaml:4"},
				{"target openai/gpt-x", "retry.task_budget", "3", "5", "preset llm", "from retry.max_attempts (new.yaml:4)"},
			},
		},
		{
			"defaults are of all", "targets:", "defaults: {max_wait: 1s}\ntargets:", []Change{
				{"targets that no entry matches", "max_wait", "10s", "1s", "preset llm", "new.yaml:2"},
				{"target openai/*", "max_wait", "10s", "1s", "preset llm", "new.yaml:2"},
				{"target openai/gpt-x", "max_wait", "10s", "1s", "preset llm", "new.yaml:2"},
			},
		},
		{
			"a new entry, against what it had", "  - {match: openai/gpt-x", "  - {match: openai/gpt-4o, preset: llm, max_wait: 1s}\n  - {match: openai/gpt-x", []Change{
				{"target openai/gpt-4o", "match", "openai/*", "openai/gpt-4o", "old.yaml:3", "new.yaml:4"},
				{"target openai/gpt-4o", "max_wait", "10s", "1s", "preset llm", "new.yaml:4"},
			},
		},
		{
			"an entry that goes", "  - {match: openai/gpt-x, preset: llm, call_timeout: 1m}\n", "", []Change{
				{"target openai/gpt-x", "match", "openai/gpt-x", "openai/*", "old.yaml:4", "new.yaml:3"},
				{"target openai/gpt-x", "call_timeout", "1m", "2m", "old.yaml:4", "preset llm"},
			},
		},
		{
			"a chain", "c: [openai/gpt-x:PRIMARY, b:CROSS_PROVIDER]", "c: {levels: [openai/gpt-x:PRIMARY], on_exhausted: STOP}\n  d: [b:PRIMARY]", []Change{
				{"chain c", "on_exhausted", "DEAD_LETTER", "STOP", "default", "new.yaml:6"},
				{"chain c", "levels[1]", "b: CROSS_PROVIDER", "", "old.yaml:6", ""},
				{"chain d", "levels[0]", "", "b: PRIMARY", "", "new.yaml:7"},
				{"chain d", "on_exhausted", "", "DEAD_LETTER", "", "default"},
				{"chain d", "content_policy_level", "", "unknown", "", "default"},
				{"chain d", "sustained_jumps", "", "false", "", "default"},
			},
		},
		{
			"runs and the file", "runs: {caps: {calls: 5}}", "runs: {caps: {calls: unlimited, cost_micros: 7}}\nunknown_targets: deny\nquotas: {runs: 9}", []Change{
				{"policy", "unknown_targets", "allow", "deny", "default", "new.yaml:8"},
				{"runs", "caps.cost_micros", "unlimited", "7", "default", "new.yaml:7"},
				{"runs", "caps.calls", "5", "unlimited", "old.yaml:7", "new.yaml:7"},
				{"quotas", "runs", "1000000", "9", "default", "new.yaml:9"},
			},
		},
		{
			"rules", "id: a, match: {http: 500}", "id: a, match: {http: 502}", []Change{
				{"classification", "classification.a", "match.http: 500; class: PRESSURE", "match.http: 502; class: PRESSURE", "old.yaml:9", "new.yaml:9"},
			},
		},
		{
			"prices", "models: {own/m: {input: 5}}", "models: {own/m: {input: 6}, openai/gpt-x: {per_call: 1}}, table: none", []Change{
				{"target openai/gpt-x", "price.per_call", "unknown", "1", "preset llm", "new.yaml:11"},
				{"target openai/gpt-x", "price.currency", "unknown", "USD", "preset llm", "new.yaml:11"},
				{"prices", "table", "default of 2026-11-01", "none", "default", "new.yaml:11"},
				{"prices", `models["openai/gpt-x"]`, "", "per_call: 1", "", "new.yaml:11"},
				{"prices", `models["own/m"]`, "input: 5", "input: 6", "old.yaml:11", "new.yaml:11"},
			},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			next := strings.Replace(diffBase, c.from, c.to, 1)
			if next == diffBase {
				t.Fatal("nothing was replaced")
			}
			if c.name == "runs and the file" {
				next = strings.Replace(next, ", b:CROSS_PROVIDER", "", 1)
				c.want = append(c.want, Change{"chain c", "levels[1]", "b: CROSS_PROVIDER", "", "old.yaml:6", ""})
			}
			if diff := cmp.Diff(c.want, diffOf(t, diffBase, next)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// Of patterns of the same rank, the one written first holds.
func TestDiffOfOrder(t *testing.T) {
	file := func(patterns ...string) string {
		var text strings.Builder
		text.WriteString("version: 1\ntargets:\n")
		for _, p := range patterns {
			text.WriteString("  - {match: '" + p + "', preset: llm}\n")
		}
		return text.String()
	}
	want := []Change{{"targets", "order", "a*b* before a*c*", "a*c* before a*b*", "old.yaml:3", "new.yaml:3"}}
	if diff := cmp.Diff(want, diffOf(t, file("a*b*", "a*c*"), file("a*c*", "a*b*"))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for _, order := range [][2]string{{"ab*", "ac*"}, {"a*b", "a*c"}, {"a*", "ab*"}, {"x", "a*"}} {
		if changes := diffOf(t, file(order[0], order[1]), file(order[1], order[0])); len(changes) > 0 {
			t.Errorf("%v: no name is matched by both at the same rank, and yet %v", order, changes)
		}
	}
}

func TestDiffAgainstDefault(t *testing.T) {
	if changes := Diff(Default(), parse(t, "version: 1")); len(changes) > 0 {
		t.Errorf("an empty file changes %v", changes)
	}
	changes := Diff(Default(), example(t))
	if !slices.ContainsFunc(changes, func(c Change) bool {
		return c == Change{"runs", "caps.calls", "unlimited", "1000", "default", "example.yaml:174"}
	}) {
		t.Errorf("changes: %v", changes)
	}
}

// files are the policies of the product and of the corpus.
func files(tb testing.TB) map[string][]byte {
	tb.Helper()
	texts := make(map[string][]byte)
	for _, pattern := range []string{"../deploy/policies/*.yaml", "testdata/good/*.yaml"} {
		paths, err := filepath.Glob(pattern)
		if err != nil {
			tb.Fatal(err)
		}
		for _, path := range paths {
			text, err := os.ReadFile(path)
			if err != nil {
				tb.Fatal(err)
			}
			texts[path] = text
		}
	}
	return texts
}

// Reformatting a file and reordering its mappings changes nothing.
func TestDiffOfTheSameIsEmpty(t *testing.T) {
	for path, text := range files(t) {
		rapid.Check(t, func(rt *rapid.T) {
			var root yaml.Node
			if err := yaml.Load(text, &root); err != nil {
				rt.Fatal(err)
			}
			shuffle(rt, &root)
			again, err := yaml.Dump(&root)
			if err != nil {
				rt.Fatal(err)
			}
			old, err := Parse("old", text, Options{})
			if err != nil {
				rt.Fatal(err)
			}
			next, err := Parse("new", again, Options{})
			if err != nil {
				rt.Fatalf("%s: %v\n%s", path, err, again)
			}
			if changes := Diff(old, next); len(changes) > 0 {
				rt.Fatalf("%s: %v\n%s", path, changes, again)
			}
		})
	}
}

// shuffle changes the order of mappings, and their style, and drops comments.
func shuffle(t *rapid.T, n *yaml.Node) {
	n.HeadComment, n.LineComment, n.FootComment = "", "", ""
	if n.Kind == yaml.MappingNode {
		if rapid.Bool().Draw(t, "style") {
			n.Style ^= yaml.FlowStyle
		}
		var order []int
		for i := range len(n.Content) / 2 {
			order = append(order, i)
		}
		var content []*yaml.Node
		for _, i := range rapid.Permutation(order).Draw(t, "order") {
			content = append(content, n.Content[2*i], n.Content[2*i+1])
		}
		n.Content = content
	}
	for _, c := range n.Content {
		shuffle(t, c)
	}
}

// Whatever the two policies are, what is told forwards is told backwards, and
// nothing is told twice.
func TestDiffBackwards(t *testing.T) {
	texts := files(t)
	for a, from := range texts {
		for b, to := range texts {
			forwards, backwards := diffOf(t, string(from), string(to)), diffOf(t, string(to), string(from))
			seen := make(map[string]bool)
			for _, c := range forwards {
				turned := func(d Change) bool { return d.Where == c.Where && d.Path == c.Path && d.Old == c.New && d.New == c.Old }
				if !slices.ContainsFunc(backwards, turned) {
					t.Errorf("%s to %s: %v is not told backwards", a, b, c)
				}
				if key := c.Where + "|" + c.Path; seen[key] || c.Old == c.New {
					t.Errorf("%s to %s: %v is told twice, or is no change", a, b, c)
				} else {
					seen[key] = true
				}
			}
			if len(forwards) != len(backwards) || a == b && len(forwards) > 0 {
				t.Errorf("%s to %s: %d changes, backwards %d", a, b, len(forwards), len(backwards))
			}
			if fmt.Sprint(forwards) != fmt.Sprint(diffOf(t, string(from), string(to))) {
				t.Errorf("%s to %s: the order is not always the same", a, b)
			}
		}
	}
}

// A name resolves to the same under both policies exactly if Diff says nothing
// of it: tried on policies drawn at random, with names of all sorts.
func TestDiffSaysWhatResolvesDifferently(t *testing.T) {
	draw := func(t *rapid.T, label string) string {
		var text strings.Builder
		text.WriteString("version: 1\ntargets:\n")
		patterns := rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"a", "b", "a*", "a?", "*b", "a*b*", "a*c*", "*"}), 1, 5, rapid.ID[string]).Draw(t, label)
		for _, p := range patterns {
			fmt.Fprintf(&text, "  - {match: '%s', preset: %s, max_wait: %ds}\n", p,
				rapid.SampledFrom([]string{"llm", "tool"}).Draw(t, "preset"), rapid.IntRange(1, 2).Draw(t, "wait"))
		}
		return text.String()
	}
	names := []string{"a", "b", "ab", "ac", "abc", "acb", "bb", "zz", "abb"}
	rapid.Check(t, func(t *rapid.T) {
		one, other := draw(t, "one"), draw(t, "other")
		p, err := Parse("p", []byte(one), Options{})
		if err != nil {
			t.Fatal(err)
		}
		n, err := Parse("n", []byte(other), Options{})
		if err != nil {
			t.Fatal(err)
		}
		if len(Diff(p, n)) > 0 {
			return
		}
		for _, name := range names {
			if diff := cmp.Diff(p.Target(name), n.Target(name)); diff != "" {
				t.Fatalf("Diff says nothing of %q:\n%s\n%s\n%s", name, diff, one, other)
			}
		}
	})
}
