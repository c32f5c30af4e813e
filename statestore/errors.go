// SPDX-License-Identifier: Apache-2.0

package statestore

import (
	"errors"
	"fmt"
)

// The errors that a store returns, besides those of fn and of the context.
// Drivers' errors are translated to them in one place per store.
var (
	// ErrUnavailable: the store cannot be reached or is shutting down; nothing
	// was changed. Try again.
	ErrUnavailable = errors.New("statestore: unavailable")
	// ErrUnknownOutcome: a commit was sent and its answer was lost.
	ErrUnknownOutcome = errors.New("statestore: outcome of the commit unknown")
	// ErrNotHeld: fn changed an entry that is not locked for writing.
	ErrNotHeld = errors.New("statestore: change of a record that is not held")
	// ErrRejected: the store refuses one of the records; the batch is at fault,
	// not the store.
	ErrRejected = errors.New("statestore: record rejected")
	// ErrFull: no room is left on the disk; nothing was changed.
	ErrFull = errors.New("statestore: disk is full")
	// ErrReadOnly: the database cannot be written.
	ErrReadOnly = errors.New("statestore: database is read-only")
	// ErrInUse: another process has the database open.
	ErrInUse = errors.New("statestore: database is in use by another process")
	// ErrNotADatabase: the file is something else or is damaged.
	ErrNotADatabase = errors.New("statestore: not a resilienced database")
	// ErrNewerSchema: a newer version of resilienced wrote the database.
	ErrNewerSchema = errors.New("statestore: database was written by a newer version")
	// ErrBadCursor: a page token is not one of this list's.
	ErrBadCursor = errors.New("statestore: bad page token")
)

// RecordError says that one record is there and cannot be read. It wraps the
// reason: ErrNotADatabase for a damaged one, ErrNewerSchema for one that holds
// what this version does not know.
type RecordError struct {
	Key Key
	// At is the record's place in its list; a Query goes on behind it with
	// CursorAt.
	At  Position
	Err error
}

// Error names the record and says what is wrong with it.
func (e *RecordError) Error() string {
	return fmt.Sprintf("%s %q of namespace %q: %v", e.Key.Kind, e.Key.Name, e.Key.Namespace, e.Err)
}

// Unwrap returns the reason.
func (e *RecordError) Unwrap() error { return e.Err }
