// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/resilienced/resilienced/statestore"
	"github.com/resilienced/resilienced/statestore/memory"
	"github.com/resilienced/resilienced/test/distant"
)

// TestQueueLosesNobody plays lanes against a queue: two batches in flight never
// write the same key, urgent commands of a key go first, everybody has a turn,
// and nothing is left behind when all is done.
func TestQueueLosesNobody(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		lanes := rapid.IntRange(1, 4).Draw(t, "lanes")
		q := newQueue(lanes)
		var flying []batch
		var waiting []*command
		served := map[*command]bool{}
		newCommand := func() *command {
			c := &command{
				namespace: rapid.SampledFrom([]string{"a", "b"}).Draw(t, "namespace"), urgent: rapid.Bool().Draw(t, "urgent"),
				ctx: context.Background(), kept: kept{wake: make(chan struct{}, 1)},
			}
			for _, k := range rapid.SliceOfNDistinct(rapid.IntRange(0, 3), 1, 3, rapid.ID).Draw(t, "keys") {
				c.key(statestore.Key{Name: strconv.Itoa(k)}, statestore.Write, 0)
			}
			return c
		}
		seal := func(t *rapid.T) {
			if len(flying) == lanes || !q.ready() {
				return
			}
			sealed := q.seal()
			for _, c := range sealed.members {
				if served[c] {
					t.Fatal("a command was taken twice")
				}
				served[c] = true
				waiting = slices.DeleteFunc(waiting, func(o *command) bool { return o == c })
				for _, other := range flying {
					for _, o := range other.members {
						if shareKey(c, o) {
							t.Fatal("two transactions in flight write the same key")
						}
					}
				}
			}
			if len(sealed.members) > 0 {
				flying = append(flying, sealed)
			}
		}
		land := func(*rapid.T) {
			if len(flying) == 0 {
				return
			}
			i := rapid.IntRange(0, len(flying)-1).Draw(t, "batch")
			q.unhold(flying[i].keys)
			flying = slices.Delete(flying, i, i+1)
		}
		t.Repeat(map[string]func(*rapid.T){
			"add":  func(*rapid.T) { c := newCommand(); q.add(c); waiting = append(waiting, c) },
			"seal": seal, "seal more": seal, "land": land,
			"leave": func(t *rapid.T) {
				if len(waiting) > 0 {
					i := rapid.IntRange(0, len(waiting)-1).Draw(t, "who")
					q.remove(waiting[i])
					waiting = slices.Delete(waiting, i, i+1)
				}
			},
			"": func(t *rapid.T) {
				if q.depth() != len(waiting) {
					t.Fatalf("the queue counts %d, %d wait", q.depth(), len(waiting))
				}
				if (q.runnable() > 0) != (q.urgent.first != nil || slices.ContainsFunc(q.ring, func(n string) bool { return q.plain[n].first != nil })) {
					t.Fatalf("the queue says that %d can run", q.runnable())
				}
				if len(flying) == 0 && len(waiting) > 0 && !q.ready() {
					t.Fatal("all wait for nobody")
				}
			},
		})
		for len(waiting) > 0 || len(flying) > 0 {
			before := len(waiting) + len(flying)
			for q.ready() && len(flying) < lanes {
				seal(t)
			}
			land(t)
			if len(waiting)+len(flying) >= before && len(flying) == 0 {
				t.Fatal("nothing moves")
			}
		}
		if len(q.held) != 0 || q.patient != nil || q.depth() != 0 {
			t.Fatalf("left behind: %d keys, %v, %d commands", len(q.held), q.patient, q.depth())
		}
	})
}

func shareKey(a, b *command) bool {
	return slices.ContainsFunc(a.wants, func(w want) bool {
		return slices.ContainsFunc(b.wants, func(o want) bool { return o.key == w.key })
	})
}

