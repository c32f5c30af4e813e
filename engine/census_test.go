// SPDX-License-Identifier: Apache-2.0

package engine_test

import (
	"maps"
	"testing"
	"time"

	"github.com/resilienced/resilienced/engine"
	"github.com/resilienced/resilienced/rules/breaker"
	"github.com/resilienced/resilienced/rules/budget"
	"github.com/resilienced/resilienced/rules/classify"
	"github.com/resilienced/resilienced/rules/deadletter"
	"github.com/resilienced/resilienced/rules/escalation"
	"github.com/resilienced/resilienced/rules/operation"
)

// found is a Tally of words.
type found map[string]int

func (f found) Breaker(_, target string, phase breaker.Phase) {
	f["breaker "+target+" "+phase.String()]++
}
func (f found) Run(state budget.State)                      { f["run "+string('0'+byte(state))]++ }
func (f found) Letter(_, target string, s deadletter.State) { f["letter "+target+" "+s.String()]++ }
func (f found) Escalation(k escalation.Type, s escalation.State) {
	f["escalation "+string(k)+" "+s.String()]++
}

func (f found) RetryBudget(_, target string, left, all int64) {
	f["left "+target] += int(left)
	f["all "+target] += int(all)
}

func TestCensus(t *testing.T) {
	watched(t, "", func(t *testing.T, e *engine.Engine, _ *watcher) {
		ctx := t.Context()
		mustAcquire(t, e, engine.AcquireRequest{Target: "z", Idempotency: operation.NonIdempotent, Lease: time.Second})
		time.Sleep(time.Minute)
		if _, err := e.Sweep(ctx); err != nil { // a person is asked what became of it
			t.Fatal(err)
		}
		openBreaker(t, e)
		for _, run := range []struct{ id, parent string }{{"a", ""}, {"a1", "a"}, {"b", ""}, {"c", ""}} {
			if _, err := e.StartRun(ctx, &engine.StartRunRequest{
				Namespace: "n", RunID: run.id, Parent: run.parent, Caps: budget.Caps{Calls: new(int64(1))},
			}); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := e.StopRun(ctx, &engine.EndRunRequest{Namespace: "n", RunID: "a", RequestID: "s"}); err != nil {
			t.Fatal(err)
		}
		// One call of run c fails for good and leaves a letter.
		r := mustAcquire(t, e, engine.AcquireRequest{Target: "y", RunID: "c", Idempotency: operation.Idempotent})
		if _, err := e.Report(ctx, &engine.ReportRequest{
			Namespace: "n", PermitID: r.Grant.PermitID, Envelope: &deadletter.Envelope{},
			Signal: classify.Signal{Outcome: classify.OutcomeFailure, HTTPStatus: 401},
		}); err != nil {
			t.Fatal(err)
		}
		if _, err := e.StartDrill(ctx, "q", time.Hour); err != nil {
			t.Fatal(err)
		}
		got := found{}
		if err := e.Census(ctx, got); err != nil {
			t.Fatal(err)
		}
		left := got["left x"]
		delete(got, "left x")
		want := found{
			"breaker x OPEN": 1, "breaker y CLOSED": 1, "run 1": 1, "run 3": 1, "run 4": 2,
			"letter y OPEN": 1, "escalation ambiguous_outcome OPEN": 1, "all x": got["all x"],
		}
		if !maps.Equal(got, want) {
			t.Errorf("found %v, want %v", got, want)
		}
		if left <= 0 || left >= got["all x"] {
			t.Errorf("%d of %d retry tokens are left; retries were given", left, got["all x"])
		}
	})
}

func TestStats(t *testing.T) {
	watched(t, "", func(t *testing.T, e *engine.Engine, _ *watcher) {
		before := e.Stats()
		mustAcquire(t, e, engine.AcquireRequest{Target: "x"})
		after := e.Stats()
		if after.Commands != before.Commands+1 || after.Commits != before.Commits+1 || after.Waiting != 0 {
			t.Errorf("%+v, then %+v", before, after)
		}
		if _, err := e.ApplyFile(t.Context(), "p.yaml", []byte("version: 1\ntargets:\n  - {match: a/b, preset: llm}\n")); err != nil {
			t.Fatal(err)
		}
		if got := e.Stats().PolicyEpoch; got != before.PolicyEpoch+1 {
			t.Errorf("epoch %d after %d", got, before.PolicyEpoch)
		}
		if names := e.TargetNames(); len(names) != 1 || names[0] != "a/b" || !e.Named("n", "a/b") || e.Named("n", "z") {
			t.Errorf("names %q", names)
		}
	})
}
