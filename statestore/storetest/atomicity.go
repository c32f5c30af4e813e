// SPDX-License-Identifier: Apache-2.0

package storetest

import (
	"context"
	"errors"

	"github.com/resilienced/resilienced/rules"
	"github.com/resilienced/resilienced/statestore"
)

func atomicityTests() []test {
	return []test{
		{"a transaction writes all its entries", writesAll},
		{"an error rolls back a new record", failedInsert},
		{"an error rolls back a replacement", failedReplace},
		{"an error rolls back a deletion", failedDelete},
		{"the error of fn comes back as it is", errorAsItIs},
		{"a panic leaves nothing and the store usable", panicLeavesNothing},
		{"a panic takes back replacements and deletions", panicTakesBack},
		{"a change of a read entry is refused whole", readIsNotHeld},
		{"a change of an absent read entry is refused", absentReadIsNotHeld},
		{"a deletion of a read entry is refused", deleteReadIsNotHeld},
		{"the last put counts", lastPutCounts},
		{"put and delete leave nothing", putAndDelete},
		{"delete and put leave a record", deleteAndPut},
		{"restore takes a change back", restoreTakesBack},
		{"restore goes back to an earlier put", restoreEarlier},
		{"a cancelled context stops before fn", cancelledBefore},
		{"a transaction without entries sees the time", noEntries},
		{"commits count transactions with a change", commitsCount},
		{"commits do not count what changed nothing", commitsWithoutChange},
		{"a batch of two thousand", largeBatch},
	}
}

var errStop = errors.New("storetest: stop")

// attempt runs a transaction that puts records and then ends with end.
func (r *rig) attempt(records map[statestore.Key]statestore.Record, end func() error) error {
	r.Helper()
	entries := make([]*statestore.Entry, 0, len(records))
	for k := range records {
		entries = append(entries, write(k))
	}
	return r.store.Update(r.ctx, entries, func(rules.Instant) (statestore.Durability, error) {
		for _, e := range entries {
			e.Put(records[e.Key])
		}
		return statestore.Durable, end()
	})
}

func stop() error { return errStop }

func writesAll(r *rig) {
	a, b, c := key(plain, "a"), key(timed, "b"), in("other", key(ranked, "c"))
	r.put(map[statestore.Key]statestore.Record{a: &Plain{N: 1}, b: &Timed{N: 2, Due: 5}, c: &Ranked{N: 3, Rank: 9}})
	r.want(a, &Plain{N: 1})
	r.want(b, &Timed{N: 2, Due: 5})
	r.want(c, &Ranked{N: 3, Rank: 9})
}

func failedInsert(r *rig) {
	a, b := key(plain, "a"), key(other, "b")
	err := r.attempt(map[statestore.Key]statestore.Record{a: &Plain{N: 1}, b: &Plain{N: 2}}, stop)
	r.wantError(err, errStop)
	r.wantNone(a, b)
	if n := r.count(plain, "acme"); n != 0 {
		r.Fatalf("Count = %d after a rollback", n)
	}
}

func failedReplace(r *rig) {
	a, b := key(plain, "a"), key(plain, "b")
	r.put(map[statestore.Key]statestore.Record{a: &Plain{N: 1}, b: &Plain{N: 2}})
	r.wantError(r.attempt(map[statestore.Key]statestore.Record{a: &Plain{N: 10}, b: &Plain{N: 20}}, stop), errStop)
	r.want(a, &Plain{N: 1})
	r.want(b, &Plain{N: 2})
}

func failedDelete(r *rig) {
	a := key(plain, "a")
	r.putOne(a, &Plain{N: 1})
	r.wantError(r.attempt(map[statestore.Key]statestore.Record{a: nil}, stop), errStop)
	r.want(a, &Plain{N: 1})
	if n := r.count(plain, "acme"); n != 1 {
		r.Fatalf("Count = %d after a rollback, want 1", n)
	}
}

func errorAsItIs(r *rig) {
	mine := errors.New("a new error")
	got := r.attempt(map[statestore.Key]statestore.Record{key(plain, "a"): &Plain{}}, func() error { return mine })
	if got != mine { //nolint:errorlint // the very same error is asked for
		r.Fatalf("error = %v, want the error of fn itself", got)
	}
}

// recovered runs f and returns what it panicked with.
func recovered(f func()) (value any) {
	defer func() { value = recover() }()
	f()
	return nil
}

func panicLeavesNothing(r *rig) {
	a := key(plain, "a")
	value := recovered(func() {
		_ = r.attempt(map[statestore.Key]statestore.Record{a: &Plain{N: 1}}, func() error { panic("boom") })
	})
	if value != "boom" {
		r.Fatalf("recovered %v, want the panic of fn", value)
	}
	r.wantNone(a)
	r.putOne(a, &Plain{N: 2})
	r.want(a, &Plain{N: 2})
}

func panicTakesBack(r *rig) {
	a, b := key(plain, "a"), key(plain, "b")
	r.put(map[statestore.Key]statestore.Record{a: &Plain{N: 1}, b: &Plain{N: 2}})
	for range 3 {
		recovered(func() {
			_ = r.attempt(map[statestore.Key]statestore.Record{a: nil, b: &Plain{N: 3}}, func() error { panic("boom") })
		})
	}
	r.want(a, &Plain{N: 1})
	r.want(b, &Plain{N: 2})
}

