// SPDX-License-Identifier: Apache-2.0

package engine_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/resilienced/resilienced/engine"
	"github.com/resilienced/resilienced/rules/admit"
	"github.com/resilienced/resilienced/rules/breaker"
	"github.com/resilienced/resilienced/rules/budget"
	"github.com/resilienced/resilienced/rules/classify"
	"github.com/resilienced/resilienced/rules/operation"
	"github.com/resilienced/resilienced/statestore/memory"
)

// watcher is an Observer that remembers, with the engine's events.
type watcher struct {
	mu       sync.Mutex
	acquired []engine.AcquireFacts
	reported []engine.ReportFacts
	live     map[string]int
	events   []engine.Event
}

func (w *watcher) Acquired(f *engine.AcquireFacts) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.acquired = append(w.acquired, *f)
}

func (w *watcher) Reported(f *engine.ReportFacts) {
	w.mu.Lock()
	defer w.mu.Unlock()
	kept := *f
	answer := *f.Answer
	kept.Answer = &answer
	w.reported = append(w.reported, kept)
}

func (w *watcher) PermitsChanged(_, target string, by int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.live[target] += by
}

func (w *watcher) event(e engine.Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.events = append(w.events, e)
}

// of returns the events of one kind, each as its words.
func (w *watcher) of(kind engine.EventKind) []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var found []string
	for _, e := range w.events {
		switch {
		case e.Kind != kind:
		case kind == engine.EventTransition:
			found = append(found, e.Target+" "+e.Transition.From.String()+"→"+e.Transition.To.String())
		default:
			found = append(found, e.Name+" "+e.State+" "+e.Reason)
		}
	}
	return found
}

// watched runs a test in a bubble with an engine that is watched. Nothing
// sweeps unless the test does.
func watched(t *testing.T, policy string, body func(t *testing.T, e *engine.Engine, w *watcher)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &watcher{live: map[string]int{}}
		store := memory.New(memory.Config{})
		e, err := engine.New(t.Context(), engine.Config{Store: store, NoSweeper: true, AllowDrills: true, Observer: w, OnEvent: w.event})
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := e.Close(context.Background()); err != nil {
				t.Error(err)
			}
			if err := store.Close(); err != nil {
				t.Error(err)
			}
		}()
		if policy != "" {
			if _, err := e.ApplyFile(t.Context(), "test.yaml", []byte(policy)); err != nil {
				t.Fatal(err)
			}
		}
		body(t, e, w)
	})
}

var (
	good = classify.Signal{Outcome: classify.OutcomeSuccess, HTTPStatus: 200}
	bad  = classify.Signal{Outcome: classify.OutcomeFailure, HTTPStatus: 500}
)

// openBreaker fails target x until its breaker opens.
func openBreaker(t *testing.T, e *engine.Engine) {
	t.Helper()
	for range 20 {
		r := mustAcquire(t, e, engine.AcquireRequest{Target: "x", Idempotency: operation.Idempotent})
		if r.Grant == nil {
			t.Fatalf("refused before the breaker opened: %+v", r)
		}
		if mustReport(t, e, r.Grant.PermitID, bad).Breaker.OpenedNow {
			return
		}
	}
	t.Fatal("20 failures opened no breaker")
}

// A transition that time made is told of by whichever command stores it, and
// not only by the sweeper.
func TestTransitionsAreToldWithoutASweep(t *testing.T) {
	watched(t, "", func(t *testing.T, e *engine.Engine, w *watcher) {
		openBreaker(t, e)
		time.Sleep(31 * time.Second)
		probe := mustAcquire(t, e, engine.AcquireRequest{Target: "x", Idempotency: operation.Idempotent})
		if probe.Grant == nil || !probe.Grant.Probe {
			t.Fatalf("no probe: %+v", probe)
		}
		mustReport(t, e, probe.Grant.PermitID, good)
		want := []string{"x CLOSED→OPEN", "x OPEN→HALF_OPEN", "x HALF_OPEN→CLOSED"}
		if got := w.of(engine.EventTransition); !slices.Equal(got, want) {
			t.Errorf("events %q, want %q", got, want)
		}
		v, err := e.GetTarget(t.Context(), "n", "x", "")
		if err != nil || len(v.Transitions) != 3 {
			t.Errorf("history %+v, %v; want 3 transitions", v.Transitions, err)
		}
	})
}

// The same for a release, and for a heartbeat.
func TestTransitionsAreToldByReleases(t *testing.T) {
	const policy = `
version: 1
targets:
  - {match: x, preset: tool, limit: {concurrency: 8}}
`
	watched(t, policy, func(t *testing.T, e *engine.Engine, w *watcher) {
		early := mustAcquire(t, e, engine.AcquireRequest{Target: "x"})
		late := mustAcquire(t, e, engine.AcquireRequest{Target: "x", Lease: 10 * time.Minute})
		openBreaker(t, e)
		time.Sleep(31 * time.Second)
		if _, err := e.Heartbeat(t.Context(), "n", late.Grant.PermitID, 0); err != nil {
			t.Fatal(err)
		}
		want := []string{"x CLOSED→OPEN", "x OPEN→HALF_OPEN"}
		if got := w.of(engine.EventTransition); !slices.Equal(got, want) {
			t.Errorf("after a heartbeat: events %q, want %q", got, want)
		}
		if _, err := e.Release(t.Context(), &engine.ReleaseRequest{Namespace: "n", PermitID: early.Grant.PermitID}); err != nil {
			t.Fatal(err)
		}
		if got := w.of(engine.EventTransition); !slices.Equal(got, want) {
			t.Errorf("after a release: events %q, want %q", got, want)
		}
	})
}

