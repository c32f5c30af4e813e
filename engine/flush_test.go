// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/resilienced/resilienced/rules"
	"github.com/resilienced/resilienced/rules/admit"
	"github.com/resilienced/resilienced/rules/classify"
	"github.com/resilienced/resilienced/rules/target"
	"github.com/resilienced/resilienced/statestore"
	"github.com/resilienced/resilienced/statestore/memory"
	"github.com/resilienced/resilienced/test/distant"
)

// callTarget calls a target of its own name and returns an error unless that went well.
func callTarget(e *Engine, name string) error {
	ctx := context.Background()
	a, err := e.Acquire(ctx, &AcquireRequest{Namespace: "n", Target: name, OperationID: "op-" + name})
	if err != nil || a.Decision != admit.Granted {
		return fmt.Errorf("%+v, %w", a, err)
	}
	_, err = e.Report(ctx, &ReportRequest{Namespace: "n", PermitID: a.Grant.PermitID, Signal: succeeded})
	return err
}

// remembersAll fails unless an engine that is opened anew knows one call of each
// target.
func remembersAll(t *testing.T, s statestore.Store, targets int) {
	t.Helper()
	e, err := New(t.Context(), Config{Store: s, NoSweeper: true})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close(context.Background()) //nolint:errcheck // tested elsewhere
	e.tallies.mu.Lock()
	defer e.tallies.mu.Unlock()
	known := 0
	for i := range targets {
		k := tallyKey("n", strconv.Itoa(i))
		if c := e.tallies.byKey[k]; c != nil && c.seen().UpdatedAt != 0 {
			known++
		}
	}
	if known != targets {
		t.Errorf("after a restart %d targets of %d are known", known, targets)
	}
}

// tallyless is a store that refuses transactions of tallies from the second of a
// flush on.
type tallyless struct {
	statestore.Store
	mu     sync.Mutex
	broken bool
	seen   int
}

func (s *tallyless) Update(ctx context.Context, entries []*statestore.Entry, fn statestore.Func) error {
	s.mu.Lock()
	broken := s.broken && entries[0].Key.Kind == statestore.KindTally
	if broken {
		s.seen++
	}
	broken = broken && s.seen > 1
	s.mu.Unlock()
	if broken {
		return statestore.ErrUnavailable
	}
	return s.Store.Update(ctx, entries, fn)
}

func (s *tallyless) set(broken bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.broken, s.seen = broken, 0
}

// TestAFlushThatFailsHalfwayIsGoneOnWith: every tally that the store did not
// take is written when it takes them again, and the list of those to be written
// does not grow.
func TestAFlushThatFailsHalfwayIsGoneOnWith(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &tallyless{Store: memory.New(memory.Config{})}
		e, err := New(t.Context(), Config{Store: s, NoSweeper: true})
		if err != nil {
			t.Fatal(err)
		}
		const targets = 4 * upkeepAlone
		s.set(true)
		for i := range targets {
			if err := callTarget(e, strconv.Itoa(i)); err != nil {
				t.Fatal(err)
			}
		}
		for range 20 {
			time.Sleep(flushEvery)
			if err := callTarget(e, "0"); err == nil {
				t.Fatal("the operation has ended, yet it goes on")
			}
		}
		e.tallies.mu.Lock()
		waiting := len(e.tallies.dirty)
		e.tallies.mu.Unlock()
		if waiting > targets {
			t.Errorf("%d tallies of %d are to be written", waiting, targets)
		}
		s.set(false)
		time.Sleep(2 * flushEvery)
		remembersAll(t, s, targets) // before Close, which writes what is left
		e.tallies.mu.Lock()
		waiting = len(e.tallies.dirty)
		e.tallies.mu.Unlock()
		if waiting != 0 {
			t.Errorf("%d tallies are still to be written", waiting)
		}
		if err := e.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
}

// TestManyTalliesAreReadAgain: a restart forgets none of them, however many
// pages they take.
func TestManyTalliesAreReadAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := memory.New(memory.Config{})
		e, err := New(t.Context(), Config{Store: s, NoSweeper: true})
		if err != nil {
			t.Fatal(err)
		}
		const targets = 2300
		for i := range targets {
			e.tallies.apply([]tallyOp{{key: tallyKey("n", strconv.Itoa(i)), config: &target.Config{}, now: e.startedAt, deposit: true}})
		}
		if err := e.Close(context.Background()); err != nil {
			t.Fatal(err)
		}
		remembersAll(t, s, targets)
	})
}

