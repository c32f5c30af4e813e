// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/resilienced/resilienced/rules/admit"
	"github.com/resilienced/resilienced/rules/budget"
	"github.com/resilienced/resilienced/rules/classify"
	"github.com/resilienced/resilienced/rules/operation"
	"github.com/resilienced/resilienced/statestore"
	"github.com/resilienced/resilienced/test/distant"
)

// far opens an engine on a store over the network.
func far(t *testing.T, cfg distant.Config) (*Engine, *distant.Store) {
	t.Helper()
	s := distant.New(cfg).Connect()
	return join(t, s), s
}

func join(t *testing.T, s *distant.Store) *Engine {
	t.Helper()
	e, err := New(t.Context(), Config{Store: s, NoSweeper: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(context.Background()); err != nil {
			t.Error(err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return e
}

func ask(id string) *AcquireRequest {
	return &AcquireRequest{Namespace: "n", RequestID: id, OperationID: "op-" + id, Target: "x", Idempotency: operation.Idempotent, Hash: 1}
}

// delayOf is how long an error tells its caller to wait.
func delayOf(t *testing.T, err error) time.Duration {
	t.Helper()
	d, ok := errors.AsType[*DelayedError](err)
	if !ok || d.Delay <= 0 {
		t.Fatalf("the error says no delay: %v", err)
	}
	return d.Delay
}

// TestNobodyWaitsForAStalledStore: whatever the store does, callers are told to
// come again in time, and a command that had not begun is never carried out.
func TestNobodyWaitsForAStalledStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, s := far(t, distant.Config{Lanes: 1})
		if _, err := e.Acquire(t.Context(), ask("warm")); err != nil {
			t.Fatal(err)
		}
		resume := s.Stall()
		defer resume()
		start := time.Now()
		timed := func(ctx context.Context, most time.Duration, want error, call func(ctx context.Context) error) {
			t.Helper()
			begun := time.Now()
			err := call(ctx)
			if took := time.Since(begun); took > most || !errors.Is(err, want) {
				t.Errorf("after %v: %v, want %v within %v", took, err, want, most)
			}
			delayOf(t, err)
		}
		var wg sync.WaitGroup
		wg.Go(func() { // begins the transaction that stalls
			timed(t.Context(), acquirePatience, ErrOutcomeUnknown, func(ctx context.Context) error {
				_, err := e.Acquire(ctx, ask("flying"))
				return err
			})
		})
		synctest.Wait()
		wg.Go(func() {
			timed(t.Context(), acquirePatience, ErrUnavailable, func(ctx context.Context) error {
				_, err := e.Acquire(ctx, ask("waiting"))
				return err
			})
		})
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancel()
			timed(ctx, 99*time.Millisecond, ErrUnavailable, func(ctx context.Context) error {
				_, err := e.Acquire(ctx, ask("hurried"))
				return err
			})
		})
		wg.Go(func() {
			req := ask("unknown namespace")
			req.Namespace = "other"
			timed(t.Context(), acquirePatience, ErrUnavailable, func(ctx context.Context) error {
				_, err := e.Acquire(ctx, req)
				return err
			})
		})
		wg.Go(func() {
			timed(t.Context(), reportPatience, ErrUnavailable, func(ctx context.Context) error {
				_, err := e.Release(ctx, &ReleaseRequest{Namespace: "n", OperationID: "op-warm", AcquireRequestID: "warm"})
				return err
			})
		})
		wg.Wait()
		if n := e.Stats().Waiting; n != 0 {
			t.Errorf("%d commands still wait for callers that have left, %v after the stall began", n, time.Since(start))
		}
		resume()
		synctest.Wait()
		time.Sleep(time.Second)
		for id, want := range map[string]bool{"warm": true, "flying": false, "waiting": false, "hurried": false} {
			op, now, err := get[operation.Operation](t.Context(), e, operationKey("n", "op-"+id))
			if err != nil {
				t.Fatal(err)
			}
			if live := op != nil && op.Live(now); live != want {
				t.Errorf("%s: a live permit: %v, want %v", id, live, want)
			}
			if id != "flying" && (op != nil) != want {
				t.Errorf("%s was carried out after its caller had left", id)
			}
		}
	})
}

