// SPDX-License-Identifier: Apache-2.0

package storetest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"

	"github.com/resilienced/resilienced/rules"
	"github.com/resilienced/resilienced/statestore"
)

func absentTests() []test {
	return []test{
		{"of many creators one creates", oneCreates},
		{"an absent pair is created by one", onePairCreates},
		{"delete and create alternate", deleteAndCreate},
	}
}

func lostUpdateTests() []test {
	return []test{
		{"64 goroutines, one counter", func(r *rig) { countTogether(r, 1, success) }},
		{"64 goroutines, eight counters", func(r *rig) { countTogether(r, 8, success) }},
		{"errors are not counted", func(r *rig) { countTogether(r, 4, sometimes(errStop)) }},
		{"panics are not counted", func(r *rig) { countTogether(r, 4, sometimesPanics()) }},
		{"a counter and its mirror stay equal", mirrors},
	}
}

func oneCreates(r *rig) {
	for round := range 10 {
		k := key(plain, fmt.Sprint("k", round))
		var created atomic.Int64
		r.together(32, func(i int) error {
			e, mine := write(k), false
			err := r.commit([]*statestore.Entry{e}, func(rules.Instant) {
				if mine = e.Record() == nil; mine {
					e.Put(&Plain{N: int64(i)})
				}
			})
			if err == nil && mine {
				created.Add(1)
			}
			return err
		})
		if n := created.Load(); n != 1 {
			r.Fatalf("%d goroutines created the record", n)
		}
	}
}

func onePairCreates(r *rig) {
	a, b := key(plain, "a"), in("other", key(timed, "b"))
	var created atomic.Int64
	r.together(32, func(i int) error {
		// Half of them name the keys the other way round.
		entries := []*statestore.Entry{write(a), write(b)}
		if i%2 == 1 {
			entries[0], entries[1] = entries[1], entries[0]
		}
		mine := false
		err := r.commit(entries, func(rules.Instant) {
			mine = entries[0].Record() == nil && entries[1].Record() == nil
			if !mine {
				return
			}
			for _, e := range entries {
				if e.Key == a {
					e.Put(&Plain{N: int64(i)})
				} else {
					e.Put(&Timed{N: int64(i)})
				}
			}
		})
		if mine {
			created.Add(1)
		}
		return err
	})
	if n := created.Load(); n != 1 {
		r.Fatalf("%d goroutines created the pair", n)
	}
	if x, y := r.get(a).(*Plain).N, r.get(b).(*Timed).N; x != y {
		r.Fatalf("the pair is of two creators: %d and %d", x, y)
	}
}

func deleteAndCreate(r *rig) {
	k := key(plain, "a")
	var created, deleted atomic.Int64
	r.together(16, func(int) error {
		for range 25 {
			e, was := write(k), false
			err := r.commit([]*statestore.Entry{e}, func(rules.Instant) {
				if was = e.Record() != nil; was {
					e.Put(nil)
				} else {
					e.Put(&Plain{})
				}
			})
			if err != nil {
				return err
			}
			if was {
				deleted.Add(1)
			} else {
				created.Add(1)
			}
		}
		return nil
	})
	if c, d := created.Load(), deleted.Load(); c != 200 || d != 200 {
		r.Fatalf("%d created and %d deleted, want 200 of each", c, d)
	}
	r.wantNone(k)
}

// sometimes returns err for every third call.
func sometimes(err error) func() error {
	var calls atomic.Int64
	return func() error {
		if calls.Add(1)%3 == 0 {
			return err
		}
		return nil
	}
}

// sometimesPanics panics with errStop at every third call.
func sometimesPanics() func() error {
	third := sometimes(errStop)
	return func() error {
		if err := third(); err != nil {
			panic(err)
		}
		return nil
	}
}

// increment adds one to the counter under k, ends the transaction with end,
// and reports whether it was committed.
func (r *rig) increment(k statestore.Key, d statestore.Durability, end func() error) (committed bool, err error) {
	defer func() {
		if v := recover(); v != nil && v != errStop { //nolint:errorlint // a value that was panicked with
			panic(v)
		}
	}()
	e := write(k)
	err = r.store.Update(r.ctx, []*statestore.Entry{e}, func(rules.Instant) (statestore.Durability, error) {
		n := int64(0)
		if rec, ok := e.Record().(*Plain); ok {
			n = rec.N
		}
		e.Put(&Plain{N: n + 1})
		return d, end()
	})
	if errors.Is(err, errStop) {
		return false, nil
	}
	return err == nil, err
}

func countTogether(r *rig, counters int, end func() error) {
	var keys []statestore.Key
	for _, name := range names("n", counters) {
		keys = append(keys, key(plain, name))
	}
	committed := make([]atomic.Int64, counters)
	r.together(64, func(i int) error {
		random := rand.New(rand.NewPCG(uint64(i), 2))
		for n := range 25 {
			at := random.IntN(counters)
			ok, err := r.increment(keys[at], statestore.Durability(n%2), end)
			if err != nil {
				return err
			}
			if ok {
				committed[at].Add(1)
			}
		}
		return nil
	})
	total := int64(0)
	for i := range keys {
		r.want(keys[i], &Plain{N: committed[i].Load()})
		total += committed[i].Load()
	}
	if total == 0 {
		r.Fatal("nothing was counted")
	}
}

func mirrors(r *rig) {
	a, b := key(plain, "a"), in("other", key(other, "b"))
	r.put(map[statestore.Key]statestore.Record{a: &Plain{}, b: &Plain{}})
	r.together(32, func(int) error {
		for range 10 {
			x, y := write(a), write(b)
			differ := false
			err := r.commit([]*statestore.Entry{y, x}, func(rules.Instant) {
				n, m := x.Record().(*Plain).N, y.Record().(*Plain).N
				differ = n != m
				x.Put(&Plain{N: n + 1})
				y.Put(&Plain{N: m + 1})
			})
			if err != nil {
				return err
			}
			if differ {
				return errors.New("a transaction saw the two differ")
			}
		}
		return nil
	})
	r.want(a, &Plain{N: 320})
	r.want(b, &Plain{N: 320})
}
