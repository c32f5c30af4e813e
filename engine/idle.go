// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"container/heap"

	"github.com/resilienced/resilienced/rules"
	"github.com/resilienced/resilienced/statestore"
)

// idles are the entries of tallies by when they are to be looked at again. Each
// entry is there once. One that was used meanwhile is put back for later, so
// that counting a call does not touch the heap, and nobody ever looks at all.
type idles []idle

type idle struct {
	at    rules.Instant
	key   statestore.Key
	entry *tallyEntry
}

func (h idles) Len() int           { return len(h) }
func (h idles) Less(i, j int) bool { return h[i].at < h[j].at }
func (h idles) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }

// Push is for container/heap.
func (h *idles) Push(x any) { *h = append(*h, x.(idle)) } //nolint:forcetypeassert // nothing else is pushed

// Pop is for container/heap.
func (h *idles) Pop() any {
	last := len(*h) - 1
	x := (*h)[last]
	(*h)[last] = idle{}
	*h = (*h)[:last]
	return x
}

// expire forgets the targets that are idle. The caller holds mu.
func (s *tallies) expire(now rules.Instant) {
	for len(s.idles) > 0 && s.idles[0].at <= now {
		first := &s.idles[0]
		switch {
		case s.byKey[first.key] != first.entry: // it has gone, or is there anew
			heap.Pop(&s.idles)
		case first.entry.expire(now):
			s.remove(first.key)
			heap.Pop(&s.idles)
		default:
			first.at = max(first.entry.dueAt(), now+1)
			heap.Fix(&s.idles, 0)
		}
	}
}

// dueAt is when a part of the entry is idle.
func (e *tallyEntry) dueAt() rules.Instant {
	var due rules.Instant
	if e.own != nil {
		due = e.own.DueAt()
	}
	for _, s := range e.others {
		if at := s.DueAt(); due == 0 || at < due {
			due = at
		}
	}
	return due
}
