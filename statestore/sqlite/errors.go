// SPDX-License-Identifier: Apache-2.0

package sqlite

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/resilienced/resilienced/statestore"
)

// noTransaction is the result code of a ROLLBACK that has nothing to end.
const noTransaction = sqlite3.SQLITE_ERROR

var (
	// errDamaged marks what only a damaged file can show.
	errDamaged = errors.New("the file is damaged")
	// errForeign: what the store remembers of the file may be stale.
	errForeign = errors.New("another program has written to the file")
	// errLocked: another store has the lock file.
	errLocked = errors.New("the lock file is locked")
)

// translate turns an error of the driver or of the operating system into one
// of statestore's, with what the operator should do. It is the only place that
// knows their codes. An error that is one of statestore's already only gets
// doing in front.
func translate(doing string, err error) error {
	if err == nil {
		return nil
	}
	advice, kind := classify(err)
	if kind == nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	return fmt.Errorf("%w: %s: %w; %s", kind, doing, err, advice)
}

// classify returns the advice for an error and its sentinel, or nil if it
// carries one.
func classify(err error) (advice string, kind error) {
	switch resultCode(err) {
	case sqlite3.SQLITE_FULL:
		return "make room on the disk or raise MaxBytes", statestore.ErrFull
	case sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH:
		return "let the service's user write to the file and to its folder", statestore.ErrReadOnly
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
		return "end the other program that has the file open", statestore.ErrInUse
	// Our statements are fixed, so a logic error says that the tables are not as
	// they were made: a bit of the schema's own text has turned.
	case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT, sqlite3.SQLITE_ERROR:
		return "if the path is right, the file is damaged: keep a copy of it and restore a backup", statestore.ErrNotADatabase
	case sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_TOOBIG, sqlite3.SQLITE_MISMATCH:
		return "this is a fault of the service: please report it", statestore.ErrRejected
	case sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN:
		return "look for a failing disk in the system's log, then start the service again", statestore.ErrUnavailable
	case sqlite3.SQLITE_OK:
	default:
		return "start the service again", statestore.ErrUnavailable
	}
	switch {
	case errors.Is(err, errDamaged):
		return "keep a copy of the file and restore a backup", statestore.ErrNotADatabase
	case isSentinel(err):
		return "", nil
	case errors.Is(err, errForeign):
		return "end that program, then start the service again", statestore.ErrInUse
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		return "let the service's user write to the file and to its folder", statestore.ErrReadOnly
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return "make room on the disk", statestore.ErrFull
	case errors.Is(err, syscall.EISDIR):
		return "give the path of a file", statestore.ErrNotADatabase
	case errors.Is(err, fs.ErrNotExist):
		return "make the folder that the file is to lie in", statestore.ErrUnavailable
	default:
		return "start the service again", statestore.ErrUnavailable
	}
}

// resultCode returns the primary result code of SQLite, or 0 if the error is
// not SQLite's.
func resultCode(err error) int {
	if e, ok := errors.AsType[*sqlite.Error](err); ok {
		return e.Code() & 0xff
	}
	return sqlite3.SQLITE_OK
}

func isSentinel(err error) bool {
	for _, s := range []error{
		statestore.ErrUnavailable, statestore.ErrUnknownOutcome, statestore.ErrNotHeld, statestore.ErrRejected,
		statestore.ErrFull, statestore.ErrReadOnly, statestore.ErrInUse, statestore.ErrNotADatabase,
		statestore.ErrNewerSchema, statestore.ErrBadCursor,
	} {
		if errors.Is(err, s) {
			return true
		}
	}
	return false
}

// stops reports whether an error of the write path ends the store: what the
// file holds is then in doubt, and going on could make it worse.
func stops(err error) bool {
	switch resultCode(err) {
	case sqlite3.SQLITE_OK:
		return errors.Is(err, errDamaged) || errors.Is(err, errForeign)
	case sqlite3.SQLITE_FULL, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED,
		sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_TOOBIG, sqlite3.SQLITE_MISMATCH:
		return false
	default:
		return true
	}
}
