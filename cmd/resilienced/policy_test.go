// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"strings"
	"testing"
)

const (
	onePolicy = "version: 1\ntargets:\n  - {match: \"openai/*\", preset: llm, max_wait: 5s}\n"
	twoPolicy = "version: 1\ntargets:\n  - {match: \"openai/*\", preset: llm, max_wait: 7s}\n"
	badPolicy = "version: 1\ntargets:\n  - {match: \"openai/*\", preset: llm, max_wiat: 5s}\n  - {match: a, preset: lllm}\n"
)

func TestPolicyCheck(t *testing.T) {
	good, broken := write(t, "good.yaml", onePolicy), write(t, "broken.yaml", badPolicy)
	if code, out, errs := run(t, "policy", "check", good); code != exitOK || !strings.HasPrefix(out, good+" is valid") || errs != "" {
		t.Errorf("good: exit %d\n%s%s", code, out, errs)
	}
	code, out, errs := run(t, "policy", "check", broken, good)
	if code != exitConfig || out != broken+" is not valid: 2 faults\n"+good+" is valid\n" || !strings.Contains(errs, broken+":3:") || !strings.Contains(errs, broken+":4:") || !strings.Contains(errs, "max_wait") {
		t.Errorf("broken: exit %d\n%s%s", code, out, errs)
	}
	warned := write(t, "warned.yaml", onePolicy+"chains:\n  c: [openai/a:PRIMARY, nobody:CROSS_PROVIDER]\n")
	for strict, want := range map[string]int{"--strict=false": exitOK, "--strict": exitFailed} {
		code, out, errs := run(t, "policy", "check", warned, strict)
		if code != want || out != warned+" is valid, with 1 warning\n" || !strings.HasPrefix(errs, "warning: "+warned+":5:") || strings.Count(errs, "\n") != 1 {
			t.Errorf("%s: exit %d\n%s%s", strict, code, out, errs)
		}
	}
	var got struct {
		Files []struct {
			File     string
			Valid    bool
			Problems []struct {
				Line, Column int
				Path, Text   string
			}
		}
	}
	code, out, _ = run(t, "policy", "check", broken, "-o", "json")
	if err := json.Unmarshal([]byte(out), &got); err != nil || code != exitConfig || len(got.Files) != 1 || got.Files[0].Valid ||
		len(got.Files[0].Problems) != 2 || got.Files[0].Problems[0].Line != 3 || got.Files[0].Problems[0].Column != 38 || got.Files[0].Problems[0].Path != "targets[0].max_wiat" {
		t.Errorf("json: exit %d, %v\n%s", code, err, out)
	}
	if code, _, errs := run(t, "policy", "check", "/nowhere.yaml"); code != exitUsage || !strings.Contains(errs, "/nowhere.yaml") {
		t.Errorf("none: exit %d, %s", code, errs)
	}
	if code, _, errs := run(t, "policy", "check", write(t, "large.yaml", strings.Repeat("# large\n", largestPolicy/8+1))); code != exitConfig || !strings.Contains(errs, "larger than") {
		t.Errorf("large: exit %d, %s", code, errs)
	}
	if code, _, errs := run(t, "policy", "check"); code != exitUsage || !strings.Contains(errs, "at least 1 arg") {
		t.Errorf("nothing: exit %d, %s", code, errs)
	}
}

func TestPolicyExplain(t *testing.T) {
	file := write(t, "p.yaml", onePolicy+"chains:\n  c: [openai/a:PRIMARY, b:CROSS_PROVIDER]\n")
	s := live(t)
	s.must(t, "policy", "apply", file, "--reason", "r")
	offline := s.must(t, "policy", "explain", "openai/a", "--policy", file)
	if !strings.HasPrefix(offline, "openai/a: kind llm, matched by openai/*; in c\nFIELD ") || !strings.Contains(offline, file+":3") || !strings.Contains(offline, "preset llm") {
		t.Errorf("offline:\n%s", offline)
	}
	online := s.must(t, "policy", "explain", "openai/a")
	if !strings.HasPrefix(online, "openai/a: kind llm, matched by openai/*; in c; epoch 1\n") {
		t.Errorf("online:\n%s", online)
	}
	fields := func(text string) string {
		var names []string
		for _, line := range strings.Split(text, "\n")[1:] {
			if f := strings.Fields(line); len(f) > 1 {
				names = append(names, f[0]+" "+f[1])
			}
		}
		return strings.Join(names, "\n")
	}
	wantText(t, "the same fields with and without a server", fields(offline), fields(online))
	if code, out, _ := run(t, "policy", "explain", "x", "--policy", file); code != exitOK || !strings.HasPrefix(out, "x: no entry matches it; ") {
		t.Errorf("unnamed, without a server: exit %d\n%s", code, out)
	}
	if code, _, errs := run(t, "policy", "explain", "x", "--policy", write(t, "b.yaml", badPolicy)); code != exitConfig || !strings.Contains(errs, "b.yaml:3") {
		t.Errorf("a broken file: exit %d, %s", code, errs)
	}
}

