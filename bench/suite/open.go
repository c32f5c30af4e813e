// SPDX-License-Identifier: Apache-2.0

package suite

import (
	"context"
	"errors"
	"fmt"

	"github.com/resilienced/resilienced/bench/load"
	"github.com/resilienced/resilienced/bench/page"
	"github.com/resilienced/resilienced/bench/process"
)

// openCallers is how many callers the closed loop has whose throughput an open
// loop is a part of, and openLimit how many calls an open loop may have under
// way.
const (
	openCallers = 64
	openLimit   = 256
)

// openSubject is a server with what is asked of it.
type openSubject struct {
	name    string
	child   *process.Child // nil: one of its own
	kind    process.Kind
	run     string
	callers func(*client) load.Callers
}

// open measures latencies at a part of what the closed loop reaches.
func (s *Suite) open(ctx context.Context) error {
	t := &page.Table{Head: []string{"what", "of its closed loop", "asked/s", "answered/s", "p50", "p99", "p99.9"}}
	acquire := func(c *client) load.Callers { return c.acquires() }
	pair := func(c *client) load.Callers { return c.pairs(hotRun) }
	for _, o := range []openSubject{
		{"bare echo", s.echoes[0], "", "", acquire},
		{"Acquire, memory", nil, process.Memory, "", acquire},
		{"Acquire and Report, one capped run, memory", nil, process.Memory, hotRun, pair},
		{"Acquire and Report, one capped run, SQLite", nil, process.SQLite, hotRun, pair},
	} {
		if err := s.openRows(ctx, t, o); err != nil {
			return fmt.Errorf("%s: %w", o.name, err)
		}
		s.say("open loop: %s", o.name)
	}
	s.sections = append(s.sections, page.Section{Title: "(e) Open loop", Parts: []page.Part{
		{Text: fmt.Sprintf("Operations fall due evenly, at a part of the throughput that %d callers reach in a closed loop, measured just before. An operation is timed from when it was due, so waiting behind a slow one counts. The latency is of one call; the second call of a pair begins when the first has ended.", openCallers)},
		{Table: t},
	}})
	return nil
}

func (s *Suite) openRows(ctx context.Context, t *page.Table, o openSubject) (err error) {
	child := o.child
	if child == nil {
		if child, err = s.start(ctx, o.kind); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, child.Close()) }()
	}
	v, err := reach(child, openLimit)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, v.close()) }()
	if o.run != "" {
		if err := v.client.startRun(ctx, o.run); err != nil {
			return err
		}
	}
	closed := load.Closed{Callers: openCallers, Warm: s.cfg.Size.Open / 8, For: s.cfg.Size.Open / 3}
	reached, err := closed.Run(ctx, o.callers(v.client), child.Read)
	if err != nil {
		return err
	}
	for _, part := range []float64{0.5, 0.8} {
		loop := load.Open{Rate: part * reached.Rate(), Callers: openLimit, Warm: s.cfg.Size.Open / 8, For: s.cfg.Size.Open}
		r, err := loop.Run(ctx, o.callers(v.client), child.Read)
		cells := []string{o.name, fmt.Sprintf("%.0f %%", 100*part), page.Count(loop.Rate)}
		switch {
		case errors.Is(err, load.ErrBehind):
			t.Add(append(cells, "fell behind", "", "", "")...)
			return nil
		case errors.Is(err, load.ErrNoRate):
			t.Add(append(cells, "too slow to measure", "", "", "")...)
			return nil
		case err != nil:
			return err
		}
		t.Add(append(cells, page.Count(r.Rate()), page.Time(r.Quantile(50)), page.Time(r.Quantile(99)), page.Time(r.Quantile(99.9)))...)
	}
	return nil
}
