// SPDX-License-Identifier: Apache-2.0

package sqlite

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/resilienced/resilienced/rules"
	"github.com/resilienced/resilienced/statestore"
)

func now(t *testing.T, s *Store) rules.Instant {
	t.Helper()
	i, err := s.Now(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// A floor ahead of the wall clock is what a wall clock that was set back looks
// like.
func TestTimeDoesNotGoBackBehindTheFloor(t *testing.T) {
	path := filled(t, 1)
	ahead := rules.At(time.Now().Add(time.Hour))
	script(t, path, fmt.Sprintf("UPDATE meta SET value=%d", ahead))
	s := openStore(t, testConfig(path))
	first := now(t, s)
	if first < ahead || first.Sub(ahead) > time.Minute {
		t.Fatalf("time is %v, the floor %v", first.Time(), ahead.Time())
	}
	mustPut(t, s, "a", 1, statestore.Durable)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if again := now(t, openStore(t, testConfig(path))); again < first {
		t.Fatalf("time was %v and is now %v", first.Time(), again.Time())
	}
}

func TestAForwardJumpIsBelieved(t *testing.T) {
	path := filled(t, 1)
	script(t, path, fmt.Sprintf("UPDATE meta SET value=%d", rules.At(time.Now().Add(-24*time.Hour))))
	if off := time.Since(now(t, openStore(t, testConfig(path))).Time()).Abs(); off > time.Minute {
		t.Fatalf("time is %v behind the wall clock", off)
	}
}

// TestFloorIsAheadOfEveryCommit copies the files of a running store, as a
// crash would leave them, and compares the floor with what was committed.
func TestFloorIsAheadOfEveryCommit(t *testing.T) {
	s := newStore(t)
	for n := range 30 {
		e := &statestore.Entry{Key: noteKey("a"), Mode: statestore.Write}
		var committed rules.Instant
		err := s.Update(t.Context(), []*statestore.Entry{e}, func(now rules.Instant) (statestore.Durability, error) {
			committed = now
			e.Put(&note{N: int64(n)})
			return statestore.Durability(n % 2), nil
		})
		if err != nil {
			t.Fatal(err)
		}
		left := copyFiles(t, s.path)
		c, err := openConn(t.Context(), left)
		if err != nil {
			t.Fatal(err)
		}
		floor, err := c.number("SELECT value FROM meta WHERE name='floor'")
		if err != nil {
			t.Fatal(err)
		}
		if rules.Instant(floor) < committed {
			t.Fatalf("the floor is %v behind a commit", committed.Sub(rules.Instant(floor)))
		}
		if err := c.close(); err != nil {
			t.Fatal(err)
		}
	}
}

// copyFiles copies a database and its log to a new folder.
func copyFiles(t *testing.T, path string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "left.db")
	for _, suffix := range []string{"", "-wal"} {
		content, err := os.ReadFile(path + suffix)
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		if err := os.WriteFile(to+suffix, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return to
}

func TestFloorIsWrittenOnceASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore(t)
		writes, floor := 0, s.writer.floor
		for n := range int64(100) { // 10 seconds
			mustPut(t, s, "a", n, statestore.Durable)
			held(s, func() {
				if s.writer.floor != floor {
					writes, floor = writes+1, s.writer.floor
				}
			})
			time.Sleep(100 * time.Millisecond)
		}
		if writes < 8 || writes > 11 {
			t.Fatalf("the floor was written %d times in 10 s", writes)
		}
	})
}

// TestCloseWritesTheFloorAhead: the next Open takes off floorStep again.
func TestCloseWritesTheFloorAhead(t *testing.T) {
	s := newStore(t)
	mustPut(t, s, "a", 1, statestore.Durable)
	last := now(t, s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	c, err := openConn(t.Context(), s.path)
	if err != nil {
		t.Fatal(err)
	}
	floor, err := c.number("SELECT value FROM meta WHERE name='floor'")
	if err != nil {
		t.Fatal(err)
	}
	if at := rules.Instant(floor); at.Sub(last) < floorStep || at.Sub(last) > floorStep+900*time.Millisecond {
		t.Errorf("the floor is %v after the last reading", at.Sub(last))
	}
	if err := c.close(); err != nil {
		t.Fatal(err)
	}
}

// TestACrashMovesTimeNoFurtherThanTheWallClock: leases must not end early
// because the service died.
func TestACrashMovesTimeNoFurtherThanTheWallClock(t *testing.T) {
	s := newStore(t)
	mustPut(t, s, "a", 1, statestore.Durable)
	crashed := openStore(t, testConfig(copyFiles(t, s.path)))
	if ahead := now(t, crashed).Sub(rules.At(time.Now())); ahead > 50*time.Millisecond {
		t.Fatalf("time went %v ahead", ahead)
	}
}
