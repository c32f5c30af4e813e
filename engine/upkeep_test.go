// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"strconv"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/resilienced/resilienced/rules/classify"
	"github.com/resilienced/resilienced/statestore"
	"github.com/resilienced/resilienced/statestore/memory"
)

// scale is a store that knows its largest transaction.
type scale struct {
	statestore.Store
	most atomic.Int64
}

func (s *scale) Update(ctx context.Context, entries []*statestore.Entry, fn statestore.Func) error {
	for {
		most := s.most.Load()
		if int64(len(entries)) <= most || s.most.CompareAndSwap(most, int64(len(entries))) {
			return s.Store.Update(ctx, entries, fn)
		}
	}
}

// TestUpkeepHoldsFewRecords: what the engine writes by itself (tallies, logged
// decisions, observations, what the sweeper drops) holds no more records in a
// transaction than callers may wait for.
func TestUpkeepHoldsFewRecords(t *testing.T) {
	for _, c := range []struct{ lanes, most int }{{1, upkeepAlone}, {4, upkeepBeside}} {
		t.Run(strconv.Itoa(c.lanes), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &scale{Store: memory.New(memory.Config{Lanes: c.lanes})}
				e, err := New(t.Context(), Config{Store: s, NoRecording: true})
				if err != nil {
					t.Fatal(err)
				}
				defer e.Close(context.Background()) //nolint:errcheck // nothing is kept
				const calls = 3 * upkeepBeside
				for i := range calls {
					time.Sleep(time.Microsecond) // decisions of one moment that are alike have one id
					r, err := e.Acquire(t.Context(), &AcquireRequest{Namespace: "n", Target: "t" + strconv.Itoa(i), OperationID: "o" + strconv.Itoa(i)})
					if err != nil {
						t.Fatal(err)
					}
					signal := classify.Signal{Outcome: classify.OutcomeFailure, HTTPStatus: 400}
					if _, err := e.Report(t.Context(), &ReportRequest{Namespace: "n", PermitID: r.Grant.PermitID, Signal: signal}); err != nil {
						t.Fatal(err)
					}
				}
				written := func(k statestore.Kind) int {
					n, err := s.Count(t.Context(), k, "n")
					if err != nil {
						t.Fatal(err)
					}
					return n
				}
				time.Sleep(5 * time.Second)
				synctest.Wait()
				if n, kept := written(statestore.KindTally), written(statestore.KindDecision); n != calls || kept != calls {
					t.Fatalf("%d tallies and %d decisions of %d calls are written", n, kept, calls)
				}
				if n := written(statestore.KindOperation); n != calls {
					t.Fatalf("%d operations of %d are there", n, calls)
				}
				time.Sleep(26 * time.Hour)
				synctest.Wait()
				for _, k := range []statestore.Kind{statestore.KindOperation, statestore.KindDecision, statestore.KindTally} {
					if n := written(k); n != 0 {
						t.Errorf("%d records of kind %d were left", n, k)
					}
				}
				most := s.most.Load() - 1 // one is the policy's epoch, which a command reads
				if most > int64(c.most) || most < int64(c.most)/2 {
					t.Errorf("a transaction held %d records, want at most %d", most, c.most)
				}
			})
		})
	}
}

// TestPace: the sweeper's transactions grow while it does not keep up.
func TestPace(t *testing.T) {
	p := pace{64, 64}
	for i, c := range []struct {
		took time.Duration
		want int
	}{
		{10 * time.Millisecond, 64},
		{600 * time.Millisecond, 128},
		{900 * time.Millisecond, 256},
		{5 * time.Second, 512},
		{5 * time.Second, 1000},
		{5 * time.Second, 1000},
		{400 * time.Millisecond, 500},
		{0, 250},
		{0, 125},
		{0, 64},
		{0, 64},
	} {
		if p.after(c.took); p.now != c.want {
			t.Fatalf("sweep %d took %v: %d records, want %d", i, c.took, p.now, c.want)
		}
	}
}
