// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/resilienced/resilienced/test/distant"
)

// TestASecondTransactionIsWorthIt: while one transaction is in flight, a few
// commands of other keys wait for one another, for no longer than a moment, and
// many do not wait.
func TestASecondTransactionIsWorthIt(t *testing.T) {
	const latency = 100 * time.Millisecond // of a transaction
	for _, c := range []struct {
		name         string
		commands     int
		begun        int           // transactions for them
		after, until time.Duration // since they came
	}{
		{"few", 3, 1, longestHold, longestHold},
		{"one less than a batch", worthwhileBatch - 1, 1, longestHold, longestHold},
		{"a batch", worthwhileBatch, 1, 0, 0},
		{"a batch and a few", worthwhileBatch + 3, 2, 0, longestHold},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e, s := far(t, distant.Config{Lanes: 3, Latency: latency})
				var all sync.WaitGroup
				all.Go(func() { increment(t, e, "first") })
				synctest.Wait()
				time.Sleep(time.Millisecond)
				before, _ := s.Transactions()
				came := time.Now()
				took := make([]time.Duration, c.commands)
				for i := range c.commands {
					all.Go(func() {
						increment(t, e, strconv.Itoa(i))
						took[i] = time.Since(came) - latency
					})
					synctest.Wait() // one after the other
				}
				all.Wait()
				if after, _ := s.Transactions(); after-before != c.begun {
					t.Errorf("%d commands took %d transactions, want %d", c.commands, after-before, c.begun)
				}
				if took[0] != c.after || took[c.commands-1] != c.until {
					t.Errorf("they were held back for %v to %v, want %v to %v", took[0], took[c.commands-1], c.after, c.until)
				}
			})
		})
	}
}

// TestHeldBackNoLongerThanInFlight: what waits for a batch goes with the end of
// the transaction in flight at the latest, and all who were held back together.
func TestHeldBackNoLongerThanInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, s := far(t, distant.Config{Lanes: 3, Latency: time.Millisecond})
		before, _ := s.Transactions()
		var all sync.WaitGroup
		for i := range 10 {
			all.Go(func() {
				for j := range 20 {
					increment(t, e, strconv.Itoa(i)+"-"+strconv.Itoa(j))
				}
			})
		}
		all.Wait()
		after, most := s.Transactions()
		if begun := after - before; most != 1 || begun > 45 {
			t.Errorf("10 callers with 20 commands took %d transactions, %d side by side, want about 40, one at a time", begun, most)
		}
	})
}

// TestReplicasGatherAtAKey: where three replicas want one key, each takes all of
// its callers along instead of every second; where none of them does, or one is
// alone, nobody waits for more.
func TestReplicasGatherAtAKey(t *testing.T) {
	const callers, each, latency = 20, 100, 4 * time.Millisecond
	for _, c := range []struct {
		name        string
		replicas    int
		shared      bool
		least, most float64       // commands a transaction
		slowest     time.Duration // of a command, on average
	}{
		{"one key of three", 3, true, 15, callers, 4 * latency},
		{"one key of one", 1, true, callers/2 - 1, callers/2 + 1, 2 * latency},
		{"a key for each of three", 3, false, callers/2 - 1, callers/2 + 1, 2 * latency},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				engines := fleet(t, c.replicas, distant.Config{Lanes: 3, Latency: latency, Locks: true})
				before := transactions(engines)
				began := time.Now()
				var all sync.WaitGroup
				for i, e := range engines {
					key := "hot"
					if !c.shared {
						key = strconv.Itoa(i)
					}
					for range callers {
						all.Go(func() {
							for range each {
								increment(t, e, key)
							}
						})
					}
				}
				all.Wait()
				took := time.Since(began) / each
				size := float64(callers*each*c.replicas) / float64(transactions(engines)-before)
				t.Logf("%.1f commands a transaction, %v a command", size, took)
				if size < c.least || size > c.most {
					t.Errorf("%.1f commands a transaction, want %v to %v", size, c.least, c.most)
				}
				if took > c.slowest {
					t.Errorf("a command takes %v on average, want at most %v", took, c.slowest)
				}
			})
		})
	}
}

// transactions are how many a fleet has begun.
func transactions(engines []*Engine) int {
	sum := 0
	for _, e := range engines {
		begun, _ := e.store.(*distant.Store).Transactions()
		sum += begun
	}
	return sum
}

func increment(t *testing.T, e *Engine, name string) {
	t.Helper()
	c := &counter{name: name}
	if err := e.submit(context.Background(), "n", true, c, c.plan); err != nil {
		t.Error(err)
	}
}

// TestThePauseIsBounded: however long transactions wait for their keys, callers
// wait no longer for one another than for a batch, and when they do not wait any
// more the pause ends.
func TestThePauseIsBounded(t *testing.T) {
	h := &hurry{}
	for range 1000 {
		if pause := h.gather(time.Second, 10); pause <= 0 || pause > longestHold {
			t.Fatalf("the pause is %v", pause)
		}
		h.gathered()
	}
	for range 100 {
		if pause := h.gather(-longestHold, 10); pause == 0 {
			break
		}
		h.gathered()
	}
	if pause := h.gather(0, 10); pause != 0 || h.gathering != 0 || h.enough != 0 {
		t.Errorf("a pause of %v, %d gather until there are %d", pause, h.gathering, h.enough)
	}
	for range 1000 {
		h.gather(-time.Second, 10)
	}
	if pause := h.gather(4*shortestPause, 10); pause != shortestPause {
		t.Errorf("after a quiet time the first pause is %v, want %v", pause, shortestPause)
	}
}
