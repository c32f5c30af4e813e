// SPDX-License-Identifier: Apache-2.0

package sqlite

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/resilienced/resilienced/statestore"
)

func sentinels() []error {
	return []error{
		statestore.ErrUnknownOutcome, statestore.ErrUnavailable, statestore.ErrNotHeld, statestore.ErrRejected, statestore.ErrFull,
		statestore.ErrReadOnly, statestore.ErrInUse, statestore.ErrNotADatabase, statestore.ErrNewerSchema, statestore.ErrBadCursor,
	}
}

func TestTranslate(t *testing.T) {
	cases := []struct {
		err    error
		want   error
		advice string
		stops  bool
	}{
		{&fs.PathError{Op: "open", Path: "x", Err: syscall.EACCES}, statestore.ErrReadOnly, "write to the file", false},
		{&fs.PathError{Op: "open", Path: "x", Err: syscall.EROFS}, statestore.ErrReadOnly, "write to the file", false},
		{&fs.PathError{Op: "open", Path: "x", Err: syscall.ENOSPC}, statestore.ErrFull, "make room", false},
		{&fs.PathError{Op: "open", Path: "x", Err: syscall.EDQUOT}, statestore.ErrFull, "make room", false},
		{&fs.PathError{Op: "open", Path: "x", Err: syscall.EISDIR}, statestore.ErrNotADatabase, "path of a file", false},
		{&fs.PathError{Op: "open", Path: "x", Err: syscall.ENOENT}, statestore.ErrUnavailable, "make the folder", false},
		{errors.New("what is this"), statestore.ErrUnavailable, "start the service", false},
		{fmt.Errorf("row: %w", errDamaged), statestore.ErrNotADatabase, "restore a backup", true},
		{fmt.Errorf("row: %w", errForeign), statestore.ErrInUse, "end that program", true},
	}
	for _, c := range cases {
		err := translate("open x", c.err)
		wantError(t, err, c.want, c.advice)
		if !errors.Is(err, c.err) || !strings.Contains(err.Error(), "open x") {
			t.Errorf("%v does not say what went wrong where", err)
		}
		if got := stops(c.err); got != c.stops {
			t.Errorf("stops(%v) = %v", c.err, got)
		}
	}
	for _, sentinel := range sentinels() {
		if err := translate("open x", fmt.Errorf("why: %w", sentinel)); !errors.Is(err, sentinel) {
			t.Errorf("%v became %v", sentinel, err)
		}
	}
	if err := translate("open x", nil); err != nil {
		t.Errorf("no error became %v", err)
	}
}

// TestTranslateResultCodes takes errors from SQLite itself.
func TestTranslateResultCodes(t *testing.T) {
	path := filled(t, 3)
	cases := []struct {
		name  string
		setup []string
		want  error
		stops bool
	}{
		{"full", []string{"PRAGMA max_page_count=1", "CREATE TABLE more AS SELECT zeroblob(100000)"}, statestore.ErrFull, false},
		{"read only", []string{"PRAGMA query_only=ON", "DELETE FROM records"}, statestore.ErrReadOnly, true},
		{"constraint", []string{"INSERT INTO meta VALUES ('floor', 1)"}, statestore.ErrRejected, false},
		{"mismatch", []string{"INSERT INTO records (id) VALUES ('x')"}, statestore.ErrRejected, false},
		{"too big", []string{"SELECT zeroblob(2000000000)"}, statestore.ErrRejected, false},
		{"not to be opened", []string{"ATTACH '/nobody/nothing.db' AS x"}, statestore.ErrUnavailable, true},
		{"a mistake", []string{"SELECT nothing"}, statestore.ErrNotADatabase, true},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			conn, err := openConn(t.Context(), path, c.setup...)
			if err == nil {
				_ = conn.close()
				t.Fatal("no error")
			}
			wantError(t, translate("write", err), c.want, ";")
			if got := stops(err); got != c.stops {
				t.Errorf("stops(%v) = %v, want %v", err, got, c.stops)
			}
		})
	}
	t.Run("busy", func(t *testing.T) {
		holder, err := openConn(t.Context(), path, "BEGIN IMMEDIATE")
		if err != nil {
			t.Fatal(err)
		}
		_, err = openConn(t.Context(), path, "BEGIN IMMEDIATE")
		wantError(t, translate("write", err), statestore.ErrInUse, "end the other program")
		if err := holder.close(); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("not a database", func(t *testing.T) {
		other := filepath.Join(t.TempDir(), "x")
		if err := os.WriteFile(other, make([]byte, 5000), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := openConn(t.Context(), other, "SELECT count(*) FROM sqlite_schema")
		wantError(t, translate("read", err), statestore.ErrNotADatabase, "restore a backup")
	})
}