// queued adds a command that writes some keys.
func queued(q *queue, keys ...string) *command {
	c := &command{namespace: "n", ctx: context.Background(), kept: kept{wake: make(chan struct{}, 1)}}
	for _, k := range keys {
		c.key(statestore.Key{Name: k}, statestore.Write, 0)
	}
	q.add(c)
	return c
}

// TestNobodyStarvesBetweenTwoKeys: a command of two keys has its turn although
// others, of one key each, always hold one of them.
func TestNobodyStarvesBetweenTwoKeys(t *testing.T) {
	q := newQueue(2)
	command := func(keys ...string) *command { return queued(&q, keys...) }
	command("left")
	left := q.seal()
	command("right")
	right := q.seal()
	both := command("left", "right")
	for range 100 {
		command("left")
		command("right")
		q.unhold(left.keys)
		left = q.seal()
		q.unhold(right.keys)
		right = q.seal()
		if slices.Contains(left.members, both) || slices.Contains(right.members, both) {
			return
		}
	}
	t.Fatal("the command of two keys was passed over a hundred times")
}

// BenchmarkLanes is what callers get from a store whose transactions take 2 ms:
// commands a second, and how many share a transaction.
func BenchmarkLanes(b *testing.B) {
	for _, keys := range []int{1, 10_000} {
		for _, callers := range []int{16, 256, 4096} {
			b.Run(fmt.Sprintf("keys=%d/callers=%d", keys, callers), func(b *testing.B) {
				s := distant.New(distant.Config{Lanes: 4, Latency: 2 * time.Millisecond}).Connect()
				e, err := New(b.Context(), Config{Store: s, NoSweeper: true, NoRecording: true})
				if err != nil {
					b.Fatal(err)
				}
				defer e.Close(context.Background()) //nolint:errcheck // nothing is kept
				before, _ := s.Transactions()
				var wg sync.WaitGroup
				b.ResetTimer()
				for i := range callers {
					wg.Go(func() {
						for j := range b.N/callers + 1 {
							c := &counter{name: strconv.Itoa((i*7919 + j) % keys)}
							if err := e.submit(context.Background(), "n", true, c, c.plan); err != nil {
								b.Error(err)
								return
							}
						}
					})
				}
				wg.Wait()
				after, _ := s.Transactions()
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "commands/s")
				b.ReportMetric(float64(b.N)/float64(after-before), "commands/transaction")
			})
		}
	}
}

// TestThePatientLetsGo: keys that were kept for a command are anybody's again
// when it was carried out, and when its caller leaves.
func TestThePatientLetsGo(t *testing.T) {
	for _, leaves := range []bool{false, true} {
		t.Run(fmt.Sprint("leaves=", leaves), func(t *testing.T) {
			q := newQueue(3)
			command := func(keys ...string) *command { return queued(&q, keys...) }
			command("left")
			left := q.seal()
			both := command("left", "right")
			both.parkings = maxParked - 1 // it was passed over before
			if b := q.seal(); len(b.members) != 0 || q.patient != both {
				t.Fatalf("%d commands run, and nobody is waited for", len(b.members))
			}
			right := command("right")
			if b := q.seal(); len(b.members) != 0 {
				t.Fatal("a key that is kept for one was given to another")
			}
			if leaves {
				q.remove(both)
			} else {
				q.unhold(left.keys)
				if left = q.seal(); !slices.Contains(left.members, both) {
					t.Fatal("the command whose keys are kept does not run")
				}
				if len(left.members) == 1 {
					q.unhold(left.keys)
					left.keys = nil
				}
			}
			if b := q.seal(); !slices.Contains(b.members, right) && !slices.Contains(left.members, right) {
				t.Error("the key is still kept, for nobody")
			} else {
				q.unhold(b.keys)
			}
			q.unhold(left.keys)
			if len(q.held) != 0 || q.patient != nil || q.depth() != 0 {
				t.Errorf("left behind: %d keys, %v, %d commands", len(q.held), q.patient, q.depth())
			}
		})
	}
}

