// SPDX-License-Identifier: Apache-2.0

package engine_test

import (
	"context"
	"errors"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/resilienced/resilienced/engine"
	"github.com/resilienced/resilienced/rules/admit"
	"github.com/resilienced/resilienced/rules/breaker"
	"github.com/resilienced/resilienced/rules/budget"
	"github.com/resilienced/resilienced/rules/classify"
	"github.com/resilienced/resilienced/rules/operation"
	"github.com/resilienced/resilienced/statestore"
	"github.com/resilienced/resilienced/statestore/memory"
)

// openOn opens an engine on a store; the caller closes it.
func openOn(tb testing.TB, store statestore.Store, observe bool) *engine.Engine {
	tb.Helper()
	e, err := engine.New(context.Background(), engine.Config{Store: store, AllowDrills: true, Observe: observe})
	if err != nil {
		tb.Fatal(err)
	}
	return e
}

func closed(tb testing.TB, e *engine.Engine) {
	tb.Helper()
	if err := e.Close(context.Background()); err != nil {
		tb.Error(err)
	}
}

// observing runs a test in a bubble with an engine that only observes.
func observing(t *testing.T, policy string, body func(t *testing.T, e *engine.Engine)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		store := memory.New(memory.Config{})
		e := openOn(t, store, true)
		defer func() { closed(t, e) }()
		if policy != "" {
			if _, err := e.ApplyFile(t.Context(), "test.yaml", []byte(policy)); err != nil {
				t.Fatal(err)
			}
		}
		body(t, e)
	})
}

func failure() classify.Signal {
	return classify.Signal{Outcome: classify.OutcomeFailure, HTTPStatus: 500}
}

func success() classify.Signal {
	return classify.Signal{Outcome: classify.OutcomeSuccess, HTTPStatus: 200}
}

// granted fails the test unless the call is granted and says that it would
// have been refused for that reason; None: that it would not.
func granted(t *testing.T, r *engine.AcquireResult, would admit.Reason) *engine.Grant {
	t.Helper()
	got := admit.None
	if r.Would != nil {
		got = r.Would.Reason
	}
	if r.Decision != admit.Granted || r.Grant == nil || got != would {
		t.Fatalf("%v %s, would %+v; want a grant that would be refused for %q", r.Decision, r.Reason, r.Would, would)
	}
	return r.Grant
}

// TestObservedBreakerGoesOn: it opens, gives its probe and closes as if it were
// enforced, while nobody is refused.
func TestObservedBreakerGoesOn(t *testing.T) {
	observing(t, "", func(t *testing.T, e *engine.Engine) {
		acquire := func() *engine.AcquireResult {
			return mustAcquire(t, e, engine.AcquireRequest{Target: "x", Idempotency: operation.Idempotent})
		}
		phase := func() breaker.Phase {
			v, err := e.GetTarget(t.Context(), "n", "x", "")
			if err != nil {
				t.Fatal(err)
			}
			return v.Control.Breaker.Phase
		}
		for range 5 {
			r := mustReport(t, e, granted(t, acquire(), admit.None).PermitID, failure())
			if r.Answer.Action != operation.Retry {
				t.Fatalf("a failure: %+v", r.Answer)
			}
		}
		if phase() != breaker.Open {
			t.Fatal("five failures did not open the breaker")
		}
		for range 10 { // calls that an open breaker would refuse count for nothing
			r := mustReport(t, e, granted(t, acquire(), admit.BreakerOpen).PermitID, failure())
			if r.Answer.Action != operation.Retry || r.Answer.WouldAction == 0 || r.Answer.WouldReason != string(admit.BreakerOpen) {
				t.Fatalf("a failure at an open breaker: %+v", r.Answer)
			}
		}
		time.Sleep(30 * time.Second)
		probe := granted(t, acquire(), admit.None)
		beside := granted(t, acquire(), admit.ProbeInFlight)
		if !probe.Probe || beside.Probe {
			t.Fatalf("probes: %+v and %+v", probe, beside)
		}
		if r := mustReport(t, e, beside.PermitID, failure()); r.Counted || phase() != breaker.HalfOpen {
			t.Fatalf("a call beside the probe voted: %+v", r.Answer)
		}
		mustReport(t, e, probe.PermitID, success())
		if phase() != breaker.Closed {
			t.Fatal("the probe's success did not close the breaker")
		}
	})
}

