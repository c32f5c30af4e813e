// SPDX-License-Identifier: Apache-2.0

package storetest

import (
	"fmt"
	"reflect"

	"github.com/resilienced/resilienced/rules"
	"github.com/resilienced/resilienced/statestore"
)

// Plain is a record that lists sort by name.
type Plain struct {
	N    int64         `json:"n"`
	Text string        `json:"text,omitempty"`
	Data []byte        `json:"data,omitempty"`
	At   rules.Instant `json:"at,omitempty"`
}

// Timed is a record that may have something due.
type Timed struct {
	N   int64         `json:"n"`
	Due rules.Instant `json:"due,omitempty"`
}

// DueAt implements statestore.Dated.
func (t *Timed) DueAt() rules.Instant { return t.Due }

// Ranked is a record that lists sort by its rank.
type Ranked struct {
	N    int64 `json:"n"`
	Rank int64 `json:"rank,omitempty"`
}

// OrderBy implements statestore.Ordered.
func (r *Ranked) OrderBy() int64 { return r.Rank }

// Task is a record that has both.
type Task struct {
	N    int64         `json:"n"`
	Rank int64         `json:"rank,omitempty"`
	Due  rules.Instant `json:"due,omitempty"`
}

// DueAt implements statestore.Dated.
func (t *Task) DueAt() rules.Instant { return t.Due }

// OrderBy implements statestore.Ordered.
func (t *Task) OrderBy() int64 { return t.Rank }

// The kinds that the suite uses, named by their records.
const (
	plain  = statestore.KindRun
	other  = statestore.KindTarget // Plain too
	timed  = statestore.KindOperation
	ranked = statestore.KindLetter
	task   = statestore.KindEscalation
)

// Codec returns the codec of the suite's records, for stores that keep bytes.
func Codec() (*statestore.Codec, error) {
	return statestore.NewCodec(map[statestore.Kind]func() statestore.Record{
		plain:  func() statestore.Record { return new(Plain) },
		other:  func() statestore.Record { return new(Plain) },
		timed:  func() statestore.Record { return new(Timed) },
		ranked: func() statestore.Record { return new(Ranked) },
		task:   func() statestore.Record { return new(Task) },
	})
}

// key names a record of the namespace that most tests use.
func key(kind statestore.Kind, name string) statestore.Key {
	return statestore.Key{Kind: kind, Namespace: "acme", Name: name}
}

// in moves a key to another namespace.
func in(namespace string, k statestore.Key) statestore.Key {
	k.Namespace = namespace
	return k
}

// names returns n different names that sort by their number.
func names(prefix string, n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprintf("%s%05d", prefix, i)
	}
	return all
}

// put commits records under keys, in one transaction.
func (r *rig) put(records map[statestore.Key]statestore.Record) {
	r.Helper()
	entries := make([]*statestore.Entry, 0, len(records))
	for k := range records {
		entries = append(entries, write(k))
	}
	r.update(entries, func(rules.Instant) {
		for _, e := range entries {
			e.Put(records[e.Key])
		}
	})
}

// putOne commits one record.
func (r *rig) putOne(k statestore.Key, rec statestore.Record) {
	r.Helper()
	r.put(map[statestore.Key]statestore.Record{k: rec})
}

// remove commits the deletion of records, in one transaction.
func (r *rig) remove(keys ...statestore.Key) {
	r.Helper()
	gone := make(map[statestore.Key]statestore.Record, len(keys))
	for _, k := range keys {
		gone[k] = nil
	}
	r.put(gone)
}

// update commits a durable transaction.
func (r *rig) update(entries []*statestore.Entry, fn func(now rules.Instant)) {
	r.Helper()
	r.noError(r.store.Update(r.ctx, entries, func(now rules.Instant) (statestore.Durability, error) {
		fn(now)
		return statestore.Durable, nil
	}))
}

// get returns the committed record of a key.
func (r *rig) get(k statestore.Key) statestore.Record {
	r.Helper()
	rec, _, err := r.store.Get(r.ctx, k)
	r.noError(err)
	return rec
}

// want ends the test unless the store has exactly this record under the key,
// for Get and for a transaction.
func (r *rig) want(k statestore.Key, want statestore.Record) {
	r.Helper()
	if got := r.get(k); !reflect.DeepEqual(got, want) {
		r.Fatalf("Get(%+v) = %+v, want %+v", k, got, want)
	}
	e := read(k)
	r.update([]*statestore.Entry{e}, func(rules.Instant) {
		if !reflect.DeepEqual(e.Record(), want) {
			r.Errorf("Record(%+v) = %+v in a transaction, want %+v", k, e.Record(), want)
		}
	})
}

// wantNone ends the test if the store has one of the records.
func (r *rig) wantNone(keys ...statestore.Key) {
	r.Helper()
	for _, k := range keys {
		r.want(k, nil)
	}
}

// count returns Count.
func (r *rig) count(kind statestore.Kind, namespace string) int {
	r.Helper()
	n, err := r.store.Count(r.ctx, kind, namespace)
	r.noError(err)
	return n
}

// list returns all rows that q asks for, page by page.
func (r *rig) list(q statestore.Query) []statestore.Row {
	r.Helper()
	var rows []statestore.Row
	for q.After = ""; ; {
		page, err := r.store.List(r.ctx, q)
		r.noError(err)
		rows = append(rows, page.Rows...)
		if q.After = page.Cursor; q.After == "" {
			return rows
		}
		if len(page.Rows) != q.Limit {
			r.Fatalf("a page of %d rows has a cursor, the limit is %d", len(page.Rows), q.Limit)
		}
	}
}

// rowNames returns the names of rows.
func rowNames(rows []statestore.Row) []string {
	all := make([]string, len(rows))
	for i := range rows {
		all[i] = rows[i].Name
	}
	return all
}

// due returns the names of what Due returns.
func (r *rig) due(q statestore.DueQuery) []string {
	r.Helper()
	keys, err := r.store.Due(r.ctx, q)
	r.noError(err)
	all := make([]string, len(keys))
	for i := range keys {
		all[i] = keys[i].Key.Name
	}
	return all
}
