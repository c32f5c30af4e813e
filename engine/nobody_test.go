// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/resilienced/resilienced/rules/budget"
	"github.com/resilienced/resilienced/rules/operation"
	"github.com/resilienced/resilienced/statestore"
	"github.com/resilienced/resilienced/test/distant"
)

// abandon makes grants whose callers leave while the commit is under way, and
// returns what lets the commit end.
func abandon(t *testing.T, e *Engine, s *distant.Store, n int) (resume func()) {
	t.Helper()
	_, err := e.StartRun(t.Context(), &StartRunRequest{Namespace: "n", RunID: "r", Caps: budget.Caps{Calls: new(int64(1 << 20))}})
	if err != nil {
		t.Fatal(err)
	}
	warm := ask("warm")
	warm.RunID = "r"
	if _, err := e.Acquire(t.Context(), warm); err != nil {
		t.Fatal(err)
	}
	resume = s.Delay()
	for i := range n {
		go func() {
			req := ask(strconv.Itoa(i))
			req.RunID = "r"
			if _, err := e.Acquire(t.Context(), req); !errors.Is(err, ErrOutcomeUnknown) {
				t.Errorf("call %d ended with %v", i, err)
			}
		}()
	}
	time.Sleep(acquirePatience)
	synctest.Wait()
	return resume
}

// held is how many permits are live, and how many calls the run has reserved.
func held(t *testing.T, s statestore.Store) (live int, reserved int64) {
	t.Helper()
	page, err := s.List(t.Context(), statestore.Query{Kind: statestore.KindOperation, Namespace: "n", Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range page.Rows {
		if op, ok := row.Record.(*operation.Operation); ok && op.Live(page.Now) {
			live++
		}
	}
	r, _, err := s.Get(t.Context(), runKey("n", "r"))
	if err != nil {
		t.Fatal(err)
	}
	run, ok := r.(*budget.Run)
	if !ok {
		t.Fatalf("the run is %+v", r)
	}
	if run.Spent.Calls+run.Assumed.Calls != 0 {
		t.Errorf("nothing was called, but the run has spent %+v and assumes %+v", run.Spent, run.Assumed)
	}
	return live, run.Reserved.Calls
}

// TestReturnsAreTriedAgain: what the store does not take when a grant to nobody
// is given back, it is asked to take again, until it does.
func TestReturnsAreTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, s := far(t, distant.Config{Lanes: 1})
		resume := abandon(t, e, s, 1)
		s.Fail(fmt.Errorf("%w: a switch restarts", statestore.ErrUnavailable))
		resume()
		time.Sleep(time.Second)
		if live, reserved := held(t, s.Store); live != 2 || reserved != 2 {
			t.Fatalf("while the store is gone %d permits are live and %d calls reserved, want both of 2", live, reserved)
		}
		s.Fail(nil)
		time.Sleep(2 * time.Second)
		if live, reserved := held(t, s.Store); live != 1 || reserved != 1 {
			t.Errorf("later %d permits are live and %d calls reserved, want that of the caller that stayed", live, reserved)
		}
	})
}

// TestCloseReturnsWhatNobodyHas: a grant whose caller has left does not outlive
// its engine until the lease ends it.
func TestCloseReturnsWhatNobodyHas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := distant.New(distant.Config{Lanes: 1}).Connect()
		e, err := New(t.Context(), Config{Store: s, NoSweeper: true})
		if err != nil {
			t.Fatal(err)
		}
		r := &release{
			req: &ReleaseRequest{Namespace: "n"}, operation: "op-warm", onlyFresh: true,
		}
		abandon(t, e, s, 0)()
		op, _, err := get[operation.Operation](t.Context(), e, operationKey("n", "op-warm"))
		if err != nil {
			t.Fatal(err)
		}
		r.fence = op.Permit.Fence
		// Both are there when the loop looks.
		e.returns.mu.Lock()
		e.returns.waiting = append(e.returns.waiting, r)
		e.returns.mu.Unlock()
		if err := e.Close(context.Background()); err != nil {
			t.Fatal(err)
		}
		if live, reserved := held(t, s.Store); live != 0 || reserved != 0 {
			t.Errorf("after Close %d permits are live and %d calls reserved", live, reserved)
		}
	})
}

// TestReturnsAreBounded: those beyond the bound are counted and not kept.
func TestReturnsAreBounded(t *testing.T) {
	q := newReturns()
	for range maxReturns + 3 {
		q.offer(&release{})
	}
	taken, dropped := 0, 0
	for {
		some, lost := q.take()
		if dropped += lost; len(some) == 0 {
			break
		}
		if taken += len(some); len(some) > returnsPerTurn {
			t.Fatalf("%d are given back at once", len(some))
		}
	}
	if taken != maxReturns || dropped != 3 {
		t.Errorf("%d were kept and %d dropped, want %d and 3", taken, dropped, maxReturns)
	}
}