// TestCloseWritesWhatItsLastCommandsCounted: they may still be in flight when it
// is called.
func TestCloseWritesWhatItsLastCommandsCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, s := newFaulty(t, 1)
		a, err := e.Acquire(t.Context(), &AcquireRequest{Namespace: "n", Target: "0", OperationID: "o"})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second + flushEvery/2) // what the Acquire counted is written, and no loop is in the store
		gate := make(chan struct{})
		s.set(gate, nil, nil)
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, err := e.Report(t.Context(), &ReportRequest{Namespace: "n", PermitID: a.Grant.PermitID, Signal: succeeded}); err != nil {
				t.Error(err)
			}
		})
		synctest.Wait()
		wg.Go(func() {
			if err := e.Close(context.Background()); err != nil {
				t.Error(err)
			}
		})
		synctest.Wait()
		if _, err := e.Acquire(t.Context(), &AcquireRequest{Namespace: "n", Target: "late"}); !errors.Is(err, ErrUnavailable) {
			t.Errorf("a command that came after Close: %v", err)
		}
		s.set(nil, nil, nil)
		close(gate)
		wg.Wait()
		r, _, err := s.Get(t.Context(), tallyKey("n", "0"))
		if err != nil {
			t.Fatal(err)
		}
		stored, ok := r.(*target.Tally)
		if now, err := s.Now(t.Context()); err != nil || !ok || stored.UpdatedAt < now {
			t.Errorf("the tally that is stored is %+v, %v; the last call is missing", stored, err)
		}
	})
}

// TestIdleTargetsMakeRoom: a namespace that has called as many targets as it may
// can call others when those are forgotten.
func TestIdleTargetsMakeRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, _ := newFaulty(t, 1)
		mustApply(t, e, "n", "version: 1\nquotas: {targets: 3}\n")
		for i := range 3 {
			if err := callTarget(e, strconv.Itoa(i)); err != nil {
				t.Fatal(err)
			}
		}
		full := &AcquireRequest{Namespace: "n", Target: "more", OperationID: "o"}
		if r, err := e.Acquire(t.Context(), full); err != nil || r.Reason != admit.Quota {
			t.Fatalf("a target too many: %+v, %v", r, err)
		}
		if err := callTarget(e, "other namespaces"); err == nil {
			t.Fatal("a target too many was called")
		}
		time.Sleep(target.TallyRetention + time.Second)
		if _, err := e.Acquire(t.Context(), &AcquireRequest{Namespace: "m", Target: "x"}); err != nil { // brings the time along
			t.Fatal(err)
		}
		time.Sleep(2 * flushEvery)
		for i := range 3 {
			if err := callTarget(e, "new-"+strconv.Itoa(i)); err != nil {
				t.Error(err)
			}
		}
	})
}

// TestLateStripesAreFound: a stripe is dated when its transaction begins and
// seen when it is committed, so it may lie behind those that are known.
func TestLateStripesAreFound(t *testing.T) {
	for _, c := range []struct{ behind, within time.Duration }{
		{stripeOverlap - 100*time.Millisecond, stripeBound},
		{stripeFar - time.Second, (stripeTurns + 2) * flushEvery},
	} {
		t.Run(c.behind.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				engines, stores := replicas(t, 2, distant.Config{Lanes: 2})
				time.Sleep(time.Minute)
				for i := range 2 {
					call(t, engines[i], engines[i], strconv.Itoa(i), succeeded)
				}
				time.Sleep(time.Second)
				if got := window(t, engines[0]); got.Successes != 2 {
					t.Fatalf("before it the window has %+v", got)
				}
				// What a third replica's transaction has written at last.
				entry := &statestore.Entry{
					Key:  statestore.Key{Kind: statestore.KindStripe, Name: "n" + sep + "x" + sep + "third"},
					Mode: statestore.Write,
				}
				engines[0].stripes.loading <- struct{}{}
				newest := engines[0].stripes.newest
				<-engines[0].stripes.loading
				err := stores[1].Update(t.Context(), []*statestore.Entry{entry}, func(now rules.Instant) (statestore.Durability, error) {
					s := &Stripe{FlushedAt: newest.Add(-c.behind)}
					s.Tally.Record(engines[0].policies.Load().of("n").Target("x"), target.Sample{Effect: classify.Success, Cost: -1}, now)
					entry.Put(s)
					return statestore.Rebuildable, nil
				})
				if err != nil {
					t.Fatal(err)
				}
				for begun := time.Now(); window(t, engines[0]).Successes != 3; time.Sleep(flushEvery) {
					if time.Since(begun) > c.within {
						t.Fatalf("a stripe that came %v late is not seen after %v", c.behind, time.Since(begun))
					}
				}
			})
		})
	}
}
