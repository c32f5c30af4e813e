// SPDX-License-Identifier: Apache-2.0

package sqlite

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/resilienced/resilienced/statestore"
)

// script makes a SQLite file by hand.
func script(t *testing.T, path string, statements ...string) {
	t.Helper()
	c, err := openConn(t.Context(), path, statements...)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.close(); err != nil {
		t.Fatal(err)
	}
}

// filled makes a database of ours with n notes and closes it.
func filled(t *testing.T, n int) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "records.db")
	s, err := Open(t.Context(), testConfig(path))
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		r := &note{N: int64(i), Text: strings.Repeat("x", 100)}
		if err := put(s, fmt.Sprintf("n%05d", i), r, statestore.Rebuildable); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

// refusal is a file that Open does not take.
type refusal struct {
	name   string
	path   func(t *testing.T) string
	want   error
	advice string
}

func refusals() []refusal {
	return []refusal{
		{"garbage", func(t *testing.T) string {
			t.Helper()
			return written(t, bytes.Repeat([]byte("garbage "), 1000))
		}, statestore.ErrNotADatabase, "restore a backup"},
		{"a short text", func(t *testing.T) string {
			t.Helper()
			return written(t, []byte("hello"))
		}, statestore.ErrNotADatabase, "restore a backup"},
		{"another application's database", func(t *testing.T) string {
			t.Helper()
			path := filepath.Join(t.TempDir(), "foreign.db")
			script(t, path, "CREATE TABLE theirs (a)", "INSERT INTO theirs VALUES (1)")
			return path
		}, statestore.ErrNotADatabase, "give another path"},
		{"another application's database with its id", func(t *testing.T) string {
			t.Helper()
			path := filepath.Join(t.TempDir(), "foreign.db")
			script(t, path, "PRAGMA application_id=42", "PRAGMA journal_mode=WAL", "CREATE TABLE theirs (a)")
			return path
		}, statestore.ErrNotADatabase, "give another path"},
		{"a newer schema", func(t *testing.T) string {
			t.Helper()
			path := filled(t, 3)
			script(t, path, "PRAGMA user_version=99")
			return path
		}, statestore.ErrNewerSchema, "run the newer version"},
		{"a file cut short", func(t *testing.T) string {
			t.Helper()
			return cutShort(t, filled(t, 500), 3)
		}, statestore.ErrNotADatabase, "restore a backup"},
		{"a file cut within a page", func(t *testing.T) string {
			t.Helper()
			return cutShort(t, filled(t, 500), 2000)
		}, statestore.ErrNotADatabase, "restore a backup"},
		{"a folder", func(t *testing.T) string {
			t.Helper()
			return t.TempDir()
		}, statestore.ErrNotADatabase, "path of a file"},
		{"a folder that is not there", func(t *testing.T) string {
			t.Helper()
			return filepath.Join(t.TempDir(), "nobody", "records.db")
		}, statestore.ErrUnavailable, "make the folder"},
		{"no path", func(*testing.T) string { return "" }, statestore.ErrUnavailable, "needs a path"},
	}
}

func TestOpenRefuses(t *testing.T) {
	for _, c := range refusals() {
		t.Run(c.name, func(t *testing.T) {
			path := c.path(t)
			before, _ := os.ReadFile(path)
			_, err := Open(t.Context(), testConfig(path))
			wantError(t, err, c.want, c.advice)
			if after, _ := os.ReadFile(path); !bytes.Equal(before, after) {
				t.Error("the file was changed")
			}
			// Nothing is left open: the lock is free.
			_, err = Open(t.Context(), testConfig(path))
			wantError(t, err, c.want, c.advice)
		})
	}
}

