// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/resilienced/resilienced/test/robustness/cluster"
	"github.com/resilienced/resilienced/test/robustness/history"
)

// session is one call of this program.
type session struct {
	options options
	dir     string // of what is thrown away
	commit  string // of what is run
	began   time.Time
	history *os.File // nil: histories are not kept
	trials  int

	service map[string]*tally // by kind of trial
	order   []string          // of the kinds
	zoo     []*hunted
	voids   []string
	failed  []string
}

// tally is all trials of a kind.
type tally struct {
	figures figures
	void    int
	proofs  int
	proof   string // the newest
	checks  map[string]*count
}

// count is what one check saw in them.
type count struct {
	checked, violations int
	note                string // the newest
}

func (s *session) say(format string, args ...any) {
	fmt.Printf("%7.1fs  %s\n", time.Since(s.began).Seconds(), fmt.Sprintf(format, args...))
}

// cluster starts a cluster of a binary.
func (s *session) cluster(ctx context.Context, binary, store, name string, faketime bool) (*cluster.Cluster, error) {
	dir := filepath.Join(s.dir, name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	return cluster.Start(ctx, cluster.Config{
		Binary: binary, Dir: dir, Store: store, Policy: "version: 1\n", Faketime: faketime && store == cluster.Postgres,
		Skewable: true, Sync: true, Args: []string{"--drain-delay", "300ms"},
	})
}

// build makes the service, or a mutant of it.
func (s *session) build(ctx context.Context, name string, overlay map[string]string) (string, error) {
	// The service's own clock can be moved, which compiles everything anew;
	// mutants do without.
	dir := filepath.Join(s.dir, "build-"+name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	return cluster.Build(ctx, cluster.Source{Dir: dir, Overlay: overlay, Skewable: overlay == nil})
}

// trial runs one trial, keeps its history and says how it went.
func (s *session) trial(ctx context.Context, c *cluster.Cluster, t *trial) (*verdict, error) {
	v, err := t.run(ctx, c)
	if err != nil {
		return nil, err
	}
	if s.history != nil && v.history != nil {
		if err := history.Write(s.history, v.history); err != nil {
			return nil, err
		}
	}
	return v, nil
}

// press runs trials of the service itself until all kinds have had their turn,
// and then until the time is over.
func (s *session) press(ctx context.Context) error {
	binary, err := s.build(ctx, "service", nil)
	if err != nil {
		return err
	}
	var c *cluster.Cluster
	defer func() { s.close(c) }() //nolint:contextcheck // it is ended also when the context is over
	for round := 0; round == 0 || time.Since(s.began) < s.options.length; round++ {
		if c == nil {
			if c, err = s.start(ctx, binary); err != nil {
				return err
			}
		}
		for _, kind := range s.options.choose(kinds(c)) {
			if round > 0 && time.Since(s.began) >= s.options.length {
				break
			}
			if c == nil {
				if c, err = s.start(ctx, binary); err != nil {
					return err
				}
			}
			if c, err = s.turn(ctx, c, kind); err != nil {
				return err
			}
			if c != nil && s.service[kind].figures.Trials == 0 { // void: once more
				if c, err = s.turn(ctx, c, kind); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (s *session) start(ctx context.Context, binary string) (*cluster.Cluster, error) {
	began := time.Now()
	c, err := s.cluster(ctx, binary, s.options.store, fmt.Sprintf("cluster-%d", s.trials), true)
	if err != nil {
		return nil, fmt.Errorf("start the cluster: %w", err)
	}
	s.say("%d replicas on %s, started in %v", len(c.Replicas()), s.options.store, time.Since(began).Round(time.Millisecond))
	return c, nil
}

// turn runs one trial of a kind, and returns the cluster if it may be used
// again.
func (s *session) turn(ctx context.Context, c *cluster.Cluster, kind string) (*cluster.Cluster, error) {
	s.trials++
	t := newTrial(c, s.trials, kind, s.options.store, "", s.options.seed, s.options.lengths)
	v, err := s.trial(ctx, c, t)
	if err != nil {
		if ctx.Err() != nil {
			return c, err
		}
		s.say("%s: the suite failed: %v", kind, err)
		s.note(&verdict{setup: t.setup, void: err.Error()})
		s.close(c) //nolint:contextcheck // it is ended also when the context is over
		return nil, nil
	}
	s.note(v)
	bounded, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	if err := c.AwaitWhole(bounded); err != nil {
		s.failed = append(s.failed, fmt.Sprintf("trial %d, %s: the cluster does not recover: %v", s.trials, kind, err))
		s.say("%s", s.failed[len(s.failed)-1])
		s.close(c) //nolint:contextcheck // it is ended also when the context is over
		return nil, nil
	}
	if len(c.Faulty()) > 0 {
		s.close(c) //nolint:contextcheck // it is ended also when the context is over
		return nil, nil
	}
	return c, nil
}

func (s *session) close(c *cluster.Cluster) {
	if c == nil {
		return
	}
	if err := c.Close(); err != nil {
		s.say("closing the cluster: %v", err)
	}
}

// note files a verdict on the service itself.
func (s *session) note(v *verdict) {
	kind := v.setup.Fault
	t := s.service[kind]
	if t == nil {
		t = &tally{checks: map[string]*count{}}
		s.service[kind] = t
		s.order = append(s.order, kind)
	}
	if v.void != "" && !v.bad() {
		t.void++
		s.voids = append(s.voids, fmt.Sprintf("trial %d, %s: %s", v.setup.Trial, kind, v.void))
		s.say("%-36s void: %s", kind, v.void)
		return
	}
	t.figures.add(&v.figures)
	t.proofs += len(v.proofs)
	if len(v.proofs) > 0 {
		t.proof = v.proofs[len(v.proofs)-1]
	}
	for i := range v.results {
		r := &v.results[i]
		n := t.checks[r.Check]
		if n == nil {
			n = &count{}
			t.checks[r.Check] = n
		}
		n.checked += r.Checked
		n.violations += len(r.Violations) + r.More
		n.note = r.Note
		if r.Undecided != "" {
			n.violations++
			s.failed = append(s.failed, fmt.Sprintf("trial %d, %s: %s", v.setup.Trial, kind, r.Undecided))
		}
		for _, text := range r.Violations {
			s.failed = append(s.failed, fmt.Sprintf("trial %d, %s, %s: %s", v.setup.Trial, kind, r.Check, text))
		}
	}
	s.say("%-36s %s %s", kind, v.figures.short(), first(v.proofs))
	for i := range v.results {
		for _, text := range v.results[i].Violations {
			s.say("    %s: %s", v.results[i].Check, text)
		}
	}
}

func first(list []string) string {
	if len(list) == 0 {
		return ""
	}
	return list[0]
}

// mostVoid is the part of all kinds of trials, one in so many, that may have
// nothing but void ones.
const mostVoid = 4

// end says how the session went.
func (s *session) end() error {
	var missed []string
	for _, f := range s.zoo {
		if !f.ok() {
			missed = append(missed, f.mutant.Name)
		}
	}
	var void []string
	for _, kind := range s.order {
		if s.service[kind].figures.Trials == 0 {
			void = append(void, kind)
		}
	}
	switch {
	case len(s.failed) > 0:
		return fmt.Errorf("%d violations; the first: %s", len(s.failed), s.failed[0])
	case len(missed) > 0:
		return fmt.Errorf("faulty builds that no check found: %v", missed)
	case len(void)*mostVoid > len(s.service):
		return fmt.Errorf("of %d kinds of trials these have only void ones: %s; the first: %s", len(s.service), strings.Join(void, ", "), s.voids[0])
	case s.trials == 0 && len(s.zoo) == 0:
		return errors.New("nothing was run")
	}
	return nil
}
