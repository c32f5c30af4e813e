// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/resilienced/resilienced/simulate"
)

// recorded makes calls of two runs and waits until they are recorded.
func recorded(t *testing.T, s *service) {
	t.Helper()
	s.must(t, "runs", "start", "r", "--cost", "10")
	for range 6 {
		permit := strings.TrimSpace(s.must(t, "acquire", "openai/a", "--run", "r", "--estimate-cost", "1", "-o", "name"))
		s.must(t, "report", permit, "--outcome", "success", "--cost", "1", "--duration", "1ms")
	}
}

func TestPolicySimulate(t *testing.T) {
	s := live(t)
	recorded(t, s)
	cheap := write(t, "cheap.yaml", "version: 1\ntargets:\n  - {match: \"openai/*\", preset: llm, limit: {rate: {tokens: 2, per: 1h, burst: 2}}}\n")
	saved := filepath.Join(t.TempDir(), "calls.jsonl")
	var first simulate.Result
	for range 100 { // the recording is written behind the calls
		_ = os.Remove(saved)
		code, out, errs := s.op(t, "policy", "simulate", cheap, "-o", "json", "--save", saved)
		if code != exitOK || !strings.Contains(errs, "saved in "+saved) {
			t.Fatalf("exit %d\n%s%s", code, out, errs)
		}
		if err := json.Unmarshal([]byte(out), &first); err != nil {
			t.Fatal(err)
		}
		if first.Calls == 6 {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	if first.Calls != 6 || first.Totals.Old.Granted != 6 || first.Totals.New.Granted != 2 || first.Totals.NewlyRefused != 4 || first.Totals.New.CostMicros != 2_000_000 {
		t.Errorf("%+v", first.Totals)
	}
	out := s.must(t, "policy", "simulate", cheap)
	if !strings.Contains(out, first.Answer) || !strings.Contains(out, "What this cannot know") {
		t.Errorf("for people:\n%s", out)
	}
	var again simulate.Result
	code, out, errs := run(t, "policy", "simulate", cheap, "--calls", saved, "-o", "json")
	if err := json.Unmarshal([]byte(out), &again); err != nil || code != exitOK || again.Calls != 6 || again.Totals.NewlyRefused != 4 {
		t.Errorf("from the file: exit %d, %v, %+v\n%s", code, err, again.Totals, errs)
	}
	if code, _, errs := run(t, "policy", "simulate", cheap, "--calls", saved, "--against", cheap); code != exitOK {
		t.Errorf("against a file: exit %d, %s", code, errs)
	}
	if code, _, errs := s.op(t, "policy", "simulate", cheap, "--save", saved); code != exitUsage || !strings.Contains(errs, "exists already") {
		t.Errorf("over a file: exit %d, %s", code, errs)
	}
}

func TestPolicySimulateOfNothing(t *testing.T) {
	good := write(t, "good.yaml", onePolicy)
	s := live(t)
	if out := s.must(t, "policy", "simulate", good); out == "" || strings.Contains(out, "What this cannot know") {
		t.Errorf("nothing recorded:\n%s", out)
	}
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{good, "--calls", write(t, "c.jsonl", "{}\n")}, exitConfig, "c.jsonl: line 1"},
		{[]string{good, "--calls", write(t, "c.jsonl", "garbage")}, exitConfig, "c.jsonl: line 1"},
		{[]string{good, "--calls", "/nowhere"}, exitUsage, "/nowhere"},
		{[]string{good, "--against", good}, exitUsage, "goes with --calls"},
		{[]string{good, "--calls", "x", "--save", "y"}, exitUsage, "save"},
		{[]string{good, "--since", "8d"}, exitUsage, "at most 7d"},
		{[]string{good, "--save", "/nowhere/x"}, exitUnavailable, "/nowhere"},
		{[]string{write(t, "bad.yaml", badPolicy)}, exitConfig, "bad.yaml:3"},
	} {
		if code, out, errs := s.op(t, append([]string{"policy", "simulate"}, c.args...)...); code != c.code || out != "" || !strings.Contains(errs, c.says) {
			t.Errorf("%q: exit %d, %q, %q", c.args, code, out, errs)
		}
	}
}
