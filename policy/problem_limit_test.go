// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/resilienced/resilienced/policy/strict"
)

// A problem carries its parts, for tools that show them in a file.
func TestParseError(t *testing.T) {
	_, err := Parse("dir/p.yaml", []byte("version: 1\nruns: {soft_percent: 0}\nquotas: {runs: x}"), Options{})
	parse, ok := errors.AsType[*ParseError](err)
	if !ok {
		t.Fatalf("Parse returned %v", err)
	}
	want := []Problem{
		{File: "dir/p.yaml", Line: 2, Column: 22, Path: "runs.soft_percent", Text: "0 is out of range; write a number from 1 to 100"},
		{File: "dir/p.yaml", Line: 3, Column: 16, Path: "quotas.runs", Text: `this is the text "x"; write a whole number, or unlimited`},
	}
	if diff := cmp.Diff(want, parse.Problems); diff != "" || parse.More {
		t.Errorf("More is %v, problems (-want +got):\n%s", parse.More, diff)
	}
}

// What is too much is refused without being read, described or listed whole.
func TestTooMuch(t *testing.T) {
	level := "a:PRIMARY, "
	for name, c := range map[string]problemCase{
		"bytes":  {"version: 1\n" + strings.Repeat("#", strict.MaxBytes), "p.yaml:1:1: the policy has 1048587 bytes; at most 1048576 are read, so write fewer entries with wider patterns, or fewer prices"},
		"depth":  {"version: 1\nruns: " + strings.Repeat("[", 17) + strings.Repeat("]", 17), "p.yaml:2:23: runs" + strings.Repeat("[0]", 16) + ": this is nested deeper than 16 levels; no part of a policy is"},
		"deeper": {"version: 1\nruns: " + strings.Repeat("[", 100_000), "p.yaml:2:10007: this is not YAML: while increasing flow level: exceeded max depth of 10000"},
		"text":   {with("provider: " + strings.Repeat("x", 257)), "p.yaml:5:15: targets[0].provider: this has 257 bytes; a name has at most 256"},
		"levels": {"version: 1\nchains: {c: [" + strings.Repeat(level, 17) + "]}", "p.yaml:2:190: chains.c: a chain has at most 16 levels; remove the rest"},
		"rules":  {"version: 1\nclassification: [" + strings.Repeat("{}, ", 501) + "]", "p.yaml:2:17: classification: with these, the policy has more than 500 rules; write fewer"},
		"bomb":   {"version: 1\nruns: &a [x]\nquotas: &b [*a, *a]\nchains: [*b, *b]", "p.yaml:2:7: runs: anchors and aliases are not supported; write the values out, or put what is common under defaults"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Parse("p.yaml", []byte(c.text), Options{})
			if err == nil || strings.Split(err.Error(), "\n")[0] != c.want {
				t.Errorf("Parse returned %.300v", err)
			}
		})
	}
}

func TestAtMost50Problems(t *testing.T) {
	var text strings.Builder
	text.WriteString("version: 1\n")
	for i := range 60_000 {
		fmt.Fprintf(&text, "key%d: 1\n", i)
	}
	_, err := Parse("p.yaml", []byte(text.String()), Options{})
	parse, ok := errors.AsType[*ParseError](err)
	if !ok || len(parse.Problems) != 50 || !parse.More || !strings.HasSuffix(err.Error(), "only the first 50 problems are listed") {
		t.Errorf("Parse returned %.300v", err)
	}
}
