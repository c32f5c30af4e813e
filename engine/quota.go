// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"sync"

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
	mu    sync.Mutex
	known map[string]*counts
}

type counts struct {
	runs, operations int64
}

func newQuotas(s statestore.Store) *quotas { return &quotas{store: s, known: map[string]*counts{}} }

// of returns the kind's counter; nil for kinds without a quota.
func (c *counts) of(k statestore.Kind) *int64 {
	switch k {
	case statestore.KindRun:
		return &c.runs
	case statestore.KindOperation:
		return &c.operations
	default:
		return nil
	}
}

// enter makes the namespace known before its first command.
func (q *quotas) enter(ctx context.Context, namespace string) error {
	q.mu.Lock()
	_, known := q.known[namespace]
	full := len(q.known) >= maxNamespaces
	q.mu.Unlock()
	if known {
		return nil
	}
	if full {
		return ErrQuota
	}
	c := &counts{}
	for _, kind := range [...]statestore.Kind{statestore.KindRun, statestore.KindOperation} {
		n, err := q.store.Count(ctx, kind, namespace)
		if err != nil {
			return storeError(err)
		}
		*c.of(kind) = int64(n)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if _, known := q.known[namespace]; !known {
		q.known[namespace] = c
	}
	return nil
}

// settle follows a commit.
func (q *quotas) settle(entries []*statestore.Entry) {
	for _, e := range entries {
		if !e.Changed() || (e.Loaded() == nil) == (e.Record() == nil) {
			continue
		}
		q.mu.Lock()
		if c := q.known[e.Key.Namespace]; c != nil {
			if n := c.of(e.Key.Kind); n != nil && e.Loaded() == nil {
				*n++
			} else if n != nil {
				*n--
			}
		}
		q.mu.Unlock()
	}
}

// forget drops a namespace that is gone.
func (q *quotas) forget(namespace string) {
	q.mu.Lock()
	delete(q.known, namespace)
	q.mu.Unlock()
}

// spare reports whether one more record of the kind may be made.
func (q *quotas) spare(namespace string, kind statestore.Kind, limits policy.Quotas) bool {
	limit := limits.Operations
	if kind == statestore.KindRun {
		limit = limits.Runs
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	c := q.known[namespace]
	return c == nil || limit <= 0 || *c.of(kind) < limit
}
