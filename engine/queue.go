// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"slices"

	"github.com/resilienced/resilienced/statestore"
)

// queue holds the commands that wait for a transaction. Each is in one list:
// urgent ones in a list of their own, the others in that of their namespace,
// and one that writes what a transaction in flight writes is parked with the
// key until that is free. So no command is looked at again before something
// has changed for it. The committer's lock guards the queue.
type queue struct {
	urgent fifo
	plain  map[string]*fifo // by namespace
	ring   []string         // namespaces with a list, served in turn
	turn   int

	urgents int // urgent commands, the parked ones too
	plains  int // the others
	parked  int // of both

	held    map[statestore.Key]*hold // nil with one lane: then nothing collides
	patient *command                 // was parked so often that its keys are kept for it
	intake  intake                   // of a shared store
}

// hold is a key that a transaction in flight writes, or that is kept for the
// patient command.
type hold struct {
	taken    bool // by a batch
	reserved bool // for the patient command
	parked   fifo
}

// maxParked is how often a command is passed over before its keys are kept for
// it. It may need two keys that others, who need one, take in turns.
const maxParked = 4

// fifo is a list of commands that any of them can leave.
type fifo struct {
	first, last *command
}

func (q *fifo) push(c *command) {
	c.list, c.prev, c.next = q, q.last, nil
	if q.last == nil {
		q.first = c
	} else {
		q.last.next = c
	}
	q.last = c
}

func (q *fifo) pushFront(c *command) {
	c.list, c.prev, c.next = q, nil, q.first
	if q.first == nil {
		q.last = c
	} else {
		q.first.prev = c
	}
	q.first = c
}

// leave takes the command out of the list that it is in.
func (c *command) leave() {
	q := c.list
	if c.prev == nil {
		q.first = c.next
	} else {
		c.prev.next = c.next
	}
	if c.next == nil {
		q.last = c.prev
	} else {
		c.next.prev = c.prev
	}
	c.list, c.prev, c.next = nil, nil, nil
}

func newQueue(lanes int) queue {
	q := queue{plain: map[string]*fifo{}}
	if lanes > 1 {
		q.held = map[statestore.Key]*hold{}
	}
	return q
}

// depth is how many commands wait.
func (q *queue) depth() int { return q.urgents + q.plains }

// ready reports whether there is a command that is not parked.
func (q *queue) ready() bool { return q.urgent.first != nil || len(q.ring) > 0 }

// runnable is how many commands wait and are not parked.
func (q *queue) runnable() int { return q.depth() - q.parked }

// add puts a command to the end of its list.
func (q *queue) add(c *command) { q.line(c).push(c); q.count(c, 1) }

// addFirst puts a command that needs more keys before all others.
func (q *queue) addFirst(c *command) {
	c.urgent = true
	q.urgent.pushFront(c)
	q.count(c, 1)
}

// line is the list that a command waits in unless it is parked.
func (q *queue) line(c *command) *fifo {
	if c.urgent {
		return &q.urgent
	}
	line := q.plain[c.namespace]
	if line == nil {
		line = &fifo{}
		q.plain[c.namespace] = line
		q.ring = append(q.ring, c.namespace)
	}
	return line
}

func (q *queue) count(c *command, by int) {
	if c.urgent {
		q.urgents += by
		return
	}
	q.plains += by
	q.intake.count(c.namespace, by)
}

// remove takes a command out, wherever it waits.
func (q *queue) remove(c *command) {
	q.unlist(c)
	q.count(c, -1)
	if q.patient == c {
		q.giveUp()
	}
}

// unlist takes a command out of its list, parked or not.
func (q *queue) unlist(c *command) {
	c.leave()
	if c.parked {
		c.parked = false
		q.parked--
	}
}

// batch is what one transaction carries out. Its keys are held from when it is
// sealed until it is over.
type batch struct {
	members []*command
	keys    []statestore.Key
}

// seal takes the next batch: urgent commands first, then the namespaces in
// turn. One whose caller is gone is ended unexecuted, one that collides with a
// transaction in flight is parked.
func (q *queue) seal() batch {
	members := make([]*command, 0, min(maxBatch, q.depth()))
	members = q.take(&q.urgent, members, maxBatch)
	for len(members) < maxBatch && len(q.ring) > 0 {
		share := max((maxBatch-len(members))/len(q.ring), 1)
		for n := len(q.ring); n > 0 && len(members) < maxBatch; n-- {
			members = q.serve(members, share)
		}
	}
	return batch{members, q.hold(members)}
}

