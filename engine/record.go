// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/resilienced/resilienced/rules/operation"
	"github.com/resilienced/resilienced/statestore"
)

// Bounds of the recording, so that it cannot become the load.
const (
	// maxQueuedCalls is how many calls may wait to be written, over all
	// namespaces. Further ones count as missing.
	maxQueuedCalls = 16 << 10
	// maxKeptCalls is how many calls a namespace keeps; the oldest go first.
	maxKeptCalls = 1_000_000
	// maxChunk and chunkAge close a chunk: by its calls or its age.
	maxChunk = 512
	chunkAge = 10 * time.Second
	// recordEvery is how often the queue is looked at. A queue that is half
	// full is looked at at once.
	recordEvery = time.Second
	// chunksPerTurn is how many chunks one transaction writes.
	chunksPerTurn = 16
	// maxIdle is how many buffers are kept for the next chunks.
	maxIdle = 4
)

// recorder keeps what was reported, so that it can be played through other
// numbers. Calls are queued after their commit and written behind the
// decisions; a crash loses the last seconds.
type recorder struct {
	engine *Engine
	off    bool
	limit  int // maxQueuedCalls; less in tests
	keep   int // maxKeptCalls; less in tests
	wake   chan struct{}

	mu      sync.Mutex
	queue   []queuedCall
	missing map[string]int64 // by namespace
	held    int              // calls in chunks that are not written

	// writing guards what follows. It may be held while the store writes.
	writing sync.Mutex
	spare   []queuedCall
	idle    []bytes.Buffer        // of chunks that are written
	open    map[string]*openCalls // by namespace
	kept    map[string]*keptCalls // by namespace
	packer  packer
	replica string
	serial  uint64
}

// queuedCall is a call on its way from the commit to its chunk.
type queuedCall struct {
	namespace string
	reporter  uint64
	ended
}

// openCalls is what a namespace has collected and not written yet.
type openCalls struct {
	filling filling
	full    []*CallChunk
	missing int64
	waiting int     // calls in all of it
	since   instant // store time of the first
}

func newRecorder(e *Engine, off bool) *recorder {
	return &recorder{
		engine: e, off: off, limit: maxQueuedCalls, keep: maxKeptCalls, wake: make(chan struct{}, 1),
		missing: map[string]int64{}, open: map[string]*openCalls{}, kept: map[string]*keptCalls{}, replica: rand.Text()[:8],
	}
}

// reported queues what a Report settled, if it did: repeats, releases and
// reports of permits that are gone are no calls.
func (r *recorder) reported(w *report) {
	if r.off || w.settled == nil || isDrill(w.req.Namespace) {
		return
	}
	q := queuedCall{namespace: w.req.Namespace}
	q.at = w.result.Now
	c := &q.call
	c.fromPermit(w.claims.Operation, w.settled, w.permit)
	c.Run = w.claims.Run
	if chain, ok := w.policy.Chain(c.Chain); !ok || c.Level >= len(chain.Levels) || chain.Levels[c.Level].Target != c.Target {
		c.Chain, c.Level = "", 0 // the operation went on elsewhere than its chain
	}
	c.ReportedAt, c.Late = w.result.Now, w.expired(w.result.Now)
	c.Signal, c.Usage = w.req.Signal, w.req.Usage
	c.Signal.Message = ""
	c.Signal.Headers = recordable(c.Signal.Headers, w.own.config.Rules)
	if d := w.settled.Detail; d != nil {
		q.reporter = reporterID(d.Reporter)
	}
	r.offer(&q)
}

// lost queues a permit whose lease ended without a report.
func (r *recorder) lost(namespace, name string, op *operation.Operation) {
	if r.off || isDrill(namespace) {
		return
	}
	q := queuedCall{namespace: namespace}
	q.at = op.Permit.Expires
	q.call.fromPermit(name, op, op.Permit)
	if op.Detail != nil {
		q.reporter = reporterID(op.Detail.Reporter)
	}
	r.offer(&q)
}

// offer adds a call unless too many wait.
func (r *recorder) offer(q *queuedCall) {
	r.mu.Lock()
	waiting := len(r.queue) + r.held
	if waiting >= r.limit {
		r.missing[q.namespace]++
	} else {
		r.queue = append(r.queue, *q)
	}
	r.mu.Unlock()
	if waiting == r.limit/2 {
		select {
		case r.wake <- struct{}{}:
		default:
		}
	}
}

// loop writes chunks behind the decisions.
func (r *recorder) loop() {
	tick := time.NewTicker(recordEvery)
	defer tick.Stop()
	for {
		select {
		case <-r.engine.quit:
			return
		case <-tick.C:
		case <-r.wake:
		}
		ctx, cancel := r.engine.bound(r.engine.background, transactionLimit)
		if err := r.write(ctx, nil); err != nil {
			r.engine.complaints.warn("recorded calls could not be written; they are tried again", "error", err)
		}
		cancel()
	}
}

// writeAll writes every chunk, full or not.
func (r *recorder) writeAll(ctx context.Context) {
	if err := r.write(ctx, func(string) bool { return true }); err != nil {
		r.engine.log.Warn("the last recorded calls could not be written; simulations will miss them", "error", err)
	}
}

