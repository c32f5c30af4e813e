// SPDX-License-Identifier: Apache-2.0

// Package suite is the measurements: what is compared with what, under which
// load, and which goals of the design the figures are held against.
package suite

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/resilienced/resilienced/bench/direct"
	"github.com/resilienced/resilienced/bench/page"
	"github.com/resilienced/resilienced/bench/process"
	"github.com/resilienced/resilienced/bench/sitting"
)

// Config says how to measure.
type Config struct {
	// Program is started again for each server; it calls process.ServeChild.
	Program string
	// Folder holds databases; its disk is the one measured.
	Folder string
	// Profiles is where profiles are kept; empty: they are not.
	Profiles string
	// Progress is told what goes on.
	Progress io.Writer
	// Size is how much is measured.
	Size Size
	// Only names the parts to run; empty: all.
	Only []string
}

// Size is how much is measured.
type Size struct {
	Callers  []int
	Rounds   int
	Slice    time.Duration // of load on a subject, in a round
	Settle   time.Duration // before each slice, not counted
	Warm     time.Duration // before a sitting
	Open     time.Duration // of an open loop
	Attempts int           // at one sitting, as long as it is void
	Repeats  int           // of all void sittings together
	// Profile is how long a profile is taken; 0: none is.
	Profile time.Duration
	// Allocations says whether allocations are counted, which takes seconds.
	Allocations bool

	// What follows is of the page of PostgreSQL.

	Unsafe bool // its commits do not wait for the disk, so that a short run is short

	Connections []int         // of bare updates
	Runs        int           // that work is spread over
	Rings       int           // of a bell in a round
	Few, Many   Growth        // records that are there
	Records     int           // of a kind whose bytes are counted
	Steady      time.Duration // until as many operations are deleted as are made
	Simulated   time.Duration // by the model, for each of its figures
	Waits       time.Duration // that processes of the server are looked at
	Calibrate   time.Duration // that a batch of one size is repeated
	Batches     []int         // that are repeated
}

// Growth is how many records there are.
type Growth struct{ Runs, Targets int }

// Full is what the published figures come from.
func Full() Size {
	return Size{
		Callers: []int{1, 16, 64, 256}, Rounds: 8, Slice: 300 * time.Millisecond, Settle: 40 * time.Millisecond,
		Warm: 300 * time.Millisecond, Open: 2500 * time.Millisecond, Attempts: 3, Repeats: 8,
		Profile: 3 * time.Second, Allocations: true,
		Connections: []int{1, 4, 16, 32}, Runs: 10_000, Rings: 50, Few: Growth{1_000, 100}, Many: Growth{1_000_000, 100_000}, Records: 20_000,
		Steady: 80 * time.Second, Simulated: 4 * time.Second, Waits: 3 * time.Second, Calibrate: time.Second, Batches: []int{1, 16, 64, 256},
	}
}

// Short shows that everything runs. Its figures mean nothing.
func Short() Size {
	return Size{
		Callers: []int{1, 16}, Rounds: 1, Slice: 30 * time.Millisecond, Settle: 5 * time.Millisecond,
		Warm: 10 * time.Millisecond, Open: 100 * time.Millisecond, Attempts: 1,
		Unsafe: true, Connections: []int{1, 4}, Runs: 20, Rings: 3, Few: Growth{10, 5}, Many: Growth{100, 20}, Records: 100,
		Steady: 100 * time.Millisecond, Simulated: 20 * time.Millisecond, Waits: 50 * time.Millisecond, Calibrate: 10 * time.Millisecond, Batches: []int{1, 8},
	}
}

// Suite runs the measurements of one page. Close it.
type Suite struct {
	cfg      Config
	parts    []part
	begin    time.Time
	busy     time.Duration // of the machine when the suite began
	own      time.Duration // of this process and its children, the same
	policy   string
	canned   process.Spec
	voids    []sitting.Void
	controls []float64
	passed   int // calls that were made again
	goals    []page.Goal
	sections []page.Section
	rates    map[string]float64 // closed-loop operations a second, by subject
	echoes   [2]*process.Child
	plain    *process.Child // of Alone
	shared   *shared        // of Shared
	scaling  *Scaling       // of Shared, after Run
}

// part is a measurement.
type part struct {
	name string
	run  func(context.Context) error
}

