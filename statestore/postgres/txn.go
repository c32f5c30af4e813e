// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/resilienced/resilienced/rules"
	"github.com/resilienced/resilienced/statestore"
)

// errConflict: a key appeared while the transaction waited for its locks.
var errConflict = errors.New("another transaction was quicker")

// txn is one attempt at a transaction over entries in the order of the locks.
type txn struct {
	store   *Store
	conn    *pgx.Conn
	entries []*statestore.Entry
	now     rules.Instant
	// weakSync: the server's own setting acknowledges before the disk, or all
	// that stands for it, has a commit.
	weakSync bool
}

// storable reports whether PostgreSQL can hold a key: its text is UTF-8
// without NUL. No record is under any other key.
func storable(k statestore.Key) bool { return storableText(k.Namespace) && storableText(k.Name) }

func storableText(s string) bool { return utf8.ValidString(s) && strings.IndexByte(s, 0) < 0 }

// opens begins a transaction with its settings. The timeouts are set in it
// wherever it runs, so that no other setting can lift them.
func (s *Store) opens(b *pgx.Batch, begin string) {
	b.Queue(begin)
	if s.bouncer {
		b.Queue(s.sql.pooled, s.limits...)
	} else {
		b.Queue(s.sql.timeouts, s.limits...)
	}
}

// begin is the first round trip: it locks and reads what is written, then reads
// the other records and the clock, and fills in the entries.
func (t *txn) begin(ctx context.Context) error {
	var writes, tries, reads keyArrays
	for i, e := range t.entries {
		if !storable(e.Key) {
			continue
		}
		switch e.Mode {
		case statestore.Write:
			writes.add(i, e.Key)
		case statestore.Try:
			tries.add(i, e.Key)
			reads.add(i, e.Key) // to see whether it is there at all
		case statestore.Read:
			reads.add(i, e.Key)
		}
	}
	s := t.store
	b := &pgx.Batch{}
	s.opens(b, s.sql.begin)
	if len(writes.from) > 0 {
		b.Queue(s.sql.lock, writes.args()...)
	}
	if len(tries.from) > 0 {
		b.Queue(s.sql.try, tries.args()...)
	}
	b.Queue(s.sql.read, reads.args()...)
	return s.trip(ctx, t.conn, b, func(br pgx.BatchResults) error { return t.opened(ctx, br, &writes, &tries, &reads) })
}

// opened takes the results of begin.
func (t *txn) opened(ctx context.Context, br pgx.BatchResults, writes, tries, reads *keyArrays) error {
	for range 2 { // BEGIN and the settings
		if _, err := br.Exec(); err != nil {
			return err
		}
	}
	held := make([]statestore.Record, len(t.entries))
	for _, k := range []*keyArrays{writes, tries} {
		if err := t.lockedRows(br, k, held); err != nil {
			return err
		}
	}
	seen := make([]statestore.Record, len(t.entries))
	r, err := t.readRows(br, reads, seen)
	if err != nil {
		return err
	}
	t.weakSync = r.weakSync
	if t.now, err = t.store.believe(ctx, r); err != nil {
		return err
	}
	t.fill(held, seen)
	return nil
}

func (t *txn) lockedRows(br pgx.BatchResults, k *keyArrays, held []statestore.Record) error {
	if len(k.from) == 0 {
		return nil
	}
	rows, err := br.Query()
	if err != nil {
		return err
	}
	var n int64
	var row rawRow
	_, err = pgx.ForEachRow(rows, []any{&n, &row.ord, &row.due, &row.body}, func() (err error) {
		i := k.from[n-1]
		held[i], err = row.record(t.store.codec, t.entries[i].Key)
		return err
	})
	return err
}

func (t *txn) readRows(br pgx.BatchResults, k *keyArrays, seen []statestore.Record) (reading, error) {
	var r, first reading
	rows, err := br.Query()
	if err != nil {
		return r, err
	}
	var n pgtype.Int8
	var row rawRow
	count := 0
	_, err = pgx.ForEachRow(rows, append(r.columns(), &n, &row.ord, &row.due, &row.body), func() (err error) {
		if count++; count == 1 {
			first = r
		}
		if !n.Valid {
			return nil // none of the records is there
		}
		i := k.from[n.Int64-1]
		seen[i], err = row.record(t.store.codec, t.entries[i].Key)
		return err
	})
	if err == nil && count == 0 {
		err = pgx.ErrNoRows // somebody has emptied the table of the clock
	}
	return first, err
}

// fill gives the entries their records. An absent key counts as held; that
// nobody else makes it meanwhile shows when it is written.
func (t *txn) fill(held, seen []statestore.Record) {
	for i, e := range t.entries {
		switch {
		case e.Mode == statestore.Read:
			e.Load(seen[i], false)
		case e.Mode == statestore.Try && held[i] == nil && seen[i] != nil:
			e.Load(nil, false) // somebody else has it
		default:
			e.Load(held[i], true)
		}
	}
}

