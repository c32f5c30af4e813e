// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/resilienced/resilienced/rules"
	"github.com/resilienced/resilienced/statestore"
	"github.com/resilienced/resilienced/statestore/memory"
)

// faulty is a memory store whose commits can be held up, refused or lost.
type faulty struct {
	statestore.Store
	mu     sync.Mutex
	gate   chan struct{} // commits wait for it, if it is there
	reject func(*statestore.Entry) bool
	fail   error
}

func (s *faulty) Update(ctx context.Context, entries []*statestore.Entry, fn statestore.Func) error {
	s.mu.Lock()
	gate, reject, fail := s.gate, s.reject, s.fail
	s.mu.Unlock()
	if gate != nil {
		<-gate
	}
	if fail != nil {
		return fail
	}
	return s.Store.Update(ctx, entries, func(now rules.Instant) (statestore.Durability, error) {
		d, err := fn(now)
		for _, e := range entries {
			if err == nil && reject != nil && e.Changed() && reject(e) {
				return d, statestore.ErrRejected
			}
		}
		return d, err
	})
}

func (s *faulty) set(gate chan struct{}, reject func(*statestore.Entry) bool, fail error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gate, s.reject, s.fail = gate, reject, fail
}

func newFaulty(t *testing.T, lanes int) (*Engine, *faulty) {
	t.Helper()
	s := &faulty{Store: memory.New(memory.Config{Lanes: lanes})}
	e, err := New(t.Context(), Config{Store: s, NoSweeper: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.set(nil, nil, nil)
		if err := e.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return e, s
}

// counter is a test command: it adds one to a record.
type counter struct {
	name string
	key  int
	ran  int
	then func(t *txn) error
}

func (c *counter) plan(cmd *command) {
	c.key = cmd.key(statestore.Key{Kind: statestore.KindRepeat, Namespace: "n", Name: c.name}, statestore.Write, 0)
}

func (c *counter) apply(t *txn) error {
	c.ran++
	t.put(c.key, record[Repeat](t, c.key).again(t.now))
	if c.then != nil {
		return c.then(t)
	}
	return nil
}

func count(t *testing.T, e *Engine, name string) int {
	t.Helper()
	r, _, err := get[Repeat](t.Context(), e, statestore.Key{Kind: statestore.KindRepeat, Namespace: "n", Name: name})
	if err != nil {
		t.Fatal(err)
	}
	return r.count()
}

// TestOneCommandFailsAlone: in one batch, a command that fails or panics takes
// back its own change and nobody else's.
func TestOneCommandFailsAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, s := newFaulty(t, 1)
		gate := make(chan struct{})
		s.set(gate, nil, nil)
		errOwn := errors.New("own")
		commands := []*counter{
			{name: "a"},
			{name: "a", then: func(*txn) error { return errOwn }},
			{name: "a", then: func(*txn) error { panic("rule") }},
			{name: "a"},
			{name: "a"},
		}
		errs := make([]error, len(commands))
		var wg sync.WaitGroup
		for i, c := range commands {
			wg.Go(func() { errs[i] = e.submit(t.Context(), "n", false, c, c.plan) })
		}
		synctest.Wait()
		close(gate)
		wg.Wait()
		if got := count(t, e, "a"); got != 3 {
			t.Errorf("the record was counted %d times, want 3", got)
		}
		if !errors.Is(errs[1], errOwn) || !errors.Is(errs[2], ErrInternal) || errs[0] != nil || errs[3] != nil || errs[4] != nil {
			t.Errorf("errors: %v", errs)
		}
		if n := s.Commits(); n > 4 {
			t.Errorf("%d commits; the waiting commands must share one", n)
		}
	})
}

// TestRejectedBatchIsHalved: a record that the store refuses fails its own
// command only.
func TestRejectedBatchIsHalved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, s := newFaulty(t, 1)
		gate := make(chan struct{})
		s.set(gate, func(e *statestore.Entry) bool { return e.Key.Name == "bad" }, nil)
		errs := make([]error, 9)
		var wg sync.WaitGroup
		for i := range errs {
			c := &counter{name: fmt.Sprint("k", i)}
			if i == 5 {
				c.name = "bad"
			}
			wg.Go(func() { errs[i] = e.submit(t.Context(), "n", false, c, c.plan) })
		}
		synctest.Wait()
		close(gate)
		wg.Wait()
		for i, err := range errs {
			if (err != nil) != (i == 5) {
				t.Errorf("command %d: %v", i, err)
			}
		}
	})
}

