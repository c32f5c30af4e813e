// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/resilienced/resilienced/rules/admit"
	"github.com/resilienced/resilienced/rules/budget"
	"github.com/resilienced/resilienced/rules/operation"
	"github.com/resilienced/resilienced/statestore"
	"github.com/resilienced/resilienced/test/distant"
)

// fleet opens engines with everything on over one store.
func fleet(t *testing.T, n int, cfg distant.Config) []*Engine {
	t.Helper()
	net := distant.New(cfg)
	engines := make([]*Engine, n)
	for i := range n {
		s := net.Connect()
		e, err := New(t.Context(), Config{Store: s, AllowDrills: true})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := errors.Join(e.Close(context.Background()), s.Close()); err != nil {
				t.Error(err)
			}
		})
		engines[i] = e
	}
	return engines
}

// TestFirstStartsAgree: replicas that open an empty store at once make one key
// and one epoch between them.
func TestFirstStartsAgree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := distant.New(distant.Config{Lanes: 2, Latency: 5 * time.Millisecond})
		engines := make([]*Engine, 5)
		var wg sync.WaitGroup
		for i := range engines {
			wg.Go(func() {
				e, err := New(t.Context(), Config{Store: net.Connect()})
				if err != nil {
					t.Error(err)
					return
				}
				engines[i] = e
			})
		}
		wg.Wait()
		for i, e := range engines {
			defer e.Close(context.Background()) //nolint:errcheck // tested elsewhere
			a, err := e.Acquire(t.Context(), ask(strconv.Itoa(i)))
			if err != nil {
				t.Fatal(err)
			}
			for j, other := range engines {
				if _, err := other.Heartbeat(t.Context(), "n", a.Grant.PermitID, a.Grant.Fence); err != nil {
					t.Errorf("replica %d does not know a permit of replica %d: %v", j, i, err)
				}
			}
		}
	})
}

// TestQuotasFollowWhatOthersEnd: a replica that begins operations which others
// end does not think for ever that they are there.
func TestQuotasFollowWhatOthersEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		engines := fleet(t, 3, distant.Config{Lanes: 2, Latency: 2 * time.Millisecond})
		text := "version: 1\nquotas: {operations: 300}\n"
		if _, err := engines[0].ApplyPolicy(t.Context(), &ApplyPolicyRequest{Namespace: "n", Text: []byte(text)}); err != nil {
			t.Fatal(err)
		}
		// An operation that has ended is there for a minute: 2 a second are at
		// most 150 or so, and 1,200 in all.
		for i := range 1200 {
			if call(t, engines[0], engines[1+rand.IntN(2)], strconv.Itoa(i), succeeded) == nil {
				t.Fatalf("call %d was refused", i)
			}
			time.Sleep(500 * time.Millisecond)
		}
		// And one that others have filled is full here, too.
		time.Sleep(2 * time.Minute)
		for i := range 300 {
			if _, err := engines[1].Acquire(t.Context(), ask(fmt.Sprint("fill-", i))); err != nil {
				t.Fatal(err)
			}
		}
		a, err := engines[0].Acquire(t.Context(), ask("soft"))
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep((recountTurns + 2) * sweepEvery)
		b, err := engines[0].Acquire(t.Context(), ask("hard"))
		if err != nil || b.Reason != admit.Quota {
			n, _ := engines[0].store.Count(t.Context(), statestore.KindOperation, "n")
			t.Errorf("before the recount %v, after it %v %v, %v; %d of %d", a.Decision, b.Decision, b.Reason, err, engines[0].quotas.in("n").operations.Load(), n)
		}
	})
}

// TestDrillsEndEverywhere: nothing of a drill that another replica has ended
// is remembered.
func TestDrillsEndEverywhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		engines := fleet(t, 2, distant.Config{Lanes: 2, Latency: 2 * time.Millisecond})
		d, err := engines[0].StartDrill(t.Context(), "d", 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, id := range []string{"root", "leaf"} {
			req := &StartRunRequest{Namespace: d.Namespace, RunID: id, Caps: budget.Caps{Calls: new(int64(5))}}
			if id == "leaf" {
				req.Parent = "root"
			}
			if _, err := engines[1].StartRun(t.Context(), req); err != nil {
				t.Fatal(err)
			}
		}
		for i, e := range engines {
			req := ask(strconv.Itoa(i))
			req.Namespace, req.RunID = d.Namespace, "leaf"
			if a, err := e.Acquire(t.Context(), req); err != nil || a.Grant == nil {
				t.Fatalf("%+v, %v", a, err)
			}
		}
		// The clock is driven from one replica, what falls due from another.
		v, err := engines[1].AdvanceClock(t.Context(), d.Namespace, "", time.Hour)
		if err != nil || v.Handled == 0 {
			t.Fatalf("%+v, %v", v, err)
		}
		run, err := engines[0].GetRun(t.Context(), d.Namespace, "leaf")
		if err != nil || run.Run.Assumed.Calls != 2 {
			t.Errorf("%+v, %v", run, err)
		}
		if err := engines[0].EndDrill(t.Context(), d.Namespace); err != nil {
			t.Fatal(err)
		}
		time.Sleep((recountTurns + 2) * sweepEvery)
		for i, e := range engines {
			if e.quotas.in(d.Namespace) != nil || e.paths.get(runKey(d.Namespace, "leaf")) != nil {
				t.Errorf("replica %d remembers the drill", i)
			}
		}
	})
}