// TestReportsOutlastAShortStall: what gives back a slot or money is not turned
// away for half a second of silence.
func TestReportsOutlastAShortStall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, s := far(t, distant.Config{Lanes: 2})
		a, err := e.Acquire(t.Context(), ask("a"))
		if err != nil {
			t.Fatal(err)
		}
		resume := s.Stall()
		time.AfterFunc(600*time.Millisecond, resume)
		r, err := e.Report(t.Context(), &ReportRequest{
			Namespace: "n", PermitID: a.Grant.PermitID, Signal: classify.Signal{Outcome: classify.OutcomeSuccess},
		})
		if err != nil || r.Answer.Action != operation.Continue {
			t.Errorf("the report got %+v, %v", r, err)
		}
	})
}

// TestAStoreThatIsGoneFailsFast: after the first refusal nobody waits, nothing
// is sent but a probe, and the store is found again by itself.
func TestAStoreThatIsGoneFailsFast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, s := far(t, distant.Config{Lanes: 2, Latency: 2 * time.Millisecond})
		if _, err := e.Acquire(t.Context(), ask("warm")); err != nil {
			t.Fatal(err)
		}
		// One that waits while the store goes is told at once, too.
		resume := s.Stall()
		var wg sync.WaitGroup
		for i := range 3 {
			wg.Go(func() {
				req := ask("same") // all of one operation, so that they wait for each other
				req.RequestID = strconv.Itoa(i)
				begun := time.Now()
				if _, err := e.Acquire(t.Context(), req); !errors.Is(err, ErrUnavailable) || time.Since(begun) > 100*time.Millisecond {
					t.Errorf("after %v: %v", time.Since(begun), err)
				}
			})
		}
		time.Sleep(50 * time.Millisecond)
		s.Fail(fmt.Errorf("%w: connection refused", statestore.ErrUnavailable))
		resume()
		wg.Wait()
		begunBefore, _ := s.Transactions()
		delays := map[time.Duration]bool{}
		for i := range 1000 {
			begun := time.Now()
			_, err := e.Acquire(t.Context(), ask(fmt.Sprint("gone-", i)))
			if !errors.Is(err, ErrUnavailable) || time.Since(begun) != 0 {
				t.Fatalf("after %v: %v", time.Since(begun), err)
			}
			delays[delayOf(t, err)] = true
			time.Sleep(10 * time.Millisecond)
		}
		if len(delays) < 900 {
			t.Errorf("1000 callers were told only %d different delays", len(delays))
		}
		if begun, _ := s.Transactions(); begun-begunBefore > 400 { // ten seconds of probes and flushes
			t.Errorf("%d transactions were sent to a store that is gone", begun-begunBefore)
		}
		s.Fail(nil)
		time.Sleep(probeMost + probeMost/2 + 10*time.Millisecond)
		if a, err := e.Acquire(t.Context(), ask("back")); err != nil || a.Grant == nil {
			t.Errorf("the store is back, but: %+v, %v", a, err)
		}
	})
}

// crowd is many callers that follow the rules on one engine.
type crowd struct {
	e    *Engine
	held sync.Map // request id -> permit id
	lost atomic.Int64
}

// call asks until it has a grant. Every third one gives up after the first
// error and never comes back.
func (c *crowd) call(t *testing.T, i int) {
	id := strconv.Itoa(i)
	req := ask(id)
	req.RunID = "r"
	for range 30 {
		a, err := c.e.Acquire(t.Context(), req)
		if err == nil {
			if a.Decision != admit.Granted {
				t.Errorf("%s: %+v", id, a)
				return
			}
			c.held.Store(id, a.Grant.PermitID)
			return
		}
		if i%3 == 0 {
			c.lost.Add(1)
			return
		}
		if full, ok := errors.AsType[*OverloadedError](err); ok {
			time.Sleep(full.Delay)
			continue
		}
		time.Sleep(delayOf(t, err))
	}
	t.Errorf("%s never got an answer", id)
}

