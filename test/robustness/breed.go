// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/resilienced/resilienced/test/robustness/cluster"
	"github.com/resilienced/resilienced/test/robustness/zoo"
)

// hunted is what became of a mutant.
type hunted struct {
	mutant zoo.Mutant
	store  string
	fault  string
	trials int
	took   time.Duration // of load and checks until it was found
	by     []string      // the checks that found it
	first  string        // a violation
	failed string        // of the suite; empty: nothing
}

// ok reports whether the mutant was found or need not be.
func (f *hunted) ok() bool { return f.mutant.Excused != "" || f.found() }

// found reports whether a check found it that is for it.
func (f *hunted) found() bool {
	return slices.ContainsFunc(f.by, func(check string) bool { return slices.Contains(f.mutant.Checks, check) })
}

// mutantTrials is how many trials a mutant may take to be found.
const mutantTrials = 12

// breed builds mutants and lets the checks find them.
func (s *session) breed(ctx context.Context) error {
	all := zoo.All()
	if !s.options.postgres() {
		all = slices.DeleteFunc(all, func(m zoo.Mutant) bool { return m.Postgres })
	}
	dice := rand.New(rand.NewPCG(s.options.seed, 1<<32))
	if n := s.options.mutants; n >= 0 && n < len(all) {
		dice.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		all = all[:n]
	}
	if name := s.options.mutant; name != "" {
		all = slices.DeleteFunc(zoo.All(), func(m zoo.Mutant) bool { return m.Name != name })
		if len(all) == 0 {
			return fmt.Errorf("there is no mutant %q", name)
		}
	}
	for _, m := range all {
		f := &hunted{mutant: m, store: cluster.SQLite, fault: noFault}
		s.zoo = append(s.zoo, f)
		if m.Postgres {
			f.store = cluster.Postgres
		}
		if m.Fault != "" {
			f.fault = m.Fault
		}
		if err := s.hunt(ctx, f); err != nil {
			f.failed = err.Error()
		}
		s.sayFound(f)
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return nil
}

func (s *session) sayFound(f *hunted) {
	switch {
	case f.failed != "":
		s.say("%-28s the suite failed: %s", f.mutant.Name, f.failed)
	case f.ok():
		s.say("%-28s found by %v after %v: %s", f.mutant.Name, f.by, f.took.Round(100*time.Millisecond), f.first)
	default:
		s.say("%-28s NOT FOUND in %d trials (by %v)", f.mutant.Name, f.trials, f.by)
	}
}

// hunt runs trials of a mutant until a check finds it.
func (s *session) hunt(ctx context.Context, f *hunted) error {
	dir := filepath.Join(s.dir, "mutant-"+f.mutant.Name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	overlay, err := zoo.Overlay(".", dir, f.mutant)
	if err != nil {
		return err
	}
	binary, err := s.build(ctx, f.mutant.Name, overlay)
	if err != nil {
		return err
	}
	c, err := s.cluster(ctx, binary, f.store, "cluster-"+f.mutant.Name, false)
	if err != nil {
		return err
	}
	defer s.close(c) //nolint:contextcheck // it is ended also when the context is over
	for f.trials < mutantTrials && !f.found() {
		f.trials++
		began := time.Now()
		t := newTrial(c, f.trials, f.fault, f.store, f.mutant.Name, s.options.seed, shortLengths())
		v, err := s.trial(ctx, c, t)
		f.took += time.Since(began)
		if err != nil {
			return err
		}
		for i := range v.results {
			if r := &v.results[i]; r.Bad() {
				if !slices.Contains(f.by, r.Check) {
					f.by = append(f.by, r.Check)
				}
				if f.first == "" || slices.Contains(f.mutant.Checks, r.Check) && len(r.Violations) > 0 {
					f.first = r.Undecided + first(r.Violations)
				}
			}
		}
		bounded, cancel := context.WithTimeout(ctx, 30*time.Second)
		err = c.AwaitWhole(bounded)
		cancel()
		if err != nil && !f.found() {
			return err
		}
	}
	return nil
}
