// SPDX-License-Identifier: Apache-2.0

package sqlite

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/resilienced/resilienced/rules"
	"github.com/resilienced/resilienced/statestore"
)

// held runs look while it holds the lane.
func held(s *Store, look func()) {
	s.lane <- struct{}{}
	defer func() { <-s.lane }()
	look()
}

func unsynced(s *Store) (is bool) {
	held(s, func() { is = s.writer.unsynced })
	return is
}

func level(t *testing.T, s *Store) (n int64) {
	t.Helper()
	held(s, func() {
		var err error
		if n, err = s.writer.number("PRAGMA synchronous"); err != nil {
			t.Fatal(err)
		}
	})
	return n
}

func TestDurabilityDecidesWhetherToWait(t *testing.T) {
	const normal, full = 1, 2
	s := newStore(t)
	for i, d := range []statestore.Durability{
		statestore.Rebuildable, statestore.Durable, statestore.Durable, statestore.Rebuildable, statestore.Rebuildable, statestore.Durable,
	} {
		mustPut(t, s, "a", int64(i), d)
		want := int64(normal)
		if d == statestore.Durable {
			want = full
		}
		if got := level(t, s); got != want {
			t.Fatalf("write %d, durability %d: synchronous=%d, want %d", i, d, got, want)
		}
		if unsynced(s) != (d == statestore.Rebuildable) {
			t.Fatalf("write %d, durability %d: unsynced = %v", i, d, unsynced(s))
		}
	}
}

func TestRebuildableReachesTheDiskWithinASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore(t)
		for n := range int64(3) {
			mustPut(t, s, "a", n, statestore.Rebuildable)
			if !unsynced(s) {
				t.Fatal("a rebuildable commit waited for the disk")
			}
			time.Sleep(time.Second)
			synctest.Wait()
			if unsynced(s) {
				t.Fatalf("commit %d did not reach the disk", n)
			}
		}
	})
}

// TestADurableCommitOfTheSameContentWaitsToo: SQLite writes nothing for a row
// that stays as it is, but what was committed before it must reach the disk.
func TestADurableCommitOfTheSameContentWaitsToo(t *testing.T) {
	s := newStore(t)
	mustPut(t, s, "a", 1, statestore.Durable)
	mustPut(t, s, "a", 2, statestore.Rebuildable)
	size := func() int64 {
		info, err := os.Stat(s.path + "-wal")
		if err != nil {
			t.Fatal(err)
		}
		return info.Size()
	}
	before := size()
	mustPut(t, s, "a", 2, statestore.Durable)
	if size() == before {
		t.Fatal("the durable commit wrote nothing, so it waited for nothing")
	}
	before = size()
	mustPut(t, s, "a", 2, statestore.Durable)
	if size() != before {
		t.Fatal("a commit of what is on the disk already wrote something")
	}
}

func TestAnIdleStoreWritesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore(t)
		mustPut(t, s, "a", 1, statestore.Rebuildable)
		time.Sleep(time.Minute)
		synctest.Wait()
		before, err := os.Stat(s.path + "-wal")
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		after, err := os.Stat(s.path + "-wal")
		if err != nil {
			t.Fatal(err)
		}
		if after.Size() != before.Size() {
			t.Fatalf("the log grew from %d to %d while nothing happened", before.Size(), after.Size())
		}
	})
}

func TestLogIsStartedAgain(t *testing.T) {
	s := newStore(t)
	held(s, func() { s.keeper.long = 150 })
	largest := int64(0)
	for round := range 12 {
		entries := make([]*statestore.Entry, 200)
		for i := range entries {
			entries[i] = &statestore.Entry{Key: noteKey(fmt.Sprintf("n%d", (round*200+i)%1000)), Mode: statestore.Write}
		}
		err := s.Update(t.Context(), entries, func(now rules.Instant) (statestore.Durability, error) {
			for _, e := range entries {
				e.Put(&note{N: int64(round), Text: strings.Repeat("x", 1000), Due: now})
			}
			return statestore.Rebuildable, nil
		})
		if err != nil {
			t.Fatal(err)
		}
		s.empty(t.Context())
		info, err := os.Stat(s.path + "-wal")
		if err != nil {
			t.Fatal(err)
		}
		if round == 5 {
			largest = info.Size()
		}
		if round > 5 && info.Size() > largest {
			t.Fatalf("the log is %d bytes in round %d and was %d", info.Size(), round, largest)
		}
	}
	if err := s.usable(); err != nil {
		t.Fatal(err)
	}
}

func TestManyChangesWakeTheKeeper(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore(t)
		for n := range int64(moveAfter/2 + 1) {
			mustPut(t, s, "a", n, statestore.Rebuildable)
		}
		synctest.Wait()
		held(s, func() {
			if s.logLength >= moveAfter/2 {
				t.Fatalf("%d changes since the log was emptied", s.logLength)
			}
		})
		// What the keeper has moved is what a passive checkpoint would find done.
		_, moved, err := s.keeper.move()
		if err != nil || moved == 0 {
			t.Fatalf("moved %d: %v", moved, err)
		}
	})
}

// TestAShortLogKeepsNobodyWaiting: to start the log again keeps transactions
// waiting, so that is not done each time its pages are moved.
func TestAShortLogKeepsNobodyWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore(t)
		mustPut(t, s, "a", 1, statestore.Durable)
		held(s, func() {
			for _, c := range []struct {
				long int64
				want time.Duration // that the keeper waits for the lane
			}{{fullLog, 0}, {1, time.Second}} {
				s.keeper.long = c.long
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				from := time.Now()
				s.empty(ctx)
				cancel()
				if waited := time.Since(from); waited != c.want {
					t.Errorf("the keeper waited for %v with a log that is long from %d pages on, want %v", waited, c.long, c.want)
				}
			}
		})
		if _, moved, err := s.keeper.move(); err != nil || moved == 0 {
			t.Errorf("%d pages moved: %v", moved, err)
		}
	})
}

// TestADiskThatCannotSyncEndsTheStore: what the keeper waits for itself, SQLite
// does not see fail.
func TestADiskThatCannotSyncEndsTheStore(t *testing.T) {
	s := newStore(t)
	mustPut(t, s, "a", 1, statestore.Durable)
	held(s, func() { s.keeper.long = 1 })
	whole := s.keeper.file
	broken, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	if err := broken.Close(); err != nil {
		t.Fatal(err)
	}
	s.keeper.file = broken
	s.empty(t.Context())
	s.keeper.file = whole
	err = put(s, "a", &note{N: 2}, statestore.Durable)
	wantError(t, err, statestore.ErrUnavailable, "file already closed")
}
