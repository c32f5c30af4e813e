// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/resilienced/resilienced/statestore"
)

// CallsQuery asks for the recorded calls of a namespace.
type CallsQuery struct {
	Namespace string
	// Since is how far back, at most 7 days; 0: all of that.
	Since time.Duration
}

// CallsPart is a part of the recording.
type CallsPart struct {
	Calls []*Call // in the order in which they ended
	// Expected is about how many calls there will be. In the first part.
	Expected int
	// From is when the first of them ended. In the first part; 0: there is none.
	From instant
	// Missing is how many calls up to here were not recorded. It grows.
	Missing int64
}

// chunkSlack is how much earlier than asked reading begins: a chunk is found by
// its first call, and some of a chunk may be wanted.
const chunkSlack = time.Minute

// ExportCalls gives send the recorded calls, oldest first, a chunk at a time,
// and at least one part. It reads on only when send has returned, and ends
// with its error.
func (e *Engine) ExportCalls(ctx context.Context, q *CallsQuery, send func(*CallsPart) error) error {
	if q.Since < 0 || q.Since > callRetention {
		return &InvalidError{Field: "since", Why: "it must be between 0 and 7 days"}
	}
	if isDrill(q.Namespace) { // nothing is recorded there, and its time is another
		return send(&CallsPart{})
	}
	since := q.Since
	if since == 0 {
		since = callRetention
	}
	now, err := e.store.Now(ctx)
	if err != nil {
		return storeError(err)
	}
	x := &export{ctx: ctx, since: now.Add(-since), send: send}
	if x.expected, err = e.record.expect(ctx, q.Namespace, x.since); err != nil {
		return err
	}
	query := statestore.Query{Kind: statestore.KindCalls, Namespace: q.Namespace, Limit: chunkPage}
	query.After = query.CursorAt(statestore.Position{Order: int64(x.since.Add(-chunkSlack))})
	for {
		page, err := e.store.List(ctx, query)
		if err != nil {
			return storeError(err)
		}
		for _, row := range page.Rows {
			if chunk, ok := row.Record.(*CallChunk); ok {
				if err := x.add(chunk); err != nil {
					return err
				}
			}
		}
		if page.Cursor == "" {
			return x.finish()
		}
		query.After = page.Cursor
	}
}

// expect writes what a namespace has collected and returns about how many
// calls of it ended at or after an instant.
func (r *recorder) expect(ctx context.Context, namespace string, since instant) (int, error) {
	if err := r.write(ctx, func(name string) bool { return name == namespace }); err != nil {
		return 0, err
	}
	r.writing.Lock()
	defer r.writing.Unlock()
	kept, err := r.count(ctx, namespace)
	if err != nil {
		return 0, err
	}
	return kept.since(since), nil
}

// export puts chunks that overlap, of replicas side by side, into one order.
type export struct {
	ctx      context.Context //nolint:containedctx // an export lives as long as its reader's call
	since    instant
	send     func(*CallsPart) error
	expected int
	missing  int64
	started  bool
	waiting  []ended // ended no earlier than what was sent
}

// add takes the next chunk. What ended before its first call can be sent, for
// chunks come in the order of their first calls.
func (x *export) add(chunk *CallChunk) error {
	calls, err := chunk.unpack()
	if err != nil {
		return err
	}
	if err := x.flush(chunk.From); err != nil {
		return err
	}
	if chunk.Until >= x.since {
		x.missing += chunk.Missing
	}
	for _, c := range calls {
		if c.at >= x.since {
			x.waiting = append(x.waiting, c)
		}
	}
	return nil
}

// flush sends what ended before an instant, a chunk's worth at a time.
func (x *export) flush(before instant) error {
	slices.SortStableFunc(x.waiting, func(a, b ended) int { return cmp.Compare(a.at, b.at) })
	n, _ := slices.BinarySearchFunc(x.waiting, before, func(e ended, at instant) int { return cmp.Compare(e.at, at) })
	for part := range slices.Chunk(x.waiting[:n], maxChunk) {
		if err := x.part(part); err != nil {
			return err
		}
	}
	x.waiting = slices.Delete(x.waiting, 0, n)
	return nil
}

func (x *export) part(calls []ended) error {
	if x.ctx.Err() != nil {
		return context.Cause(x.ctx)
	}
	p := &CallsPart{Calls: make([]*Call, 0, len(calls)), Missing: x.missing}
	for i := range calls {
		call := calls[i].call
		p.Calls = append(p.Calls, &call)
	}
	if !x.started {
		x.started = true
		p.Expected = x.expected
		if len(calls) > 0 {
			p.From = calls[0].at
		}
	}
	return x.send(p)
}

// finish sends what is left, and an empty part if there is nothing at all.
func (x *export) finish() error {
	const end = instant(1<<63 - 1)
	missing := x.missing
	if err := x.flush(end); err != nil || (x.started && missing == 0) {
		return err
	}
	return x.part(nil)
}
