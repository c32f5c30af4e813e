// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"time"

	"github.com/resilienced/resilienced/statestore"
)

// keptCalls counts what a namespace keeps of its recording, by the hour, since
// chunks that are too old go by themselves. It may be off by an hour's calls.
type keptCalls struct {
	total  int
	chunks int
	hours  map[int64]int
	// What chunks that were met held, the latest ones: of those that other
	// replicas wrote only the number is known.
	metCalls, metChunks int
}

// remembered is how many chunks tell what a chunk holds, at most.
const remembered = 256

func hourOf(at instant) int64 { return int64(at) / int64(time.Hour/time.Microsecond) }

// meet notes how many calls a chunk holds.
func (k *keptCalls) meet(n int) {
	if k.metChunks == remembered {
		k.metCalls, k.metChunks = k.metCalls/2, k.metChunks/2
	}
	k.metCalls += n
	k.metChunks++
}

func (k *keptCalls) add(at instant, n int) {
	k.meet(n)
	k.total += n
	k.chunks++
	k.hours[hourOf(at)] += n
}

func (k *keptCalls) drop(at instant, n int) {
	k.meet(n)
	k.total = max(k.total-n, 0)
	k.chunks = max(k.chunks-1, 0)
	hour := hourOf(at)
	if k.hours[hour] -= n; k.hours[hour] <= 0 {
		delete(k.hours, hour)
	}
}

// agree brings the counts to the number of chunks that there are, for other
// replicas add and drop some. They are taken to be as full as those that were
// met.
func (k *keptCalls) agree(chunks int, now instant) {
	if k.metChunks > 0 && chunks != k.chunks {
		calls := int(int64(k.metCalls) * int64(chunks) / int64(k.metChunks))
		if more := calls - k.total; more > 0 {
			k.hours[hourOf(now)] += more
		}
		k.total = calls
	}
	k.chunks = chunks
}

// expire forgets the hours of which nothing is left, and returns how many calls
// those had.
func (k *keptCalls) expire(now instant) (calls int) {
	for hour, n := range k.hours {
		if hour < hourOf(now.Add(-callRetention)) {
			calls += n
			delete(k.hours, hour)
		}
	}
	return calls
}

// since is about how many calls ended at or after an instant.
func (k *keptCalls) since(at instant) int {
	sum := 0
	for hour, n := range k.hours {
		if hour >= hourOf(at) {
			sum += n
		}
	}
	return sum
}

// chunkPage is how many chunks are read at once: about a megabyte.
const chunkPage = 32

// count returns a namespace's counts, read from the store the first time. The
// caller holds writing.
func (r *recorder) count(ctx context.Context, namespace string) (*keptCalls, error) {
	if kept := r.kept[namespace]; kept != nil {
		return kept, nil
	}
	kept := &keptCalls{hours: map[int64]int{}}
	q := statestore.Query{Kind: statestore.KindCalls, Namespace: namespace, Limit: chunkPage}
	for {
		page, err := r.engine.store.List(ctx, q)
		if err != nil {
			return nil, storeError(err)
		}
		for _, row := range page.Rows {
			if chunk, ok := row.Record.(*CallChunk); ok {
				kept.add(chunk.From, chunk.Count)
			}
		}
		if page.Cursor == "" {
			r.kept[namespace] = kept
			return kept, nil
		}
		q.After = page.Cursor
	}
}

// trim drops the oldest chunks of a namespace that keeps too many calls. The
// caller holds writing.
func (r *recorder) trim(ctx context.Context, namespace string, now instant) error {
	kept, err := r.count(ctx, namespace)
	if err != nil {
		return err
	}
	expired := kept.expire(now)
	if !r.engine.commits.shared {
		kept.total -= expired
	}
	if err := r.recount(ctx, namespace, kept, now); err != nil {
		return err
	}
	for kept.total > r.keep {
		page, err := r.engine.store.List(ctx, statestore.Query{Kind: statestore.KindCalls, Namespace: namespace, Limit: chunksPerTurn})
		if err != nil {
			return storeError(err)
		}
		if len(page.Rows) == 0 {
			kept.total, kept.chunks, kept.hours = 0, 0, map[int64]int{}
			return nil
		}
		// Another replica may have trimmed before the list was read: then the
		// list begins later, and this count knows. One that trims after the
		// list drops the same chunks.
		if err := r.recount(ctx, namespace, kept, now); err != nil {
			return err
		}
		if err := r.drop(ctx, namespace, kept, page.Rows); err != nil {
			return err
		}
	}
	return nil
}

// recount brings the counts to what replicas have added and dropped, and what
// has gone by itself.
func (r *recorder) recount(ctx context.Context, namespace string, kept *keptCalls, now instant) error {
	if !r.engine.commits.shared {
		return nil
	}
	chunks, err := r.engine.store.Count(ctx, statestore.KindCalls, namespace)
	if err != nil {
		return storeError(err)
	}
	kept.agree(chunks, now)
	return nil
}

// drop deletes chunks, the oldest first, until the namespace keeps few enough.
func (r *recorder) drop(ctx context.Context, namespace string, kept *keptCalls, rows []statestore.Row) error {
	var entries []*statestore.Entry
	over := kept.total - r.keep
	for _, row := range rows {
		if over <= 0 {
			break
		}
		chunk, ok := row.Record.(*CallChunk)
		if ok {
			over -= chunk.Count
		}
		key := statestore.Key{Kind: statestore.KindCalls, Namespace: namespace, Name: row.Name}
		entries = append(entries, &statestore.Entry{Key: key, Mode: statestore.Write})
	}
	if len(entries) == 0 {
		return nil
	}
	var dropped []*CallChunk
	err := r.engine.store.Update(ctx, entries, func(instant) (statestore.Durability, error) {
		dropped = dropped[:0]
		for _, entry := range entries {
			// Another replica may have dropped it already.
			if chunk, ok := entry.Record().(*CallChunk); ok {
				dropped = append(dropped, chunk)
			}
			entry.Put(nil)
		}
		return statestore.Rebuildable, nil
	})
	if err != nil {
		return storeError(err)
	}
	for _, chunk := range dropped {
		kept.drop(chunk.From, chunk.Count)
	}
	return nil
}
