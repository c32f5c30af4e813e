// SPDX-License-Identifier: Apache-2.0

// Package statestore defines the one seam between the engine and what keeps
// its records: an atomic Update over named records, and reads that decide
// nothing. It knows no driver; each store is a package below it, and storetest
// says what a store must do.
package statestore

import (
	"context"

	"github.com/resilienced/resilienced/rules"
)

// Kind names a family of records. Its value orders write locks: run trees,
// then targets, then operations, then the rest.
type Kind uint8

// The kinds of records. The numbers are stored; never reuse one.
const (
	KindMeta       Kind = 1  // the store's own facts: MAC key, policy epoch
	KindClock      Kind = 2  // the stored instant of a drill namespace
	KindTransfer   Kind = 3  // transfer.Mark: the store is an unfinished copy
	KindRun        Kind = 10 // budget.Run
	KindTarget     Kind = 20 // target.Control
	KindTally      Kind = 21 // target.Tally, of a drill or of the only replica
	KindStripe     Kind = 22 // engine.Stripe: one replica's part of a tally
	KindOperation  Kind = 30 // operation.Operation, or its tombstone
	KindTask       Kind = 40 // retry.Task: the retry budget of a task
	KindRepeat     Kind = 41 // admit.Repeat: identical failures of a run
	KindLetter     Kind = 50 // deadletter.Letter
	KindEscalation Kind = 51 // escalation.Escalation
	KindFold       Kind = 52 // escalation.Fold: where an alert folds into
	KindPolicy     Kind = 60 // a namespace's policy document
	KindRequest    Kind = 61 // the answer to an operator's request, for its repeat
	KindDecision   Kind = 70 // one row of the decision log
	KindTransition Kind = 71 // one row of a target's transition history
	KindCalls      Kind = 73 // engine.CallChunk: recorded calls

	KindEnforcement Kind = 62 // what operators set over a namespace's policy
	KindObservation Kind = 72 // the calls of a target in one interval
)

// Key names one record. The empty namespace is the server's own.
type Key struct {
	Kind      Kind
	Namespace string
	Name      string
}

// Record is one of rules' state types, or a small record of the engine, always
// a pointer to a struct. A record is immutable once it was read from or given
// to a store: whoever wants to change it makes a copy.
type Record any

// Dated is implemented by a record that has something fall due by itself.
type Dated interface {
	// DueAt is the next instant at which the record changes without a
	// command; zero for never. Store.Due finds the record by it.
	DueAt() rules.Instant
}

// Ordered is implemented by a record that lists do not sort by name.
type Ordered interface {
	// OrderBy is the key that lists sort by, before the name.
	OrderBy() int64
}

// Factual is implemented by a record that has something to show to operators,
// in stores that they can query.
type Factual interface {
	// Facts are derived from the record alone.
	Facts() rules.Facts
}

// Mode is how a transaction holds a record.
type Mode uint8

const (
	// Read sees the latest committed record, read after the write locks.
	Read Mode = iota
	// Write excludes every other writer of that key, whether or not a record
	// exists yet.
	Write
	// Try is Write if nobody holds the key, else the entry is left out.
	Try
)

// Durability says whether an answer may leave before the disk has it.
type Durability uint8

const (
	// Rebuildable changes may be lost if the machine stops within a second.
	Rebuildable Durability = iota
	// Durable changes are on stable storage before Update returns.
	Durable
)

// Entry is one record within a transaction. The caller makes it, the store
// fills it in, fn reads and changes it. An Entry is used by one goroutine at a
// time.
type Entry struct {
	Key  Key
	Mode Mode
	// Depth orders the locks of a run tree: 0 is a root.
	Depth uint8

	loaded  Record
	current Record
	held    bool
	changed bool
}

// Record returns the record as fn left it so far, or nil if there is none.
func (e *Entry) Record() Record { return e.current }

