// SPDX-License-Identifier: Apache-2.0

package storetest

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync/atomic"

	"github.com/resilienced/resilienced/rules"
	"github.com/resilienced/resilienced/statestore"
)

func retentionTests() []test {
	return []test{
		{"a deleted record is gone from everywhere", goneEverywhere},
		{"a thousand are deleted at once", deletedInBulk},
		{"a deleted record may come back", comesBack},
		{"the sweeper spares what was renewed", sparesRenewed},
	}
}

func countTests() []test {
	return []test{
		{"nothing counts as 0", countsNothing},
		{"by kind and namespace", countsByFamily},
		{"a replacement is not counted", replacementNotCounted},
		{"a rollback is not counted", rollbackNotCounted},
		{"many at once are counted exactly", countsTogether},
	}
}

func namespaceTests() []test {
	return []test{
		{"an empty store has none", noNamespaces},
		{"each once and sorted", namespacesSorted},
		{"one that is empty vanishes", namespaceVanishes},
		{"any text may be one", anyNamespace},
		{"the same name in two is two records", namespacesApart},
		{"a rollback makes none", rollbackMakesNone},
	}
}

func goneEverywhere(r *rig) {
	k := key(task, "a")
	r.putOne(k, &Task{N: 1, Rank: 2, Due: 3})
	r.putOne(in("other", k), &Task{N: 2, Due: 4})
	r.remove(k)
	r.wantNone(k)
	r.wantList(statestore.Query{Kind: task, Namespace: "acme", Limit: 5}, nil)
	if n := r.count(task, "acme"); n != 0 {
		r.Fatalf("Count = %d, want 0", n)
	}
	keys, err := r.store.Due(r.ctx, always())
	r.noError(err)
	if len(keys) != 1 || keys[0].Key.Namespace != "other" {
		r.Fatalf("Due = %+v", keys)
	}
}

func deletedInBulk(r *rig) {
	all := names("n", 1200)
	r.fill(families()[1], all)
	var gone []statestore.Key
	for _, name := range all[:1000] {
		gone = append(gone, key(task, name))
	}
	r.remove(gone...)
	if n := r.count(task, "acme"); n != 200 {
		r.Fatalf("Count = %d, want 200", n)
	}
	got := rowNames(r.list(statestore.Query{Kind: task, Namespace: "acme", Limit: 64}))
	slices.Sort(got)
	if !slices.Equal(got, all[1000:]) {
		r.Fatalf("%d rows are left, the first is %s", len(got), got[0])
	}
	if n := len(r.due(always())); n != 200 {
		r.Fatalf("%d are due, want 200", n)
	}
}

func comesBack(r *rig) {
	k := key(task, "a")
	for n := range int64(5) {
		r.putOne(k, &Task{N: n, Rank: -n, Due: rules.Instant(n + 1)})
		r.want(k, &Task{N: n, Rank: -n, Due: rules.Instant(n + 1)})
		r.remove(k)
		r.wantNone(k)
	}
}

// sparesRenewed races a sweeper, which lists what is due and deletes what is
// still due when it holds it, with a goroutine that renews.
func sparesRenewed(r *rig) {
	k := key(timed, "a")
	r.putOne(k, &Timed{N: 0, Due: 10})
	var renewed atomic.Int64
	r.together(4, func(i int) error {
		for n := range 60 {
			if i > 0 {
				if err := r.sweep(rules.Instant(10 + n)); err != nil {
					return err
				}
				continue
			}
			e := write(k)
			err := r.commit([]*statestore.Entry{e}, func(rules.Instant) { e.Put(&Timed{N: int64(n), Due: rules.Instant(1000 + n)}) })
			if err != nil {
				return err
			}
			renewed.Add(1)
		}
		return nil
	})
	r.want(k, &Timed{N: renewed.Load() - 1, Due: rules.Instant(999 + renewed.Load())})
}

func (r *rig) sweep(until rules.Instant) error {
	keys, err := r.store.Due(r.ctx, statestore.DueQuery{Until: until, Limit: 8})
	if err != nil {
		return err
	}
	for _, k := range keys {
		e := write(k.Key)
		err = errors.Join(err, r.commit([]*statestore.Entry{e}, func(rules.Instant) {
			if rec, ok := e.Record().(*Timed); ok && rec.Due <= until {
				e.Put(nil)
			}
		}))
	}
	return err
}

func (r *rig) wantCount(kind statestore.Kind, namespace string, want int) {
	r.Helper()
	if got := r.count(kind, namespace); got != want {
		r.Fatalf("Count(%d, %q) = %d, want %d", kind, namespace, got, want)
	}
}

