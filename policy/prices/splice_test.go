// SPDX-License-Identifier: Apache-2.0

package prices

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/resilienced/resilienced/rules/budget"
)

// two is a small table.
func two() *Table {
	in, out, call := int64(5), int64(7), int64(9)
	return (&Table{models: map[string]*budget.Price{
		"a/b": {Input: &in, Output: &out, Currency: Currency}, "c:d/e": {PerCall: &call, Currency: Currency},
	}}).Dated(day(2026, 11, 22))
}

const lines = "  updated: 2026-11-22\n  models:\n    a/b: {input: 5, output: 7}\n    \"c:d/e\": {per_call: 9}\n"

func TestSplice(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"no section", "version: 1\n", "version: 1\nprices:\n" + lines},
		{"no newline at the end", "version: 1", "version: 1\nprices:\n" + lines},
		{"comments at the end", "version: 1 # one\n\n# bye\n", "version: 1 # one\nprices:\n" + lines + "\n# bye\n"},
		{"document markers", "---\nversion: 1\n...\n", "---\nversion: 1\nprices:\n" + lines + "...\n"},
		{"empty section", "prices:\nversion: 1\n", "prices:\n" + lines + "version: 1\n"},
		{
			"other keys of the section stay", "version: 1\nprices:\n  # mine\n  table: none # why\n\n  aliases:\n    x/y: a/b # this\n# next\nruns: {}\n",
			"version: 1\nprices:\n" + lines + "  # mine\n  table: none # why\n\n  aliases:\n    x/y: a/b # this\n# next\nruns: {}\n",
		},
		{
			"models are replaced", "version: 1\nprices:\n  table: default # t\n  # as of\n  updated: 2020-01-01 # old\n  models:\n    # old ones\n    old/one: {input: 1}\n    old/two:\n      input: 2\n\n  # names\n  aliases: {}\n\n# runs\nruns:\n  soft_percent: 80\n",
			"version: 1\nprices:\n  table: default # t\n  # as of\n" + lines + "\n  # names\n  aliases: {}\n\n# runs\nruns:\n  soft_percent: 80\n",
		},
		{
			"models before updated, at the end", "version: 1\nprices:\n  models: {o: {input: 1}}\n  table: none\n  updated: 2020-01-01\n# end\n",
			"version: 1\nprices:\n" + lines + "  table: none\n# end\n",
		},
		{
			"other indents", "version: 1\nprices:\n      models:\n        o: {input: 1}\n      updated: 2020-01-01\n",
			"version: 1\nprices:\n      updated: 2026-11-22\n      models:\n            a/b: {input: 5, output: 7}\n            \"c:d/e\": {per_call: 9}\n",
		},
		{"CRLF", "version: 1\r\nruns: {}\r\n", "version: 1\r\nruns: {}\r\nprices:\r\n" + strings.ReplaceAll(lines, "\n", "\r\n")},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := Splice([]byte(c.text), two())
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, string(got)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			again, err := Splice(got, two())
			if err != nil || !bytes.Equal(again, got) {
				t.Errorf("a second time: %v\n%s", err, again)
			}
		})
	}
}

func TestSpliceRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"":                         "policy:1:1: the policy is empty; begin with version: 1",
		"[]":                       errFlow.Error(),
		"{version: 1}":             errFlow.Error(),
		"version: 1\nprices: {}\n": errFlow.Error(),
		"version: 1\nprices: 5\n":  errFlow.Error(),
		"version: [\n":             "policy:2:1: this is not YAML: while parsing a flow node: did not find expected node content",
		"version: 1\rruns: {}\r":   errBreaks.Error(),
		"version: 1\nversion: 1\n": "policy:2:1: version: the key \"version\" is in line 1 already; keep one of the two",
		"a: 1\n# " + strings.Repeat("x", 1<<20-20) + "\n": "with 2 prices the policy would have 1048662 bytes, and at most 1048576 are read; import fewer models",
	} {
		got, err := Splice([]byte(text), two())
		if err == nil || got != nil || err.Error() != want {
			t.Errorf("%.40q: %v\nwant %s", text, err, want)
		}
	}
	if _, err := Splice([]byte("version: 1\n"), &Table{}); err == nil {
		t.Error("a table without a day is spliced")
	}
}