// Alone is the page of one replica, which has its records in memory or in a
// file.
func Alone(ctx context.Context, cfg Config) (*Suite, error) {
	s, err := begin(ctx, cfg)
	if err != nil {
		return nil, err
	}
	s.parts = []part{
		{"unary", s.unary},
		{"durable", s.durable},
		{"engine", s.engine},
		{"open", s.open},
		{"allocations", s.allocations},
		{"profile", s.profile},
	}
	if s.plain, err = s.start(ctx, process.Plain); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// begin starts the servers that all measurements share.
func begin(ctx context.Context, cfg Config) (*Suite, error) {
	s := &Suite{
		cfg: cfg, begin: time.Now(), busy: process.MachineTime(), own: process.OwnTime(),
		policy: filepath.Join(cfg.Folder, "policy.yaml"), rates: map[string]float64{},
	}
	if err := os.WriteFile(s.policy, []byte(direct.Policy), 0o600); err != nil {
		return nil, err
	}
	if err := s.learn(ctx); err != nil {
		return nil, fmt.Errorf("get answers to can: %w", err)
	}
	var err error
	for i := range s.echoes {
		if s.echoes[i], err = s.start(ctx, process.Echo); err != nil {
			return nil, errors.Join(err, s.Close())
		}
	}
	return s, nil
}

// Close ends the servers. A second call does nothing.
func (s *Suite) Close() error {
	var errs []error
	for _, c := range []**process.Child{&s.echoes[0], &s.echoes[1], &s.plain} {
		if *c != nil {
			errs = append(errs, (*c).Close())
			*c = nil
		}
	}
	if s.shared != nil {
		errs = append(errs, s.shared.close())
		s.shared = nil
	}
	return errors.Join(errs...)
}

// Parts are the names that Config.Only may hold.
const Parts = "unary,durable,engine,open,allocations,profile," +
	"pg-limits,pg-engine,pg-service,pg-replicas,pg-trip,pg-growth,pg-storage,pg-model,pg-example,pg-profile"

// Run runs all measurements, or those that the configuration names, and ends
// the servers. Without a measurement that was named there is no page.
func (s *Suite) Run(ctx context.Context) (*page.Page, error) {
	if len(s.cfg.Only) > 0 && !slices.ContainsFunc(s.parts, func(p part) bool { return slices.Contains(s.cfg.Only, p.name) }) {
		return nil, s.Close()
	}
	for _, p := range s.parts {
		if len(s.cfg.Only) > 0 && !slices.Contains(s.cfg.Only, p.name) {
			continue
		}
		if err := p.run(ctx); err != nil {
			return nil, fmt.Errorf("%s: %w", p.name, err)
		}
	}
	about := s.about()
	if s.shared != nil {
		s.scaling = s.scale(ctx)
	}
	// What the servers have used is known once they have ended.
	if err := s.Close(); err != nil {
		return nil, err
	}
	return s.page(ctx, about), nil
}

// say writes a line of progress.
func (s *Suite) say(format string, args ...any) {
	took := time.Since(s.begin).Round(time.Second)
	_, _ = fmt.Fprintf(s.cfg.Progress, "%5s  %s\n", took, fmt.Sprintf(format, args...)) // nobody may be looking
}

// start starts a server in a process of its own.
func (s *Suite) start(ctx context.Context, kind process.Kind) (*process.Child, error) {
	spec, err := s.spec(ctx, kind)
	if err != nil {
		return nil, err
	}
	return process.Start(ctx, s.cfg.Program, spec, s.cfg.Progress)
}

// spec says what a server is to serve; a node has a store of its own.
func (s *Suite) spec(ctx context.Context, kind process.Kind) (process.Spec, error) {
	spec := process.Spec{Kind: kind}
	switch kind {
	case process.Echo, process.Plain:
		spec.Acquire, spec.Report = s.canned.Acquire, s.canned.Report
		return spec, nil
	default:
	}
	p, err := s.place(ctx, direct.Kind(kind))
	spec.DataDir, spec.DSN, spec.PolicyFile = p.Folder, p.DSN, s.policy
	return spec, err
}

// learn gets a real answer to an Acquire and to a Report, for the echoes.
func (s *Suite) learn(ctx context.Context) (err error) {
	n, err := s.serve(ctx, process.Memory, 1)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, n.close()) }()
	a := n.client.agent(0, direct.Ask{Target: direct.Target})
	grant, err := a.ask(ctx)
	if err != nil {
		return err
	}
	directive, err := a.tell(ctx, grant.GetPermit())
	if err != nil {
		return err
	}
	if s.canned.Acquire, err = grant.MarshalVT(); err != nil {
		return err
	}
	s.canned.Report, err = directive.MarshalVT()
	return err
}

// sizes says how large the messages of the unary measurement are.
func (s *Suite) sizes() (request, response int) {
	return newAgent(nil, 1, direct.Ask{Target: direct.Target}).next().SizeVT(), len(s.canned.Acquire)
}
