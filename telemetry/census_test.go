// SPDX-License-Identifier: Apache-2.0

package telemetry

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/resilienced/resilienced/engine"
	"github.com/resilienced/resilienced/rules/budget"
	"github.com/resilienced/resilienced/rules/classify"
	"github.com/resilienced/resilienced/rules/deadletter"
	"github.com/resilienced/resilienced/rules/operation"
)

// The gauges of state are right after a restart, for they are the store's.
func TestGaugesAfterARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := open(t, nil, "")
		for _, run := range []string{"a", "b", "c"} {
			if _, err := w.engine.StartRun(t.Context(), &engine.StartRunRequest{Namespace: "n", RunID: run, Caps: budget.Caps{Calls: new(int64(1))}}); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := w.engine.FinishRun(t.Context(), &engine.EndRunRequest{Namespace: "n", RunID: "a", RequestID: "q"}); err != nil {
			t.Fatal(err)
		}
		for range 20 { // until the breaker opens
			g := w.acquire(engine.AcquireRequest{Target: "down", Idempotency: operation.Idempotent})
			if g.Grant == nil {
				break
			}
			w.report(engine.ReportRequest{PermitID: g.Grant.PermitID, Signal: bad})
		}
		g := w.acquire(engine.AcquireRequest{Target: "secret", RunID: "b"})
		w.report(engine.ReportRequest{
			PermitID: g.Grant.PermitID, Envelope: &deadletter.Envelope{},
			Signal: classify.Signal{Outcome: classify.OutcomeFailure, HTTPStatus: 402, BodyCode: "insufficient_quota"},
		})
		before := scrape(t, w.metrics.Handler())
		w.close(true)

		again := open(t, w.store, "")
		defer again.close()
		after := scrape(t, again.metrics.Handler())
		for _, name := range []string{
			"resilienced_breaker_state", "resilienced_runs_active", "resilienced_dead_letters_open",
			"resilienced_retry_budget_ratio", "resilienced_escalations_open",
		} {
			if was, is := series(before, name), series(after, name); !slices.Equal(was, is) {
				t.Errorf("%s: %v before the restart, %v after it", name, was, is)
			}
		}
		again.expect(map[string][]string{
			"resilienced_breaker_state":     {`{state="CLOSED",target="secret"} 1`, `{state="OPEN",target="down"} 1`},
			"resilienced_runs_active":       {`{} 1`},
			"resilienced_dead_letters_open": {`{target="secret"} 1`},
		})
		if ratio := after["resilienced_retry_budget_ratio"].GetMetric()[0].GetGauge().GetValue(); ratio <= 0 || ratio >= 1 {
			t.Errorf("the ratio of a target that used retries is %v", ratio)
		}
	})
}

// slow is a Source whose reading takes a while, and may fail.
type slow struct {
	mu     sync.Mutex
	takes  time.Duration
	fails  error
	reads  int
	active int
}

func (s *slow) Census(ctx context.Context, to engine.Tally) error {
	s.mu.Lock()
	s.reads++
	takes, fails, active := s.takes, s.fails, s.active
	s.mu.Unlock()
	select {
	case <-time.After(takes):
	case <-ctx.Done():
		return ctx.Err()
	}
	for range active {
		to.Run(budget.Active)
	}
	return fails
}

func (s *slow) set(takes time.Duration, fails error, active int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.takes, s.fails, s.active = takes, fails, active
}

// done is how many readings began.
func (s *slow) done() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.reads
}

func (s *slow) Stats() engine.Stats       { return engine.Stats{} }
func (s *slow) TargetNames() []string     { return nil }
func (s *slow) Named(string, string) bool { return false }

func TestTheStoreIsReadSeldom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, s := New(Config{}), &slow{active: 1}
		m.Watch(s)
		defer m.Close()
		active := func() float64 {
			f := scrape(t, m.Handler())["resilienced_runs_active"]
			if f == nil {
				return -1
			}
			return f.GetMetric()[0].GetGauge().GetValue()
		}
		check := func(what string, got float64, value float64, reads int) {
			t.Helper()
			if done := s.done(); got != value || done != reads {
				t.Errorf("%s: %v after %d readings, want %v after %d", what, got, done, value, reads)
			}
		}
		check("at first", active(), 1, 1)
		s.set(0, nil, 2)
		check("at once again", active(), 1, 1)
		time.Sleep(time.Second)
		check("a second later", active(), 2, 2)

		s.set(time.Hour, nil, 3)
		time.Sleep(time.Second)
		start := time.Now()
		check("of a long reading", active(), 2, 3)
		if took := time.Since(start); took != censusPatience {
			t.Errorf("a scrape waited %s for the store", took)
		}
		time.Sleep(30 * time.Minute)
		check("while it goes on", active(), 2, 3)
		time.Sleep(time.Hour)
		check("after it", active(), 3, 3)
		s.set(0, nil, 4)
		time.Sleep(18 * time.Hour)
		check("while the store rests", active(), 3, 3)
		time.Sleep(2 * time.Hour)
		check("after its rest", active(), 4, 4)

		s.set(0, errors.New("no"), 9)
		time.Sleep(time.Second)
		check("of a failed reading", active(), 4, 5)
		if got := series(scrape(t, m.Handler()), "resilienced_census_failures_total"); !slices.Equal(got, []string{"{} 1"}) {
			t.Errorf("failures %v", got)
		}
		s.set(time.Hour, nil, 0)
		time.Sleep(time.Second)
		check("of the last one", active(), 4, 6)
		start = time.Now()
		m.Close()
		if took := time.Since(start); took != 0 {
			t.Errorf("Close waited %s", took)
		}
		time.Sleep(time.Hour)
		check("after the end", active(), 4, 6)
	})
}