// serve gives the namespace whose turn it is its share of a batch.
func (q *queue) serve(members []*command, share int) []*command {
	q.turn %= len(q.ring)
	namespace := q.ring[q.turn]
	line := q.plain[namespace]
	members = q.take(line, members, share)
	if line.first == nil {
		delete(q.plain, namespace)
		q.ring = slices.Delete(q.ring, q.turn, q.turn+1)
	} else {
		q.turn++
	}
	return members
}

// take moves up to n commands from a list into a batch.
func (q *queue) take(line *fifo, members []*command, n int) []*command {
	for n > 0 && line.first != nil {
		c := line.first
		if h := q.blocked(c); h != nil {
			c.leave()
			q.park(c, h)
			continue
		}
		q.remove(c)
		if c.ctx.Err() != nil && !c.again {
			c.done, c.err = true, context.Cause(c.ctx)
			c.wake <- struct{}{}
			continue
		}
		members = append(members, c)
		n--
	}
	return members
}

// drain ends every command that waits.
func (q *queue) drain(end func(*command)) {
	if q.patient != nil {
		q.giveUp()
	}
	lists := make([]*fifo, 0, 1+len(q.plain)+len(q.held))
	lists = append(lists, &q.urgent)
	for _, line := range q.plain {
		lists = append(lists, line)
	}
	for _, h := range q.held {
		lists = append(lists, &h.parked)
	}
	for _, line := range lists {
		for line.first != nil {
			c := line.first
			q.remove(c)
			end(c)
		}
	}
}

// blocked is what a command that may not run now waits for, or nil.
func (q *queue) blocked(c *command) *hold {
	if len(q.held) == 0 {
		return nil
	}
	for i := range c.wants {
		if c.wants[i].mode != statestore.Write {
			continue
		}
		if h := q.held[c.wants[i].key]; h != nil && (h.taken || (h.reserved && q.patient != c)) {
			return h
		}
	}
	return nil
}

func (q *queue) park(c *command, h *hold) {
	h.parked.push(c)
	c.parked = true
	q.parked++
	if c.parkings++; c.parkings < maxParked || q.patient != nil {
		return
	}
	q.patient = c
	for i := range c.wants {
		if c.wants[i].mode == statestore.Write {
			q.at(c.wants[i].key).reserved = true
		}
	}
}

// giveUp ends the reservation of the patient command's keys.
func (q *queue) giveUp() {
	c := q.patient
	q.patient = nil
	for i := range c.wants {
		if h := q.held[c.wants[i].key]; h != nil && h.reserved {
			h.reserved = false
			q.free(c.wants[i].key, h)
		}
	}
}

func (q *queue) at(k statestore.Key) *hold {
	h := q.held[k]
	if h == nil {
		h = &hold{}
		q.held[k] = h
	}
	return h
}

// hold takes the keys that the members of a batch write.
func (q *queue) hold(members []*command) []statestore.Key {
	if q.held == nil {
		return nil
	}
	keys := make([]statestore.Key, 0, len(members)+2)
	for _, c := range members {
		for i := range c.wants {
			if c.wants[i].mode != statestore.Write {
				continue
			}
			if h := q.at(c.wants[i].key); !h.taken {
				h.taken = true
				keys = append(keys, c.wants[i].key)
			}
		}
	}
	return keys
}

// unhold lets go of the keys of a batch that is over.
func (q *queue) unhold(keys []statestore.Key) {
	for _, k := range keys {
		h := q.held[k]
		h.taken = false
		q.free(k, h)
	}
}

// free lets go of a key that nobody writes any more. Those who were parked with
// it come first in their lists, in the order in which they came.
func (q *queue) free(k statestore.Key, h *hold) {
	switch {
	case h.taken:
	case h.reserved:
		if q.patient.list == &h.parked {
			q.unpark(q.patient)
		}
	default:
		delete(q.held, k)
		for h.parked.last != nil {
			q.unpark(h.parked.last)
		}
	}
}

func (q *queue) unpark(c *command) {
	q.unlist(c)
	q.line(c).pushFront(c)
}