// TestRecordingIsBoundedOverReplicas: each replica drops what is too much, also
// of what the others wrote, and not more.
func TestRecordingIsBoundedOverReplicas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		engines := fleet(t, 3, distant.Config{Lanes: 2, Latency: time.Millisecond})
		const keep = 400
		for _, e := range engines {
			e.record.keep = keep
		}
		for i := range 3000 {
			call(t, engines[rand.IntN(3)], engines[rand.IntN(3)], strconv.Itoa(i), succeeded)
			time.Sleep(100 * time.Millisecond)
		}
		time.Sleep(2 * chunkAge)
		kept, names := 0, map[string]bool{}
		page, err := engines[0].store.List(t.Context(), statestore.Query{Kind: statestore.KindCalls, Namespace: "n", Limit: 1000})
		if err != nil {
			t.Fatal(err)
		}
		for _, row := range page.Rows {
			kept += row.Record.(*CallChunk).Count
			names[row.Name] = true
		}
		if kept > keep*5/4 || kept < keep/3 {
			t.Errorf("%d calls are kept in %d chunks, want about %d", kept, len(names), keep)
		}
	})
}

// TestNoTurningBack: whichever replica takes what, an operation has one live
// permit, and fences only grow.
func TestNoTurningBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		engines := fleet(t, 3, distant.Config{Lanes: 2, Latency: 3 * time.Millisecond})
		var mu sync.Mutex
		fences := map[string]uint64{}
		var wg sync.WaitGroup
		for w := range 20 {
			wg.Go(func() {
				for i := range 30 {
					op := fmt.Sprint("op-", rand.IntN(5))
					req := &AcquireRequest{
						Namespace: "n", RequestID: fmt.Sprint(w, "-", i), OperationID: op, Target: "x",
						Idempotency: operation.Idempotent, Hash: 1, Lease: time.Second,
					}
					a, err := engines[rand.IntN(3)].Acquire(t.Context(), req)
					if err != nil {
						t.Error(err)
						return
					}
					if a.Grant == nil {
						time.Sleep(a.Delay + time.Millisecond)
						continue
					}
					mu.Lock()
					if a.Grant.Fence <= fences[op] {
						t.Errorf("%s: fence %d after %d", op, a.Grant.Fence, fences[op])
					}
					fences[op] = a.Grant.Fence
					mu.Unlock()
					if _, err := engines[rand.IntN(3)].Release(t.Context(), &ReleaseRequest{Namespace: "n", PermitID: a.Grant.PermitID}); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
	})
}

// TestRecordsNeverGoBack: after a failover to a server whose clock is behind,
// and back, no record is older than it was, no fence is issued twice, and no
// lease ends early.
func TestRecordsNeverGoBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		engines, stores := replicas(t, 3, distant.Config{Lanes: 2, Latency: time.Millisecond})
		text := "version: 1\ntargets: [{match: x, preset: tool, limit: {concurrency: 20}}]\n"
		if _, err := engines[0].ApplyPolicy(t.Context(), &ApplyPolicyRequest{Namespace: "n", Text: []byte(text)}); err != nil {
			t.Fatal(err)
		}
		if _, err := engines[0].StartRun(t.Context(), &StartRunRequest{Namespace: "n", RunID: "r", Caps: budget.Caps{Calls: new(int64(1 << 20))}}); err != nil {
			t.Fatal(err)
		}
		last := map[statestore.Key]instant{}
		fences := map[string]uint64{}
		check := func(step int) {
			t.Helper()
			for _, kind := range []statestore.Kind{statestore.KindRun, statestore.KindTarget, statestore.KindOperation} {
				page, err := stores[0].List(t.Context(), statestore.Query{Kind: kind, Namespace: "n", Limit: 1000})
				if err != nil {
					t.Fatal(err)
				}
				for _, row := range page.Rows {
					k := statestore.Key{Kind: kind, Namespace: "n", Name: row.Name}
					at := row.Record.(touched).TouchedAt()
					if at < last[k] {
						t.Fatalf("step %d: %v %s went back by %v", step, kind, row.Name, last[k].Sub(at))
					}
					last[k] = at
				}
			}
		}
		granted := 0
		for i := range 400 {
			stores[rand.IntN(3)].Shift(-time.Duration(rand.IntN(3000)) * time.Millisecond)
			req := ask(strconv.Itoa(i))
			req.OperationID, req.RunID, req.Lease = fmt.Sprint("op-", rand.IntN(1+i)), "r", 5*time.Second
			a, err := engines[rand.IntN(3)].Acquire(t.Context(), req)
			if err != nil {
				t.Fatal(err)
			}
			check(i)
			if a.Grant == nil {
				time.Sleep(50 * time.Millisecond)
				continue
			}
			granted++
			if a.Grant.Fence <= fences[req.OperationID] {
				t.Fatalf("step %d: fence %d after %d", i, a.Grant.Fence, fences[req.OperationID])
			}
			fences[req.OperationID] = a.Grant.Fence
			if a.Grant.Lease < 5*time.Second {
				t.Fatalf("step %d: a lease of %v", i, a.Grant.Lease)
			}
			if rand.IntN(4) > 0 {
				_, err = engines[rand.IntN(3)].Report(t.Context(), &ReportRequest{Namespace: "n", PermitID: a.Grant.PermitID, Signal: succeeded})
				if err != nil {
					t.Fatal(err)
				}
			}
			check(i)
			time.Sleep(time.Duration(rand.IntN(200)) * time.Millisecond)
		}
		if granted < 50 {
			t.Fatalf("only %d grants; this tested little", granted)
		}
	})
}
