// SPDX-License-Identifier: Apache-2.0

package direct

import (
	"context"
	"crypto/sha256"
	"encoding/base32"
	"fmt"
	"strconv"
	"sync"

	"github.com/resilienced/resilienced/rules"
	"github.com/resilienced/resilienced/rules/budget"
	"github.com/resilienced/resilienced/statestore"
)

// fillBatch is how many records one transaction of Fill writes.
const fillBatch = 1000

// Row is a record under its key.
type Row struct {
	Key    statestore.Key
	Record statestore.Record
}

// Fill writes n records through the store's own seam, many in a transaction,
// and tells how many are there now and then. The keys must not be there yet.
func Fill(ctx context.Context, store statestore.Store, n int, row func(i int) Row, tell func(done int)) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	from := make(chan int)
	var all sync.WaitGroup
	var mu sync.Mutex
	done := 0
	for range max(store.Lanes(), 1) {
		all.Go(func() {
			for at := range from {
				until := min(at+fillBatch, n)
				if err := fill(ctx, store, at, until, row); err != nil {
					stop(err)
					continue
				}
				mu.Lock()
				done += until - at
				tell(done)
				mu.Unlock()
			}
		})
	}
	for at := 0; at < n && ctx.Err() == nil; at += fillBatch {
		from <- at
	}
	close(from)
	all.Wait()
	return context.Cause(ctx)
}

func fill(ctx context.Context, store statestore.Store, from, until int, row func(i int) Row) error {
	entries := make([]*statestore.Entry, 0, until-from)
	records := make(map[statestore.Key]statestore.Record, until-from)
	for i := from; i < until; i++ {
		r := row(i)
		entries = append(entries, &statestore.Entry{Key: r.Key, Mode: statestore.Write})
		records[r.Key] = r.Record
	}
	return store.Update(ctx, entries, func(rules.Instant) (statestore.Durability, error) {
		for _, e := range entries {
			e.Put(records[e.Key])
		}
		return statestore.Rebuildable, nil
	})
}

// Copy is the n-th copy of a specimen, under a name as long as its own. Names
// of operations and of what is named after them are random; the others grow.
func (s Specimen) Copy(n int) Row {
	const random, growing = 24, 8
	name := []byte(s.Name)
	if len(name) > random && s.Kind != statestore.KindCalls && s.Kind != statestore.KindObservation {
		sum := sha256.Sum256(strconv.AppendInt(nil, int64(n), 10))
		base32.StdEncoding.Encode(name[len(name)-random:], sum[:random*5/8])
		return s.Named(string(name))
	}
	return s.Named(fmt.Sprintf("%s%0*d", name[:max(len(name)-growing, 0)], growing, n))
}

// Named is a copy of a specimen under a name. It shares what does not differ.
func (s Specimen) Named(name string) Row {
	r := Row{Key: statestore.Key{Kind: s.Kind, Namespace: namespace, Name: name}, Record: s.Record}
	if run, ok := s.Record.(*budget.Run); ok {
		copied := *run
		copied.ID, copied.Path = name, []string{name}
		r.Record = &copied
	}
	return r
}