func (c *changes) none() bool {
	n := len(c.removes.from)
	for i := range c.inserts {
		n += len(c.inserts[i].from) + len(c.updates[i].from)
	}
	return n == 0
}

// changes encodes what fn changed.
func (t *txn) changes() (*changes, error) {
	c := &changes{}
	for i, e := range t.entries {
		before, after := e.Loaded(), e.Record()
		if !e.Changed() || before == nil && after == nil {
			if e.Changed() && !e.Held() {
				return nil, fmt.Errorf("%w: %+v", statestore.ErrNotHeld, e.Key)
			}
			if e.Held() && before == nil && storable(e.Key) {
				c.guards.add(i, e.Key)
			}
			continue
		}
		if !e.Held() {
			return nil, fmt.Errorf("%w: %+v", statestore.ErrNotHeld, e.Key)
		}
		if after == nil {
			c.removes.add(i, e.Key)
			continue
		}
		if !storable(e.Key) {
			return nil, fmt.Errorf("%w: the name %q is not text that PostgreSQL can keep", statestore.ErrRejected, e.Key.Name)
		}
		row, err := t.store.codec.Columns(e.Key, after)
		if err != nil {
			return nil, err
		}
		if before == nil {
			c.inserts[indexOf(e.Key.Kind)].addRow(i, e.Key, row, factsOf(after))
		} else {
			c.updates[indexOf(e.Key.Kind)].addRow(i, e.Key, row, factsOf(after))
		}
	}
	return c, nil
}

// confirm ends a transaction that changes nothing. What it decided holds if the
// keys that lock did not find are absent still: one may have been made by the
// transaction that a lock was waited for.
func (t *txn) confirm(ctx context.Context, absent *keyArrays) error {
	if len(absent.from) == 0 {
		return nil
	}
	s := t.store
	b := &pgx.Batch{}
	b.Queue(s.sql.there, absent.args()...)
	b.Queue(s.sql.rollback)
	return s.trip(ctx, t.conn, b, func(br pgx.BatchResults) error {
		var there int64
		if err := br.QueryRow().Scan(&there); err != nil {
			return err
		}
		if there > 0 {
			return errConflict
		}
		return nil
	})
}

// commit is the second round trip: it writes and commits. The error is a
// commitError if the transaction may be committed all the same.
func (t *txn) commit(ctx context.Context, c *changes, d statestore.Durability) error {
	s := t.store
	b := &pgx.Batch{}
	c.guard()
	for i := range c.inserts {
		if in := &c.inserts[i]; len(in.from) > 0 {
			b.Queue(s.sql.insert[i], in.args()...)
		}
	}
	for i := range c.updates {
		if up := &c.updates[i]; len(up.from) > 0 {
			b.Queue(s.sql.update[i], up.args(len(up.from))...)
		}
	}
	if out := &c.removes; len(out.from) > 0 {
		b.Queue(s.sql.remove, append(out.args(), len(out.from))...)
	}
	if level := t.syncLevel(d); level != "" {
		b.Queue(s.sql.finishAs, level)
	} else {
		b.Queue(s.sql.finish)
	}
	b.Queue(s.sql.commit)
	return s.tripToCommit(ctx, t.conn, b)
}

// guard makes each absent key that is held and stays absent, and removes it
// again: whoever makes it at the same time waits for this transaction or ends
// it. Inserts go by the order of the locks.
func (c *changes) guard() {
	if len(c.guards.from) == 0 {
		return
	}
	for i := range c.inserts {
		c.inserts[i] = merged(&c.inserts[i], &c.guards, i)
	}
	for j, from := range c.guards.from {
		c.removes.add(from, c.guards.key(j))
	}
}

func (k *keyArrays) key(j int) statestore.Key {
	return statestore.Key{Kind: statestore.Kind(k.kinds[j]), Namespace: k.namespaces[j], Name: k.names[j]}
}

// merged is the rows of one index with the guards of it, which have no body,
// in the order of the locks.
func merged(rows *rowArrays, guards *keyArrays, index int) rowArrays {
	var all rowArrays
	i := 0
	take := func(before int) {
		for ; i < len(rows.from) && rows.from[i] < before; i++ {
			all.copyRow(rows, i)
		}
	}
	for j, from := range guards.from {
		if key := guards.key(j); indexOf(key.Kind) == index {
			take(from)
			all.addRow(from, key, statestore.Columns{Body: []byte{}}, rules.Facts{})
		}
	}
	take(math.MaxInt)
	return all
}

// syncLevel is the setting of synchronous_commit for this transaction: "on"
// where the server's own is weaker than a durable commit needs, and empty where
// it will do.
func (t *txn) syncLevel(d statestore.Durability) string {
	switch {
	case d == statestore.Rebuildable:
		return "off"
	case t.weakSync:
		return "on"
	default:
		return ""
	}
}
