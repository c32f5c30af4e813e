// SPDX-License-Identifier: Apache-2.0

package storetest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"

	"github.com/resilienced/resilienced/rules"
	"github.com/resilienced/resilienced/statestore"
)

func isolationTests() []test {
	return []test{
		{"Get during an Update sees before or after", getDuringUpdate},
		{"List during an Update sees before or after", listDuringUpdate},
		{"Get during an Update that fails sees before", getDuringFailure},
		{"a page is never half of a transaction", wholePages},
		{"reads never go back", readsNeverGoBack},
		{"transfers keep the sum", transfersKeepSum},
		{"a read entry sees the latest commit", readEntrySeesLatest},
		{"what was committed is seen at once", seenAtOnce},
	}
}

// during runs look on a goroutine that starts inside fn of a transaction which
// replaces both records by 2, and returns when both are over.
func (r *rig) during(a, b statestore.Key, end func() error, look func() error) error {
	var group sync.WaitGroup
	var lookErr error
	ea, eb := write(a), write(b)
	err := r.store.Update(r.ctx, []*statestore.Entry{ea, eb}, func(rules.Instant) (statestore.Durability, error) {
		ea.Put(&Plain{N: 2})
		started := make(chan struct{})
		group.Go(func() {
			close(started)
			lookErr = look()
		})
		<-started
		eb.Put(&Plain{N: 2})
		return statestore.Durable, end()
	})
	group.Wait()
	r.noError(lookErr)
	return err
}

func (r *rig) pair() (a, b statestore.Key) {
	a, b = key(plain, "a"), key(plain, "b")
	r.put(map[statestore.Key]statestore.Record{a: &Plain{N: 1}, b: &Plain{N: 1}})
	return a, b
}

func success() error { return nil }

func getDuringUpdate(r *rig) {
	for range 50 {
		a, b := r.pair()
		r.noError(r.during(a, b, success, func() error {
			first, _, err := r.store.Get(r.ctx, a)
			if err != nil {
				return err
			}
			second, _, err := r.store.Get(r.ctx, b)
			if err != nil {
				return err
			}
			x, y := first.(*Plain).N, second.(*Plain).N
			if x < 1 || y > 2 || x > y {
				return fmt.Errorf("saw %d, then %d", x, y)
			}
			return nil
		}))
		r.want(a, &Plain{N: 2})
	}
}

func listDuringUpdate(r *rig) {
	for range 50 {
		a, b := r.pair()
		r.noError(r.during(a, b, success, func() error {
			page, err := r.store.List(r.ctx, statestore.Query{Kind: plain, Namespace: "acme", Limit: 10})
			if err != nil {
				return err
			}
			if x, y := page.Rows[0].Record.(*Plain).N, page.Rows[1].Record.(*Plain).N; x != y {
				return fmt.Errorf("saw %d and %d on one page", x, y)
			}
			return nil
		}))
	}
}

func getDuringFailure(r *rig) {
	a, b := r.pair()
	for range 50 {
		err := r.during(a, b, stop, func() error {
			rec, _, err := r.store.Get(r.ctx, a)
			if err == nil && rec.(*Plain).N != 1 {
				err = fmt.Errorf("saw %d, which was rolled back", rec.(*Plain).N)
			}
			return err
		})
		r.wantError(err, errStop)
	}
}

// bump writes n under all keys in one transaction.
func (r *rig) bump(keys []statestore.Key, n int64) error {
	entries := make([]*statestore.Entry, len(keys))
	for i := range keys {
		entries[i] = write(keys[i])
	}
	return r.commit(entries, func(rules.Instant) {
		for _, e := range entries {
			e.Put(&Plain{N: n})
		}
	})
}

func wholePages(r *rig) {
	var keys []statestore.Key
	for _, name := range names("n", 20) {
		keys = append(keys, key(plain, name))
	}
	r.noError(r.bump(keys, 0))
	r.together(5, func(i int) error {
		for n := range int64(60) {
			if i == 0 {
				if err := r.bump(keys, n); err != nil {
					return err
				}
				continue
			}
			page, err := r.store.List(r.ctx, statestore.Query{Kind: plain, Namespace: "acme", Limit: 30})
			if err != nil {
				return err
			}
			for _, row := range page.Rows {
				if first, this := page.Rows[0].Record.(*Plain).N, row.Record.(*Plain).N; first != this {
					return fmt.Errorf("%d and %d on one page", first, this)
				}
			}
		}
		return nil
	})
}

