// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/resilienced/resilienced/test/robustness/check"
	"github.com/resilienced/resilienced/test/robustness/cluster"
	"github.com/resilienced/resilienced/test/robustness/history"
	"github.com/resilienced/resilienced/test/robustness/zoo"
)

// TestTrialOfOneReplica takes one replica through a trial in which it is
// killed: the suite itself works, and the checks have something to look at.
func TestTrialOfOneReplica(t *testing.T) {
	s := &session{options: options{store: cluster.SQLite}, dir: t.TempDir(), began: time.Now(), service: map[string]*tally{}}
	binary, err := cluster.Build(t.Context(), cluster.Source{Dir: s.dir})
	if err != nil {
		t.Fatal(err)
	}
	c, err := s.cluster(t.Context(), binary, cluster.SQLite, "cluster", false)
	if err != nil {
		t.Fatal(err)
	}
	defer s.close(c)
	l := lengths{calm: 500 * time.Millisecond, fault: 200 * time.Millisecond, mended: 500 * time.Millisecond}
	v, err := newTrial(c, 1, "replica killed", cluster.SQLite, "", 1, l).run(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if len(v.proofs) != 1 || !strings.Contains(v.proofs[0], "killed") {
		t.Errorf("proofs %q", v.proofs)
	}
	for _, r := range v.results {
		if r.Bad() {
			t.Errorf("%s: %q %s", r.Check, r.Violations, r.Undecided)
		}
		if r.Checked == 0 && slices.Contains([]string{"caps", "balances", "repeats", "errors"}, r.Check) {
			t.Errorf("%s looked at nothing", r.Check)
		}
	}
	t.Log(v.figures.short(), v.void)
}

// TestDrawKeepsWhatIsNoConnection: the short form leaves some faults of
// connections out and nothing else, and another seed leaves others.
func TestDrawKeepsWhatIsNoConnection(t *testing.T) {
	all := []string{noFault, "replica killed", "failover", mixed}
	for _, k := range network() {
		all = append(all, k, k+", database")
	}
	seen := map[string]bool{}
	for seed := range uint64(50) {
		some := draw(slices.Clone(all), seed)
		if len(some) != 4+shortNetwork || !slices.Contains(some, noFault) || !slices.Contains(some, "failover") {
			t.Fatalf("seed %d draws %q", seed, some)
		}
		for _, k := range some {
			seen[k] = true
		}
	}
	if len(seen) != len(all) {
		t.Errorf("50 seeds draw %d of %d kinds", len(seen), len(all))
	}
}

// TestPageSaysWhatHappened: violations, void trials and mutants that were not
// found are in the report, and make the session fail.
func TestPageSaysWhatHappened(t *testing.T) {
	s := &session{options: options{store: cluster.Postgres, seed: 7}, commit: "abc", began: time.Now(), service: map[string]*tally{}}
	good := &verdict{setup: history.Setup{Trial: 1, Fault: "replica killed"}, proofs: []string{"signal: killed"}, figures: figures{
		Trials: 1, Calls: map[history.Outcome]int{history.OK: 17}, CalmCall: 300, Calm: time.Second,
	}, results: []check.Result{{Check: "caps", Checked: 12}}}
	s.note(good)
	s.note(&verdict{setup: history.Setup{Trial: 2, Fault: "drop"}, void: "no connection cut"})
	s.zoo = []*hunted{{mutant: zoo.Mutant{Name: "a-mutant", Checks: []string{"caps"}}, by: []string{"caps", "slots"}, trials: 1}}
	if err := s.end(); err == nil || !strings.Contains(err.Error(), "only void ones: drop") {
		t.Errorf("half of the kinds have void trials only: %v", err)
	}
	for _, kind := range []string{"delay", "throttle", "partition"} {
		s.note(&verdict{setup: history.Setup{Fault: kind}, figures: good.figures})
	}
	if err := s.end(); err != nil {
		t.Error(err)
	}
	s.zoo = append(s.zoo, &hunted{mutant: zoo.Mutant{Name: "b-mutant", Checks: []string{"caps"}}, by: []string{"slots"}})
	if err := s.end(); err == nil || !strings.Contains(err.Error(), "b-mutant") {
		t.Errorf("a mutant was not found: %v", err)
	}
	bad := &verdict{setup: history.Setup{Trial: 3, Fault: "drop"}, void: "too slow", results: []check.Result{{Check: "caps", Violations: []string{"A1: too much"}}}}
	s.note(bad)
	if err := s.end(); err == nil || !strings.Contains(err.Error(), "A1: too much") {
		t.Errorf("a violation in a void trial is one: %v", err)
	}
	path := filepath.Join(t.TempDir(), "page.md")
	if err := s.write(path); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"| commit | abc |", "| replica killed | 1 | 0 | 1 | 300 | 17 |", "A1: too much", "**not found**", "| a-mutant | **found** |", "| drop | 0 | 1 |",
	} {
		if !strings.Contains(string(text), want) {
			t.Errorf("the page lacks %q:\n%s", want, text)
		}
	}
}
