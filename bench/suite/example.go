// SPDX-License-Identifier: Apache-2.0

package suite

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/resilienced/resilienced/bench/direct"
	"github.com/resilienced/resilienced/bench/load"
	"github.com/resilienced/resilienced/bench/page"
	"github.com/resilienced/resilienced/bench/process"
)

// The worked example: agents that each make so many calls a second, and ask
// before and report after each.
const (
	exampleAgents = 400
	exampleCalls  = 5 // a second, of an agent
)

// asking is a load at a fixed rate, with what it used.
type asking struct {
	r           *load.Result
	database    time.Duration // processor time of PostgreSQL in the window
	wal         float64       // bytes in the window
	behind      bool
	replicas    int
	connections int
}

// example asks the service at the rate of the worked example.
func (s *Suite) example(ctx context.Context) error {
	t := &page.Table{Head: []string{
		"what", "replicas", "measured after", "calls/s asked", "answered", "p50 / p99 of an RPC", "RPCs a commit", "commits/s", "processors, resilienced", "processors, PostgreSQL", "WAL a call", "connections",
	}}
	part := 1.0
	if !s.cfg.Size.Allocations { // a short run
		part = 0.05
	}
	rate := part * exampleAgents * exampleCalls
	for _, c := range []struct {
		name     string
		replicas int
		warm     time.Duration
		asks     func(caller int) direct.Ask
	}{
		{"a capped run for each agent", 1, s.cfg.Size.Steady, func(i int) direct.Ask { return direct.Ask{Run: direct.RunOf(i % exampleAgents), Target: direct.Target} }},
		{"one capped run for all", 1, s.cfg.Size.Open, func(int) direct.Ask { return direct.Ask{Run: hotRun, Target: direct.Target} }},
		{"no run, one healthy target", 1, s.cfg.Size.Open, func(int) direct.Ask { return direct.Ask{Target: direct.Target} }},
		{"a capped run for each agent", replicated, s.cfg.Size.Open, func(i int) direct.Ask { return direct.Ask{Run: direct.RunOf(i % exampleAgents), Target: direct.Target} }},
	} {
		var a *asking
		err := s.steady(ctx, "worked example", func(ctx context.Context) (err error) {
			a, err = s.askAt(ctx, rate, c.replicas, c.warm, c.asks)
			return err
		})
		if err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		s.say("worked example: %s, %d replicas", c.name, c.replicas)
		cells := []string{c.name, strconv.Itoa(c.replicas), c.warm.String(), page.Count(rate)}
		if a.behind {
			t.Add(append(cells, "fell behind", "", "", "", "", "", "", strconv.Itoa(a.connections))...)
			continue
		}
		window := a.r.Window.Seconds()
		t.Add(append(cells, page.Count(a.r.Rate()), times(a.r), page.Plain(callsPerCommit(a.r)), page.Count(float64(a.r.Used.Commits)/window),
			page.Ratio(a.r.Used.CPU.Seconds()/window), page.Ratio(a.database.Seconds()/window), bytesText(a.wal/float64(max(a.r.Ops, 1))), strconv.Itoa(a.connections))...)
		s.shared.asked = append(s.shared.asked, a)
	}
	s.shared.tables[TableExample] = t
	s.sections = append(s.sections, page.Section{Title: "(o) The worked example", Parts: []page.Part{
		{Text: fmt.Sprintf("%d agents, %d calls a second each; a call is an Acquire and a Report. They fall due evenly, whether or not earlier ones are answered. "+
			"Load generator, service and PostgreSQL share this machine's processors; those of the load generator are not counted. "+
			"After a minute the first operations are deleted again; only the row that is measured later has that in it.", exampleAgents, exampleCalls)},
		{Table: t},
	}})
	return nil
}

// askAt asks nodes on PostgreSQL at a fixed rate.
func (s *Suite) askAt(ctx context.Context, rate float64, replicas int, warm time.Duration, asks func(caller int) direct.Ask) (a *asking, err error) {
	var f fleet
	defer func() { err = errors.Join(err, f.close()) }()
	all, err := s.nodes(ctx, &f, sharedNode, replicas)
	if err != nil {
		return nil, err
	}
	c, err := dial(exampleAgents, all.addresses()...)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, c.close()) }()
	started := map[string]bool{}
	for i := range exampleAgents {
		if run := asks(i).Run; run != "" && !started[run] {
			started[run] = true
			if err := c.startRun(ctx, run); err != nil {
				return nil, err
			}
		}
	}
	server, err := s.postmaster(ctx)
	if err != nil {
		return nil, err
	}
	a = &asking{replicas: replicas}
	var before, after used
	probe := func(ctx context.Context) (load.Reading, error) {
		before = after
		var err error
		if after, err = s.used(ctx, server); err != nil {
			return load.Reading{}, err
		}
		return all.Read(ctx)
	}
	ops := func(caller int) load.Op { return c.pairsOf(asks(caller))(caller) }
	loop := load.Open{Rate: rate, Callers: exampleAgents, Warm: warm, For: 2 * s.cfg.Size.Open}
	a.r, err = loop.Run(ctx, ops, probe)
	a.database, a.wal, a.connections = after.cpu-before.cpu, after.wal-before.wal, after.connections
	if errors.Is(err, load.ErrBehind) || errors.Is(err, load.ErrNoRate) {
		a.behind, err = true, nil
	}
	return a, err
}

// used is what PostgreSQL has used since it began.
type used struct {
	cpu         time.Duration
	wal         float64
	connections int
}

func (s *Suite) used(ctx context.Context, server int) (u used, err error) {
	text, err := s.shared.server.Exec(ctx, "postgres", "SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn, "+
		"(SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid())")
	if err != nil {
		return u, err
	}
	wal, connections, _ := strings.Cut(text, "|")
	if u.wal, err = strconv.ParseFloat(wal, 64); err != nil {
		return u, err
	}
	if u.connections, err = strconv.Atoi(connections); err != nil {
		return u, err
	}
	u.cpu, err = process.TreeTime(server)
	return u, err
}