// write moves the queue into chunks and writes those that are due, and those
// of the namespaces that must. What cannot be written stays for the next time.
func (r *recorder) write(ctx context.Context, must func(namespace string) bool) error {
	r.writing.Lock()
	defer r.writing.Unlock()
	now, err := r.engine.store.Now(ctx)
	if err != nil {
		return storeError(err)
	}
	crowded, err := r.deal(now)
	if err != nil {
		return err
	}
	t := &turn{}
	for _, namespace := range slices.Sorted(maps.Keys(r.open)) {
		open := r.open[namespace]
		due := len(open.full) > 0 || now.Sub(open.since) >= chunkAge || crowded
		if !due && (must == nil || !must(namespace)) {
			continue
		}
		if err := r.take(t, namespace, open, now); err != nil {
			return err
		}
		if len(t.entries) >= chunksPerTurn {
			if err := r.put(ctx, t, now); err != nil {
				return err
			}
			t = &turn{}
		}
	}
	return r.put(ctx, t, now)
}

// deal takes the queue and puts its calls into chunks. It reports whether so
// many calls wait that every chunk is to be written.
func (r *recorder) deal(now instant) (bool, error) {
	r.mu.Lock()
	queue, missing := r.queue, r.missing
	r.queue, r.missing = r.spare[:0], map[string]int64{}
	r.held += len(queue)
	crowded := r.held >= r.limit/2
	r.mu.Unlock()
	var failed error
	for i := range queue {
		q := &queue[i]
		q.call.Reporter = digest(q.reporter)
		open := r.opened(q.namespace, now)
		open.waiting++
		if err := r.packer.add(&open.filling, &q.ended); err != nil {
			failed = err
			open.missing++
		}
		if open.filling.chunk.Count < maxChunk {
			continue
		}
		chunk, err := r.packer.close(&open.filling)
		if err != nil {
			failed = err
			continue
		}
		open.full = append(open.full, chunk)
	}
	for namespace, n := range missing {
		r.opened(namespace, now).missing += n
	}
	clear(queue)
	r.spare = queue
	return crowded, failed
}

func (r *recorder) opened(namespace string, now instant) *openCalls {
	open := r.open[namespace]
	if open == nil {
		open = &openCalls{since: now}
		if n := len(r.idle); n > 0 {
			open.filling.plain, r.idle = r.idle[n-1], r.idle[:n-1]
		}
		r.open[namespace] = open
	}
	return open
}

// turn is what one transaction writes: everything that some namespaces have
// collected, so that each is written whole or not at all.
type turn struct {
	namespaces []string
	entries    []*statestore.Entry
	chunks     []*CallChunk
}

// take adds what a namespace has collected to a turn.
func (r *recorder) take(t *turn, namespace string, open *openCalls, now instant) error {
	if open.filling.chunk.Count > 0 {
		chunk, err := r.packer.close(&open.filling)
		if err != nil {
			return err
		}
		open.full = append(open.full, chunk)
	}
	if open.missing > 0 && len(open.full) == 0 {
		open.full = append(open.full, &CallChunk{From: now, Until: now, Base: now})
	}
	for i, chunk := range open.full {
		if i == 0 {
			chunk.Missing, open.missing = chunk.Missing+open.missing, 0
		}
		r.serial++
		name := fmt.Sprintf("%016x-%s-%x", uint64(chunk.From), r.replica, r.serial)
		key := statestore.Key{Kind: statestore.KindCalls, Namespace: namespace, Name: name}
		t.entries = append(t.entries, &statestore.Entry{Key: key, Mode: statestore.Write})
		t.chunks = append(t.chunks, chunk)
	}
	t.namespaces = append(t.namespaces, namespace)
	return nil
}

// put writes a turn, forgets what it came from, and drops what the namespaces
// keep no longer.
func (r *recorder) put(ctx context.Context, t *turn, now instant) error {
	if len(t.entries) == 0 {
		return nil
	}
	err := r.engine.store.Update(ctx, t.entries, func(instant) (statestore.Durability, error) {
		for i, entry := range t.entries {
			entry.Put(t.chunks[i])
		}
		return statestore.Rebuildable, nil
	})
	// What the store will never take, or may have taken, is not tried again.
	if err != nil && !errors.Is(err, statestore.ErrRejected) && !errors.Is(err, statestore.ErrUnknownOutcome) {
		return storeError(err)
	}
	for _, namespace := range t.namespaces {
		r.forget(namespace, err != nil)
	}
	if err != nil {
		return storeError(err)
	}
	for i, chunk := range t.chunks {
		if kept := r.kept[t.entries[i].Key.Namespace]; kept != nil {
			kept.add(chunk.From, chunk.Count)
		}
	}
	for _, namespace := range t.namespaces {
		if err := r.trim(ctx, namespace, now); err != nil {
			return err
		}
	}
	return nil
}

// forget drops what a namespace had collected, and counts it as missing if it
// was not written.
func (r *recorder) forget(namespace string, unwritten bool) {
	open := r.open[namespace]
	delete(r.open, namespace)
	if len(r.idle) < maxIdle {
		open.filling.plain.Reset()
		r.idle = append(r.idle, open.filling.plain)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.held -= open.waiting
	if !unwritten {
		return
	}
	r.missing[namespace] += open.missing
	for _, chunk := range open.full {
		r.missing[namespace] += int64(chunk.Count) + chunk.Missing
	}
}