// TestGoneCallersAreDropped: a command whose caller left before its batch was
// sealed is never run.
func TestGoneCallersAreDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, s := newFaulty(t, 1)
		gate := make(chan struct{})
		s.set(gate, nil, nil)
		var wg sync.WaitGroup
		first, gone, last := &counter{name: "a"}, &counter{name: "a"}, &counter{name: "a"}
		wg.Go(func() { _ = e.submit(t.Context(), "n", false, first, first.plan) })
		synctest.Wait()
		ctx, cancel := context.WithCancel(t.Context())
		var err error
		wg.Go(func() { err = e.submit(ctx, "n", false, gone, gone.plan) })
		wg.Go(func() { _ = e.submit(t.Context(), "n", false, last, last.plan) })
		synctest.Wait()
		cancel()
		synctest.Wait()
		close(gate)
		wg.Wait()
		if !errors.Is(err, context.Canceled) || gone.ran != 0 {
			t.Errorf("the command of a caller that left ran %d times, error %v", gone.ran, err)
		}
		if got := count(t, e, "a"); got != 2 {
			t.Errorf("counted %d, want 2", got)
		}
	})
}

// TestQueueIsBounded: beyond a few batches an Acquire is turned away with the
// time to come back; reports have a share of their own and go first.
func TestQueueIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, s := newFaulty(t, 1)
		gate := make(chan struct{})
		s.set(gate, nil, nil)
		var wg sync.WaitGroup
		var mu sync.Mutex
		refused := 0
		for range waitingPerJob + 10 {
			c := &counter{name: "a"}
			wg.Go(func() {
				var full *OverloadedError
				if err := e.submit(t.Context(), "n", false, c, c.plan); errors.As(err, &full) && full.Delay > 0 {
					mu.Lock()
					refused++
					mu.Unlock()
				}
			})
		}
		synctest.Wait()
		report := &counter{name: "r"}
		wg.Go(func() {
			if err := e.submit(t.Context(), "n", true, report, report.plan); err != nil {
				t.Errorf("a report was turned away: %v", err)
			}
		})
		synctest.Wait()
		close(gate)
		wg.Wait()
		if refused != 9 { // one runs, the bound waits
			t.Errorf("%d acquires were turned away, want 9", refused)
		}
	})
}

// TestLostCommitsSaySo: nobody is told that something happened, or did not,
// when nobody knows.
func TestLostCommitsSaySo(t *testing.T) {
	e, s := newFaulty(t, 1)
	c := &counter{name: "a"}
	s.set(nil, nil, statestore.ErrUnknownOutcome)
	if err := e.submit(t.Context(), "n", false, c, c.plan); !errors.Is(err, ErrOutcomeUnknown) {
		t.Errorf("unknown commit: %v", err)
	}
	s.set(nil, nil, statestore.ErrUnavailable)
	if err := e.submit(t.Context(), "n", false, c, c.plan); !errors.Is(err, ErrUnavailable) {
		t.Errorf("store away: %v", err)
	}
}

// TestLanesKeepTheSum: with several lanes, commands on the same records never
// run side by side and none is lost.
func TestLanesKeepTheSum(t *testing.T) {
	for _, lanes := range []int{1, 4} {
		t.Run(fmt.Sprint("lanes=", lanes), func(t *testing.T) {
			e, _ := newFaulty(t, lanes)
			const callers, each = 64, 50
			var wg sync.WaitGroup
			for i := range callers {
				wg.Go(func() {
					for j := range each {
						c := &counter{name: fmt.Sprint("k", (i+j)%3)}
						c.then = func(tx *txn) error { // needs a second record, found out late
							h, ok := tx.want(statestore.Key{Kind: statestore.KindRepeat, Namespace: "n", Name: "all"}, statestore.Write, 0)
							if !ok {
								return errNeed
							}
							tx.put(h, record[Repeat](tx, h).again(tx.now))
							return nil
						}
						if err := e.submit(t.Context(), "n", j%2 == 0, c, c.plan); err != nil {
							t.Error(err)
						}
					}
				})
			}
			wg.Wait()
			if got := count(t, e, "all"); got != callers*each {
				t.Errorf("counted %d, want %d", got, callers*each)
			}
			if got := count(t, e, "k0") + count(t, e, "k1") + count(t, e, "k2"); got != callers*each {
				t.Errorf("counted %d by key, want %d", got, callers*each)
			}
		})
	}
}
