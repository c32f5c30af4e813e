// SPDX-License-Identifier: Apache-2.0

package memory

import (
	"container/heap"
	"context"
	"strings"

	"github.com/resilienced/resilienced/rules"
	"github.com/resilienced/resilienced/statestore"
)

// Due implements statestore.Store. It costs time for what it returns and for
// the number of namespaces, not for the number of records.
func (s *Store) Due(ctx context.Context, q statestore.DueQuery) ([]statestore.DueKey, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, errClosed()
	}
	first := s.dueSpaces(q)
	heap.Init(&first)
	var taken []*cell
	var keys []statestore.DueKey
	for len(first) > 0 && len(keys) < max(q.Limit, 1) {
		sp := first[0]
		e := sp.queue.take()
		taken = append(taken, e.cell)
		key := statestore.Key{Kind: e.cell.family.kind, Namespace: sp.name, Name: e.cell.name}
		keys = append(keys, statestore.DueKey{Key: key, Due: e.at})
		if sp.queue.due(q.Until) {
			heap.Fix(&first, 0)
		} else {
			heap.Pop(&first)
		}
	}
	for _, c := range taken {
		c.family.space.queue.put(c)
	}
	return keys, nil
}

// dueSpaces returns the namespaces that q covers and that have something due.
func (s *Store) dueSpaces(q statestore.DueQuery) soonest {
	if q.Namespace != "" {
		if sp := s.space(q.Namespace); sp != nil && sp.queue.due(q.Until) {
			return soonest{sp}
		}
		return nil
	}
	var spaces soonest
	for name, sp := range s.spaces {
		if q.Except != "" && strings.HasPrefix(name, q.Except) {
			continue
		}
		if sp.queue.due(q.Until) {
			spaces = append(spaces, sp)
		}
	}
	return spaces
}

// soonest is a heap of namespaces whose queues are settled and not empty, by
// what they have due first.
type soonest []*space

var _ heap.Interface = (*soonest)(nil)

func (s soonest) Len() int           { return len(s) }
func (s soonest) Less(i, j int) bool { return s.at(i) < s.at(j) }
func (s soonest) Swap(i, j int)      { s[i], s[j] = s[j], s[i] }
func (s *soonest) Push(x any)        { *s = append(*s, x.(*space)) }

func (s *soonest) Pop() any {
	last := (*s)[len(*s)-1]
	*s = (*s)[:len(*s)-1]
	return last
}

func (s soonest) at(i int) rules.Instant { return s[i].queue.heap[0].at }
