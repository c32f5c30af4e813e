// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/resilienced/resilienced/test/distant"
)

// TestABatchOutlivesItsFirstCaller: whoever of a batch leaves while it is under
// way, the others are answered.
func TestABatchOutlivesItsFirstCaller(t *testing.T) {
	for leaver := range 3 {
		t.Run(strconv.Itoa(leaver), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e, s := far(t, distant.Config{Lanes: 1})
				if _, err := e.Acquire(t.Context(), ask("warm")); err != nil {
					t.Fatal(err)
				}
				var wg sync.WaitGroup
				resume := s.Stall()
				wg.Go(func() {
					if _, err := e.Acquire(t.Context(), ask("first")); err != nil {
						t.Error(err)
					}
				})
				synctest.Wait()
				ctx, leave := context.WithCancel(t.Context())
				callers, wants := []context.Context{t.Context(), t.Context(), t.Context()}, make([]error, 3)
				callers[leaver], wants[leaver] = ctx, context.Canceled
				for i, want := range wants {
					wg.Go(func() {
						if _, err := e.Acquire(callers[i], ask(strconv.Itoa(i))); !errors.Is(err, want) {
							t.Errorf("caller %d: %v, want %v", i, err, want)
						}
					})
					synctest.Wait()
				}
				before, _ := s.Transactions()
				again := s.Stall() // for the batch of three
				resume()
				synctest.Wait()
				if begun, _ := s.Transactions(); begun != before+1 {
					t.Fatalf("%d transactions for three callers", begun-before)
				}
				leave()
				time.Sleep(10 * time.Millisecond)
				again()
				wg.Wait()
			})
		})
	}
}

// TestTimeStandsStillRatherThanTurnBack: commands of records that have nothing
// to do with each other see no time twice the other way round, though the
// store's clock is set back.
func TestTimeStandsStillRatherThanTurnBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, s := far(t, distant.Config{Lanes: 2})
		var last instant
		for i, shift := range []time.Duration{0, 0, -10 * time.Second, -time.Hour, time.Second, -time.Second} {
			s.Shift(shift)
			c := &counter{name: strconv.Itoa(i)}
			c.then = func(tx *txn) error {
				if tx.now < last {
					t.Errorf("command %d goes %v back", i, last.Sub(tx.now))
				}
				last = tx.now
				return nil
			}
			if err := e.submit(t.Context(), "n", false, c, c.plan); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Millisecond)
		}
	})
}