// TestStallLeavesNoGrantsToNobody: the store stalls for two seconds under 1,000
// callers, who leave and ask again. Soon after, every live permit is in
// somebody's hands, and the run has reserved just that.
func TestStallLeavesNoGrantsToNobody(t *testing.T) {
	for _, stall := range []struct {
		name string
		hold func(*distant.Store) func()
	}{
		{"before the commit", (*distant.Store).Stall},
		{"after the commit", (*distant.Store).Delay},
	} {
		t.Run(stall.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { stallACrowd(t, stall.hold) })
		})
	}
}

func stallACrowd(t *testing.T, hold func(*distant.Store) func()) {
	t.Helper()
	e, s := far(t, distant.Config{Lanes: 4, Latency: 2 * time.Millisecond})
	if _, err := e.StartRun(t.Context(), &StartRunRequest{Namespace: "n", RunID: "r", Caps: budget.Caps{Calls: new(int64(1 << 20))}}); err != nil {
		t.Fatal(err)
	}
	c := &crowd{e: e}
	const callers = 1000
	var wg sync.WaitGroup
	start := func(from, n int) {
		for i := from; i < from+n; i++ {
			wg.Go(func() { c.call(t, i) })
		}
	}
	start(0, 10)
	wg.Wait()
	resume := hold(s)
	start(10, callers-10)
	time.Sleep(2 * time.Second)
	resume()
	wg.Wait()
	time.Sleep(time.Second)
	held := 0
	c.held.Range(func(_, _ any) bool { held++; return true })
	if held < callers/2 || c.lost.Load() == 0 {
		t.Fatalf("%d hold a grant and %d have given up; the stall tested nothing", held, c.lost.Load())
	}
	page, err := s.List(t.Context(), statestore.Query{Kind: statestore.KindOperation, Namespace: "n", Limit: 2 * callers})
	if err != nil {
		t.Fatal(err)
	}
	live := 0
	for _, row := range page.Rows {
		if op, ok := row.Record.(*operation.Operation); ok && op.Live(page.Now) {
			live++
			if _, mine := c.held.Load(op.Permit.RequestID); !mine {
				t.Errorf("%s is granted to nobody", row.Name)
			}
		}
	}
	run, err := e.GetRun(t.Context(), "n", "r")
	if err != nil {
		t.Fatal(err)
	}
	if live != held || run.Run.Reserved.Calls != int64(held) {
		t.Errorf("%d hold a grant, %d permits are live, the run has reserved %d calls", held, live, run.Run.Reserved.Calls)
	}
	begun, _ := s.Transactions()
	t.Logf("%d hold a grant, %d gave up, %d transactions", held, c.lost.Load(), begun)
	if begun > callers/2 {
		t.Errorf("%d transactions for %d callers: batches do not form", begun, callers)
	}
}

// TestCloseDoesNotWaitForAStoreThatIsGone: it gives up with its context, and
// leaves no goroutine behind.
func TestCloseDoesNotWaitForAStoreThatIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := distant.New(distant.Config{Lanes: 2}).Connect()
		e, err := New(t.Context(), Config{Store: s})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := e.Acquire(t.Context(), ask("warm")); err != nil {
			t.Fatal(err)
		}
		resume := s.Stall()
		defer resume()
		if _, err := e.Acquire(t.Context(), ask("a")); !errors.Is(err, ErrOutcomeUnknown) {
			t.Error(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		begun := time.Now()
		err = e.Close(ctx)
		if took := time.Since(begun); took > 3*time.Second+closeLimit {
			t.Errorf("Close took %v: %v", took, err)
		}
		synctest.Wait()
	})
}
