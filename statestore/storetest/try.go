// SPDX-License-Identifier: Apache-2.0

package storetest

import (
	"errors"
	"fmt"
	"sync"

	"github.com/resilienced/resilienced/rules"
	"github.com/resilienced/resilienced/statestore"
)

func tryTests() []test {
	return []test{
		{"a free record is held", freeIsHeld},
		{"a free absent key is held", freeAbsentIsHeld},
		{"one that is held by another is left out or waited for", busyIsLeftOut},
		{"what is left out cannot be changed", leftOutUnchanged},
		{"each item is claimed once", claimedOnce},
	}
}

func freeIsHeld(r *rig) {
	e := try(key(plain, "a"))
	r.putOne(e.Key, &Plain{N: 1})
	r.update([]*statestore.Entry{e}, func(rules.Instant) {
		if !e.Held() {
			r.Error("a free record was left out")
		}
		e.Put(&Plain{N: e.Record().(*Plain).N + 1})
	})
	r.want(e.Key, &Plain{N: 2})
}

func freeAbsentIsHeld(r *rig) {
	e := try(key(plain, "a"))
	r.update([]*statestore.Entry{e}, func(rules.Instant) {
		if !e.Held() {
			r.Error("a free key was left out")
		}
		e.Put(&Plain{N: 1})
	})
	r.want(e.Key, &Plain{N: 1})
}

// whileHeld runs second while a transaction that replaces k by 2 is inside its
// function. A store that is concurrent has both inside at once; any other may
// run second afterwards.
func (r *rig) whileHeld(k statestore.Key, second func() error) {
	r.Helper()
	e := write(k)
	var group sync.WaitGroup
	var secondErr error
	r.update([]*statestore.Entry{e}, func(rules.Instant) {
		reached := make(chan struct{})
		group.Go(func() {
			if !r.h.Concurrent {
				close(reached)
			} else {
				defer close(reached)
			}
			secondErr = second()
		})
		<-reached
		e.Put(&Plain{N: 2})
	})
	group.Wait()
	r.noError(secondErr)
}

func busyIsLeftOut(r *rig) {
	k := key(plain, "a")
	r.putOne(k, &Plain{N: 1})
	for range 20 {
		r.whileHeld(k, func() error {
			e, free := try(k), write(key(plain, "free"))
			held, rec := false, statestore.Record(nil)
			err := r.commit([]*statestore.Entry{e, free}, func(rules.Instant) {
				held, rec = e.Held(), e.Record()
				free.Put(&Plain{N: 5})
			})
			switch {
			case err != nil:
				return err
			case held && r.h.Concurrent:
				return errors.New("two transactions hold one key")
			case held && rec.(*Plain).N != 2:
				return fmt.Errorf("holds %v, which is not the latest", rec)
			case !held && rec != nil:
				return fmt.Errorf("an entry that is left out has %v", rec)
			}
			return nil
		})
		r.want(key(plain, "free"), &Plain{N: 5})
	}
	r.want(k, &Plain{N: 2})
}

func leftOutUnchanged(r *rig) {
	k := key(plain, "a")
	r.putOne(k, &Plain{N: 1})
	var held bool
	r.whileHeld(k, func() error {
		e := try(k)
		err := r.commit([]*statestore.Entry{e}, func(rules.Instant) {
			held = e.Held()
			e.Put(&Plain{N: 3})
		})
		if !held && !errors.Is(err, statestore.ErrNotHeld) {
			return fmt.Errorf("error = %w, want ErrNotHeld", err)
		}
		if held {
			return err
		}
		return nil
	})
	if held {
		r.want(k, &Plain{N: 3})
		return
	}
	r.want(k, &Plain{N: 2})
}

func claimedOnce(r *rig) {
	const items, workers = 60, 12
	records := make(map[statestore.Key]statestore.Record)
	for _, name := range names("n", items) {
		records[key(plain, name)] = &Plain{N: -1}
	}
	r.put(records)
	r.together(workers, func(i int) error {
		for left := true; left; {
			page, err := r.store.List(r.ctx, statestore.Query{Kind: plain, Namespace: "acme", Limit: items})
			if err != nil {
				return err
			}
			left = false
			var claim []*statestore.Entry
			for _, row := range page.Rows {
				if row.Record.(*Plain).N == -1 && len(claim) < 5 {
					claim, left = append(claim, try(key(plain, row.Name))), true
				}
			}
			err = r.commit(claim, func(rules.Instant) {
				for _, e := range claim {
					if rec, ok := e.Record().(*Plain); e.Held() && ok && rec.N == -1 {
						e.Put(&Plain{N: int64(i), Text: rec.Text + "claimed"})
					}
				}
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	for k := range records {
		if rec := r.get(k).(*Plain); rec.N == -1 || rec.Text != "claimed" {
			r.Fatalf("%s = %+v, want it claimed once", k.Name, rec)
		}
	}
}
