// SPDX-License-Identifier: Apache-2.0

package storetest

import (
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/resilienced/resilienced/rules"
	"github.com/resilienced/resilienced/statestore"
)

func dueTests() []test {
	return []test{
		{"the earliest come first", earliestFirst},
		{"no more than the limit", dueLimit},
		{"up to the time asked for, which counts", dueUntil},
		{"never is not due", neverDue},
		{"one namespace", dueInNamespace},
		{"all namespaces but a prefix", dueExcept},
		{"an earlier time counts", dueEarlier},
		{"a later time counts", dueLater},
		{"a time that is taken away counts", dueTakenAway},
		{"a time that comes back counts once", dueComesBack},
		{"a deleted record is not due", dueDeleted},
		{"a rolled back time is not due", dueRolledBack},
		{"asking changes nothing", dueAgain},
		{"several kinds come together", dueKinds},
		{"each key comes with its time", dueKeys},
		{"a swept backlog comes to its end", dueSweep},
		{"many changes keep it right", dueChanges},
		{"drills with a far time are found among many others", dueDrill},
	}
}

// always asks for all that has a time.
func always() statestore.DueQuery { return statestore.DueQuery{Until: 1 << 60, Limit: 10_000} }

// set gives timed records their times, each in a transaction of its own.
func (r *rig) set(due map[string]rules.Instant) {
	r.Helper()
	for name, at := range due {
		r.putOne(key(timed, name), &Timed{Due: at})
	}
}

func (r *rig) wantDue(q statestore.DueQuery, want ...string) {
	r.Helper()
	if got := r.due(q); !slices.Equal(got, want) {
		r.Fatalf("Due(%+v) = %q, want %q", q, got, want)
	}
}

func earliestFirst(r *rig) {
	r.set(map[string]rules.Instant{"c": 30, "a": 10, "d": 40, "b": 20})
	r.wantDue(always(), "a", "b", "c", "d")
}

func dueLimit(r *rig) {
	r.set(map[string]rules.Instant{"c": 30, "a": 10, "d": 40, "b": 20})
	r.wantDue(statestore.DueQuery{Until: 100, Limit: 1}, "a")
	r.wantDue(statestore.DueQuery{Until: 100, Limit: 3}, "a", "b", "c")
	r.wantDue(statestore.DueQuery{Until: 100, Limit: 4}, "a", "b", "c", "d")
}

func dueUntil(r *rig) {
	r.set(map[string]rules.Instant{"a": 10, "b": 20, "c": 30})
	r.wantDue(statestore.DueQuery{Until: 9, Limit: 9})
	r.wantDue(statestore.DueQuery{Until: 10, Limit: 9}, "a")
	r.wantDue(statestore.DueQuery{Until: 29, Limit: 9}, "a", "b")
	// The same at times of day, also where a store that sorts by coarser time
	// goes from one slot to the next.
	const day = rules.Instant(1_700_000_000_000_000)
	r.set(map[string]rules.Instant{"a": day, "b": day | 1<<23 - 1, "c": day | 1<<23})
	for until, want := range map[rules.Instant][]string{
		day - 1: nil, day: {"a"}, day | 1<<23 - 2: {"a"}, day | 1<<23 - 1: {"a", "b"},
		day | 1<<23: {"a", "b", "c"}, day + 1<<40: {"a", "b", "c"},
	} {
		r.wantDue(statestore.DueQuery{Until: until, Limit: 9}, want...)
	}
}

func neverDue(r *rig) {
	r.putOne(key(timed, "never"), &Timed{})
	r.putOne(key(plain, "plain"), &Plain{})
	r.wantDue(always())
}

func dueInNamespace(r *rig) {
	for i, space := range []string{"a", "b", "a/b", "c"} {
		r.putOne(in(space, key(timed, space+"1")), &Timed{Due: rules.Instant(10 - i)})
		r.putOne(in(space, key(task, space+"2")), &Task{Due: rules.Instant(20 - i)})
		// Neither its name nor its kind says when it comes.
		r.putOne(in(space, key(timed, space+"0")), &Timed{Due: rules.Instant(30 - i)})
	}
	q := always()
	for _, space := range []string{"a", "b", "a/b"} {
		q.Namespace = space
		r.wantDue(q, space+"1", space+"2", space+"0")
	}
	q.Limit = 1
	r.wantDue(q, "a/b1")
	q.Namespace = "nobody"
	r.wantDue(q)
}

func dueExcept(r *rig) {
	for i, space := range []string{"drill/1", "prod", "drill/2", "drills", "drill", "", "x"} {
		r.putOne(in(space, key(timed, "in "+space)), &Timed{Due: rules.Instant(10 + i)})
	}
	q := always()
	r.wantDue(q, "in drill/1", "in prod", "in drill/2", "in drills", "in drill", "in ", "in x")
	q.Except = "drill/"
	r.wantDue(q, "in prod", "in drills", "in drill", "in ", "in x")
	q.Limit = 2
	r.wantDue(q, "in prod", "in drills")
	q.Except = "drill"
	r.wantDue(q, "in prod", "in ")
}

func dueEarlier(r *rig) {
	r.set(map[string]rules.Instant{"a": 10, "b": 20})
	r.set(map[string]rules.Instant{"b": 5})
	r.wantDue(always(), "b", "a")
	r.wantDue(statestore.DueQuery{Until: 7, Limit: 9}, "b")
}

func dueLater(r *rig) {
	r.set(map[string]rules.Instant{"a": 10, "b": 20})
	r.set(map[string]rules.Instant{"a": 30})
	r.wantDue(statestore.DueQuery{Until: 15, Limit: 9})
	r.wantDue(always(), "b", "a")
	r.set(map[string]rules.Instant{"b": 40})
	r.wantDue(statestore.DueQuery{Until: 100, Limit: 1}, "a")
}