// The example of the product keeps every line but those of its models.
func TestSpliceIntoTheExample(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "deploy", "policies", "example.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	got, err := Splice(text, many())
	if err != nil {
		t.Fatal(err)
	}
	before, rest, _ := strings.Cut(string(text), "  updated: ")
	_, after, _ := strings.Cut(rest, "  aliases:")
	if !strings.HasPrefix(string(got), before) || !strings.HasSuffix(string(got), "  aliases:"+after) {
		t.Error("Splice changed more than the models")
	}
}

// Whatever stands around it, the section is put in and every other line stays.
func TestSpliceKeepsTheRest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		line := rapid.SampledFrom([]string{"", "# c", "  # c", "runs: {}", "runs:\n  soft_percent: 80 # x", "targets:\n- match: a\n  preset: llm", "zz: |\n  prices:\n\n  x\n", "'a b': \"x\\\n  y\"", "  "})
		block := func(label string) []string {
			var out []string
			used := make(map[string]bool)
			for _, l := range rapid.SliceOfN(line, 0, 4).Draw(t, label) {
				key, _, _ := strings.Cut(l, ":")
				if strings.TrimSpace(key) != "" && key[0] != '#' && key[0] != ' ' {
					key = label + key
					if used[key] {
						continue
					}
					used[key] = true
					l = label + strings.TrimLeft(strings.ReplaceAll(l, "'", ""), " ")
				}
				out = append(out, l)
			}
			return out
		}
		before, after := block("b"), block("a")
		section := rapid.SampledFrom([]string{"", "prices:", "prices:\n  models:\n    x: {input: 1}\n  updated: 2020-01-01", "prices:\n  aliases: {a: b}\n\n  # c\n  updated: 2020-01-01\n  models: {}"}).Draw(t, "section")
		parts := append([]string{"version: 1"}, before...)
		if section != "" {
			parts = append(parts, section)
		}
		text := strings.Join(append(parts, after...), "\n")
		if rapid.Bool().Draw(t, "newline") {
			text += "\n"
		}
		table := drawTable(t).Dated(day(2026, 11, 22))
		got, err := Splice([]byte(text), table)
		if errors.Is(err, errUnsure) && strings.Contains(text, "zz: |") && !strings.HasSuffix(text, "\n") {
			return // a text whose last value would get a line break that it does not have
		}
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		head := strings.TrimRight(strings.Join(append([]string{"version: 1"}, before...), "\n"), "\n ")
		if section != "" && !strings.HasPrefix(string(got), head) {
			t.Fatalf("%q became %q", text, got)
		}
		if tail := strings.Join(after, "\n"); section != "" && !strings.Contains(string(got), tail) {
			t.Fatalf("%q became %q", text, got)
		}
	})
}

// FuzzSplice holds that any text is refused, or has the table in it and still
// all of its lines but those of the old models.
func FuzzSplice(f *testing.F) {
	for _, seed := range []string{
		"version: 1\n", "version: 1\nprices:\n  models:\n    a: {input: 1}\n  updated: 2020-01-01\n# c\nruns: {}\n", "---\na: b\n...\n", "  a: b\n", "? a\n: b\n",
		"a: |+\n  x\n\n", "prices:\n- a\n", "\ufeffa: b\n", "%YAML 1.2\n---\na: b\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		got, err := Splice(text, two())
		if err != nil {
			return
		}
		again, err := Splice(got, two())
		if err != nil || !bytes.Equal(again, got) {
			t.Fatalf("%q became %q, and then %q, %v", text, got, again, err)
		}
		if !bytes.Contains(text, []byte("prices")) {
			rest := bytes.ReplaceAll(got, []byte("\r\n"), []byte("\n"))
			for line := range bytes.Lines(bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n"))) {
				if !bytes.Contains(rest, bytes.TrimRight(line, "\n")) {
					t.Fatalf("%q became %q: the line %q is gone", text, got, line)
				}
			}
		}
	})
}
