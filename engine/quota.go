// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
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
// are soft by what other replicas add meanwhile.
type quotas struct {
	store statestore.Store
	known atomic.Pointer[map[string]*counts] // by namespace; replaced, never changed
	mu    sync.Mutex                         // one replacement at a time
}

type counts struct {
	runs, operations atomic.Int64
}

func newQuotas(s statestore.Store) *quotas {
	q := &quotas{store: s}
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
	if e.quotas.in(namespace) != nil {
		return nil
	}
	return e.patiently(ctx, until, func(ctx context.Context) error { return e.quotas.enter(ctx, namespace) })
}

// enter makes the namespace known before its first command.
func (q *quotas) enter(ctx context.Context, namespace string) error {
	if q.in(namespace) != nil {
		return nil
	}
	if len(*q.known.Load()) >= maxNamespaces {
		return ErrQuota
	}
	c := &counts{}
	for _, kind := range [...]statestore.Kind{statestore.KindRun, statestore.KindOperation} {
		n, err := q.store.Count(ctx, kind, namespace)
		if err != nil {
			return storeError(err)
		}
		c.of(kind).Store(int64(n))
	}
	q.change(func(known map[string]*counts) {
		if known[namespace] == nil {
			known[namespace] = c
		}
	})
	return nil
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
