// SPDX-License-Identifier: Apache-2.0

package sqlite

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/resilienced/resilienced/rules"
	"github.com/resilienced/resilienced/statestore"
)

func openView(t *testing.T, path string) *View {
	t.Helper()
	v, err := OpenView(t.Context(), testConfig(path))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := v.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return v
}

// contents are the files of a folder but for the lock.
func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	found := make(map[string]string)
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		text, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		if filepath.Ext(e.Name()) != ".lock" {
			found[e.Name()] = string(text)
		}
	}
	return found
}

// A view of what a clean stop left, and of what a killed process left, reads
// every record and leaves every byte as it is.
func TestAViewReadsAllAndChangesNothing(t *testing.T) {
	running := newStore(t)
	for i := range 300 {
		mustPut(t, running, fmt.Sprintf("n%05d", i), int64(i), statestore.Durable)
	}
	for name, path := range map[string]string{"stopped": filled(t, 300), "killed": copyFiles(t, running.path)} {
		t.Run(name, func(t *testing.T) {
			before := contents(t, filepath.Dir(path))
			if _, logged := before[filepath.Base(path)+"-wal"]; logged != (name == "killed") {
				t.Fatalf("the log is there: %v", logged)
			}
			v, err := OpenView(t.Context(), testConfig(path))
			if err != nil {
				t.Fatal(err)
			}
			n, q := 0, statestore.Query{Kind: statestore.KindOperation, Namespace: "acme", Limit: 7}
			for more := true; more; more = q.After != "" {
				page, err := v.List(t.Context(), q)
				if err != nil {
					t.Fatal(err)
				}
				for _, row := range page.Rows {
					if row.Record.(*note).N != int64(n) {
						t.Fatalf("row %d is %+v", n, row)
					}
					n++
				}
				q.After = page.Cursor
			}
			count, err := v.Count(t.Context(), statestore.KindOperation, "acme")
			if n != 300 || count != 300 || err != nil {
				t.Errorf("%d listed, %d counted, %v", n, count, err)
			}
			if r, _, err := v.Get(t.Context(), noteKey("n00007")); err != nil || r.(*note).N != 7 {
				t.Errorf("%v, %v", r, err)
			}
			if lines, err := v.Damage(t.Context()); err != nil || len(lines) != 0 {
				t.Errorf("damage %q, %v", lines, err)
			}
			if have, latest := v.Schema(); have != latest || have < 1 {
				t.Errorf("schema %d of %d", have, latest)
			}
			if err := v.Close(); err != nil {
				t.Fatal(err)
			}
			after := contents(t, filepath.Dir(path))
			for _, name := range []string{filepath.Base(path), filepath.Base(path) + "-wal"} {
				if before[name] != after[name] {
					t.Errorf("%s was changed", name)
				}
			}
			if len(after) != len(before) {
				t.Errorf("%d files, before %d", len(after), len(before))
			}
		})
	}
}

func TestAViewRefuses(t *testing.T) {
	none := filepath.Join(t.TempDir(), "none.db")
	_, err := OpenView(t.Context(), testConfig(none))
	wantError(t, err, statestore.ErrNotADatabase, "give the path of a database")
	if len(contents(t, filepath.Dir(none))) != 0 {
		t.Error("it made a file")
	}
	_, err = OpenView(t.Context(), testConfig(t.TempDir()))
	wantError(t, err, statestore.ErrNotADatabase, "not a regular file")
	_, err = OpenView(t.Context(), testConfig(written(t, []byte("hello"))))
	wantError(t, err, statestore.ErrNotADatabase, "damaged")
	s := newStore(t)
	_, err = OpenView(t.Context(), testConfig(s.path))
	wantError(t, err, statestore.ErrInUse, "end it first")
	newer := filled(t, 1)
	script(t, newer, "PRAGMA user_version=99")
	_, err = OpenView(t.Context(), testConfig(newer))
	wantError(t, err, statestore.ErrNewerSchema, "run the newer version")
}

// An empty file is a database that has no schema yet.
func TestAViewOfAnOlderSchemaSaysWhatToDo(t *testing.T) {
	v := openView(t, written(t, nil))
	if have, latest := v.Schema(); have != 0 || latest < 1 {
		t.Errorf("schema %d of %d", have, latest)
	}
	_, err := v.Namespaces(t.Context())
	wantError(t, err, statestore.ErrUnavailable, "store migrate")
	_, err = v.List(t.Context(), statestore.Query{Kind: statestore.KindOperation, Limit: 1})
	wantError(t, err, statestore.ErrUnavailable, "store migrate")
}

// The error of a damaged record names it and its place, so that a list can go
// on behind it.
func TestADamagedRecordIsNamed(t *testing.T) {
	path := filled(t, 3)
	script(t, path, "UPDATE records SET body=x'00' WHERE name='n00001'")
	v := openView(t, path)
	q := statestore.Query{Kind: statestore.KindOperation, Namespace: "acme", Limit: 10}
	_, err := v.List(t.Context(), q)
	wantError(t, err, statestore.ErrNotADatabase, `operation "n00001" of namespace "acme"`)
	damage, ok := errors.AsType[*statestore.RecordError](err)
	if !ok || damage.Key != noteKey("n00001") {
		t.Fatalf("%v", err)
	}
	q.After = q.CursorAt(damage.At)
	page, err := v.List(t.Context(), q)
	if err != nil || len(page.Rows) != 1 || page.Rows[0].Name != "n00002" {
		t.Errorf("%+v, %v", page.Rows, err)
	}
}

// A clean stop and a wall clock that is a little behind at the next start: the
// store's time does not go back.
func TestTimeDoesNotGoBackAfterACleanStop(t *testing.T) {
	path := filled(t, 1)
	for _, ahead := range []time.Duration{300 * time.Millisecond, 900 * time.Millisecond, time.Minute} {
		cfg := testConfig(path)
		cfg.NotBefore = rules.At(time.Now().Add(ahead)) // the wall clock that is set back later
		s, err := Open(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		last := now(t, s)
		if last < cfg.NotBefore {
			t.Fatalf("time begins %v too early", cfg.NotBefore.Sub(last))
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		again := openStore(t, testConfig(path))
		if at := now(t, again); at < last {
			t.Errorf("%v ahead: time went back by %v", ahead, last.Sub(at))
		}
		if err := again.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
