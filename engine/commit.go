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

// committer groups commands into transactions (design §5). Over a store in this
// process, a caller that finds it free runs its command on its own goroutine;
// commands that arrive in the meantime form the next batch, and one of their
// callers runs it. Over a shared store every batch runs on a goroutine of its
// lane, because a caller may have to leave before the store answers (lane.go).
type committer struct {
	engine *Engine
	lanes  int
	shared bool

	mu     sync.Mutex
	queue  queue
	active int // transactions in flight
	hurry  hurry
	away   bool // the store is not there, and probed
	closed bool
	idle   chan struct{} // closed when all has ended after close

	lost chan struct{} // told when the store is gone
}

// isShared tells the stores that are reached over a network: they serve several
// processes, or several transactions at a time.
func isShared(s statestore.Store) bool {
	_, notifies := s.(statestore.Notifier)
	return notifies || s.Lanes() > 1
}

func newCommitter(e *Engine, s statestore.Store) *committer {
	lanes := max(s.Lanes(), 1)
	m := &committer{engine: e, lanes: lanes, shared: isShared(s), queue: newQueue(lanes), idle: make(chan struct{}), lost: make(chan struct{}, 1)}
	if m.shared {
		m.queue.intake = newIntake(waitingPerJob * lanes)
	}
	return m
}

// do runs a command and returns when it is committed, refused or failed, or
// when its caller has to leave.
func (m *committer) do(c *command) error {
	if m.shared {
		return m.ride(c)
	}
	m.mu.Lock()
	if m.closed {
		m.mu.Unlock()
		return ErrUnavailable
	}
	if m.active < m.lanes && m.queue.depth() == 0 {
		m.active++
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
	if (c.urgent && m.queue.urgents >= limit) || (!c.urgent && m.queue.plains >= limit) {
		return &OverloadedError{Delay: overloadDelay}
	}
	if !c.urgent && !m.queue.intake.takes(c.namespace, m.queue.plains) {
		return &OverloadedError{Delay: jittered(slowDelay)}
	}
	if c.wake == nil {
		c.wake = make(chan struct{}, 1)
	}
	m.queue.add(c)
	m.dispatch()
	return nil
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
			left := c.list != nil
			if left {
				m.queue.remove(c)
				c.done = true
			}
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
		if m.conclude(member) && member != c {
			finished = append(finished, member)
		}
	}
	done := c.done
	m.dispatch()
	m.rest()
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
	if c.again && !c.left && !m.away && c.rounds < maxRounds {
		c.rounds++
		if c.wake == nil {
			c.wake = make(chan struct{}, 1)
		}
		m.queue.addFirst(c)
		return false
	}
	switch {
	case c.again && m.away:
		c.err = away(errStoreGone)
	case c.again:
		c.err = fmt.Errorf("%w: a command kept asking for more keys", ErrInternal)
	}
	c.again, c.done = false, true
	return true
}

// dispatch starts as many batches as lanes are free. The caller holds mu.
func (m *committer) dispatch() {
	for m.active < m.lanes && m.queue.ready() && m.worthwhile() {
		b := m.queue.seal()
		if len(b.members) == 0 {
			continue // all are parked, or gone
		}
		m.active++
		if m.shared {
			go m.lane(b)
			continue
		}
		leader := b.members[0]
		leader.batch = b.members
		leader.wake <- struct{}{}
	}
}

// rest tells close that nothing is under way any more. The caller holds mu.
func (m *committer) rest() {
	if !m.closed || m.active > 0 {
		return
	}
	select {
	case <-m.idle:
	default:
		close(m.idle)
	}
}

// close refuses new commands and waits for those under way.
func (m *committer) close(ctx context.Context) error {
	m.mu.Lock()
	m.closed = true
	m.rest()
	m.mu.Unlock()
	select {
	case <-m.idle:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// depth is how many commands wait.
func (m *committer) depth() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.queue.depth()
}