// look reads the counter under k, once in each way in turn.
func (r *rig) look(k statestore.Key, turn int) (int64, error) {
	switch turn % 3 {
	case 0:
		rec, _, err := r.store.Get(r.ctx, k)
		if err != nil {
			return 0, err
		}
		return rec.(*Plain).N, nil
	case 1:
		page, err := r.store.List(r.ctx, statestore.Query{Kind: k.Kind, Namespace: k.Namespace, Limit: 1})
		if err != nil {
			return 0, err
		}
		return page.Rows[0].Record.(*Plain).N, nil
	default:
		e, n := read(k), int64(0)
		err := r.commit([]*statestore.Entry{e}, func(rules.Instant) { n = e.Record().(*Plain).N })
		return n, err
	}
}

func readsNeverGoBack(r *rig) {
	k := key(plain, "a")
	r.noError(r.bump([]statestore.Key{k}, 0))
	r.together(5, func(i int) error {
		last := int64(0)
		for n := range 200 {
			if i == 0 {
				if err := r.bump([]statestore.Key{k}, int64(n)); err != nil {
					return err
				}
				continue
			}
			got, err := r.look(k, n+i)
			if err != nil {
				return err
			}
			if got < last {
				return fmt.Errorf("way %d saw %d after %d", (n+i)%3, got, last)
			}
			last = got
		}
		return nil
	})
}

func transfersKeepSum(r *rig) {
	const accounts, start = 8, 100
	var keys []statestore.Key
	for _, name := range names("n", accounts) {
		keys = append(keys, key(plain, name))
	}
	r.noError(r.bump(keys, start))
	r.together(16, func(i int) error {
		random := rand.New(rand.NewPCG(uint64(i), 1))
		for range 30 {
			pick := random.Perm(accounts)
			from, to := write(keys[pick[0]]), write(keys[pick[1]])
			err := r.commit([]*statestore.Entry{from, to}, func(rules.Instant) {
				from.Put(&Plain{N: from.Record().(*Plain).N - 1})
				to.Put(&Plain{N: to.Record().(*Plain).N + 1})
			})
			if err != nil {
				return err
			}
			page, err := r.store.List(r.ctx, statestore.Query{Kind: plain, Namespace: "acme", Limit: accounts})
			if err != nil {
				return err
			}
			if got := sum(page.Rows); got != accounts*start {
				return fmt.Errorf("the sum is %d, want %d", got, accounts*start)
			}
		}
		return nil
	})
}

// sum adds up the N of Plain records.
func sum(rows []statestore.Row) (total int64) {
	for _, row := range rows {
		total += row.Record.(*Plain).N
	}
	return total
}

func readEntrySeesLatest(r *rig) {
	a, b := key(plain, "a"), key(plain, "b")
	r.put(map[statestore.Key]statestore.Record{a: &Plain{}, b: &Plain{}})
	// Whoever holds b has seen every a that was committed before b's holder
	// before it let go.
	r.together(8, func(int) error {
		for range 30 {
			eb, ea := write(b), read(a)
			behind := false
			err := r.commit([]*statestore.Entry{eb, ea}, func(rules.Instant) {
				behind = ea.Record().(*Plain).N < eb.Record().(*Plain).N
				eb.Put(&Plain{N: ea.Record().(*Plain).N})
			})
			if err != nil {
				return err
			}
			if behind {
				return errors.New("a read entry went back")
			}
			e := write(a)
			if err := r.commit([]*statestore.Entry{e}, func(rules.Instant) { e.Put(&Plain{N: e.Record().(*Plain).N + 1}) }); err != nil {
				return err
			}
		}
		return nil
	})
}

func seenAtOnce(r *rig) {
	for n := range int64(20) {
		r.putOne(key(task, "a"), &Task{N: n, Rank: n, Due: rules.Instant(n + 1)})
		page, err := r.store.List(r.ctx, statestore.Query{Kind: task, Namespace: "acme", Limit: 1})
		r.noError(err)
		if len(page.Rows) != 1 || page.Rows[0].Record.(*Task).N != n {
			r.Fatalf("List = %+v, want N %d", page.Rows, n)
		}
		keys, err := r.store.Due(r.ctx, statestore.DueQuery{Until: 1000, Limit: 1})
		r.noError(err)
		if len(keys) != 1 || keys[0].Due != rules.Instant(n+1) {
			r.Fatalf("Due = %+v, want %d", keys, n+1)
		}
	}
}
