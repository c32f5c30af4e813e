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

	"github.com/resilienced/resilienced/rules"
	"github.com/resilienced/resilienced/statestore"
)

// errConflict: a key appeared or vanished while the transaction looked for it.
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

// begin is the first round trip: it locks, reads the records and then the
// clock, and fills in the entries.
func (t *txn) begin(ctx context.Context) error {
	var all, writes, tries keyArrays
	for i, e := range t.entries {
		if !storable(e.Key) {
			continue
		}
		all.add(i, e.Key)
		switch e.Mode {
		case statestore.Write:
			writes.add(i, e.Key)
		case statestore.Try:
			tries.add(i, e.Key)
		case statestore.Read:
		}
	}
	s := t.store
	b := &pgx.Batch{}
	b.Queue(s.sql.begin)
	b.Queue(s.sql.settings, s.limits...)
	for _, k := range []struct {
		keys *keyArrays
		sql  string
	}{{&writes, s.sql.lock}, {&tries, s.sql.try}, {&all, s.sql.read}} {
		if len(k.keys.from) > 0 {
			b.Queue(k.sql, k.keys.kinds, k.keys.namespaces, k.keys.names)
		}
	}
	b.Queue(s.sql.clock)
	return s.trip(ctx, t.conn, b, func(br pgx.BatchResults) error { return t.opened(ctx, br, &all, &writes, &tries) })
}

// opened takes the results of begin.
func (t *txn) opened(ctx context.Context, br pgx.BatchResults, all, writes, tries *keyArrays) error {
	for range 2 { // BEGIN and the settings
		if _, err := br.Exec(); err != nil {
			return err
		}
	}
	locked := make([]bool, len(t.entries))
	for _, k := range []*keyArrays{writes, tries} {
		if err := lockedRows(br, k, locked); err != nil {
			return err
		}
	}
	found := make([]statestore.Record, len(t.entries))
	if err := t.readRows(br, all, found); err != nil {
		return err
	}
	var r reading
	if err := r.scan(br.QueryRow()); err != nil {
		return err
	}
	t.weakSync = r.weakSync
	var err error
	if t.now, err = t.store.believe(ctx, r); err != nil {
		return err
	}
	return t.fill(found, locked)
}

func lockedRows(br pgx.BatchResults, k *keyArrays, locked []bool) error {
	if len(k.from) == 0 {
		return nil
	}
	rows, err := br.Query()
	if err != nil {
		return err
	}
	var n int64
	_, err = pgx.ForEachRow(rows, []any{&n}, func() error {
		locked[k.from[n-1]] = true
		return nil
	})
	return err
}

func (t *txn) readRows(br pgx.BatchResults, k *keyArrays, found []statestore.Record) error {
	if len(k.from) == 0 {
		return nil
	}
	rows, err := br.Query()
	if err != nil {
		return err
	}
	var n int64
	var row rawRow
	_, err = pgx.ForEachRow(rows, []any{&n, &row.ord, &row.due, &row.body}, func() error {
		i := k.from[n-1]
		found[i], err = row.record(t.store.codec, t.entries[i].Key)
		return err
	})
	return err
}

// fill gives the entries their records. An absent key counts as held; that
// nobody else makes it meanwhile shows when it is written.
func (t *txn) fill(found []statestore.Record, locked []bool) error {
	for i, e := range t.entries {
		switch {
		case e.Mode == statestore.Read:
			e.Load(found[i], false)
		case found[i] == nil || locked[i]:
			e.Load(found[i], true)
		case e.Mode == statestore.Try:
			e.Load(nil, false)
		default: // it came after the locks were taken
			return errConflict
		}
	}
	return nil
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
		b.Queue(s.sql.remove, out.kinds, out.namespaces, out.names, len(out.from))
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
