// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/resilienced/resilienced/rules/budget"
	"github.com/resilienced/resilienced/test/distant"
)

// TestAStoreThatNeverAnswersIsGone: when a transaction has got no answer for as
// long as any lasts, nobody waits any more until a probe has one.
func TestAStoreThatNeverAnswersIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, s := far(t, distant.Config{Lanes: 1})
		if _, err := e.Acquire(t.Context(), ask("warm")); err != nil {
			t.Fatal(err)
		}
		resume := s.Stall()
		if _, err := e.Acquire(t.Context(), ask("flying")); !errors.Is(err, ErrOutcomeUnknown) {
			t.Fatal(err)
		}
		time.Sleep(transactionLimit)
		begun := time.Now()
		if _, err := e.Acquire(t.Context(), ask("late")); !errors.Is(err, errStoreGone) || time.Since(begun) != 0 {
			t.Errorf("after %v: %v", time.Since(begun), err)
		}
		resume()
		time.Sleep(2 * probeMost)
		if a, err := e.Acquire(t.Context(), ask("back")); err != nil || a.Grant == nil {
			t.Errorf("the store answers again: %+v, %v", a, err)
		}
	})
}

// TestCallsOfThoseWhoLeftAreRecorded: a report whose caller left is a call like
// any other, and so is the attempt before that a grant to nobody found lost.
func TestCallsOfThoseWhoLeftAreRecorded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, s := far(t, distant.Config{Lanes: 1})
		r := &recording{t, e, s}
		// A grant that holds its target's record needs no second transaction.
		mustApply(t, e, "n", "version: 1\ntargets:\n  - {match: x, preset: llm, limit: {concurrency: 4}}\n")
		reported := r.acquire(*ask("reported"))
		lost := ask("lost")
		lost.Lease = 2 * time.Second
		r.acquire(*lost)
		time.Sleep(time.Minute)
		resume := s.Delay()
		req := &ReportRequest{Namespace: "n", PermitID: reported.PermitID, Signal: succeeded}
		if _, err := e.Report(t.Context(), req); !errors.Is(err, ErrOutcomeUnknown) {
			t.Fatal(err)
		}
		resume()
		time.Sleep(time.Second)
		resume = s.Delay()
		lost.RequestID = "anew"
		if _, err := e.Acquire(t.Context(), lost); !errors.Is(err, ErrOutcomeUnknown) {
			t.Fatal(err)
		}
		resume()
		time.Sleep(time.Second)
		calls, _ := r.export("n", 0)
		found := map[string]bool{}
		for _, c := range calls {
			found[c.Operation] = c.ReportedAt != 0
		}
		if len(calls) != 2 || !found["op-reported"] || found["op-lost"] {
			t.Errorf("%d calls are recorded, those that were reported: %v", len(calls), found)
		}
		if _, ok := found["op-lost"]; !ok {
			t.Error("the lost attempt is not recorded")
		}
	})
}

// TestWhatAReleaseGivesBack: the attempt and the money of a permit that is held;
// nothing of one whose lease is over, though another came after it.
func TestWhatAReleaseGivesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, _ := newFaulty(t, 1)
		if _, err := e.StartRun(t.Context(), &StartRunRequest{Namespace: "n", RunID: "r", Caps: budget.Caps{Calls: new(int64(9))}}); err != nil {
			t.Fatal(err)
		}
		acquire := func(id string, attempt int) *Grant {
			t.Helper()
			req := ask(id)
			req.OperationID, req.RunID, req.Lease = "o", "r", 10*time.Second
			a, err := e.Acquire(t.Context(), req)
			if err != nil || a.Grant == nil || a.Grant.Attempt != attempt {
				t.Fatalf("%s: %+v, %v", id, a, err)
			}
			return a.Grant
		}
		release := func(g *Grant, want bool) {
			t.Helper()
			r, err := e.Release(t.Context(), &ReleaseRequest{Namespace: "n", PermitID: g.PermitID, Fence: g.Fence})
			if err != nil || r.Released != want {
				t.Errorf("released %+v, %v, want %v", r, err, want)
			}
		}
		books := func(reserved, assumed int64) {
			t.Helper()
			v, err := e.GetRun(t.Context(), "n", "r")
			if err != nil || v.Run.Reserved.Calls != reserved || v.Run.Assumed.Calls != assumed {
				t.Errorf("the run: %+v, %v, want %d reserved and %d assumed", v.Run, err, reserved, assumed)
			}
		}
		release(acquire("a", 1), true)
		books(0, 0)
		first := acquire("b", 1)
		time.Sleep(12 * time.Second)
		second := acquire("c", 2)
		books(1, 1)
		release(first, false)
		books(1, 1)
		release(second, true)
		books(0, 1)
		acquire("d", 2)
	})
}
