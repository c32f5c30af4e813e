// SPDX-License-Identifier: Apache-2.0

package engine_test

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/resilienced/resilienced/engine"
	"github.com/resilienced/resilienced/rules/admit"
	"github.com/resilienced/resilienced/rules/budget"
	"github.com/resilienced/resilienced/rules/operation"
	"github.com/resilienced/resilienced/statestore/memory"
)

// TestLossFoundByAReport: a lease that is over is counted by whoever stores
// that, also when no sweeper came by.
func TestLossFoundByAReport(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, err := engine.New(t.Context(), engine.Config{Store: memory.New(memory.Config{}), Observe: true, NoSweeper: true})
		if err != nil {
			t.Fatal(err)
		}
		defer closed(t, e)
		ask := func() *engine.Grant {
			return mustAcquire(t, e, engine.AcquireRequest{
				Target: "x", OperationID: "o", Idempotency: operation.Idempotent, Estimate: budget.Estimate{Cost: new(int64(100))},
			}).Grant
		}
		would := func() engine.ReasonCount {
			s := summary(t, e, "n", "")
			return s.Totals.Would[0]
		}
		first := ask()
		ask() // in flight, and lost at the end of its lease
		time.Sleep(time.Hour)
		mustReport(t, e, first.PermitID, success())
		if w := would(); w.Reason != admit.InFlight || w.Calls != 1 || w.Cost != 100 {
			t.Errorf("%+v", w)
		}
	})
}

func summary(t *testing.T, e *engine.Engine, ns, pattern string) *engine.CallSummaries {
	t.Helper()
	s, err := e.SummarizeCalls(t.Context(), ns, engine.ObservationRetention, pattern)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestManyTargetsAreOthers: beyond a thousand in an interval they are one, also
// over a restart; the next interval tells them apart again.
func TestManyTargetsAreOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(5*time.Minute - time.Since(time.Now().Truncate(5*time.Minute)))
		store := memory.New(memory.Config{})
		e := openOn(t, store, true)
		defer func() { closed(t, e) }()
		ask := func(from, to int) {
			for i := range to - from {
				mustAcquire(t, e, engine.AcquireRequest{Target: fmt.Sprintf("t%04d", from+i)})
			}
		}
		of := func(name string) int64 { return summary(t, e, "n", name).Totals.Acquires }
		ask(0, 600)
		closed(t, e)
		e = openOn(t, store, true)
		ask(600, 1200)
		ask(0, 10)
		if n := of(""); n != 1210 {
			t.Errorf("of 1210 calls %d are counted", n)
		}
		if n := of(engine.OtherTargets); n != 200 || of("t0999") != 1 || of("t1000") != 0 || of("t0000") != 2 {
			t.Errorf("%d calls are of others", n)
		}
		time.Sleep(5 * time.Minute)
		ask(1100, 1101)
		if of("t1100") != 1 {
			t.Error("the next interval does not begin anew")
		}
		s := summary(t, e, "n", "")
		if len(s.Targets) > 1000 || s.Targets[0].Target != "t0000" || !s.Targets[0].Observed {
			t.Errorf("%d targets, first %s", len(s.Targets), s.Targets[0].Target)
		}
	})
}

// TestObservationsEnd: they are kept for 7 days, and a summary begins where it
// is asked to, at the start of an interval.
func TestObservationsEnd(t *testing.T) {
	observing(t, "", func(t *testing.T, e *engine.Engine) {
		time.Sleep(time.Hour - time.Since(time.Now().Truncate(time.Hour)) + 7*time.Minute)
		mustAcquire(t, e, engine.AcquireRequest{Target: "x"})
		calls := func(since time.Duration) int64 {
			t.Helper()
			s, err := e.SummarizeCalls(t.Context(), "n", since, "")
			if err != nil {
				t.Fatal(err)
			}
			return s.Totals.Acquires
		}
		time.Sleep(10 * time.Minute)
		if calls(7*time.Minute+time.Second) != 1 || calls(6*time.Minute+59*time.Second) != 0 {
			t.Error("a summary does not begin with an interval")
		}
		time.Sleep(engine.ObservationRetention - 11*time.Minute)
		if calls(engine.ObservationRetention) != 1 {
			t.Error("gone within 7 days")
		}
		time.Sleep(20 * time.Minute)
		if calls(engine.ObservationRetention) != 0 {
			t.Error("kept for longer")
		}
		for _, since := range [...]time.Duration{0, -1, engine.ObservationRetention + 1} {
			if _, err := e.SummarizeCalls(t.Context(), "n", since, ""); err == nil {
				t.Errorf("since %v is taken", since)
			}
		}
	})
}