func TestTransitionsAreToldByAReleaseFirst(t *testing.T) {
	watched(t, toolPolicy, func(t *testing.T, e *engine.Engine, w *watcher) {
		a := mustAcquire(t, e, engine.AcquireRequest{Target: "tool/a", Lease: 10 * time.Minute})
		if _, err := e.SetBreaker(t.Context(), &engine.SetBreakerRequest{
			Namespace: "n", RequestID: "q", Target: "tool/a", Mode: breaker.ForcedOpen, TTL: time.Minute, Actor: "me", Reason: "test",
		}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Minute)
		if _, err := e.Release(t.Context(), &engine.ReleaseRequest{Namespace: "n", PermitID: a.Grant.PermitID}); err != nil {
			t.Fatal(err)
		}
		want := []string{"tool/a CLOSED→FORCED_OPEN", "tool/a FORCED_OPEN→CLOSED"}
		if got := w.of(engine.EventTransition); !slices.Equal(got, want) {
			t.Errorf("events %q, want %q", got, want)
		}
	})
}

// A lost permit is told of once, whoever finds it.
func TestLostPermitsAreToldOnce(t *testing.T) {
	for _, swept := range []bool{true, false} {
		watched(t, "", func(t *testing.T, e *engine.Engine, w *watcher) {
			req := engine.AcquireRequest{Target: "x", OperationID: "o", Idempotency: operation.Idempotent, Lease: time.Second}
			first := mustAcquire(t, e, req)
			if first.Grant == nil || w.live["x"] != 1 {
				t.Fatalf("%+v, %d live", first, w.live["x"])
			}
			time.Sleep(time.Minute)
			if swept {
				if _, err := e.Sweep(t.Context()); err != nil {
					t.Fatal(err)
				}
				if w.live["x"] != 0 {
					t.Errorf("%d live permits after the sweep", w.live["x"])
				}
			}
			second := mustAcquire(t, e, req)
			if second.Grant == nil || w.live["x"] != 1 {
				t.Fatalf("%+v, %d live", second, w.live["x"])
			}
			mustReport(t, e, second.Grant.PermitID, good)
			mustReport(t, e, first.Grant.PermitID, good)
			if got := w.of(engine.EventLost); len(got) != 1 || w.live["x"] != 0 {
				t.Errorf("swept %v: lost %q, %d live; want one and none", swept, got, w.live["x"])
			}
		})
	}
}

func TestRunEvents(t *testing.T) {
	watched(t, "", func(t *testing.T, e *engine.Engine, w *watcher) {
		spend := func(run string, cost int64) {
			t.Helper()
			r := mustAcquire(t, e, engine.AcquireRequest{RunID: run, Target: "x", Estimate: budget.Estimate{Cost: new(int64(1))}})
			if r.Grant == nil {
				t.Fatalf("refused: %+v", r)
			}
			if _, err := e.Report(t.Context(), &engine.ReportRequest{
				Namespace: "n", PermitID: r.Grant.PermitID, Signal: good, Usage: budget.Usage{Cost: &cost},
			}); err != nil {
				t.Fatal(err)
			}
		}
		start := func(run string, caps budget.Caps) {
			t.Helper()
			if _, err := e.StartRun(t.Context(), &engine.StartRunRequest{Namespace: "n", RunID: run, Caps: caps}); err != nil {
				t.Fatal(err)
			}
		}
		start("tight", budget.Caps{Cost: new(int64(100))})
		spend("tight", 99)
		spend("tight", 2)
		start("over", budget.Caps{Cost: new(int64(100))})
		spend("over", 111)
		start("calls", budget.Caps{Calls: new(int64(2))})
		spend("calls", 5)
		spend("calls", 5)
		start("time", budget.Caps{WallMS: new(int64(60_000))})
		held := mustAcquire(t, e, engine.AcquireRequest{RunID: "time", Target: "x"})
		time.Sleep(61 * time.Second)
		mustReport(t, e, held.Grant.PermitID, good)
		want := []string{
			"tight EXHAUSTED cost_micros", "over EXHAUSTED cost_micros", "over OVERRUN cost_micros",
			"calls EXHAUSTED calls", "time EXHAUSTED wall",
		}
		if got := w.of(engine.EventRun); !slices.Equal(got, want) {
			t.Errorf("events %q, want %q", got, want)
		}
	})
}

