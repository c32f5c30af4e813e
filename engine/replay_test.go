// SPDX-License-Identifier: Apache-2.0

package engine_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/resilienced/resilienced/engine"
	"github.com/resilienced/resilienced/policy"
	"github.com/resilienced/resilienced/rules"
	"github.com/resilienced/resilienced/rules/admit"
	"github.com/resilienced/resilienced/rules/classify"
	"github.com/resilienced/resilienced/rules/operation"
	"github.com/resilienced/resilienced/statestore/memory"
)

// A replay begins at any instant, follows the policy that it was given, draws
// the shortest waits, and handles what falls due on its way.
func TestReplay(t *testing.T) {
	store, ctx := memory.New(memory.Config{}), context.Background()
	var lost []engine.Event
	e, err := engine.New(ctx, engine.Config{Store: store, Replay: true, NoSweeper: true, OnEvent: func(ev engine.Event) {
		if ev.Kind == engine.EventLost {
			lost = append(lost, ev)
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	p, err := policy.Parse("p", []byte("version: 1\ntargets: [{match: x, preset: tool, retry: {initial: 8s, jitter: EQUAL}, call_timeout: 10s, lease_margin: 5s}]"), policy.Options{Shortest: true})
	if err != nil {
		t.Fatal(err)
	}
	start := rules.At(time.Date(2001, 2, 3, 4, 5, 6, 0, time.UTC))
	ns, err := e.StartReplay(ctx, start, p)
	if err != nil {
		t.Fatal(err)
	}
	acquire := func(op string) *engine.AcquireResult {
		t.Helper()
		a, err := e.Acquire(ctx, &engine.AcquireRequest{Namespace: ns, Target: "x", OperationID: op, Idempotency: operation.Idempotent})
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	a := acquire("o")
	if a.Now != start || a.Decision != admit.Granted {
		t.Fatalf("at %v: %+v", a.Now.Time(), a)
	}
	r, err := e.Report(ctx, &engine.ReportRequest{
		Namespace: ns, PermitID: a.Grant.PermitID, Signal: classify.Signal{Outcome: classify.OutcomeFailure, HTTPStatus: 503},
	})
	if err != nil || r.Answer.Delay != 4*time.Second {
		t.Fatalf("the shortest of 4 to 8 s is %v, %v", r.Answer.Delay, err)
	}
	acquire("lost")
	if err := e.AdvanceTo(ctx, ns, start.Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if err := e.AdvanceTo(ctx, ns, start); err != nil { // passed already
		t.Fatal(err)
	}
	if again := acquire("o"); again.Now != start.Add(time.Hour) {
		t.Errorf("after an hour it is %v", again.Now.Time())
	}
	if len(lost) != 1 || lost[0].Name != "lost" || lost[0].At != start.Add(15*time.Second) {
		t.Errorf("lost %+v", lost)
	}
	if err := e.AdvanceTo(ctx, "n", start); !errors.Is(err, engine.ErrNotDrill) {
		t.Errorf("a namespace of service is moved: %v", err)
	}
	if err := errors.Join(e.Close(ctx), store.Close()); err != nil {
		t.Error(err)
	}
	if _, err := open(t).StartReplay(ctx, start, p); !errors.Is(err, engine.ErrDrillsOff) {
		t.Errorf("a replay on an engine of service: %v", err)
	}
}
