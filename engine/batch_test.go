// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/resilienced/resilienced/rules"
	"github.com/resilienced/resilienced/statestore"
	"github.com/resilienced/resilienced/statestore/memory"
)

// witness is a memory store that notes how each of its transactions was to be
// written: how durable, and how many test records it changed.
type witness struct {
	statestore.Store
	mu      sync.Mutex
	gate    chan struct{} // transactions wait for it, if it is there
	written []writing
}

type writing struct {
	durability statestore.Durability
	records    int
}

func (w *witness) Update(ctx context.Context, entries []*statestore.Entry, fn statestore.Func) error {
	w.mu.Lock()
	gate := w.gate
	w.mu.Unlock()
	if gate != nil {
		<-gate
	}
	var one writing
	err := w.Store.Update(ctx, entries, func(now rules.Instant) (statestore.Durability, error) {
		d, err := fn(now)
		one = writing{durability: d}
		for _, e := range entries {
			if e.Key.Kind == statestore.KindRepeat && e.Changed() {
				one.records++
			}
		}
		return d, err
	})
	w.mu.Lock()
	defer w.mu.Unlock()
	if one.records > 0 {
		w.written = append(w.written, one)
	}
	return err
}

// together runs commands in one batch, in their order: a first one is in flight
// while they come.
func together(t *testing.T, e *Engine, w *witness, commands ...*counter) []error {
	t.Helper()
	gate := make(chan struct{})
	w.mu.Lock()
	w.gate = gate
	w.mu.Unlock()
	errs := make([]error, len(commands))
	var wg sync.WaitGroup
	first := &counter{name: "first"}
	wg.Go(func() {
		if err := e.submit(t.Context(), "n", false, first, first.plan); err != nil {
			t.Error(err)
		}
	})
	synctest.Wait()
	for i, c := range commands {
		wg.Go(func() { errs[i] = e.submit(t.Context(), "n", false, c, c.plan) })
		synctest.Wait()
	}
	close(gate)
	wg.Wait()
	return errs
}

func newWitness(t *testing.T) (*Engine, *witness) {
	t.Helper()
	w := &witness{Store: memory.New(memory.Config{})}
	e, err := New(t.Context(), Config{Store: w, NoSweeper: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return e, w
}

// TestABatchIsAsDurableAsItsMembers: whoever else rides along, before it or
// after it, what must survive a crash does; and one that failed asks for
// nothing.
func TestABatchIsAsDurableAsItsMembers(t *testing.T) {
	lasting := func(tx *txn) error { tx.durable = true; return nil }
	failing := func(tx *txn) error { tx.durable = true; return errors.New("own") }
	for name, c := range map[string]struct {
		then [3]func(*txn) error
		want statestore.Durability
	}{
		"none":      {[3]func(*txn) error{}, statestore.Rebuildable},
		"the first": {[3]func(*txn) error{lasting, nil, nil}, statestore.Durable},
		"the last":  {[3]func(*txn) error{nil, nil, lasting}, statestore.Durable},
		"a failure": {[3]func(*txn) error{nil, failing, nil}, statestore.Rebuildable},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e, w := newWitness(t)
				var commands []*counter
				for i, then := range c.then {
					commands = append(commands, &counter{name: strconv.Itoa(i), then: then})
				}
				together(t, e, w, commands...)
				if len(w.written) != 2 || w.written[1].durability != c.want {
					t.Errorf("the first command and the batch were written as %+v, want the batch as %v", w.written, c.want)
				}
			})
		})
	}
}

// TestAFailureTakesBackAllItsChanges: a command that changed a record twice, and
// another's before it, leaves both as it found them.
func TestAFailureTakesBackAllItsChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, w := newWitness(t)
		errOwn := errors.New("own")
		twice := &counter{name: "a"}
		twice.then = func(tx *txn) error {
			tx.put(twice.key, record[Repeat](tx, twice.key).again(tx.now))
			tx.put(twice.key, record[Repeat](tx, twice.key).again(tx.now))
			return errOwn
		}
		errs := together(t, e, w, &counter{name: "a"}, twice, &counter{name: "a"})
		if errs[0] != nil || !errors.Is(errs[1], errOwn) || errs[2] != nil {
			t.Errorf("errors: %v", errs)
		}
		if got := count(t, e, "a"); got != 2 {
			t.Errorf("counted %d, want 2", got)
		}
	})
}

