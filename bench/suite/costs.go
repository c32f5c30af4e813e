// SPDX-License-Identifier: Apache-2.0

package suite

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/resilienced/resilienced/bench/direct"
	"github.com/resilienced/resilienced/bench/process"
	"github.com/resilienced/resilienced/bench/queue"
	"github.com/resilienced/resilienced/statestore"
)

// costsOf measures what goes into the model for a workload: transactions of
// known sizes, by one caller, and calls on an engine in memory. It also says how
// many lanes the store has.
func (s *Suite) costsOf(ctx context.Context, w workload) (c queue.Costs, lanes int, err error) {
	p, err := s.place(ctx, sharedKind)
	if err != nil {
		return c, 0, err
	}
	store, err := p.Store(ctx)
	if err != nil {
		return c, 0, err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	server, err := s.postmaster(ctx)
	if err != nil {
		return c, 0, err
	}
	b := &direct.Batches{Store: store, Hot: w.keys == queue.Hot, Own: w.keys == queue.Own, Server: server}
	sizes := s.cfg.Size.Batches
	if err := b.Prepare(ctx, sizes[len(sizes)-1]); err != nil {
		return c, 0, err
	}
	if _, err := b.Run(ctx, 1, s.cfg.Size.Warm); err != nil {
		return c, 0, err
	}
	var all []*direct.Batch
	for _, n := range sizes {
		m, err := b.Run(ctx, n, s.cfg.Size.Calibrate)
		if err != nil {
			return c, 0, err
		}
		all = append(all, m)
	}
	c.Ours = fit(all, func(m *direct.Batch) time.Duration { return m.Ours })
	c.Database = fit(all, func(m *direct.Batch) time.Duration { return m.Database })
	one := all[0]
	c.Trip = max(one.Wall-one.Ours-one.Database, 0) / 2
	b.Durability = statestore.Durable
	durable, err := b.Run(ctx, 1, s.cfg.Size.Calibrate)
	if err != nil {
		return c, 0, err
	}
	c.Flush = max(durable.Wall-one.Wall, 0)
	c.Spread = min(durable.Spread, 1)
	rules, err := s.ruleTime(ctx, w)
	c.Caller = rules / 2
	c.Ours.Command += rules - rules/2
	return c, store.Lanes(), err
}

// fit draws a line through the costs of batches: what a batch costs, and what
// each of its commands adds. Each size counts by how far the line is off in
// parts of it, so that small batches are not forgotten.
func fit(all []*direct.Batch, of func(*direct.Batch) time.Duration) queue.Work {
	var n, x, y, xx, xy float64
	for _, m := range all {
		cost := float64(of(m))
		if cost <= 0 {
			continue
		}
		weight := 1 / (cost * cost)
		k := float64(m.Commands)
		n, x, y, xx, xy = n+weight, x+weight*k, y+weight*cost, xx+weight*k*k, xy+weight*k*cost
	}
	d := n*xx - x*x
	if d == 0 {
		return queue.Work{}
	}
	each := max((n*xy-x*y)/d, 0)
	return queue.Work{Batch: time.Duration(max((y-each*x)/n, 0)), Command: time.Duration(each)}
}

// ruleTime is the processor time of a command on an engine in memory.
func (s *Suite) ruleTime(ctx context.Context, w workload) (each time.Duration, err error) {
	e, err := s.fresh(ctx, direct.Memory)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, e.Close(ctx)) }()
	if err := e.CappedRuns(ctx, w.runs); err != nil {
		return 0, err
	}
	next := w.asks(0)
	p := e.Pair(next())
	const least = 8
	calls := 0
	used := process.SelfTime()
	for begun := time.Now(); time.Since(begun) < s.cfg.Size.Calibrate || calls < least; calls += 2 {
		p.Ask = next()
		permit, err := p.Acquire(ctx)
		if err != nil {
			return 0, err
		}
		if err := p.Report(ctx, permit); err != nil {
			return 0, err
		}
	}
	return (process.SelfTime() - used) / time.Duration(calls), nil
}

// postmaster is the number of PostgreSQL's first process.
func (s *Suite) postmaster(ctx context.Context) (int, error) {
	folder, err := s.shared.server.Exec(ctx, "postgres", "SHOW data_directory")
	if err != nil {
		return 0, err
	}
	text, err := os.ReadFile(filepath.Join(folder, "postmaster.pid"))
	if err != nil {
		return 0, err
	}
	first, _, _ := strings.Cut(string(text), "\n")
	pid, err := strconv.Atoi(first)
	if err != nil {
		return 0, fmt.Errorf("postmaster.pid: %w", err)
	}
	return pid, nil
}
