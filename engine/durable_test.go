// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/resilienced/resilienced/rules/budget"
	"github.com/resilienced/resilienced/rules/classify"
	"github.com/resilienced/resilienced/rules/deadletter"
	"github.com/resilienced/resilienced/rules/operation"
	"github.com/resilienced/resilienced/statestore"
	"github.com/resilienced/resilienced/statestore/memory"
)

const lastingPolicy = `version: 1
targets:
  - {match: "pay/*", preset: action}
  - {match: "tool/*", preset: tool, limit: {concurrency: 4}}
  - {match: "frail/*", preset: llm, breaker: {consecutive_failures: 2}}
chains:
  c: {levels: [{target: x, kind: PRIMARY}], on_exhausted: DEAD_LETTER}
`

// lasting is a store that remembers how durable its last transaction was that
// changed what callers were told of.
type lasting struct {
	statestore.Store
	last atomic.Pointer[statestore.Durability]
}

func (s *lasting) Update(ctx context.Context, entries []*statestore.Entry, fn statestore.Func) error {
	return s.Store.Update(ctx, entries, func(now instant) (statestore.Durability, error) {
		d, err := fn(now)
		for _, e := range entries {
			if e.Changed() {
				s.last.Store(&d)
			}
		}
		return d, err
	})
}

// TestWhatSurvivesACrash: money, slots, payments, stops, letters and whatever
// an operator did do; an attempt that costs nothing to forget does not wait for
// the disk.
func TestWhatSurvivesACrash(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // no time goes by in a step, so no loop writes
		s := &lasting{Store: memory.New(memory.Config{})}
		e, err := New(t.Context(), Config{Store: s, NoSweeper: true})
		if err != nil {
			t.Fatal(err)
		}
		defer closeAll(t, e)
		ctx := t.Context()
		permits := map[string]*Grant{}
		acquire := func(id, target, run string, mode operation.Idempotency) func() error {
			return func() error {
				r, err := e.Acquire(ctx, &AcquireRequest{Namespace: "n", OperationID: id, Target: target, RunID: run, Idempotency: mode})
				if err == nil && r.Grant == nil {
					t.Fatalf("%s: %+v", id, r)
				}
				if err == nil {
					permits[id] = r.Grant
				}
				return err
			}
		}
		chained := func() error {
			r, err := e.Acquire(ctx, &AcquireRequest{Namespace: "n", OperationID: "chained", Chain: "c", MaxAttempts: 1, Idempotency: operation.Idempotent})
			if err == nil {
				permits["chained"] = r.Grant
			}
			return err
		}
		report := func(id string, signal classify.Signal, envelope *deadletter.Envelope) func() error {
			return func() error {
				_, err := e.Report(ctx, &ReportRequest{Namespace: "n", PermitID: permits[id].PermitID, Signal: signal, Envelope: envelope})
				return err
			}
		}
		release := func(id string) func() error {
			return func() error {
				r, err := e.Release(ctx, &ReleaseRequest{Namespace: "n", PermitID: permits[id].PermitID})
				if err == nil && !r.Released {
					t.Errorf("%s: not released", id)
				}
				return err
			}
		}
		end := &EndRunRequest{Namespace: "n", RunID: "r", Reason: "enough"}
		refused := classify.Signal{Outcome: classify.OutcomeFailure, HTTPStatus: 400}
		const no, yes = statestore.Rebuildable, statestore.Durable
		for _, step := range []struct {
			name string
			do   func() error
			want statestore.Durability
		}{
			{"ApplyPolicy", func() error {
				_, err := e.ApplyPolicy(ctx, &ApplyPolicyRequest{Namespace: "n", Text: []byte(lastingPolicy)})
				return err
			}, yes},
			{"StartRun", func() error {
				_, err := e.StartRun(ctx, &StartRunRequest{Namespace: "n", RunID: "r", Caps: budget.Caps{Calls: new(int64(9))}})
				return err
			}, yes},
			{"AdjustRun", func() error {
				_, err := e.AdjustRun(ctx, &AdjustRunRequest{Namespace: "n", RunID: "r", Delta: budget.Amounts{Calls: 5}})
				return err
			}, yes},
			{"a plain grant", acquire("plain", "x", "", operation.Idempotent), no},
			{"a plain success", report("plain", succeeded, nil), no},
			{"a grant to give back", acquire("back", "x", "", operation.Idempotent), no},
			{"its release", release("back"), no},
			{"a grant of a run", acquire("run", "x", "r", operation.Idempotent), yes},
			{"its success", report("run", succeeded, nil), yes},
			{"another grant of the run", acquire("run back", "x", "r", operation.Idempotent), yes},
			{"its release", release("run back"), yes},
			{"a payment", acquire("pay", "pay/x", "", operation.NonIdempotent), yes},
			{"its success", report("pay", succeeded, nil), yes},
			{"one without a slot", acquire("pay plainly", "x", "", operation.NonIdempotent), yes},
			{"its success", report("pay plainly", succeeded, nil), yes},
			{"a slot", acquire("slot", "tool/x", "", operation.Idempotent), yes},
			{"its heartbeat", func() error {
				time.Sleep(permits["slot"].HeartbeatEvery)
				synctest.Wait() // what loops had to write is written
				s.last.Store(nil)
				_, err := e.Heartbeat(ctx, "n", permits["slot"].PermitID, 0)
				return err
			}, yes},
			{"the end of the slot", report("slot", succeeded, nil), yes},
			{"another slot", acquire("slot back", "tool/x", "", operation.Idempotent), yes},
			{"its release", release("slot back"), yes},
			{"a grant that will fail", acquire("letter", "x", "", operation.Idempotent), no},
			{"a stop with a letter", report("letter", refused, &deadletter.Envelope{}), yes},
			{"a grant of a chain", chained, no},
			{"a letter at its end", report("chained", failed, &deadletter.Envelope{}), yes},
			{"a frail target", acquire("f1", "frail/x", "", operation.Idempotent), no},
			{"its first failure", report("f1", failed, nil), no},
			{"a frail target again", acquire("f2", "frail/x", "", operation.Idempotent), no},
			{"the trip", report("f2", failed, nil), yes},
			{"StopRun", func() error { _, err := e.StopRun(ctx, end); return err }, yes},
		} {
			s.last.Store(nil)
			if err := step.do(); err != nil {
				t.Fatalf("%s: %v", step.name, err)
			}
			if last := s.last.Load(); last == nil || *last != step.want {
				got := "nothing"
				if last != nil {
					got = map[bool]string{true: "durably", false: "to be rebuilt"}[*last == yes]
				}
				t.Errorf("%s was written: %s", step.name, got)
			}
		}
	})
}