// refused runs a transaction that changes the read entry of k beside a held
// one, and wants it refused whole.
func (r *rig) refused(k statestore.Key, rec statestore.Record) {
	r.Helper()
	held, notHeld := write(key(other, "held")), read(k)
	err := r.store.Update(r.ctx, []*statestore.Entry{held, notHeld}, func(rules.Instant) (statestore.Durability, error) {
		held.Put(&Plain{N: 7})
		notHeld.Put(rec)
		return statestore.Durable, nil
	})
	r.wantError(err, statestore.ErrNotHeld)
	r.wantNone(held.Key)
}

func readIsNotHeld(r *rig) {
	a := key(plain, "a")
	r.putOne(a, &Plain{N: 1})
	r.refused(a, &Plain{N: 2})
	r.want(a, &Plain{N: 1})
}

func absentReadIsNotHeld(r *rig) {
	a := key(plain, "a")
	r.refused(a, &Plain{N: 2})
	r.wantNone(a)
}

func deleteReadIsNotHeld(r *rig) {
	a := key(plain, "a")
	r.putOne(a, &Plain{N: 1})
	r.refused(a, nil)
	r.want(a, &Plain{N: 1})
}

func lastPutCounts(r *rig) {
	e := write(key(plain, "a"))
	r.update([]*statestore.Entry{e}, func(rules.Instant) {
		e.Put(&Plain{N: 1})
		e.Put(&Plain{N: 2})
		if e.Loaded() != nil || e.Record().(*Plain).N != 2 || !e.Changed() || !e.Held() {
			r.Errorf("loaded %v, record %v, changed %v, held %v", e.Loaded(), e.Record(), e.Changed(), e.Held())
		}
	})
	r.want(e.Key, &Plain{N: 2})
}

func putAndDelete(r *rig) {
	e := write(key(plain, "a"))
	r.update([]*statestore.Entry{e}, func(rules.Instant) {
		e.Put(&Plain{N: 1})
		e.Put(nil)
	})
	r.wantNone(e.Key)
	if n := r.count(plain, "acme"); n != 0 {
		r.Fatalf("Count = %d, want 0", n)
	}
}

func deleteAndPut(r *rig) {
	e := write(key(plain, "a"))
	r.putOne(e.Key, &Plain{N: 1})
	r.update([]*statestore.Entry{e}, func(rules.Instant) {
		e.Put(nil)
		e.Put(&Plain{N: 2})
	})
	r.want(e.Key, &Plain{N: 2})
	if n := r.count(plain, "acme"); n != 1 {
		r.Fatalf("Count = %d, want 1", n)
	}
}

func restoreTakesBack(r *rig) {
	a, b := write(key(plain, "a")), write(key(plain, "b"))
	r.putOne(a.Key, &Plain{N: 1})
	r.update([]*statestore.Entry{a, b}, func(rules.Instant) {
		for _, e := range []*statestore.Entry{a, b} {
			before, changed := e.Record(), e.Changed()
			e.Put(&Plain{N: 9})
			e.Restore(before, changed)
		}
	})
	r.want(a.Key, &Plain{N: 1})
	r.wantNone(b.Key)
}

func restoreEarlier(r *rig) {
	e := write(key(plain, "a"))
	r.update([]*statestore.Entry{e}, func(rules.Instant) {
		e.Put(&Plain{N: 1})
		before, changed := e.Record(), e.Changed()
		e.Put(nil)
		e.Restore(before, changed)
	})
	r.want(e.Key, &Plain{N: 1})
}

func cancelledBefore(r *rig) {
	ctx, cancel := context.WithCancel(r.ctx)
	cancel()
	called := false
	err := r.store.Update(ctx, []*statestore.Entry{write(key(plain, "a"))}, func(rules.Instant) (statestore.Durability, error) {
		called = true
		return statestore.Durable, nil
	})
	r.wantError(err, context.Canceled)
	if called {
		r.Fatal("fn was called")
	}
}

func noEntries(r *rig) {
	var seen rules.Instant
	r.update(nil, func(now rules.Instant) { seen = now })
	if seen <= 0 {
		r.Fatalf("now = %d", seen)
	}
}

func commitsCount(r *rig) {
	before := r.store.Commits()
	for n := range 5 {
		r.putOne(key(plain, "a"), &Plain{N: int64(n)})
	}
	r.remove(key(plain, "a"))
	if got := r.store.Commits() - before; got != 6 {
		r.Fatalf("Commits grew by %d, want 6", got)
	}
}

func commitsWithoutChange(r *rig) {
	r.putOne(key(plain, "a"), &Plain{N: 1})
	before := r.store.Commits()
	r.want(key(plain, "a"), &Plain{N: 1})
	r.remove(key(plain, "absent"))
	r.wantError(r.attempt(map[statestore.Key]statestore.Record{key(plain, "a"): nil}, stop), errStop)
	if got := r.store.Commits() - before; got != 0 {
		r.Fatalf("Commits grew by %d, want 0", got)
	}
}

func largeBatch(r *rig) {
	records := make(map[statestore.Key]statestore.Record)
	for i, name := range names("n", 2000) {
		records[key(plain, name)] = &Plain{N: int64(i)}
	}
	r.put(records)
	if n := r.count(plain, "acme"); n != 2000 {
		r.Fatalf("Count = %d, want 2000", n)
	}
	for _, name := range []string{"n00000", "n01000", "n01999"} {
		r.want(key(plain, name), records[key(plain, name)])
	}
}
