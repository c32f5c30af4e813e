// SPDX-License-Identifier: Apache-2.0

package queue

import (
	"container/heap"
	"time"
)

// clock runs what is to happen in the order of its times; what is to happen at
// the same time, in the order in which it was asked for.
type clock struct {
	now   time.Duration
	asked int
	queue events
}

type event struct {
	at    time.Duration
	order int
	do    func()
}

// after does something so much later.
func (c *clock) after(d time.Duration, do func()) {
	c.asked++
	heap.Push(&c.queue, event{at: c.now + max(d, 0), order: c.asked, do: do})
}

// run lets time go by until an instant.
func (c *clock) run(until time.Duration) {
	for len(c.queue) > 0 && c.queue[0].at <= until {
		e := heap.Pop(&c.queue).(event)
		c.now = e.at
		e.do()
	}
	c.now = until
}

// events is a heap.
type events []event

func (q events) Len() int { return len(q) }

func (q events) Less(i, j int) bool {
	if q[i].at != q[j].at {
		return q[i].at < q[j].at
	}
	return q[i].order < q[j].order
}

func (q events) Swap(i, j int) { q[i], q[j] = q[j], q[i] }

// Push is for container/heap.
func (q *events) Push(e any) { *q = append(*q, e.(event)) }

// Pop is for container/heap.
func (q *events) Pop() any {
	old := *q
	last := old[len(old)-1]
	old[len(old)-1] = event{}
	*q = old[:len(old)-1]
	return last
}
