// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

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

// keyArrays are keys as a statement takes them, and where they come from.
type keyArrays struct {
	kinds             []int16
	namespaces, names []string
	from              []int // the index of the entry
}

func (k *keyArrays) add(i int, key statestore.Key) {
	k.kinds = append(k.kinds, int16(key.Kind))
	k.namespaces = append(k.namespaces, key.Namespace)
	k.names = append(k.names, key.Name)
	k.from = append(k.from, i)
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

// rawRow is a row as the driver reads it.
type rawRow struct {
	ord, due pgtype.Int8
	body     pgtype.DriverBytes
}

func (r *rawRow) record(codec *statestore.Codec, key statestore.Key) (statestore.Record, error) {
	return codec.Record(key, statestore.Columns{
		Ord:  statestore.Number{N: r.ord.Int64, Set: r.ord.Valid},
		Due:  statestore.Number{N: r.due.Int64, Set: r.due.Valid},
		Body: r.body,
	})
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

// rowArrays are rows as a statement takes them.
type rowArrays struct {
	keyArrays
	ords, dues []*int64
	bodies     [][]byte
}

func (r *rowArrays) addRow(i int, key statestore.Key, c statestore.Columns) {
	r.add(i, key)
	r.ords = append(r.ords, nullable(c.Ord))
	r.dues = append(r.dues, nullable(c.Due))
	r.bodies = append(r.bodies, c.Body)
}

func nullable(n statestore.Number) *int64 {
	if !n.Set {
		return nil
	}
	return &n.N
}

// changes is what a transaction writes.
type changes struct {
	inserts, updates rowArrays
	removes          keyArrays
	// guards are keys that the transaction holds and leaves absent.
	guards keyArrays
}

func (c *changes) none() bool {
	return len(c.inserts.from)+len(c.updates.from)+len(c.removes.from) == 0
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
			c.inserts.addRow(i, e.Key, row)
		} else {
			c.updates.addRow(i, e.Key, row)
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
	if in := &c.inserts; len(in.from) > 0 {
		b.Queue(s.sql.insert, in.kinds, in.namespaces, in.names, in.ords, in.dues, in.bodies)
	}
	if up := &c.updates; len(up.from) > 0 {
		b.Queue(s.sql.update, up.kinds, up.namespaces, up.names, up.ords, up.dues, up.bodies, len(up.from))
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
	var merged rowArrays
	in, g := &c.inserts, &c.guards
	for i, j := 0, 0; i < len(in.from) || j < len(g.from); {
		if j == len(g.from) || i < len(in.from) && in.from[i] < g.from[j] {
			merged.from = append(merged.from, in.from[i])
			merged.kinds = append(merged.kinds, in.kinds[i])
			merged.namespaces = append(merged.namespaces, in.namespaces[i])
			merged.names = append(merged.names, in.names[i])
			merged.ords = append(merged.ords, in.ords[i])
			merged.dues = append(merged.dues, in.dues[i])
			merged.bodies = append(merged.bodies, in.bodies[i])
			i++
			continue
		}
		key := statestore.Key{Kind: statestore.Kind(g.kinds[j]), Namespace: g.namespaces[j], Name: g.names[j]}
		merged.addRow(g.from[j], key, statestore.Columns{Body: []byte{}})
		c.removes.add(g.from[j], key)
		j++
	}
	c.inserts = merged
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
