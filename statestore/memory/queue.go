// SPDX-License-Identifier: Apache-2.0

package memory

import (
	"github.com/resilienced/resilienced/rules"
	"github.com/resilienced/resilienced/statestore"
)

// place is the time at which a cell stands in its queue; zero if it stands in
// none. It is never later than the record's due time, but may be earlier: the
// place is moved when it comes up.
type place = rules.Instant

// entry is one place in a queue. It counts only while its cell says the same
// time; any other one is stale.
type entry struct {
	at   place
	cell *cell
}

// queue is a binary heap of entries, the earliest first.
type queue struct {
	heap  []entry
	stale int // about how many entries do not count
}

// minStale keeps small queues from being swept over and over.
const minStale = 64

func dueOf(r statestore.Record) rules.Instant {
	if d, ok := r.(statestore.Dated); ok {
		return d.DueAt()
	}
	return 0
}

// put makes sure that the cell comes up no later than its record is due.
func (q *queue) put(c *cell) {
	due := dueOf(c.record)
	if due == 0 || c.place != 0 && c.place <= due {
		return
	}
	if c.place != 0 {
		q.stale++
	}
	c.place = due
	q.push(entry{due, c})
	q.sweep()
}

// drop makes the cell's entry stale.
func (q *queue) drop(c *cell) {
	if c.place == 0 {
		return
	}
	c.place = 0
	q.stale++
	q.sweep()
}

// sweep drops the stale entries once they are the majority.
func (q *queue) sweep() {
	if q.stale < minStale || q.stale <= len(q.heap)/2 {
		return
	}
	kept := q.heap[:0]
	for _, e := range q.heap {
		if e.at == e.cell.place {
			kept = append(kept, e)
		}
	}
	clear(q.heap[len(kept):])
	q.heap, q.stale = kept, 0
	for i := len(kept)/2 - 1; i >= 0; i-- {
		q.down(i)
	}
}

// settle makes the first entry a true one: of a cell that is due then. A cell
// may have two true entries for the same time; take makes the other one stale.
func (q *queue) settle() {
	for len(q.heap) > 0 {
		e := q.heap[0]
		due := rules.Instant(0)
		if e.at == e.cell.place {
			due = dueOf(e.cell.record)
		} else {
			q.stale = max(q.stale-1, 0)
		}
		switch due {
		case e.at:
			return
		case 0:
			q.pop()
			if e.at == e.cell.place {
				e.cell.place = 0
			}
		default:
			e.cell.place = due
			q.heap[0].at = due
			q.down(0)
		}
	}
}

// take removes the first entry, which settle has made a true one. The caller
// puts the cell back.
func (q *queue) take() entry {
	e := q.pop()
	e.cell.place = 0
	return e
}

// due reports whether something in the queue is due by an instant. It settles.
func (q *queue) due(until rules.Instant) bool {
	q.settle()
	return len(q.heap) > 0 && q.heap[0].at <= until
}

func (q *queue) push(e entry) {
	q.heap = append(q.heap, e)
	i := len(q.heap) - 1
	for i > 0 {
		parent := (i - 1) / 2
		if q.heap[parent].at <= e.at {
			break
		}
		q.heap[i] = q.heap[parent]
		i = parent
	}
	q.heap[i] = e
}

func (q *queue) pop() entry {
	first := q.heap[0]
	last := len(q.heap) - 1
	q.heap[0] = q.heap[last]
	q.heap[last] = entry{}
	q.heap = q.heap[:last]
	q.down(0)
	return first
}

func (q *queue) down(i int) {
	for {
		child := 2*i + 1
		if child >= len(q.heap) {
			return
		}
		if right := child + 1; right < len(q.heap) && q.heap[right].at < q.heap[child].at {
			child = right
		}
		if q.heap[i].at <= q.heap[child].at {
			return
		}
		q.heap[i], q.heap[child] = q.heap[child], q.heap[i]
		i = child
	}
}
