// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"errors"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/resilienced/resilienced/policy"
	"github.com/resilienced/resilienced/statestore"
)

// maxNamespaces bounds how many tenants a server keeps apart.
const maxNamespaces = 10_000

// quotas counts records per namespace, so that nobody fills the store. The
// counts start from the store's and follow the commits of this replica; they
// are soft by what other replicas add until the next recount.
type quotas struct {
	store statestore.Store
	known atomic.Pointer[map[string]*counts] // by namespace; replaced, never changed

	mu     sync.Mutex // one replacement at a time; guards what follows
	under  map[string]*counting
	closed bool
	counts sync.WaitGroup
}

type counts struct {
	runs, operations atomic.Int64
	used             atomic.Bool // since the last recount
	stale            atomic.Bool // not recounted since others may have changed it
}

func newQuotas(s statestore.Store) *quotas {
	q := &quotas{store: s, under: map[string]*counting{}}
	q.known.Store(&map[string]*counts{})
	return q
}

// in returns a namespace's counts, or nil.
func (q *quotas) in(namespace string) *counts { return (*q.known.Load())[namespace] }

// change replaces the table by a changed copy.
func (q *quotas) change(edit func(map[string]*counts)) {
	q.mu.Lock()
	defer q.mu.Unlock()
	next := maps.Clone(*q.known.Load())
	edit(next)
	q.known.Store(&next)
}

// of returns the kind's counter; nil for kinds without a quota.
func (c *counts) of(k statestore.Kind) *atomic.Int64 {
	switch k {
	case statestore.KindRun:
		return &c.runs
	case statestore.KindOperation:
		return &c.operations
	default:
		return nil
	}
}

// enter makes what counts in the namespace known before its first command.
func (e *Engine) enter(ctx context.Context, until time.Time, namespace string) error {
	if err := e.followStripes(ctx, until); err != nil {
		return err
	}
	c := e.quotas.in(namespace)
	switch {
	case !e.commits.shared && c != nil:
		return nil
	case !e.commits.shared:
		return e.quotas.enter(ctx, namespace)
	case c != nil && !c.stale.Load():
		if !c.used.Load() {
			c.used.Store(true)
		}
		return nil
	}
	err := e.count(ctx, until, namespace)
	if c != nil && errors.Is(err, ErrUnavailable) {
		return nil // the old counts will do until the new ones are there
	}
	return err
}

// counting is a count of a namespace's records under way.
type counting struct {
	done chan struct{}
	err  error
}

// count counts a namespace's records. Many records take longer to count than a
// caller may wait; the count goes on when all callers have left, so that it
// ends once and for all.
func (e *Engine) count(ctx context.Context, until time.Time, namespace string) error {
	if err := e.commits.open(); err != nil {
		return err
	}
	c := e.counting(namespace) //nolint:contextcheck // it goes on when its callers have left
	wait := time.NewTimer(time.Until(until))
	defer wait.Stop()
	select {
	case <-c.done:
		return c.err
	case <-wait.C:
		return slow()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// counting begins a count, or joins the one that is under way.
func (e *Engine) counting(namespace string) *counting {
	q := e.quotas
	q.mu.Lock()
	defer q.mu.Unlock()
	c := q.under[namespace]
	if c != nil {
		return c
	}
	c = &counting{done: make(chan struct{})}
	if q.closed {
		c.err = ErrUnavailable
		close(c.done)
		return c
	}
	q.under[namespace] = c
	q.counts.Go(func() {
		ctx, cancel := e.bound(e.background, transactionLimit)
		defer cancel()
		c.err = q.enter(ctx, namespace)
		q.mu.Lock()
		delete(q.under, namespace)
		q.mu.Unlock()
		close(c.done)
	})
	return c
}

// close waits for the counts under way, which end with the engine's context.
func (q *quotas) close() {
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
	q.counts.Wait()
}

// enter makes a namespace known, or its counts those of the store.
func (q *quotas) enter(ctx context.Context, namespace string) error {
	if c := q.in(namespace); c != nil {
		c.used.Store(true)
		return q.read(ctx, namespace, c)
	}
	if len(*q.known.Load()) >= maxNamespaces {
		return ErrQuota
	}
	c := &counts{}
	c.used.Store(true)
	if err := q.read(ctx, namespace, c); err != nil {
		return err
	}
	q.change(func(known map[string]*counts) {
		if known[namespace] == nil {
			known[namespace] = c
		}
	})
	return nil
}

// recount reads the counts of the namespaces that are in use anew, because
// other replicas change them too. Those of the others are read when they are
// used again.
func (q *quotas) recount(ctx context.Context) error {
	for namespace, c := range *q.known.Load() {
		if !c.used.Swap(false) {
			c.stale.Store(true)
			continue
		}
		if err := q.read(ctx, namespace, c); err != nil {
			c.used.Store(true)
			return err
		}
	}
	return nil
}

// read sets a namespace's counts to the store's.
func (q *quotas) read(ctx context.Context, namespace string, c *counts) error {
	for _, kind := range quotaKinds() {
		n, err := q.store.Count(ctx, kind, namespace)
		if err != nil {
			return storeError(err)
		}
		c.of(kind).Store(int64(n))
	}
	c.stale.Store(false)
	return nil
}

func quotaKinds() []statestore.Kind {
	return []statestore.Kind{statestore.KindRun, statestore.KindOperation}
}

// settle follows a commit.
func (q *quotas) settle(entries []*statestore.Entry) {
	for _, e := range entries {
		if !e.Changed() || (e.Loaded() == nil) == (e.Record() == nil) {
			continue
		}
		c := q.in(e.Key.Namespace)
		if c == nil || c.of(e.Key.Kind) == nil {
			continue
		}
		by := int64(1)
		if e.Record() == nil {
			by = -1
		}
		c.of(e.Key.Kind).Add(by)
	}
}

// forget drops a namespace that is gone.
func (q *quotas) forget(namespace string) {
	q.change(func(known map[string]*counts) { delete(known, namespace) })
}

// spare reports whether one more record of the kind may be made.
func (q *quotas) spare(namespace string, kind statestore.Kind, limits policy.Quotas) bool {
	limit := limits.Operations
	if kind == statestore.KindRun {
		limit = limits.Runs
	}
	c := q.in(namespace)
	return c == nil || limit <= 0 || c.of(kind).Load() < limit
}
