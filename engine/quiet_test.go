// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/resilienced/resilienced/rules/admit"
	"github.com/resilienced/resilienced/rules/budget"
	"github.com/resilienced/resilienced/statestore"
	"github.com/resilienced/resilienced/statestore/memory"
	"github.com/resilienced/resilienced/test/distant"
)

// TestReleaseIsOfItsAcquire: the id of another Acquire of the same operation
// gives nothing back.
func TestReleaseIsOfItsAcquire(t *testing.T) {
	e, _ := newFaulty(t, 1)
	if _, err := e.Acquire(t.Context(), ask("a")); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"b", "A", "a"} {
		r, err := e.Release(t.Context(), &ReleaseRequest{Namespace: "n", OperationID: "op-a", AcquireRequestID: id})
		if err != nil || r.Released != (id == "a") {
			t.Errorf("by request id %q: %+v, %v", id, r, err)
		}
	}
}

// TestARequestIDIsFreeAfterItsTime: also when no sweeper has come by.
func TestARequestIDIsFreeAfterItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, s := newFaulty(t, 1)
		for _, c := range []struct {
			id   string
			age  time.Duration
			runs bool
		}{{"old", recordRetention, true}, {"young", recordRetention - time.Second, false}} {
			entry := &statestore.Entry{
				Key:  statestore.Key{Kind: statestore.KindRequest, Namespace: "n", Name: "StartRun" + sep + c.id},
				Mode: statestore.Write,
			}
			err := s.Store.Update(t.Context(), []*statestore.Entry{entry}, func(now instant) (statestore.Durability, error) {
				entry.Put(&Request{Hash: 1, Answer: []byte("{}"), At: now.Add(-c.age)})
				return statestore.Rebuildable, nil
			})
			if err != nil {
				t.Fatal(err)
			}
			v, err := e.StartRun(t.Context(), &StartRunRequest{Namespace: "n", RunID: c.id, RequestID: c.id, Hash: 1})
			if err != nil || (v.Run != nil && v.Run.ID == c.id) != c.runs {
				t.Errorf("%s: %+v, %v", c.id, v, err)
			}
		}
	})
}

// TestLostMessagesMayHaveBeenOfPolicies: a replica that is told that it missed
// some looks at the policies, too.
func TestLostMessagesMayHaveBeenOfPolicies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		engines, stores := replicas(t, 2, distant.Config{Lanes: 2, Latency: 2 * time.Millisecond})
		stores[1].Mute()
		mustApply(t, engines[0], "n", allowAll)
		time.Sleep(time.Second)
		before := engines[1].PolicyState().Epoch
		engines[1].hear(tellAll)
		time.Sleep(50 * time.Millisecond)
		if after := engines[1].PolicyState().Epoch; before != 0 || after != 1 {
			t.Errorf("it was at epoch %d, and is at %d", before, after)
		}
	})
}

// TestWatchersLeaveNothing: one that ended is not kept.
func TestWatchersLeaveNothing(t *testing.T) {
	w := newWatchers()
	for range 3 {
		_, stop := w.watch(EventRun, "n")
		kept, stopKept := w.watch(EventRun, "n")
		stop()
		if w.signal(&Event{Kind: EventRun, Namespace: "n"}); len(kept) != 1 || len(w.by) != 1 {
			t.Fatalf("%d are kept, woken: %d", len(w.by), len(kept))
		}
		stopKept()
	}
	if len(w.by) != 0 {
		t.Errorf("%d watchers are left", len(w.by))
	}
}

// TestASweepByAnOldPolicy: what is due is left for the next sweep, and that is
// no failure.
func TestASweepByAnOldPolicy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := memory.New(memory.Config{})
		a, b := replica(t, s), replica(t, s)
		defer closeAll(t, a, b)
		if _, err := b.StartRun(t.Context(), &StartRunRequest{Namespace: "n", RunID: "r", Caps: budget.Caps{Calls: new(int64(9))}}); err != nil {
			t.Fatal(err)
		}
		req := ask("a")
		req.RunID, req.Lease = "r", 10*time.Second
		if _, err := b.Acquire(t.Context(), req); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		mustApply(t, a, "n", allowAll)
		if _, err := b.Sweep(t.Context()); err != nil {
			t.Errorf("a sweep by an old policy: %v", err)
		}
		if _, err := b.fresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := b.Sweep(t.Context()); err != nil {
			t.Error(err)
		}
		if n, err := b.Sweep(t.Context()); err != nil || n != 0 {
			t.Errorf("%d records are still due, %v", n, err)
		}
	})
}

// TestQuotasOfAQuietReplica: one that had no calls for a while counts anew what
// others have filled meanwhile.
func TestQuotasOfAQuietReplica(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		engines := fleet(t, 2, distant.Config{Lanes: 2, Latency: 2 * time.Millisecond})
		mustApply(t, engines[0], "n", "version: 1\nquotas: {operations: 20}\n")
		if _, err := engines[0].Acquire(t.Context(), ask("first")); err != nil {
			t.Fatal(err)
		}
		time.Sleep((2*recountTurns + 2) * sweepEvery)
		for i := range 25 {
			if _, err := engines[1].Acquire(t.Context(), ask(strconv.Itoa(i))); err != nil {
				t.Fatal(err)
			}
		}
		if r, err := engines[0].Acquire(t.Context(), ask("late")); err != nil || r.Reason != admit.Quota {
			t.Errorf("the quiet replica decides %+v, %v", r, err)
		}
	})
}
