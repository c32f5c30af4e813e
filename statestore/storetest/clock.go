// SPDX-License-Identifier: Apache-2.0

package storetest

import (
	"fmt"
	"time"

	"github.com/resilienced/resilienced/rules"
	"github.com/resilienced/resilienced/statestore"
)

func timeTests() []test {
	return []test{
		{"it is the time of day", timeOfDay},
		{"it moves", timeMoves},
		{"it does not go back from one transaction to the next", timeInOrder},
		{"it does not go back for whoever holds a key next", timeByKey},
		{"Now does not go back among goroutines", nowInOrder},
		{"reads are no earlier than what they read", readsAreLater},
		{"a transaction that fails has a time too", failuresHaveTime},
		{"it does not go back over a restart", timeOverRestart},
	}
}

func (r *rig) now() rules.Instant {
	r.Helper()
	now, err := r.store.Now(r.ctx)
	r.noError(err)
	return now
}

func timeOfDay(r *rig) {
	if off := time.Since(r.now().Time()).Abs(); off > time.Hour {
		r.Fatalf("the store's time is %v off", off)
	}
}

func timeMoves(r *rig) {
	start := r.now()
	for r.ctx.Err() == nil {
		if r.now() > start {
			return
		}
	}
	r.Fatal("time stands still")
}

func timeInOrder(r *rig) {
	last := rules.Instant(0)
	e := write(key(plain, "a"))
	for n := range 300 {
		err := r.commit([]*statestore.Entry{e}, func(now rules.Instant) {
			if now < last {
				r.Errorf("time went back from %d to %d", last, now)
			}
			last = now
			if n%2 == 0 {
				e.Put(&Plain{N: int64(n)})
			}
		})
		r.noError(err)
	}
}

func timeByKey(r *rig) {
	keys := []statestore.Key{key(plain, "a"), key(plain, "b")}
	r.together(16, func(i int) error {
		for n := range 30 {
			e, back := write(keys[(i+n)%2]), time.Duration(0)
			err := r.commit([]*statestore.Entry{e}, func(now rules.Instant) {
				if rec, ok := e.Record().(*Plain); ok && now < rec.At {
					back = rec.At.Sub(now)
				}
				e.Put(&Plain{At: now})
			})
			if err != nil {
				return err
			}
			if back > 0 {
				return fmt.Errorf("time went back by %v", back)
			}
		}
		return nil
	})
}

func nowInOrder(r *rig) {
	r.together(8, func(int) error {
		last := rules.Instant(0)
		for range 500 {
			now, err := r.store.Now(r.ctx)
			if err != nil {
				return err
			}
			if now < last {
				return fmt.Errorf("time went back from %d to %d", last, now)
			}
			last = now
		}
		return nil
	})
}

func readsAreLater(r *rig) {
	k := key(plain, "a")
	r.putOne(k, &Plain{})
	r.together(6, func(i int) error {
		for range 60 {
			if i%2 == 0 {
				e := write(k)
				if err := r.commit([]*statestore.Entry{e}, func(now rules.Instant) { e.Put(&Plain{At: now}) }); err != nil {
					return err
				}
				continue
			}
			rec, now, err := r.store.Get(r.ctx, k)
			if err != nil {
				return err
			}
			page, err := r.store.List(r.ctx, statestore.Query{Kind: plain, Namespace: "acme", Limit: 1})
			if err != nil {
				return err
			}
			if at := rec.(*Plain).At; now < at {
				return fmt.Errorf("at %d Get returns a record of %d", now, at)
			}
			if at := page.Rows[0].Record.(*Plain).At; page.Now < at {
				return fmt.Errorf("at %d List returns a record of %d", page.Now, at)
			}
		}
		return nil
	})
}

func failuresHaveTime(r *rig) {
	first := rules.Instant(0)
	err := r.store.Update(r.ctx, nil, func(now rules.Instant) (statestore.Durability, error) {
		first = now
		return statestore.Durable, errStop
	})
	r.wantError(err, errStop)
	r.update(nil, func(now rules.Instant) {
		if first == 0 || now < first {
			r.Errorf("time was %d and then %d", first, now)
		}
	})
}

func timeOverRestart(r *rig) {
	for n := range 5 {
		var committed rules.Instant
		e := write(key(plain, "a"))
		r.update([]*statestore.Entry{e}, func(now rules.Instant) {
			committed = now
			e.Put(&Plain{N: int64(n), At: now})
		})
		last := r.now()
		r.reopen()
		now := r.now()
		if r.outlives() && (now < last || now < committed) {
			r.Fatalf("time was %d, a commit was at %d, and after a restart it is %d", last, committed, now)
		}
		if now == 0 {
			r.Fatal("no time after a restart")
		}
	}
}
