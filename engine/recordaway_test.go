// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/resilienced/resilienced/statestore"
	"github.com/resilienced/resilienced/statestore/memory"
)

// chunkless is a store that does not write chunks of calls, or writes some
// once and says that it does not know.
type chunkless struct {
	statestore.Store
	refuse, unsure atomic.Bool
}

func (s *chunkless) Update(ctx context.Context, entries []*statestore.Entry, fn statestore.Func) error {
	calls := len(entries) > 0 && entries[0].Key.Kind == statestore.KindCalls
	if calls && s.refuse.Load() {
		return statestore.ErrUnavailable
	}
	if err := s.Store.Update(ctx, entries, fn); err != nil || !calls || !s.unsure.Swap(false) {
		return err
	}
	return statestore.ErrUnknownOutcome
}

// recordedAway runs a test in a bubble with an engine over a chunkless store.
func recordedAway(t *testing.T, test func(r *recording, s *chunkless)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := &chunkless{Store: memory.New(memory.Config{})}
		e, err := New(t.Context(), Config{Store: s, NoSweeper: true})
		if err != nil {
			t.Fatal(err)
		}
		test(&recording{t, e, s}, s)
		s.refuse.Store(false)
		s.unsure.Store(false)
		closeAll(t, e)
	})
}

// TestTheRecordingIsBoundedWhileItsStoreIsAway: what was taken from the queue
// and is not written counts as waiting, too.
func TestTheRecordingIsBoundedWhileItsStoreIsAway(t *testing.T) {
	recordedAway(t, func(r *recording, s *chunkless) {
		rec := r.engine.record
		rec.mu.Lock()
		rec.limit = 10
		rec.mu.Unlock()
		s.refuse.Store(true)
		for range 25 {
			r.report(r.acquire(AcquireRequest{}), good())
			time.Sleep(2 * recordEvery)
		}
		rec.mu.Lock()
		waiting := len(rec.queue) + rec.held
		rec.mu.Unlock()
		if waiting != 10 {
			r.Errorf("%d calls wait, want 10", waiting)
		}
		s.refuse.Store(false)
		if calls, parts := r.export("n", 0); len(calls) != 10 || parts[len(parts)-1].Missing != 15 {
			r.Errorf("%d calls, missing %d", len(calls), parts[len(parts)-1].Missing)
		}
	})
}

// TestNoCallIsRecordedTwice: chunks of which nobody knows whether they were
// written are not written again.
func TestNoCallIsRecordedTwice(t *testing.T) {
	recordedAway(t, func(r *recording, s *chunkless) {
		s.unsure.Store(true)
		for range 5 {
			r.report(r.acquire(AcquireRequest{}), good())
		}
		time.Sleep(5 * chunkAge)
		if _, calls := r.chunks("n"); calls != 5 {
			r.Errorf("%d calls are recorded of 5", calls)
		}
		r.report(r.acquire(AcquireRequest{}), good())
		if calls, parts := r.export("n", 0); len(calls) != 6 || parts[len(parts)-1].Missing != 5 {
			r.Errorf("%d calls and %d missing, want 6 and the 5 that may be", len(calls), parts[len(parts)-1].Missing)
		}
	})
}
