// SPDX-License-Identifier: Apache-2.0

package suite

import (
	"context"
	"fmt"
	"math"
	"runtime"
	"strconv"
	"time"

	"github.com/resilienced/resilienced/bench/page"
	"github.com/resilienced/resilienced/bench/queue"
)

// errs is how far the model may be off before nothing is predicted from it.
const errs = 0.25

// What the engine has: the largest batch, and when a transaction is begun beside
// another.
const (
	modelBatch   = 512
	secondBatch  = 32
	secondHold   = 5 * time.Millisecond
	secondMargin = 300 * time.Microsecond
)

// simulated is a workload with what the model says of it.
type simulated struct {
	workload
	costs  queue.Costs
	lanes  int
	points map[at]point
}

// model measures what goes into the model, runs it, and sets what comes out
// beside what was measured.
func (s *Suite) model(ctx context.Context) error {
	inputs := &page.Table{Head: []string{
		"workload", "caller", "our batch", "and a command", "PostgreSQL's batch", "and a command", "a trip", "the flush", "spread",
	}}
	t := forecastTable()
	for _, w := range []workload{hotCapped(), s.spreadRuns(1), healthy()} {
		m := &simulated{workload: w, points: map[at]point{}}
		err := s.steady(ctx, "the model's costs", func(ctx context.Context) (err error) {
			m.costs, m.lanes, err = s.costsOf(ctx, w)
			return err
		})
		if err != nil {
			return err
		}
		c := m.costs
		inputs.Add(w.name, took(c.Caller), took(c.Ours.Batch), took(c.Ours.Command), took(c.Database.Batch), took(c.Database.Command), took(c.Trip), took(c.Flush), page.Ratio(c.Spread))
		for _, replicas := range []int{1, replicated} {
			for _, callers := range s.cfg.Size.Callers {
				if callers < replicas {
					continue
				}
				if err := s.forecast(t, m, replicas, callers); err != nil {
					return err
				}
			}
		}
		s.shared.simulated = append(s.shared.simulated, m)
		s.say("model: %s", w.name)
	}
	s.shared.tables[TableCosts], s.shared.tables[TableModel] = inputs, t
	var err error
	if s.shared.tables[TableDistance], err = s.distances(s.shared.simulated[0]); err != nil {
		return err
	}
	s.sections = append(s.sections, page.Section{Title: "(n) The model against what was measured", Parts: []page.Part{
		{Text: "What goes into the model (`bench/queue`), measured one at a time: transactions of 1, 16, 64 and 256 commands through the store by one caller, with the processor time that our process and PostgreSQL's used for them; " +
			"the same without and with the disk; and calls on an engine in memory, of which half is counted to the caller and half to the batch. No figure of the curves below goes in."},
		{Table: inputs},
		{Text: fmt.Sprintf("What comes out, for %d processors. Where it is off by more than a quarter of what was measured, the row says so, and nothing is to be predicted from it.", runtime.NumCPU())},
		{Table: t},
	}})
	return nil
}

func forecastTable() *page.Table {
	return &page.Table{Head: []string{
		"workload", "replicas", "callers", "commands/s, simulated", "measured", "off by", "commands a commit, simulated", "measured", "p50, simulated", "measured", "p99, simulated", "measured", "",
	}}
}

// took is a cell with a duration; short ones have a digit behind the point.
func took(d time.Duration) string {
	if d < 100*time.Microsecond {
		return fmt.Sprintf("%.1f µs", float64(d)/float64(time.Microsecond))
	}
	return page.Time(float64(d))
}

// model is the workload on replicas that do as the engine does.
func (m *simulated) model(c queue.Costs, replicas, callers int, long time.Duration) queue.Model {
	return queue.Model{
		Costs: c, Callers: callers, Replicas: replicas, Lanes: m.lanes, Cores: runtime.NumCPU(), MaxBatch: modelBatch,
		Second: queue.Second{Batch: secondBatch, Hold: secondHold, Margin: secondMargin},
		Keys:   m.keys, Rebuildable: m.rebuildable, For: long, Seed: 1,
	}
}

// forecast runs the model for one row.
func (s *Suite) forecast(t *page.Table, m *simulated, replicas, callers int) error {
	r, err := m.model(m.costs, replicas, callers, s.cfg.Size.Simulated).Run()
	if err != nil {
		return err
	}
	where := at{replicas, m.name, callers}
	sim := point{rate: r.Rate(), batch: r.Batch(), p50: float64(r.Quantile(50)), p99: float64(r.Quantile(99))}
	m.points[where] = sim
	got, measured := s.shared.points[where]
	if !measured {
		t.Add(m.name, strconv.Itoa(replicas), strconv.Itoa(callers), page.Count(sim.rate), "–", "–", page.Plain(sim.batch), "–", page.Time(sim.p50), "–", page.Time(sim.p99), "–", "not measured")
		return nil
	}
	t.Add(m.name, strconv.Itoa(replicas), strconv.Itoa(callers), page.Count(sim.rate), page.Count(got.rate), percentOff(sim.rate, got.rate),
		page.Plain(sim.batch), page.Plain(got.batch), page.Time(sim.p50), page.Time(got.p50), page.Time(sim.p99), page.Time(got.p99), judged(sim, got))
	return nil
}

// percentOff is how far a figure is from the one that was measured.
func percentOff(sim, got float64) string {
	if got == 0 {
		return "–"
	}
	return fmt.Sprintf("%+.0f %%", 100*(sim/got-1))
}

// judged says what a row may be used for.
func judged(sim, got point) string {
	off := func(a, b float64) bool { return b == 0 || math.Abs(a/b-1) > errs }
	switch {
	case got.void:
		return "void sitting"
	case off(sim.rate, got.rate) && off(sim.batch, got.batch):
		return "**errs** in throughput and batch"
	case off(sim.rate, got.rate):
		return "**errs** in throughput"
	case off(sim.batch, got.batch):
		return "errs in batch"
	default:
		return "holds"
	}
}

// distances says what a way to the database adds, from a machine beside it to
// another continent: the least that a command can take, and, where the model
// holds, what it says.
func (s *Suite) distances(m *simulated) (*page.Table, error) {
	callers := s.cfg.Size.Callers[len(s.cfg.Size.Callers)-1]
	t := &page.Table{Head: []string{"round trip to the database", "a command alone, at least", fmt.Sprintf("commands/s, simulated, %d callers", callers), "p50, simulated"}}
	got, measured := s.shared.points[at{1, m.name, callers}]
	holds := measured && judged(m.points[at{1, m.name, callers}], got) == "holds"
	for _, way := range []time.Duration{0, 250 * time.Microsecond, time.Millisecond, 5 * time.Millisecond, 30 * time.Millisecond, 80 * time.Millisecond} {
		c := m.costs
		c.Trip += way
		least := c.Caller + c.Ours.Of(1) + c.Database.Of(1) + 2*c.Trip + c.Flush
		name := "+ " + page.Time(float64(way))
		if way == 0 {
			name = "as measured, on one machine"
		}
		if !holds {
			t.Add(name, page.Time(float64(least)), "–", "–")
			continue
		}
		r, err := m.model(c, 1, callers, 4*s.cfg.Size.Simulated).Run()
		if err != nil {
			return nil, err
		}
		t.Add(name, page.Time(float64(least)), page.Count(r.Rate()), page.Time(float64(r.Quantile(50))))
	}
	return t, nil
}
