// SPDX-License-Identifier: Apache-2.0

package storetest

import (
	"fmt"
	"slices"

	"github.com/resilienced/resilienced/rules"
	"github.com/resilienced/resilienced/statestore"
)

func durabilityTests() []test {
	return []test{
		{"a durable record outlives Close", durableOutlives},
		{"a rebuildable record outlives Close", rebuildableOutlives},
		{"a replacement outlives Close", replacementOutlives},
		{"a deletion outlives Close", deletionOutlives},
		{"a rollback leaves nothing behind", rollbackLeavesNothing},
		{"counts and namespaces outlive Close", countsOutlive},
		{"lists outlive Close in their order", listsOutlive},
		{"what is due outlives Close", dueOutlives},
		{"records add up over many restarts", manyRestarts},
		{"writing goes on after a restart", writesAfterRestart},
	}
}

// wantKept wants a record after a restart, or nothing if nothing outlives it.
func (r *rig) wantKept(k statestore.Key, rec statestore.Record) {
	r.Helper()
	if !r.outlives() {
		rec = nil
	}
	r.want(k, rec)
}

func durableOutlives(r *rig) {
	r.putOne(key(task, "a"), &Task{N: 1, Rank: -2, Due: 3})
	r.reopen()
	r.wantKept(key(task, "a"), &Task{N: 1, Rank: -2, Due: 3})
}

func rebuildableOutlives(r *rig) {
	e := write(key(plain, "a"))
	r.noError(r.commit([]*statestore.Entry{e}, func(rules.Instant) { e.Put(&Plain{N: 1}) }))
	r.reopen()
	r.wantKept(e.Key, &Plain{N: 1})
}

func replacementOutlives(r *rig) {
	k := key(task, "a")
	for n := range int64(4) {
		r.putOne(k, &Task{N: n, Rank: n / 2, Due: rules.Instant(n % 3)})
	}
	r.reopen()
	r.wantKept(k, &Task{N: 3, Rank: 1})
}

func deletionOutlives(r *rig) {
	a, b := key(plain, "a"), key(plain, "b")
	r.put(map[statestore.Key]statestore.Record{a: &Plain{N: 1}, b: &Plain{N: 2}})
	r.remove(a)
	r.reopen()
	r.wantNone(a)
	r.wantKept(b, &Plain{N: 2})
}

func rollbackLeavesNothing(r *rig) {
	a, b := key(plain, "a"), key(plain, "b")
	r.putOne(a, &Plain{N: 1})
	r.wantError(r.attempt(map[statestore.Key]statestore.Record{a: nil, b: &Plain{}}, stop), errStop)
	r.reopen()
	r.wantKept(a, &Plain{N: 1})
	r.wantNone(b)
}

func countsOutlive(r *rig) {
	r.put(map[statestore.Key]statestore.Record{
		key(plain, "a"): &Plain{}, key(plain, "b"): &Plain{}, key(timed, "a"): &Timed{},
		in("zoo", key(plain, "a")): &Plain{}, in("gone", key(plain, "a")): &Plain{},
	})
	r.remove(key(plain, "b"), in("gone", key(plain, "a")))
	r.reopen()
	want := map[statestore.Key]int{key(plain, ""): 1, key(timed, ""): 1, in("zoo", key(plain, "")): 1, in("gone", key(plain, "")): 0}
	for k, n := range want {
		if !r.outlives() {
			n = 0
		}
		if got := r.count(k.Kind, k.Namespace); got != n {
			r.Errorf("Count(%d, %s) = %d after a restart, want %d", k.Kind, k.Namespace, got, n)
		}
	}
	r.wantNamespaces("acme", "zoo")
}

// wantNamespaces wants these namespaces after a restart, or none if nothing
// outlives it.
func (r *rig) wantNamespaces(want ...string) {
	r.Helper()
	if !r.outlives() {
		want = nil
	}
	got, err := r.store.Namespaces(r.ctx)
	r.noError(err)
	if !slices.Equal(got, want) {
		r.Errorf("Namespaces = %q, want %q", got, want)
	}
}

func listsOutlive(r *rig) {
	r.put(map[statestore.Key]statestore.Record{
		key(ranked, "a"): &Ranked{Rank: 3}, key(ranked, "b"): &Ranked{Rank: -1}, key(ranked, "c"): &Ranked{Rank: 3},
	})
	r.reopen()
	want := []string{"b", "a", "c"}
	if !r.outlives() {
		want = nil
	}
	if got := rowNames(r.list(statestore.Query{Kind: ranked, Namespace: "acme", Limit: 2})); !slices.Equal(got, want) {
		r.Fatalf("List = %q, want %q", got, want)
	}
}

func dueOutlives(r *rig) {
	r.put(map[statestore.Key]statestore.Record{
		key(timed, "late"): &Timed{Due: 30}, key(timed, "soon"): &Timed{Due: 10}, key(timed, "never"): &Timed{},
		key(task, "middle"): &Task{Due: 20},
	})
	r.putOne(key(timed, "late"), &Timed{Due: 40})
	r.reopen()
	want := []string{"soon", "middle", "late"}
	if !r.outlives() {
		want = nil
	}
	if got := r.due(statestore.DueQuery{Until: 100, Limit: 10}); !slices.Equal(got, want) {
		r.Fatalf("Due = %q, want %q", got, want)
	}
}

func manyRestarts(r *rig) {
	for n := range 8 {
		r.putOne(key(plain, fmt.Sprint("n", n)), &Plain{N: int64(n)})
		r.reopen()
		want := n + 1
		if !r.outlives() {
			want = 0
		}
		if got := r.count(plain, "acme"); got != want {
			r.Fatalf("Count = %d after restart %d, want %d", got, n+1, want)
		}
		if got := len(r.list(statestore.Query{Kind: plain, Namespace: "acme", Limit: 3})); got != want {
			r.Fatalf("List has %d rows after restart %d, want %d", got, n+1, want)
		}
	}
}

func writesAfterRestart(r *rig) {
	a, b := key(plain, "a"), key(plain, "b")
	r.putOne(a, &Plain{N: 1})
	r.reopen()
	r.put(map[statestore.Key]statestore.Record{a: &Plain{N: 2}, b: &Plain{N: 3}})
	r.want(a, &Plain{N: 2})
	r.want(b, &Plain{N: 3})
	r.remove(a)
	r.wantNone(a)
	if got := r.count(plain, "acme"); got != 1 {
		r.Fatalf("Count = %d, want 1", got)
	}
}