// Held reports whether the entry is locked for writing. It is false for Read,
// and for a Try that somebody else holds.
func (e *Entry) Held() bool { return e.held }

// Put replaces the record. A nil record deletes it. The store refuses the
// transaction with ErrNotHeld if the entry is not held.
func (e *Entry) Put(r Record) { e.current, e.changed = r, true }

// Restore sets the record to one that Record returned earlier in the same
// transaction and is used to take back the changes of one command.
func (e *Entry) Restore(r Record, changed bool) { e.current, e.changed = r, changed }

// Changed reports whether fn put or deleted the record.
func (e *Entry) Changed() bool { return e.changed }

// Loaded returns the record as the store found it.
func (e *Entry) Loaded() Record { return e.loaded }

// Load is for stores: it fills in what was found and forgets earlier changes.
func (e *Entry) Load(r Record, held bool) {
	e.loaded, e.current, e.held, e.changed = r, r, held, false
}

// Store keeps records. All methods may be called from many goroutines.
type Store interface {
	// Update runs fn in one atomic transaction over the entries, whose keys
	// differ from one another. The store locks what is to be written in the
	// order of Less, then reads its clock, loads the entries, calls fn, and
	// commits what fn changed. fn may be called again after a conflict and
	// must then give the same result for the same records. Its error rolls the
	// transaction back and is returned as it is; its panic rolls it back and goes
	// on. fn must not call the store, which may wait for fn to end.
	//
	// Update returns ErrUnknownOutcome when a commit was sent and nobody knows
	// what became of it; every other error means that nothing was changed.
	Update(ctx context.Context, entries []*Entry, fn Func) error
	// Get returns the latest committed record, or nil, and the store's time.
	Get(ctx context.Context, key Key) (Record, rules.Instant, error)
	// List returns records of one kind and namespace in order: by OrderBy, then
	// by name. A page is of one moment. Over all pages, a record that keeps its
	// place is seen exactly once, whatever happens to others meanwhile.
	List(ctx context.Context, q Query) (Page, error)
	// Due returns the keys of records whose DueAt has come, earliest first.
	Due(ctx context.Context, q DueQuery) ([]DueKey, error)
	// Count returns how many records of a kind a namespace has.
	Count(ctx context.Context, kind Kind, namespace string) (int, error)
	// Namespaces returns the names of all namespaces that have a record, sorted.
	Namespaces(ctx context.Context) ([]string, error)
	// Now returns the store's time.
	Now(ctx context.Context) (rules.Instant, error)
	// Lanes is how many transactions are worth having in flight at once.
	Lanes() int
	// Commits counts the transactions that were committed with a change.
	Commits() uint64
	// Close releases what the store holds. No call may follow it.
	Close() error
}

// Func is the body of a transaction. It is given the store's time, read once
// after the locks, never earlier than in a transaction before it.
type Func func(now rules.Instant) (Durability, error)

// Query asks for a page of records.
type Query struct {
	Kind      Kind
	Namespace string
	// Prefix limits the list to names that start with it.
	Prefix string
	// Descending turns the order round, newest first.
	Descending bool
	// After is the Cursor of the page before; empty for the first page.
	After string
	// Limit is the size of a page, at least 1.
	Limit int
}

// Page is a part of a list. Cursor is empty on the last page.
type Page struct {
	Rows   []Row
	Cursor string
	Now    rules.Instant
}

// Row is one record of a list.
type Row struct {
	Name   string
	Record Record
}

// DueQuery asks which records have something due.
type DueQuery struct {
	// Namespace limits the query to one namespace; empty means all but those
	// that Except names.
	Namespace string
	// Except leaves out namespaces whose name starts with it; empty: none.
	Except string
	// Until is the latest due time asked for.
	Until rules.Instant
	// Limit is the largest number of keys returned, at least 1.
	Limit int
}

// DueKey is a key and the time at which its record has something due.
type DueKey struct {
	Key Key
	Due rules.Instant
}
