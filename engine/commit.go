// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/resilienced/resilienced/statestore"
)

// Bounds of the queue. A batch holds at most maxBatch commands; a few batches
// may wait for each lane, reports and acquires apart.
const (
	maxBatch      = 512
	waitingPerJob = 4 * maxBatch
	maxRounds     = 24
)

// overloadDelay is what a caller is told to wait when the queue is full.
const overloadDelay = 100 * time.Millisecond

// committer groups commands into transactions (design §5). A caller that finds
// a lane free runs its command on its own goroutine; commands that arrive in
// the meantime form the next batch, and one of their callers runs it.
type committer struct {
	engine *Engine
	lanes  int

	mu      sync.Mutex
	urgent  fifo
	plain   map[string]*fifo // by namespace
	ring    []string         // namespaces with plain commands, served in turn
	turn    int
	waiting int // plain commands
	active  int // transactions in flight
	held    map[statestore.Key]int
	closed  bool
	idle    chan struct{} // closed when the last transaction ended after close
}

type fifo struct{ items []*command }

func (q *fifo) push(c *command) { q.items = append(q.items, c) }

func (q *fifo) len() int { return len(q.items) }

func newCommitter(e *Engine, lanes int) *committer {
	return &committer{
		engine: e, lanes: max(lanes, 1), plain: map[string]*fifo{},
		held: map[statestore.Key]int{}, idle: make(chan struct{}),
	}
}

// do runs a command and returns when it is committed, refused or failed.
func (m *committer) do(c *command) error {
	m.mu.Lock()
	if m.closed {
		m.mu.Unlock()
		return ErrUnavailable
	}
	if m.active < m.lanes && m.waiting == 0 && m.urgent.len() == 0 && !m.collides(c) {
		m.active++
		m.hold(c)
		m.mu.Unlock()
		c.room.batch[0] = c
		c.batch = c.room.batch[:]
		if m.lead(c) {
			return c.err
		}
		return m.await(c)
	}
	err := m.enqueue(c)
	m.mu.Unlock()
	if err != nil {
		return err
	}
	return m.await(c)
}

// enqueue adds a command to the queue, which is bounded.
func (m *committer) enqueue(c *command) error {
	limit := waitingPerJob * m.lanes
	if (c.urgent && m.urgent.len() >= limit) || (!c.urgent && m.waiting >= limit) {
		return &OverloadedError{Delay: overloadDelay}
	}
	m.add(c)
	m.dispatch()
	return nil
}

func (m *committer) add(c *command) {
	if c.wake == nil {
		c.wake = make(chan struct{}, 1)
	}
	c.queued = true
	if c.urgent {
		m.urgent.push(c)
		return
	}
	q := m.plain[c.namespace]
	if q == nil {
		q = &fifo{}
		m.plain[c.namespace] = q
		m.ring = append(m.ring, c.namespace)
	}
	q.push(c)
	m.waiting++
}

// await waits until the command is done, leading a batch if asked to. A caller
// that gives up takes its command out of the queue; once the command is in a
// batch the caller waits for its end, which is bounded by the store.
func (m *committer) await(c *command) error {
	gone := c.ctx.Done()
	for {
		select {
		case <-c.wake:
			// Woken to lead a batch, or because the command is done.
			if c.batch == nil || m.lead(c) {
				return c.err
			}
		case <-gone:
			gone = nil
			m.mu.Lock()
			left := c.queued
			c.queued = false // sealing skips it
			m.mu.Unlock()
			if left {
				return context.Cause(c.ctx)
			}
		}
	}
}

// lead runs the leader's batch, answers its members and hands the lane on. It
// reports whether the leader's own command is done.
func (m *committer) lead(c *command) bool {
	batch := c.batch
	c.batch = nil
	m.engine.execute(batch)
	finished := batch[:0]
	m.mu.Lock()
	m.active--
	for _, member := range batch {
		m.unhold(member)
		if m.conclude(member) && member != c {
			finished = append(finished, member)
		}
	}
	done := c.done
	m.dispatch()
	if m.closed && m.active == 0 {
		select {
		case <-m.idle:
		default:
			close(m.idle)
		}
	}
	m.mu.Unlock()
	// Outside the lock, for the first thing that they do is to take it.
	for _, member := range finished {
		member.wake <- struct{}{}
	}
	return done
}