// What is only assumed to be spent is told of when it is more than a fifth.
func TestRunAssumedEvent(t *testing.T) {
	watched(t, "", func(t *testing.T, e *engine.Engine, w *watcher) {
		if _, err := e.StartRun(t.Context(), &engine.StartRunRequest{Namespace: "n", RunID: "r"}); err != nil {
			t.Fatal(err)
		}
		grant := func(estimate int64) string {
			return mustAcquire(t, e, engine.AcquireRequest{
				RunID: "r", Target: "x", Estimate: budget.Estimate{Cost: &estimate}, Idempotency: operation.Idempotent,
			}).Grant.PermitID
		}
		if _, err := e.Report(t.Context(), &engine.ReportRequest{
			Namespace: "n", PermitID: grant(100), Signal: good, Usage: budget.Usage{Cost: new(int64(100))},
		}); err != nil {
			t.Fatal(err)
		}
		mustReport(t, e, grant(20), good) // no usage: its estimate is assumed
		if got := w.of(engine.EventRun); len(got) != 0 {
			t.Errorf("at a fifth: %q", got)
		}
		mustReport(t, e, grant(1), good)
		mustReport(t, e, grant(1), good)
		if got := w.of(engine.EventRun); !slices.Equal(got, []string{"r ASSUMED cost_micros"}) {
			t.Errorf("beyond a fifth: %q", got)
		}
	})
}

func TestObserverFacts(t *testing.T) {
	watched(t, "", func(t *testing.T, e *engine.Engine, w *watcher) {
		req := engine.AcquireRequest{Target: "x", OperationID: "o", RequestID: "q", Idempotency: operation.Idempotent}
		first := mustAcquire(t, e, req)
		time.Sleep(time.Second)
		mustAcquire(t, e, req)
		dry := req
		dry.DryRun, dry.OperationID, dry.RequestID = true, "p", ""
		mustAcquire(t, e, dry)
		report := engine.ReportRequest{
			Namespace: "n", PermitID: first.Grant.PermitID, Model: "m",
			Signal: classify.Signal{Outcome: classify.OutcomeFailure, HTTPStatus: 503, Duration: time.Hour},
			Usage:  budget.Usage{Cost: new(int64(7))},
		}
		for range 2 {
			if _, err := e.Report(t.Context(), &report); err != nil {
				t.Fatal(err)
			}
		}
		mustAcquire(t, e, engine.AcquireRequest{Target: "x", OperationID: "o", Idempotency: operation.Idempotent})
		if len(w.acquired) != 3 || len(w.reported) != 2 {
			t.Fatalf("told of %d acquires and %d reports, want 3 and 2", len(w.acquired), len(w.reported))
		}
		one, again, backoff := w.acquired[0], w.acquired[1], w.acquired[2]
		if one.Target != "x" || one.Decision != admit.Granted || one.Attempt != 1 || one.Repeat || !again.Repeat {
			t.Errorf("grants: %+v, %+v", one, again)
		}
		if backoff.Decision != admit.Wait || backoff.Reason != admit.Backoff {
			t.Errorf("refusal: %+v", backoff)
		}
		r := w.reported[0]
		if !r.Booked || w.reported[1].Booked {
			t.Errorf("booked: %v, then %v; want it once", r.Booked, w.reported[1].Booked)
		}
		if r.Target != "x" || r.Model != "m" || r.Cost != 7 || !r.CostKnown || r.Currency != "USD" ||
			r.Duration != time.Second || r.Answer.Action != operation.Retry {
			t.Errorf("report: %+v, %+v", r, r.Answer)
		}
	})
}

// What happens in a drill is nobody's outage.
func TestDrillsAreNotObserved(t *testing.T) {
	watched(t, "", func(t *testing.T, e *engine.Engine, w *watcher) {
		d, err := e.StartDrill(t.Context(), "q", time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		r, err := e.Acquire(t.Context(), &engine.AcquireRequest{Namespace: d.Namespace, Target: "x"})
		if err != nil || r.Grant == nil {
			t.Fatal(r, err)
		}
		if _, err := e.Report(t.Context(), &engine.ReportRequest{Namespace: d.Namespace, PermitID: r.Grant.PermitID, Signal: good}); err != nil {
			t.Fatal(err)
		}
		if len(w.acquired)+len(w.reported)+len(w.live) != 0 {
			t.Errorf("observed: %+v, %+v, %v", w.acquired, w.reported, w.live)
		}
	})
}

func TestTransitionsAreToldBySetBreaker(t *testing.T) {
	watched(t, "", func(t *testing.T, e *engine.Engine, w *watcher) {
		openBreaker(t, e)
		time.Sleep(31 * time.Second)
		if _, err := e.SetBreaker(t.Context(), &engine.SetBreakerRequest{
			Namespace: "n", RequestID: "q", Target: "x", Mode: breaker.Closed, Actor: "me", Reason: "test",
		}); err != nil {
			t.Fatal(err)
		}
		want := []string{"x CLOSED→OPEN", "x OPEN→HALF_OPEN", "x HALF_OPEN→CLOSED"}
		if got := w.of(engine.EventTransition); !slices.Equal(got, want) {
			t.Errorf("events %q, want %q", got, want)
		}
	})
}