// TestObservedProbesDoNotWedge: a prober that dies leaves its slot to the next.
func TestObservedProbesDoNotWedge(t *testing.T) {
	observing(t, "", func(t *testing.T, e *engine.Engine) {
		for range 5 {
			g := granted(t, mustAcquire(t, e, engine.AcquireRequest{Target: "x", Idempotency: operation.Idempotent}), admit.None)
			mustReport(t, e, g.PermitID, failure())
		}
		time.Sleep(30 * time.Second)
		for range 2 {
			g := granted(t, mustAcquire(t, e, engine.AcquireRequest{Target: "x", Idempotency: operation.Idempotent}), admit.None)
			if !g.Probe {
				t.Fatalf("no probe: %+v", g)
			}
			time.Sleep(time.Minute)
		}
	})
}

// TestSupersededPermit: a second attempt of an operation beside a live one
// takes nothing from it: it votes, keeps its lease, and books its money once.
func TestSupersededPermit(t *testing.T) {
	observing(t, toolPolicy, func(t *testing.T, e *engine.Engine) {
		if _, err := e.StartRun(t.Context(), &engine.StartRunRequest{Namespace: "n", RunID: "r"}); err != nil {
			t.Fatal(err)
		}
		ask := func() *engine.AcquireResult {
			return mustAcquire(t, e, engine.AcquireRequest{
				Target: "tool/a", OperationID: "o", RunID: "r", Estimate: budget.Estimate{Cost: new(int64(100))},
			})
		}
		first := granted(t, ask(), admit.None)
		second := granted(t, ask(), admit.InFlight)
		third := granted(t, ask(), admit.InFlight)
		if second.Attempt != 2 || third.Fence <= second.Fence || second.Fence <= first.Fence {
			t.Fatalf("attempts: %+v, %+v, %+v", first, second, third)
		}
		time.Sleep(first.HeartbeatEvery)
		if h, err := e.Heartbeat(t.Context(), "n", first.PermitID, 0); err != nil || h.Lease != first.Lease {
			t.Fatalf("its heartbeat: %+v, %v", h, err)
		}
		report := func(g *engine.Grant, cost int64) *engine.ReportResult {
			t.Helper()
			r, err := e.Report(t.Context(), &engine.ReportRequest{
				Namespace: "n", PermitID: g.PermitID, Signal: failure(), Usage: budget.Usage{Cost: &cost}, Hash: 1,
			})
			if err != nil {
				t.Fatal(err)
			}
			return r
		}
		if r := report(first, 7); !r.Counted || r.Run.Run.Spent.Cost != 7 || r.Run.Run.Reserved.Cost != 200 ||
			r.Answer.Action != operation.Retry || r.Answer.WouldAction != operation.Stop {
			t.Fatalf("its report: %+v, %+v", r.Answer, r.Run.Run)
		}
		if r := report(first, 7); r.Answer.NotCounted != "PERMIT_GONE" || r.Run.Run.Spent.Cost != 7 {
			t.Fatalf("its second report: %+v, %+v", r.Answer, r.Run.Run)
		}
		released, err := e.Release(t.Context(), &engine.ReleaseRequest{Namespace: "n", PermitID: second.PermitID})
		if err != nil || !released.Released || released.Run.Run.Reserved.Cost != 100 {
			t.Fatalf("the second, given back: %+v, %v", released, err)
		}
		if r := report(third, 9); r.Run.Run.Spent.Cost != 16 || r.Run.Run.Reserved.Cost != 0 || r.Run.Run.Assumed.Cost != 0 {
			t.Fatalf("the newest: %+v", r.Run.Run)
		}
		if v, err := e.GetTarget(t.Context(), "n", "tool/a", ""); err != nil || len(v.Control.Slots) != 0 {
			t.Fatalf("slots are left: %+v, %v", v.Control.Slots, err)
		}
	})
}

// TestObservedSlotsStayBounded: calls beyond the limit hold no slot, however
// many they are.
func TestObservedSlotsStayBounded(t *testing.T) {
	observing(t, toolPolicy, func(t *testing.T, e *engine.Engine) {
		for i := range 50 {
			would := admit.Concurrency
			if i == 0 {
				would = admit.None
			}
			granted(t, mustAcquire(t, e, engine.AcquireRequest{Target: "tool/a"}), would)
		}
		if v, err := e.GetTarget(t.Context(), "n", "tool/a", ""); err != nil || len(v.Control.Slots) != 1 {
			t.Fatalf("slots: %+v, %v", v.Control.Slots, err)
		}
	})
}