// TestDrillsAreCountedByTheirClock: and nothing of them is left afterwards.
func TestDrillsAreCountedByTheirClock(t *testing.T) {
	inBubble(t, "", func(t *testing.T, e *engine.Engine) {
		d, err := e.StartDrill(t.Context(), "", 0)
		if err != nil {
			t.Fatal(err)
		}
		ask := func() {
			t.Helper()
			if _, err := e.Acquire(t.Context(), &engine.AcquireRequest{Namespace: d.Namespace, Target: "x", OperationID: "o", Idempotency: operation.Idempotent}); err != nil {
				t.Fatal(err)
			}
		}
		ask()
		time.Sleep(2 * time.Second)                                                                                // is written meanwhile
		if v, err := e.AdvanceClock(t.Context(), d.Namespace, "", 30*24*time.Hour); err != nil || v.Handled != 3 { // the lease, the tally and the record
			t.Errorf("the clock stopped %d times, %v", v.Handled, err)
		}
		ask()
		s, err := e.SummarizeCalls(t.Context(), d.Namespace, 24*time.Hour, "")
		if err != nil || s.Totals.Acquires != 1 || s.Until.Sub(s.From) > 24*time.Hour+5*time.Minute {
			t.Errorf("%+v, %v", s, err)
		}
		if err := e.EndDrill(t.Context(), d.Namespace); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		if _, err := e.SummarizeCalls(t.Context(), d.Namespace, time.Hour, ""); err == nil {
			t.Error("a drill that has ended is summarised")
		}
	})
}

// TestGainFirst: the target that cost most in vain stands first.
func TestGainFirst(t *testing.T) {
	observing(t, "", func(t *testing.T, e *engine.Engine) {
		hold(t, e, "n", "cheap", "dear")
		call := func(target string, cost int64) {
			t.Helper()
			r := mustAcquire(t, e, engine.AcquireRequest{Target: target, Idempotency: operation.Idempotent})
			if _, err := e.Report(t.Context(), &engine.ReportRequest{
				Namespace: "n", PermitID: r.Grant.PermitID, Signal: success(), Usage: budget.Usage{Cost: &cost},
			}); err != nil {
				t.Fatal(err)
			}
		}
		for range 3 {
			call("cheap", 1)
			call("fine", 1000)
		}
		call("dear", 31_000_000)
		enforce(t, e, "cheap", engine.Enforce)
		s := summary(t, e, "n", "")
		var order []string
		for _, target := range s.Targets {
			order = append(order, target.Target)
		}
		if !slices.Equal(order, []string{"dear", "cheap", "fine"}) || s.Targets[1].Observed || !s.Targets[0].Observed {
			t.Errorf("in the order %v", order)
		}
		if w := s.Totals.Would; len(w) != 1 || w[0] != (engine.ReasonCount{Reason: admit.ForcedOpen, Calls: 4, Cost: 31_000_003}) {
			t.Errorf("in all %+v", w)
		}
		if s := summary(t, e, "n", "*e*"); len(s.Targets) != 3 || summary(t, e, "n", "d*").Totals.Cost != 31_000_000 {
			t.Errorf("by a pattern: %+v", s.Targets)
		}
		if s := summary(t, e, "m", ""); s.Totals.Acquires != 0 || len(s.Targets) != 0 {
			t.Errorf("another namespace: %+v", s)
		}
	})
}