func dueTakenAway(r *rig) {
	r.set(map[string]rules.Instant{"a": 10, "b": 20})
	r.set(map[string]rules.Instant{"a": 0})
	r.wantDue(always(), "b")
}

func dueComesBack(r *rig) {
	for range 5 {
		for _, at := range []rules.Instant{10, 30, 0, 20, 10, 5, 10} {
			r.set(map[string]rules.Instant{"a": at})
		}
		r.wantDue(always(), "a")
	}
}

func dueDeleted(r *rig) {
	r.set(map[string]rules.Instant{"a": 10, "b": 20})
	r.remove(key(timed, "a"))
	r.wantDue(always(), "b")
	r.set(map[string]rules.Instant{"a": 30})
	r.wantDue(always(), "b", "a")
}

func dueRolledBack(r *rig) {
	r.set(map[string]rules.Instant{"a": 10})
	changed := map[statestore.Key]statestore.Record{key(timed, "a"): &Timed{Due: 50}, key(timed, "b"): &Timed{Due: 1}}
	r.wantError(r.attempt(changed, stop), errStop)
	keys, err := r.store.Due(r.ctx, always())
	r.noError(err)
	if len(keys) != 1 || keys[0].Due != 10 {
		r.Fatalf("Due = %+v after a rollback", keys)
	}
}

func dueAgain(r *rig) {
	r.set(map[string]rules.Instant{"a": 10, "b": 20, "c": 30})
	for range 5 {
		r.wantDue(statestore.DueQuery{Until: 25, Limit: 9}, "a", "b")
		r.wantDue(always(), "a", "b", "c")
	}
}

func dueKinds(r *rig) {
	r.putOne(key(task, "t"), &Task{Due: 20})
	r.set(map[string]rules.Instant{"a": 10, "z": 30})
	r.wantDue(always(), "a", "t", "z")
}

func dueKeys(r *rig) {
	k := in("zoo", key(task, "a"))
	r.putOne(k, &Task{Due: 77})
	keys, err := r.store.Due(r.ctx, always())
	r.noError(err)
	if want := []statestore.DueKey{{Key: k, Due: 77}}; !slices.Equal(keys, want) {
		r.Fatalf("Due = %+v, want %+v", keys, want)
	}
}

// dueSweep works off a backlog as a sweeper does: some records go, some get a
// later time, some have no time any more.
func dueSweep(r *rig) {
	const n = 300
	records := make(map[statestore.Key]statestore.Record)
	for i, name := range names("n", n) {
		records[in(fmt.Sprint("ns", i%7), key(timed, name))] = &Timed{N: int64(i), Due: rules.Instant(1 + i/3)}
	}
	r.put(records)
	swept := 0
	for range 10 * n {
		keys, err := r.store.Due(r.ctx, statestore.DueQuery{Until: 1000, Limit: 32})
		r.noError(err)
		if len(keys) == 0 {
			break
		}
		var entries []*statestore.Entry
		for _, k := range keys {
			entries = append(entries, write(k.Key))
		}
		r.update(entries, func(rules.Instant) {
			for _, e := range entries {
				switch rec := e.Record().(*Timed); rec.N % 3 {
				case 0:
					e.Put(nil)
				case 1:
					e.Put(&Timed{N: rec.N - 1, Due: rec.Due + 50})
				default:
					e.Put(&Timed{N: rec.N})
				}
				swept++
			}
		})
	}
	if swept != n+n/3 {
		r.Fatalf("swept %d, want %d", swept, n+n/3)
	}
}

func dueChanges(r *rig) {
	random := rand.New(rand.NewPCG(1, 8))
	model := make(map[string]rules.Instant)
	all := names("n", 50)
	for range 60 {
		records := make(map[statestore.Key]statestore.Record)
		for range 20 {
			name, at := all[random.IntN(len(all))], rules.Instant(random.IntN(40))
			if model[name] = at; random.IntN(5) == 0 {
				records[key(timed, name)], model[name] = nil, 0
			} else {
				records[key(timed, name)] = &Timed{Due: at}
			}
		}
		r.put(records)
		until := rules.Instant(random.IntN(45))
		want := 0
		for _, at := range model {
			if at != 0 && at <= until {
				want++
			}
		}
		keys, err := r.store.Due(r.ctx, statestore.DueQuery{Until: until, Limit: 1000})
		r.noError(err)
		if len(keys) != want {
			r.Fatalf("%d are due by %d, want %d", len(keys), until, want)
		}
		for i, k := range keys {
			if k.Due != model[k.Key.Name] || i > 0 && k.Due < keys[i-1].Due {
				r.Fatalf("%+v is due at %d, or out of order", k, model[k.Key.Name])
			}
		}
	}
}

func dueDrill(r *rig) {
	records := make(map[statestore.Key]statestore.Record)
	for i, name := range names("n", 5000) {
		records[in("prod", key(timed, name))] = &Timed{Due: rules.Instant(1 + i)}
	}
	r.put(records)
	for n := range 3 {
		r.putOne(in("drill/1", key(timed, fmt.Sprint("d", n))), &Timed{Due: rules.Instant(1e6 + n)})
	}
	q := statestore.DueQuery{Namespace: "drill/1", Until: 2e6, Limit: 2}
	r.wantDue(q, "d0", "d1")
	q.Namespace, q.Until = "prod", 2
	r.wantDue(q, "n00000", "n00001")
	q.Namespace, q.Except = "", "drill/"
	r.wantDue(q, "n00000", "n00001")
}
