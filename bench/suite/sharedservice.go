// SPDX-License-Identifier: Apache-2.0

package suite

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/resilienced/resilienced/bench/direct"
	"github.com/resilienced/resilienced/bench/load"
	"github.com/resilienced/resilienced/bench/page"
	"github.com/resilienced/resilienced/bench/process"
	"github.com/resilienced/resilienced/bench/sitting"
)

// The service's subjects.
const (
	pgName  = "PostgreSQL"
	pgThree = "PostgreSQL, 3 replicas"
)

// servedWork is what is asked of the service.
type servedWork struct {
	name string
	ask  direct.Ask
}

// sharedService holds Acquire and Report on PostgreSQL against the same on
// memory.
func (s *Suite) sharedService(ctx context.Context) error {
	s.sections = append(s.sections, page.Section{Title: "(i) Acquire and Report, PostgreSQL against memory", Parts: []page.Part{{Text: "" +
		"An operation is an Acquire and its Report over gRPC; the latencies are of one call. " +
		"\"One commit\" is an UPDATE of one row in a transaction, by one connection alone, in the same sitting. " +
		"Without a run and without slots nothing is durable, and no call waits for the disk. " +
		"With three replicas the same callers are spread over three servers on the same two processors."}}})
	for _, w := range []servedWork{
		{"Without a run", direct.Ask{Target: direct.Target}},
		{"On one hot capped run", direct.Ask{Run: hotRun, Target: direct.Target}},
		{"On one hot slotted target", direct.Ask{Target: direct.Slotted}},
	} {
		t := &page.Table{Head: []string{
			"callers", "PostgreSQL ÷ memory", "PostgreSQL/s", "memory/s", "PostgreSQL p50 / p99", "memory p50 / p99", "one commit",
			"PostgreSQL p50, p99 in commits", "memory p50, p99 in commits", "calls a commit", "server CPU ÷ memory", "3 replicas ÷ 1", "control",
		}}
		for _, callers := range s.cfg.Size.Callers {
			r, err := s.again(ctx, func(ctx context.Context) (*sitting.Result, error) { return s.sharedServiceSitting(ctx, callers, w) })
			if err != nil {
				return err
			}
			t.Add(strconv.Itoa(callers),
				ratio(r, pgName, memoryName, (*load.Result).Rate),
				figure(r, pgName, (*load.Result).Rate, page.Count), figure(r, memoryName, (*load.Result).Rate, page.Count),
				latency(r, pgName), latency(r, memoryName), figure(r, commitName, p50, page.Time),
				inCommits(r, pgName), inCommits(r, memoryName), figure(r, pgName, callsPerCommit, page.Plain),
				ratio(r, pgName, memoryName, (*load.Result).CPU), ratio(r, pgThree, pgName, (*load.Result).Rate), control(r))
			if w.ask.Run != "" {
				s.servedFigures(r, callers)
			}
		}
		s.sections = append(s.sections, page.Section{Title: w.name, Nested: true, Parts: []page.Part{{Table: t}}})
	}
	return nil
}

// servedFigures keeps what the worked example needs, and sets the goals.
func (s *Suite) servedFigures(r *sitting.Result, callers int) {
	s.shared.service = append(s.shared.service, serviceFigure{
		callers: callers, rate: r.Figure(pgName, (*load.Result).Rate).Median, cpu: r.Figure(pgName, (*load.Result).CPU).Median,
		p50: r.Figure(pgName, p50).Median, p99: r.Figure(pgName, p99).Median, batch: r.Figure(pgName, callsPerCommit).Median, void: r.Void(),
	})
	if callers != cappedAt {
		return
	}
	at := fmt.Sprintf(", one hot capped run, %d callers", cappedAt)
	s.goal(r, page.Goal{
		What: "(i) Acquire and Report, PostgreSQL ÷ memory" + at, Want: 0.4,
		Got: r.Ratio(pgName, memoryName, (*load.Result).Rate).Median,
	})
	s.goal(r, page.Goal{What: "(i) p50 of a call on PostgreSQL" + at, Unit: " commits", Want: 2.5, AtMost: true, Got: commitsOf(r, pgName, p50)})
	s.goal(r, page.Goal{What: "(i) p99 of a call on PostgreSQL" + at, Unit: " commits", Want: 5, AtMost: true, Got: commitsOf(r, pgName, p99)})
}

// serviceFigure is what the service does on one hot capped run.
type serviceFigure struct {
	callers                    int
	rate, cpu, p50, p99, batch float64 // pairs a second; nanoseconds, of the server's processors for a pair
	void                       bool
}

func (s *Suite) sharedServiceSitting(ctx context.Context, callers int, w servedWork) (r *sitting.Result, err error) {
	var f fleet
	defer func() { err = errors.Join(err, f.close()) }()
	var open benches
	defer func() { err = errors.Join(err, open.end(ctx)) }()
	closed := s.closed(callers)
	subjects, err := s.echoSubjects(&f, closed, func(c *client) load.Callers { return c.pairsOf(w.ask) })
	if err != nil {
		return nil, err
	}
	for _, n := range []struct {
		name string
		kind process.Kind
		many int
	}{{memoryName, process.Memory, 1}, {pgName, sharedNode, 1}, {pgThree, sharedNode, replicated}} {
		nodes, err := s.nodes(ctx, &f, n.kind, n.many)
		if err != nil {
			return nil, err
		}
		c, err := dial(callers, nodes.addresses()...)
		if err != nil {
			return nil, err
		}
		open.ends(func(context.Context) error { return c.close() })
		if w.ask.Run != "" {
			if err := c.startRun(ctx, w.ask.Run); err != nil {
				return nil, err
			}
		}
		subjects = append(subjects, s.under(n.name, callers, c.pairsOf(w.ask), nodes.Read))
	}
	rows, err := s.rows(ctx, 1)
	if err != nil {
		return nil, err
	}
	open.ends(rows.Close)
	subjects = append(subjects, s.under(commitName, 1, rows.Hot, nil))
	if err := s.warm(ctx, subjects); err != nil {
		return nil, err
	}
	return sitting.Plan{
		Name: fmt.Sprintf("Acquire and Report on PostgreSQL, %s, %d callers", w.name, callers), Rounds: s.cfg.Size.Rounds,
		Subjects: subjects, Control: [2]string{echoA, echoB},
	}.Hold(ctx)
}

// nodes are servers on one store.
type nodes []*served

// nodes starts servers on one store.
func (s *Suite) nodes(ctx context.Context, f *fleet, kind process.Kind, many int) (nodes, error) {
	spec, err := s.spec(ctx, kind)
	if err != nil {
		return nil, err
	}
	var all nodes
	for range many {
		child, err := process.Start(ctx, s.cfg.Program, spec, s.cfg.Progress)
		if err != nil {
			return nil, err
		}
		v, err := f.add(reach(child, 1))
		if err != nil {
			return nil, errors.Join(err, child.Close())
		}
		v.own = true
		all = append(all, v)
	}
	return all, nil
}

func (n nodes) addresses() []string {
	var all []string
	for _, v := range n {
		all = append(all, v.child.Address)
	}
	return all
}

// Read is a load.Probe of all together.
func (n nodes) Read(ctx context.Context) (load.Reading, error) {
	var sum load.Reading
	for _, v := range n {
		r, err := v.child.Read(ctx)
		if err != nil {
			return sum, err
		}
		sum.CPU += r.CPU
		sum.Commits += r.Commits
		sum.Memory += r.Memory
	}
	return sum, nil
}