// TestEqualNamesInTwoNamespaces: in one batch, records of the same name in two
// namespaces are two.
func TestEqualNamesInTwoNamespaces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, w := newWitness(t)
		gate := make(chan struct{})
		w.gate = gate
		var wg sync.WaitGroup
		for _, ns := range []string{"busy", "n", "m", "n"} {
			wg.Go(func() {
				key := statestore.Key{Kind: statestore.KindRepeat, Namespace: ns, Name: "a"}
				c := &counter{}
				if err := e.submit(t.Context(), ns, false, c, func(cmd *command) { c.key = cmd.key(key, statestore.Write, 0) }); err != nil {
					t.Error(err)
				}
			})
			synctest.Wait()
		}
		close(gate)
		wg.Wait()
		if len(w.written) != 2 {
			t.Fatalf("%d transactions; the last three commands must share one", len(w.written))
		}
		for ns, want := range map[string]int{"n": 2, "m": 1} {
			r, _, err := get[Repeat](t.Context(), e, statestore.Key{Kind: statestore.KindRepeat, Namespace: ns, Name: "a"})
			if err != nil || r.count() != want {
				t.Errorf("namespace %s counted %d, %v, want %d", ns, r.count(), err, want)
			}
		}
	})
}

// TestReportsAreBounded: they have a share of the queue of their own, and that
// has an end, too.
func TestReportsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, s := newFaulty(t, 1)
		gate := make(chan struct{})
		s.set(gate, nil, nil)
		var wg sync.WaitGroup
		refused := make(chan error, waitingPerJob+10)
		for range waitingPerJob + 10 {
			c := &counter{name: "a"}
			wg.Go(func() {
				if err := e.submit(t.Context(), "n", true, c, c.plan); err != nil {
					refused <- err
				}
			})
		}
		synctest.Wait()
		close(gate)
		wg.Wait()
		if len(refused) != 9 { // one runs, the bound waits
			t.Errorf("%d reports were turned away, want 9", len(refused))
		}
		for range len(refused) {
			if full, ok := errors.AsType[*OverloadedError](<-refused); !ok || full.Delay <= 0 {
				t.Errorf("a report was turned away without a time to come back: %v", full)
			}
		}
	})
}

// waiting adds commands without keys of one namespace to a queue.
func waiting(q *queue, namespace string, urgent bool, n int) {
	for range n {
		q.add(&command{namespace: namespace, urgent: urgent, ctx: context.Background(), kept: kept{wake: make(chan struct{}, 1)}})
	}
}

func served(b batch) map[string]int {
	by := map[string]int{}
	for _, c := range b.members {
		by[c.namespace]++
	}
	return by
}

// TestNamespacesShareABatch: a crowd takes what others leave, and no more.
func TestNamespacesShareABatch(t *testing.T) {
	q := newQueue(1)
	waiting(&q, "crowd", false, 3*maxBatch)
	waiting(&q, "few", false, 3)
	waiting(&q, "one", false, 1)
	waiting(&q, "rival", false, 3*maxBatch)
	by := served(q.seal())
	if by["few"] != 3 || by["one"] != 1 || by["crowd"] < maxBatch/4 || by["rival"] < maxBatch/4 {
		t.Errorf("the first batch took %v", by)
	}
	if by := served(q.seal()); by["crowd"] != maxBatch/2 || by["rival"] != maxBatch/2 {
		t.Errorf("the second batch took %v of two crowds", by)
	}
}

// TestNamespacesAreServedInTurn: more namespaces than a batch has room for wait
// no longer than one round.
func TestNamespacesAreServedInTurn(t *testing.T) {
	q := newQueue(1)
	const namespaces = maxBatch + maxBatch/2
	for i := range namespaces {
		waiting(&q, strconv.Itoa(i), false, 4)
	}
	first, second := served(q.seal()), served(q.seal())
	for i := range namespaces {
		ns := strconv.Itoa(i)
		if n := first[ns] + second[ns]; n < 1 || n > 2 {
			t.Fatalf("after two batches namespace %s was served %d times", ns, n)
		}
	}
}

// TestReportsGoFirst: they come before every plain command that waited for
// longer, even if these fill the batch.
func TestReportsGoFirst(t *testing.T) {
	q := newQueue(1)
	waiting(&q, "n", false, 2*maxBatch)
	waiting(&q, "m", true, 5)
	b := q.seal()
	if len(b.members) != maxBatch {
		t.Fatalf("the batch has %d members", len(b.members))
	}
	for i, c := range b.members {
		if c.urgent != (i < 5) {
			t.Fatalf("member %d is urgent: %v", i, c.urgent)
		}
	}
}