func countsNothing(r *rig) {
	r.wantCount(plain, "acme", 0)
	r.putOne(key(plain, "a"), &Plain{})
	r.wantCount(plain, "", 0)
	r.wantCount(other, "acme", 0)
	r.wantCount(plain, "acm", 0)
}

func countsByFamily(r *rig) {
	for n := range 5 {
		r.putOne(key(plain, strconv.Itoa(n)), &Plain{})
		r.put(map[statestore.Key]statestore.Record{
			key(timed, fmt.Sprint("a", n)): &Timed{}, key(timed, fmt.Sprint("b", n)): &Timed{},
			in("zoo", key(timed, strconv.Itoa(n/2))): &Timed{N: int64(n)},
		})
	}
	r.wantCount(plain, "acme", 5)
	r.wantCount(timed, "acme", 10)
	r.wantCount(timed, "zoo", 3)
	r.remove(key(timed, "a1"), key(timed, "b2"), key(timed, "nobody"))
	r.wantCount(timed, "acme", 8)
}

func replacementNotCounted(r *rig) {
	for n := range 4 {
		r.putOne(key(task, "a"), &Task{N: int64(n), Rank: int64(n), Due: rules.Instant(n)})
		r.wantCount(task, "acme", 1)
	}
}

func rollbackNotCounted(r *rig) {
	r.putOne(key(plain, "a"), &Plain{})
	changed := map[statestore.Key]statestore.Record{key(plain, "a"): nil, key(plain, "b"): &Plain{}, key(plain, "c"): &Plain{}}
	r.wantError(r.attempt(changed, stop), errStop)
	r.wantCount(plain, "acme", 1)
}

func countsTogether(r *rig) {
	r.together(16, func(i int) error {
		for n := range 30 {
			e := write(key(plain, fmt.Sprint(i, "/", n)))
			if err := r.commit([]*statestore.Entry{e}, func(rules.Instant) { e.Put(&Plain{}) }); err != nil {
				return err
			}
			if n%3 != 0 {
				continue
			}
			if err := r.commit([]*statestore.Entry{e}, func(rules.Instant) { e.Put(nil) }); err != nil {
				return err
			}
		}
		return nil
	})
	r.wantCount(plain, "acme", 320)
	if n := len(r.list(statestore.Query{Kind: plain, Namespace: "acme", Limit: 50})); n != 320 {
		r.Fatalf("List has %d rows, want 320", n)
	}
}

// hasNamespaces wants exactly these namespaces.
func (r *rig) hasNamespaces(want ...string) {
	r.Helper()
	got, err := r.store.Namespaces(r.ctx)
	r.noError(err)
	if !slices.Equal(got, want) {
		r.Fatalf("Namespaces = %q, want %q", got, want)
	}
}

func noNamespaces(r *rig) { r.hasNamespaces() }

func namespacesSorted(r *rig) {
	for _, space := range []string{"zoo", "acme", "", "zoo", "b"} {
		for _, kind := range []statestore.Kind{plain, other} {
			r.putOne(in(space, key(kind, "a")), &Plain{})
		}
	}
	r.hasNamespaces("", "acme", "b", "zoo")
}

func namespaceVanishes(r *rig) {
	a, b := in("zoo", key(plain, "a")), in("zoo", key(timed, "b"))
	r.put(map[statestore.Key]statestore.Record{a: &Plain{}, b: &Timed{Due: 1}, key(plain, "c"): &Plain{}})
	r.remove(a)
	r.hasNamespaces("acme", "zoo")
	r.remove(b)
	r.hasNamespaces("acme")
	r.putOne(b, &Timed{Due: 2})
	r.hasNamespaces("acme", "zoo")
	r.wantDue(always(), "b")
}

func anyNamespace(r *rig) {
	want := append(oddNames(), "")
	for i, space := range want {
		r.putOne(in(space, key(task, "a")), &Task{N: int64(i), Due: 1})
	}
	for i, space := range want {
		r.want(in(space, key(task, "a")), &Task{N: int64(i), Due: 1})
		r.wantCount(task, space, 1)
	}
	slices.Sort(want)
	r.hasNamespaces(want...)
}

func namespacesApart(r *rig) {
	a, b := in("a", key(plain, "n")), in("b", key(plain, "n"))
	r.putOne(a, &Plain{N: 1})
	r.wantNone(b)
	r.putOne(b, &Plain{N: 2})
	r.remove(a)
	r.want(b, &Plain{N: 2})
	r.wantNone(a)
}

func rollbackMakesNone(r *rig) {
	r.wantError(r.attempt(map[statestore.Key]statestore.Record{in("ghost", key(plain, "a")): &Plain{}}, stop), errStop)
	r.hasNamespaces()
}
