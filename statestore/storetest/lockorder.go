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

func lockOrderTests() []test {
	return []test{
		{"random overlapping keys never deadlock", overlapping},
		{"opposite orders never deadlock", opposite},
		{"run trees of any depth never deadlock", trees},
		{"readers and writers of the same keys never deadlock", mixedModes},
	}
}

// addOne runs a transaction that adds one to the counters of all entries that
// are held.
func (r *rig) addOne(entries []*statestore.Entry) error {
	return r.commit(entries, func(rules.Instant) {
		for _, e := range entries {
			if !e.Held() {
				continue
			}
			n := int64(0)
			if rec, ok := e.Record().(*Plain); ok {
				n = rec.N
			}
			e.Put(&Plain{N: n + 1})
		}
	})
}

// The deadline of these tests is that of the rig: a deadlock ends in its
// error, or in that of the test binary.

func overlapping(r *rig) {
	kinds := []statestore.Kind{plain, other}
	var pool []statestore.Key
	for i, name := range names("n", 12) {
		pool = append(pool, in(fmt.Sprint("ns", i%3), key(kinds[i%2], name)))
	}
	var wrote atomic.Int64
	r.together(24, func(i int) error {
		random := rand.New(rand.NewPCG(uint64(i), 3))
		for range 25 {
			var entries []*statestore.Entry
			for _, at := range random.Perm(len(pool))[:1+random.IntN(6)] {
				entries = append(entries, write(pool[at]))
			}
			if err := r.addOne(entries); err != nil {
				return err
			}
			wrote.Add(int64(len(entries)))
		}
		return nil
	})
	total := int64(0)
	for _, k := range pool {
		if rec, ok := r.get(k).(*Plain); ok {
			total += rec.N
		}
	}
	if total != wrote.Load() {
		r.Fatalf("the counters add up to %d, want %d", total, wrote.Load())
	}
}

func opposite(r *rig) {
	a, b := key(plain, "a"), key(plain, "b")
	r.together(2, func(i int) error {
		for range 300 {
			entries := []*statestore.Entry{write(a), write(b)}
			if i == 1 {
				entries[0], entries[1] = entries[1], entries[0]
			}
			if err := r.addOne(entries); err != nil {
				return err
			}
		}
		return nil
	})
	r.want(a, &Plain{N: 600})
	r.want(b, &Plain{N: 600})
}

func trees(r *rig) {
	// A child's name may sort before its parent's: the depth decides.
	branch := func(root, child, leaf string) []*statestore.Entry {
		entries := []*statestore.Entry{write(key(plain, leaf)), write(key(plain, child)), write(key(plain, root))}
		entries[0].Depth, entries[1].Depth = 2, 1
		return entries
	}
	r.together(12, func(i int) error {
		random := rand.New(rand.NewPCG(uint64(i), 4))
		for range 25 {
			child := random.IntN(3)
			entries := branch("root", fmt.Sprint("c", child), fmt.Sprint("a", child, random.IntN(2)))
			random.Shuffle(len(entries), func(x, y int) { entries[x], entries[y] = entries[y], entries[x] })
			if err := r.addOne(entries); err != nil {
				return err
			}
		}
		return nil
	})
	r.want(key(plain, "root"), &Plain{N: 300})
}

func mixedModes(r *rig) {
	var pool []statestore.Key
	for _, name := range names("n", 6) {
		pool = append(pool, key(plain, name))
	}
	r.together(16, func(i int) error {
		random := rand.New(rand.NewPCG(uint64(i), 5))
		for range 25 {
			var entries []*statestore.Entry
			for _, at := range random.Perm(len(pool))[:3] {
				entries = append(entries, &statestore.Entry{Key: pool[at], Mode: statestore.Mode(random.IntN(3))})
			}
			if err := r.addOne(entries); err != nil {
				return err
			}
		}
		return nil
	})
	if err := r.ctx.Err(); err != nil {
		r.Fatal(errors.Join(errors.New("out of time"), err))
	}
}