func written(t *testing.T, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "records.db")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// cutShort takes a part of a file away: a count of pages, or of bytes if it is
// large.
func cutShort(t *testing.T, path string, by int64) string {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if by < 100 {
		by *= 4096
	}
	if err := os.Truncate(path, info.Size()-by); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestOpenTakes(t *testing.T) {
	t.Run("an empty file", func(t *testing.T) {
		s := openStore(t, testConfig(written(t, nil)))
		mustPut(t, s, "a", 1, statestore.Durable)
	})
	t.Run("a path with signs of every kind", func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "a b?c=d#e%20f&g'h\"i;ü")
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		cfg := testConfig(filepath.Join(dir, "records?mode=memory.db"))
		s := openStore(t, cfg)
		mustPut(t, s, "a", 1, statestore.Durable)
		if _, err := os.Stat(cfg.Path); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("a path below the working folder", func(t *testing.T) {
		t.Chdir(t.TempDir())
		s := openStore(t, testConfig(":memory:"))
		mustPut(t, s, "a", 1, statestore.Durable)
		if _, err := os.Stat(":memory:"); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("a file for its owner only", func(t *testing.T) {
		s := newStore(t)
		for _, suffix := range []string{"", "-wal", "-shm", ".lock"} {
			info, err := os.Stat(s.path + suffix)
			if err != nil {
				t.Fatal(err)
			}
			if info.Mode().Perm() != 0o600 {
				t.Errorf("the mode of %s is %v", info.Name(), info.Mode())
			}
		}
	})
}

func TestOpenIsExclusive(t *testing.T) {
	s := newStore(t)
	t.Run("in this process", func(t *testing.T) {
		_, err := Open(t.Context(), testConfig(s.path))
		wantError(t, err, statestore.ErrInUse, fmt.Sprintf("process %d", os.Getpid()))
	})
	t.Run("under another name", func(t *testing.T) {
		link := filepath.Join(t.TempDir(), "link.db")
		if err := os.Symlink(s.path, link); err != nil {
			t.Fatal(err)
		}
		_, err := Open(t.Context(), testConfig(link))
		wantError(t, err, statestore.ErrInUse, "end it first")
	})
	t.Run("in another process", func(t *testing.T) {
		said := child(t, "open", s.path)
		if want := statestore.ErrInUse.Error(); !strings.HasPrefix(said, want) || !strings.Contains(said, strconv.Itoa(os.Getpid())) {
			t.Fatalf("the other process says %q, want %q and who has it", said, want)
		}
	})
	// None of them has taken the file away from the store.
	mustPut(t, s, "a", 1, statestore.Durable)
	if said := child(t, "open", s.path); said == "ok" {
		t.Fatal("another process could open the file")
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if said := child(t, "open", s.path); said != "ok" {
		t.Fatalf("after Close another process says %q", said)
	}
}

func TestOpenWhileAnotherProgramHoldsIt(t *testing.T) {
	path := filled(t, 3)
	c, err := openConn(t.Context(), path, "PRAGMA locking_mode=EXCLUSIVE", "BEGIN EXCLUSIVE")
	if err != nil {
		t.Fatal(err)
	}
	_, err = Open(t.Context(), testConfig(path))
	wantError(t, err, statestore.ErrInUse, "end the other program")
	if err := c.close(); err != nil {
		t.Fatal(err)
	}
	openStore(t, testConfig(path))
}

func TestOpenWithoutRoom(t *testing.T) {
	cfg := testConfig(filepath.Join(t.TempDir(), "records.db"))
	cfg.MaxBytes = 8192
	_, err := Open(t.Context(), cfg)
	wantError(t, err, statestore.ErrFull, "make room")
	cfg.MaxBytes = 0
	openStore(t, cfg)
}

// TestCountsOfNothingAreNotKept: drills make namespaces all the time.
func TestCountsOfNothingAreNotKept(t *testing.T) {
	s := newStore(t)
	for _, r := range []statestore.Record{&note{N: 1}, nil} {
		if err := put(s, "a", r, statestore.Durable); err != nil {
			t.Fatal(err)
		}
	}
	held(s, func() {
		if n, err := s.writer.number("SELECT count(*) FROM counts"); err != nil || n != 0 {
			t.Errorf("%d counts are left of no record, %v", n, err)
		}
	})
}

func TestOpenStopsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Open(ctx, testConfig(filepath.Join(t.TempDir(), "records.db"))); err != context.Canceled { //nolint:errorlint // the very same
		t.Fatalf("error = %v", err)
	}
}
