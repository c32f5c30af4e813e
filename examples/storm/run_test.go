// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/resilienced/resilienced/policy"
	"go.uber.org/goleak"

	"github.com/resilienced/resilienced/examples/storm/upstream"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestRun is the command over the real loopback, for a few tasks. No figure
// that depends on the time is looked at.
func TestRun(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "quoted.md")
	if err := os.WriteFile(file, []byte("above\n"+quoteBegin+"old\n"+quoteEnd+"below\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var out, progress bytes.Buffer
	if err := run(t.Context(), []string{"--tasks", "4", "--agents", "4", "--json", "--write", file}, &out, &progress); err != nil {
		t.Fatal(err)
	}
	var got struct{ Arms []outcome }
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatalf("%v in %s", err, out.String())
	}
	if len(got.Arms) != 2 || got.Arms[0].Arm != "bare" || got.Arms[1].Arm != "guarded" {
		t.Fatalf("arms %+v", got.Arms)
	}
	for _, o := range got.Arms {
		if o.Done != 4 || len(o.GaveUp) != 0 || o.Model.Calls < 8 || o.CostMicros == 0 {
			t.Errorf("%s: %+v", o.Arm, o)
		}
	}
	if !strings.Contains(progress.String(), "guarded") || strings.Contains(progress.String(), "\x1b") {
		t.Errorf("progress without a terminal: %q", progress.String())
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if s := string(text); !strings.HasPrefix(s, "above\n"+quoteBegin) || !strings.HasSuffix(s, quoteEnd+"below\n") ||
		strings.Contains(s, "old\n") || !strings.Contains(s, "$ go run . --tasks 4 --agents 4 --json\n") {
		t.Errorf("quoted: %s", s)
	}
}

// TestBadArguments: each is refused with what would be right.
func TestBadArguments(t *testing.T) {
	for name, c := range map[string]struct{ args, want string }{
		"arm":      {"--arm both-of-them", "want bare, guarded or both"},
		"agents":   {"--agents 0", "1 to 1000 agents"},
		"tasks":    {"--tasks -1", "1 to 100000 tasks"},
		"argument": {"now", `unexpected argument "now"`},
		"policy":   {"--policy /nowhere.yaml", "/nowhere.yaml"},
	} {
		t.Run(name, func(t *testing.T) {
			err := run(t.Context(), strings.Fields(c.args), io.Discard, io.Discard)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v; want %q in it", err, c.want)
			}
		})
	}
}

// TestReadme: the table that README.md quotes has the rows that the program
// prints now.
func TestReadme(t *testing.T) {
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, quoted, _ := strings.Cut(string(text), quoteBegin)
	quoted, _, found := strings.Cut(quoted, quoteEnd)
	if !found {
		t.Fatal("README.md quotes no run: go run . --write README.md")
	}
	for _, r := range rows(standard()) {
		if !strings.Contains(quoted, "\n"+r.name+" ") && !strings.Contains(quoted, "\n"+r.name+"\n") {
			t.Errorf("README.md has no row %q: go run . --write README.md", r.name)
		}
	}
}

// TestUnpaced: unpaced.yaml is policy.yaml but for the rates.
func TestUnpaced(t *testing.T) {
	_, paced, _ := strings.Cut(ownPolicy, "\n\n") // without the first comment
	_, got, _ := strings.Cut(unpaced(t), "\n\n")
	var want strings.Builder
	for line := range strings.Lines(paced) {
		if line != "    limit:\n" && !strings.Contains(line, "rate: {tokens: 10,") {
			want.WriteString(line)
		}
	}
	if got != want.String() {
		t.Errorf("unpaced.yaml:\n%s\nwant\n%s", got, want.String())
	}
}

// TestPolicy: the operator's numbers are those of the upstream's account.
func TestPolicy(t *testing.T) {
	p, err := policy.Parse("policy.yaml", []byte(ownPolicy), policy.Options{})
	if err != nil {
		t.Fatal(err)
	}
	sc := standard()
	model, sandbox := p.Target("openai/"+modelName), p.Target("tool/sandbox")
	if model.Price == nil || model.Price.Input == nil || *model.Price.Input != upstream.InputPrice ||
		model.Price.Output == nil || *model.Price.Output != upstream.OutputPrice {
		t.Errorf("the model's price is %+v", model.Price)
	}
	if sandbox.Price == nil || sandbox.Price.PerCall == nil || *sandbox.Price.PerCall != upstream.ExecutionPrice {
		t.Errorf("the sandbox's price is %+v", sandbox.Price)
	}
	if int(model.Limit.Rate) != sc.upstream.Rate || int(sandbox.Limit.Rate) != sc.upstream.Rate {
		t.Errorf("rates %d and %d, the account's is %d", model.Limit.Rate, sandbox.Limit.Rate, sc.upstream.Rate)
	}
}