// stuck is a store where transactions with a record of a name wait.
type stuck struct {
	statestore.Store
	name string
	gate chan struct{}
}

func (s *stuck) Update(ctx context.Context, entries []*statestore.Entry, fn statestore.Func) error {
	if slices.ContainsFunc(entries, func(e *statestore.Entry) bool { return e.Key.Name == s.name }) {
		<-s.gate
	}
	return s.Store.Update(ctx, entries, fn)
}

// TestWhoLeavesLetsOthersGo: those who waited for a key that was kept for a
// caller run at once when it leaves, though the transaction that it waited for
// is still in flight.
func TestWhoLeavesLetsOthersGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &stuck{Store: memory.New(memory.Config{Lanes: 3}), name: "left", gate: make(chan struct{})}
		e, err := New(t.Context(), Config{Store: s, NoSweeper: true})
		if err != nil {
			t.Fatal(err)
		}
		defer closeAll(t, e)
		var wg sync.WaitGroup
		wg.Go(func() {
			first := &counter{name: "left"}
			if err := e.submit(t.Context(), "n", false, first, first.plan); err != nil {
				t.Error(err)
			}
		})
		time.Sleep(2 * longestHold)
		ctx, leave := context.WithCancel(t.Context())
		wg.Go(func() {
			w, c := &counter{name: "left"}, &command{}
			c.begin(ctx, e, "n", false, w)
			w.plan(c)
			c.key(statestore.Key{Kind: statestore.KindRepeat, Namespace: "n", Name: "right"}, statestore.Write, 0)
			c.parkings = maxParked - 1
			err := e.commits.do(c) //nolint:contextcheck // a transaction outlives its callers
			if !errors.Is(err, context.Canceled) || w.ran != 0 {
				t.Errorf("who left ran %d times: %v", w.ran, err)
			}
		})
		time.Sleep(2 * longestHold)
		left := time.Time{}
		wg.Go(func() {
			other := &counter{name: "right"}
			err := e.submit(t.Context(), "n", false, other, other.plan)
			if took := time.Since(left); err != nil || left.IsZero() || took > longestHold {
				t.Errorf("the other ran %v after: %v", took, err)
			}
		})
		time.Sleep(2 * longestHold)
		left = time.Now()
		leave()
		time.Sleep(2 * longestHold)
		close(s.gate)
		wg.Wait()
	})
}

// TestDrainEndsEverybody: those who wait in line, those who are parked and the
// one that keys are kept for, each once; only what is in flight stays.
func TestDrainEndsEverybody(t *testing.T) {
	q := newQueue(3)
	waiting := map[*command]int{}
	add := func(namespace string, urgent bool, key string) *command {
		c := &command{namespace: namespace, urgent: urgent, ctx: context.Background(), kept: kept{wake: make(chan struct{}, 1)}}
		c.key(statestore.Key{Name: key}, statestore.Write, 0)
		q.add(c)
		waiting[c] = 0
		return c
	}
	first := add("n", false, "a")
	flying := q.seal()
	delete(waiting, first)
	add("n", false, "a")
	add("m", true, "a").parkings = maxParked - 1
	if b := q.seal(); len(b.members) != 0 || q.patient == nil {
		t.Fatalf("%d run that should be parked", len(b.members))
	}
	add("n", true, "b")
	add("m", false, "c")
	q.drain(func(c *command) { waiting[c]++ })
	for c, ended := range waiting {
		if ended != 1 {
			t.Errorf("a command of %s, urgent: %v, was ended %d times", c.namespace, c.urgent, ended)
		}
	}
	if q.depth() != 0 || q.runnable() != 0 || q.patient != nil {
		t.Errorf("%d commands still wait, for %v", q.depth(), q.patient)
	}
	if q.unhold(flying.keys); len(q.held) != 0 {
		t.Errorf("%d keys are still held", len(q.held))
	}
}