// TestObservedRunGoesOn: neither its end nor its cap stops a caller, also not
// by a heartbeat, and its money is booked all the same.
func TestObservedRunGoesOn(t *testing.T) {
	observing(t, "", func(t *testing.T, e *engine.Engine) {
		if _, err := e.StartRun(t.Context(), &engine.StartRunRequest{Namespace: "n", RunID: "r", Caps: budget.Caps{Cost: new(int64(100))}}); err != nil {
			t.Fatal(err)
		}
		call := func(would admit.Reason) *engine.Grant {
			t.Helper()
			return granted(t, mustAcquire(t, e, engine.AcquireRequest{
				Target: "x", RunID: "r", Estimate: budget.Estimate{Cost: new(int64(80))}, Idempotency: operation.Idempotent,
			}), would)
		}
		first, second := call(admit.None), call(admit.RunBudget)
		for _, g := range [...]*engine.Grant{first, second} {
			r, err := e.Report(t.Context(), &engine.ReportRequest{
				Namespace: "n", PermitID: g.PermitID, Signal: failure(), Usage: budget.Usage{Cost: new(int64(90))},
			})
			if err != nil || r.Answer.Action != operation.Retry {
				t.Fatalf("report: %+v, %v", r, err)
			}
			if g == second && (r.Answer.WouldAction != operation.Stop || r.Answer.WouldReason != string(admit.RunExhausted) || r.Run.Run.Spent.Cost != 180) {
				t.Fatalf("of an exhausted run: %+v, %+v", r.Answer, r.Run.Run)
			}
		}
		g := call(admit.RunExhausted)
		if _, err := e.StopRun(t.Context(), &engine.EndRunRequest{Namespace: "n", RunID: "r", Reason: "enough"}); err != nil {
			t.Fatal(err)
		}
		call(admit.RunStopped)
		if h, err := e.Heartbeat(t.Context(), "n", g.PermitID, 0); err != nil || h.Cancel {
			t.Fatalf("a heartbeat in a stopped run: %+v, %v", h, err)
		}
		if _, err := e.Acquire(t.Context(), &engine.AcquireRequest{Namespace: "n", Target: "x", RunID: "other"}); !errors.Is(err, engine.ErrRunUnknown) {
			t.Fatalf("an unknown run: %v", err)
		}
	})
}

// TestObservedQuotas: unknown targets and quotas of the policy let pass, up to
// the bounds that are built in.
func TestObservedQuotas(t *testing.T) {
	const text = `version: 1
unknown_targets: deny
quotas: {targets: 1, operations: 2}
targets:
  - {match: "tool/*", preset: tool}
`
	observing(t, text, func(t *testing.T, e *engine.Engine) {
		granted(t, mustAcquire(t, e, engine.AcquireRequest{Target: "other"}), admit.TargetUnknown)
		granted(t, mustAcquire(t, e, engine.AcquireRequest{Target: "tool/a"}), admit.None)
		granted(t, mustAcquire(t, e, engine.AcquireRequest{Target: "tool/b"}), admit.Quota)
		// The built-in quota of targets holds in any case; one is counted from
		// above.
		for i := range 9999 {
			r := mustAcquire(t, e, engine.AcquireRequest{Target: "tool/" + strconv.Itoa(i), Idempotency: operation.Idempotent})
			mustReport(t, e, granted(t, r, admit.Quota).PermitID, success())
		}
		r := mustAcquire(t, e, engine.AcquireRequest{Target: "tool/z"})
		if r.Decision != admit.Denied || r.Reason != admit.Quota {
			t.Fatalf("beyond every bound: %+v", r)
		}
		granted(t, mustAcquire(t, e, engine.AcquireRequest{Target: "tool/7"}), admit.Quota)
	})
}

// TestRepeatOfAnObservedGrant: it says again what would have been.
func TestRepeatOfAnObservedGrant(t *testing.T) {
	observing(t, "", func(t *testing.T, e *engine.Engine) {
		if _, err := e.SetBreaker(t.Context(), &engine.SetBreakerRequest{Namespace: "n", Target: "x", Mode: breaker.ForcedOpen}); err != nil {
			t.Fatal(err)
		}
		req := engine.AcquireRequest{Target: "x", RequestID: "q", Hash: 1}
		first := mustAcquire(t, e, req)
		granted(t, first, admit.ForcedOpen)
		if again := mustAcquire(t, e, req); *again.Would != *first.Would || again.Grant.PermitID != first.Grant.PermitID {
			t.Errorf("again: %+v, would %+v; first %+v", again, again.Would, first.Would)
		}
	})
}

// TestDrillsAreEnforced: --observe is for traffic, and there is none in a drill.
func TestDrillsAreEnforced(t *testing.T) {
	observing(t, "", func(t *testing.T, e *engine.Engine) {
		d, err := e.StartDrill(t.Context(), "", 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := e.SetBreaker(t.Context(), &engine.SetBreakerRequest{Namespace: d.Namespace, Target: "x", Mode: breaker.ForcedOpen}); err != nil {
			t.Fatal(err)
		}
		r, err := e.Acquire(t.Context(), &engine.AcquireRequest{Namespace: d.Namespace, Target: "x"})
		if err != nil || r.Reason != admit.ForcedOpen || r.Decision == admit.Granted {
			t.Errorf("%+v, %v", r, err)
		}
	})
}