// conclude ends a member of a batch, or queues it again if it needs more keys.
// It reports whether the member is done.
func (m *committer) conclude(c *command) bool {
	if c.again && c.rounds < maxRounds {
		c.rounds++
		m.urgentFirst(c)
		return false
	}
	if c.again {
		c.again, c.err = false, fmt.Errorf("%w: a command kept asking for more keys", ErrInternal)
	}
	c.done = true
	return true
}

// urgentFirst puts a command that needs more keys to the head of the queue.
func (m *committer) urgentFirst(c *command) {
	if c.wake == nil {
		c.wake = make(chan struct{}, 1)
	}
	c.queued = true
	m.urgent.items = append([]*command{c}, m.urgent.items...)
}

// dispatch starts as many batches as lanes are free. The caller holds mu.
func (m *committer) dispatch() {
	for m.active < m.lanes && (m.waiting > 0 || m.urgent.len() > 0) {
		batch := m.seal()
		if len(batch) == 0 {
			return
		}
		m.active++
		leader := batch[0]
		leader.batch = batch
		leader.wake <- struct{}{}
	}
}

// seal takes the next batch: urgent commands first, then the namespaces in
// turn. A command whose caller is gone is dropped, one that collides with a
// transaction in flight stays.
func (m *committer) seal() []*command {
	batch := make([]*command, 0, min(maxBatch, m.waiting+m.urgent.len()))
	batch = m.take(&m.urgent, batch, maxBatch)
	for empty := 0; len(batch) < maxBatch && len(m.ring) > 0 && empty < len(m.ring); {
		m.turn %= len(m.ring)
		q := m.plain[m.ring[m.turn]]
		share := max((maxBatch-len(batch))/len(m.ring), 1)
		before := q.len()
		taken := len(batch)
		batch = m.take(q, batch, share)
		m.waiting -= before - q.len()
		if q.len() == 0 {
			delete(m.plain, m.ring[m.turn])
			m.ring = append(m.ring[:m.turn], m.ring[m.turn+1:]...)
			continue
		}
		m.turn++
		if len(batch) == taken {
			empty++
		} else {
			empty = 0
		}
	}
	for _, c := range batch {
		m.hold(c)
	}
	return batch
}

// take moves up to n commands from a queue into the batch.
func (m *committer) take(q *fifo, batch []*command, n int) []*command {
	kept := q.items[:0]
	for _, c := range q.items {
		switch {
		case !c.queued: // its caller has left
		case c.ctx.Err() != nil && !c.again:
			c.queued, c.done, c.err = false, true, context.Cause(c.ctx)
			c.wake <- struct{}{}
		case n <= 0 || m.collides(c):
			kept = append(kept, c)
		default:
			c.queued = false
			batch = append(batch, c)
			n--
		}
	}
	clear(q.items[len(kept):])
	q.items = kept
	return batch
}

// collides reports whether the command writes what a transaction in flight
// writes. With one lane there is never one.
func (m *committer) collides(c *command) bool {
	if m.lanes == 1 {
		return false
	}
	for _, w := range c.wants {
		if w.mode == statestore.Write && m.held[w.key] > 0 {
			return true
		}
	}
	return false
}

func (m *committer) hold(c *command) {
	if m.lanes == 1 {
		return
	}
	for _, w := range c.wants {
		if w.mode == statestore.Write {
			m.held[w.key]++
		}
	}
}

func (m *committer) unhold(c *command) {
	if m.lanes == 1 {
		return
	}
	for _, w := range c.wants[:min(len(c.wants), len(c.entries))] {
		if w.mode != statestore.Write {
			continue
		}
		if m.held[w.key]--; m.held[w.key] <= 0 {
			delete(m.held, w.key)
		}
	}
}

// close refuses new commands and waits for those under way.
func (m *committer) close(ctx context.Context) error {
	m.mu.Lock()
	m.closed = true
	quiet := m.active == 0 && m.waiting == 0 && m.urgent.len() == 0
	m.mu.Unlock()
	if quiet {
		return nil
	}
	select {
	case <-m.idle:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
