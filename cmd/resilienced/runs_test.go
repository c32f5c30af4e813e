// SPDX-License-Identifier: Apache-2.0

package main

import (
	"strings"
	"testing"
)

func TestRuns(t *testing.T) {
	s := live(t)
	if code, out, errs := s.op(t, "runs", "top"); code != exitOK || out != "" || !strings.Contains(errs, "resilienced runs start") {
		t.Errorf("no run: exit %d, %q, %q", code, out, errs)
	}
	wantText(t, "start", scrub(s.must(t, "runs", "start", "nightly", "--cost", "2.50", "--calls", "100", "--label", "team=search")), `run         nightly
state       ACTIVE
started     AGO
cost        $0.00 spent of $2.50, $2.50 left
tokens      0 spent, no cap of its own
calls       0 spent of 100, 100 left
soft limit  80%
label team  search
`)
	wantText(t, "start again", s.must(t, "runs", "start", "nightly", "--cost", "2.50", "--calls", "100", "--label", "team=search", "-o", "name"), "nightly\n")
	s.must(t, "runs", "start", "idle", "--unlimited")
	permit := strings.TrimSpace(s.must(t, "acquire", "t", "--run", "nightly", "--estimate-cost", "0.25", "-o", "name"))
	s.must(t, "report", permit, "--outcome", "success", "--cost", "0.125001", "--tokens", "1200,300,200")
	wantText(t, "top", scrub(s.must(t, "runs", "top")), ""+
		"RUN      STATE       SPENT  ASSUMED  RESERVED    CAP  CALLS  TOKENS  STARTED  NOTE\n"+
		"nightly  ACTIVE  $0.125001                     $2.50  1/100    1300  AGO\n"+
		"idle     ACTIVE      $0.00                      none      0       0  AGO\n")
	if out := s.must(t, "runs", "top", "--limit", "1", "-o", "name"); out != "nightly\n" {
		t.Errorf("top 1: %q", out)
	}
	wantText(t, "children", s.must(t, "runs", "list", "--label", "team=search", "-o", "name"), "nightly\n")
}

func TestRunsAdjust(t *testing.T) {
	s := live(t)
	s.must(t, "runs", "start", "r", "--cost", "1", "--calls", "5")
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"--cost", "+0.50"}, "$0.00 spent of $1.50"},
		{[]string{"--cost", "-0.25", "--calls", "+1"}, "$0.00 spent of $1.25"},
		{[]string{"--cost", "5.00"}, "$0.00 spent of $5.00"},
		{[]string{"--tokens", "1000"}, "0 spent of 1000"}, // a cap that was not there
		{[]string{"--wall", "2h"}, "of 2h"},
	} {
		out := s.must(t, append([]string{"runs", "adjust", "r", "--reason", "x"}, c.args...)...)
		if !strings.Contains(out, c.want) {
			t.Errorf("%q: lacks %q:\n%s", c.args, c.want, out)
		}
	}
	out := s.must(t, "runs", "get", "r")
	for _, want := range []string{"of $5.00", "of 1000", "calls       0 spent of 6", "of 2h"} {
		if !strings.Contains(out, want) {
			t.Errorf("a cap is lost: no %q in\n%s", want, out)
		}
	}
	for _, c := range []struct {
		args []string
		says string
	}{
		{[]string{"--cost", "+1", "--calls", "5", "--reason", "x"}, "one kind"},
		{[]string{"--reason", "x"}, "name what to change"},
		{[]string{"--cost", "+1"}, "--reason is required"},
		{[]string{"--cost", "1.0000001", "--reason", "x"}, "six behind the point"},
		{[]string{"--cost", "1e2", "--reason", "x"}, "such as 2.50"},
		{[]string{"--calls", "many", "--reason", "x"}, "whole number"},
	} {
		if code, _, errs := s.op(t, append([]string{"runs", "adjust", "r"}, c.args...)...); code != exitUsage || !strings.Contains(errs, c.says) {
			t.Errorf("%q: exit %d, %s", c.args, code, errs)
		}
	}
	if code, _, errs := s.op(t, "runs", "adjust", "nobody", "--cost", "1", "--reason", "x"); code != exitNotFound || !strings.Contains(errs, "no such run") {
		t.Errorf("unknown run: exit %d, %s", code, errs)
	}
}

func TestRunsEnd(t *testing.T) {
	s := live(t)
	s.must(t, "runs", "start", "a")
	s.must(t, "runs", "start", "b", "--parent", "a")
	out := s.must(t, "runs", "stop", "a", "--reason", "it loops")
	if !strings.Contains(out, "STOPPED") || !strings.Contains(out, "it loops") {
		t.Errorf("stop:\n%s", out)
	}
	if out := s.must(t, "runs", "get", "b"); !strings.Contains(out, "blocked by  a") {
		t.Errorf("the child:\n%s", out)
	}
	if code, _, errs := s.op(t, "runs", "finish", "a"); code != exitFailed || !strings.Contains(errs, "has ended") {
		t.Errorf("finish a stopped run: exit %d, %s", code, errs)
	}
	if code, _, errs := s.op(t, "runs", "start", "a", "--cost", "1"); code != exitFailed || !strings.Contains(errs, "other content") {
		t.Errorf("another run of that id: exit %d, %s", code, errs)
	}
	if code, out, _ := s.op(t, "acquire", "t", "--run", "b"); code != exitDenied || !strings.Contains(out, "RUN_STOPPED") {
		t.Errorf("a call of a stopped run: exit %d\n%s", code, out)
	}
	s.must(t, "runs", "start", "c")
	if out := s.must(t, "runs", "finish", "c"); !strings.Contains(out, "COMPLETED") {
		t.Errorf("finish:\n%s", out)
	}
	if out := s.must(t, "runs", "start", "-o", "name"); strings.TrimSpace(out) == "" {
		t.Error("a run without an id has no name")
	}
}