func TestPolicyApply(t *testing.T) {
	s := live(t)
	one, two, broken := write(t, "one.yaml", onePolicy), write(t, "two.yaml", twoPolicy), write(t, "broken.yaml", badPolicy)
	if code, out, errs := s.op(t, "policy", "get"); code != exitOK || out != "" || !strings.Contains(errs, "no policy was applied") {
		t.Errorf("get at first: exit %d, %q, %q", code, out, errs)
	}
	wantText(t, "dry run", s.must(t, "policy", "apply", one, "--dry-run"), "valid; epoch 0 is in force, and this would replace it\n")
	wantText(t, "apply", s.must(t, "policy", "apply", one, "--reason", "first"), "applied: epoch 1 is in force\n")
	code, out, errs := s.op(t, "policy", "get")
	if code != exitOK || out != onePolicy || !strings.Contains(errs, "epoch 1, applied now by op: ") {
		t.Errorf("get: exit %d, %q, %q", code, out, errs)
	}
	if code, _, errs := s.op(t, "policy", "apply", broken, "--reason", "r"); code != exitConfig || !strings.Contains(errs, "nothing was changed") || !strings.Contains(errs, "max_wait") {
		t.Errorf("broken: exit %d, %s", code, errs)
	}
	if code, _, errs := s.op(t, "policy", "apply", two); code != exitUsage || !strings.Contains(errs, "--reason is required") {
		t.Errorf("no reason: exit %d, %s", code, errs)
	}
	s.must(t, "policy", "apply", two, "--expected-epoch", "1", "--reason", "mine")
	code, _, errs = s.op(t, "policy", "apply", one, "--expected-epoch", "1", "--reason", "theirs")
	if code != exitFailed || !strings.Contains(errs, "epoch 2 is in force, applied by op now: mine") || !strings.Contains(errs, "resilienced policy diff ") {
		t.Errorf("two operators: exit %d, %s", code, errs)
	}
	if out := s.must(t, "policy", "get", "-o", "json"); !strings.Contains(out, `"epoch": "2"`) {
		t.Errorf("json:\n%s", out)
	}
}

func TestPolicyDiff(t *testing.T) {
	one, two := write(t, "one.yaml", onePolicy), write(t, "two.yaml", twoPolicy)
	want := "WHERE            FIELD     OLD  NEW  FROM" + strings.Repeat(" ", len(one+":3")-4) + "  NOW FROM\n" +
		"target openai/*  max_wait  5s   7s   " + one + ":3  " + two + ":3\n"
	code, out, errs := run(t, "policy", "diff", two, "--against", one)
	if code != exitOK || errs != "" {
		t.Errorf("exit %d, %s", code, errs)
	}
	wantText(t, "diff", out, want)
	if code, _, _ := run(t, "policy", "diff", two, "--against", one, "--exit-code"); code != exitFailed {
		t.Errorf("--exit-code: exit %d", code)
	}
	s := live(t)
	s.must(t, "policy", "apply", one, "--reason", "r")
	if code, out, errs := s.op(t, "policy", "diff", one, "--exit-code"); code != exitOK || out != "no difference\n" || !strings.HasPrefix(errs, "epoch 1, applied ") {
		t.Errorf("the same: exit %d, %q, %q", code, out, errs)
	}
	var got policyDiff
	if err := json.Unmarshal([]byte(s.must(t, "policy", "diff", two, "-o", "json")), &got); err != nil || got.Against != "server" || got.Epoch != 1 ||
		len(got.Changes) != 1 || got.Changes[0].Old != "5s" || got.Changes[0].OldSource != "epoch 1:3" {
		t.Errorf("json: %+v, %v", got, err)
	}
}

func TestPolicySchema(t *testing.T) {
	code, out, _ := run(t, "policy", "schema")
	var schema map[string]any
	if err := json.Unmarshal([]byte(out), &schema); err != nil || code != exitOK || schema["properties"] == nil {
		t.Errorf("exit %d, %v\n%.200s", code, err, out)
	}
}
