// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/resilienced/resilienced/rules"
	"github.com/resilienced/resilienced/statestore"
)

// A store over the network may be slow or gone. Then nobody waits longer than
// this for it: a caller is told to come again, and what it asked for is not
// carried out any more if it still waits for a transaction.
const (
	acquirePatience = 250 * time.Millisecond
	// A report, a heartbeat or a release is worth a longer wait: it gives back
	// what others wait for, and a short stall should not cost a lease.
	reportPatience = time.Second
	// Operators wait for longer than programs.
	otherPatience = 5 * time.Second
)

// How soon callers are asked to come again. Each draws its own wait, so that
// they do not come all at once.
const (
	slowDelay    = 200 * time.Millisecond // a transaction took too long
	awayDelay    = 800 * time.Millisecond // the store is gone
	unknownDelay = 200 * time.Millisecond // the outcome is not known yet
)

// Bounds of the probe that looks for a store that is gone.
const (
	probeFirst   = 50 * time.Millisecond
	probeMost    = 500 * time.Millisecond
	probeTimeout = 2 * time.Second
)

var (
	errStoreGone = errors.New("the store is gone; it is probed until it answers")
	errStoreSlow = errors.New("the store did not answer in time")
)

// jittered draws between half and one and a half of a delay.
func jittered(d time.Duration) time.Duration { return d/2 + rand.N(d) }

// away is the error of a command that the store has not carried out.
func away(cause error) error {
	return &DelayedError{Err: fmt.Errorf("%w: %w", ErrUnavailable, cause), Delay: jittered(awayDelay)}
}

// slow is the error of a command that waited for too long and has not run.
func slow() error {
	return &DelayedError{Err: fmt.Errorf("%w: %w", ErrUnavailable, errStoreSlow), Delay: jittered(slowDelay)}
}

// unknown is the error of a command that may have been carried out.
func unknown(cause error) error {
	return &DelayedError{Err: fmt.Errorf("%w: %w", ErrOutcomeUnknown, cause), Delay: jittered(unknownDelay)}
}

// patience is until when a command may wait; zero: for as long as its context.
// A caller with a deadline of its own is answered a little before that.
func (m *committer) patience(ctx context.Context, most time.Duration) time.Time {
	if !m.shared {
		return time.Time{}
	}
	now := time.Now()
	if deadline, ok := ctx.Deadline(); ok {
		left := deadline.Sub(now)
		most = min(most, left-left/10)
	}
	return now.Add(most)
}

// patiently reads what a command needs before it can be planned, for no longer
// than its caller waits.
func (e *Engine) patiently(ctx context.Context, until time.Time, read func(context.Context) error) error {
	if until.IsZero() {
		return read(ctx)
	}
	if err := e.commits.open(); err != nil {
		return err
	}
	bounded, cancel := context.WithDeadline(ctx, until)
	defer cancel()
	err := read(bounded)
	if err != nil && bounded.Err() != nil && ctx.Err() == nil {
		return slow()
	}
	return err
}

// ride takes a command through a lane.
func (m *committer) ride(c *command) error {
	if !c.until.IsZero() {
		c.began = time.Now()
	}
	m.mu.Lock()
	err := m.refusal()
	if err == nil {
		err = m.enqueue(c)
	}
	m.mu.Unlock()
	if err != nil {
		c.done = true
		return err
	}
	if c.until.IsZero() {
		select {
		case <-c.wake:
			return c.err
		case <-c.ctx.Done():
			return m.leave(c)
		}
	}
	wait := c.until.Sub(c.began)
	if c.timer == nil {
		c.timer = time.NewTimer(wait)
	} else {
		c.timer.Reset(wait)
	}
	defer c.timer.Stop()
	select {
	case <-c.wake:
		return c.err
	case <-c.timer.C:
	case <-c.ctx.Done():
	}
	return m.leave(c)
}

// refusal is why no command is taken at present, or nil. The caller holds mu.
func (m *committer) refusal() error {
	switch {
	case m.closed:
		return ErrUnavailable
	case m.away:
		return away(errStoreGone)
	}
	return nil
}

// open returns an error while the store is known to be gone, so that nobody
// waits for a read in vain.
func (m *committer) open() error {
	if !m.shared {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.refusal()
}

// leave is how a caller goes that will not wait any longer. A command that
// waits is dropped. One in flight belongs to its lane from then on, and its
// caller may not touch it again.
func (m *committer) leave(c *command) error {
	m.mu.Lock()
	switch {
	case c.done:
		m.mu.Unlock()
		<-c.wake // it is on its way
		return c.err
	case c.list == nil:
		c.left = true
		m.mu.Unlock()
		if c.ctx.Err() != nil { // what callers are told then says to repeat, too
			return context.Cause(c.ctx)
		}
		return unknown(errStoreSlow)
	}
	m.queue.remove(c)
	c.done = true
	m.dispatch() // its keys may have been kept for it
	m.mu.Unlock()
	if c.ctx.Err() != nil {
		return context.Cause(c.ctx)
	}
	return slow()
}

// lane runs batches, one after the other, as long as there are any.
func (m *committer) lane(b batch) {
	for len(b.members) > 0 {
		began := time.Now()
		m.engine.execute(b.members)
		b = m.next(b, keyWait(began, b.members[0].locked, time.Now()))
	}
}

// next answers the members of a batch and returns the batch that follows it; an
// empty one if nothing waits. That one is sealed before anybody is woken: while
// it is under way, those who ask again at once fill the next. Unless the lane is
// to gather: then they come along.
func (m *committer) next(b batch, waited time.Duration) (following batch) {
	finished := make([]*command, 0, len(b.members))
	now := time.Now()
	m.mu.Lock()
	m.queue.intake.follow(b.members, now)
	m.queue.unhold(b.keys)
	for _, c := range b.members {
		if m.conclude(c) {
			finished = append(finished, c)
		}
	}
	gather := m.hurry.gather(waited, len(b.members))
	if gather == 0 {
		following = m.follow()
	}
	m.dispatch()
	m.rest()
	m.mu.Unlock()
	for _, c := range finished {
		if c.left {
			m.engine.nobody(c)
		} else {
			c.wake <- struct{}{}
		}
	}
	if gather == 0 {
		return following
	}
	time.Sleep(gather)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.hurry.gathered()
	following = m.follow()
	m.dispatch()
	m.rest()
	return following
}

// follow seals the batch that goes on in a lane whose batch is over. The caller
// holds mu.
func (m *committer) follow() (following batch) {
	m.active--
	for len(following.members) == 0 && m.queue.ready() && m.worthwhile() {
		following = m.queue.seal()
	}
	if len(following.members) > 0 {
		m.active++
	}
	return following
}

// leaver is a piece of work that has something to do when it was carried out
// and its caller had left. It is called by the lane after the commit.
type leaver interface{ left(e *Engine) }

// nobody ends a command that nobody waits for.
func (e *Engine) nobody(c *command) {
	if w, ok := c.work.(leaver); ok && c.err == nil {
		w.left(e)
	}
}

// all runs commands side by side and returns when each is done. They have no
// callers that could leave.
func (m *committer) all(commands []*command) {
	if !m.shared {
		for _, c := range commands {
			c.err = m.do(c)
		}
		return
	}
	wake := make(chan struct{}, len(commands))
	m.mu.Lock()
	for _, c := range commands {
		c.wake = wake
		err := m.refusal()
		if err == nil {
			err = m.enqueue(c)
		}
		if err != nil {
			c.done, c.err = true, err
			wake <- struct{}{}
		}
	}
	m.mu.Unlock()
	for range commands {
		<-wake
	}
}

// gone notes that the store is not there: all who wait are told at once, and
// nobody waits in vain until a probe has found it again.
func (m *committer) gone() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.away || !m.shared {
		return
	}
	m.away = true
	m.queue.drain(func(c *command) {
		c.again, c.done, c.err = false, true, away(errStoreGone)
		c.wake <- struct{}{}
	})
	nudge(m.lost)
}

// probeLoop looks for the store when it is gone.
func (e *Engine) probeLoop() {
	for {
		select {
		case <-e.quit:
			return
		case <-e.commits.lost:
			e.probe()
		}
	}
}

// probe looks for the store until it answers a transaction.
func (e *Engine) probe() {
	e.log.Warn("the store is gone; calls are refused until it answers")
	since := time.Now()
	for pause := probeFirst; ; pause = min(2*pause, probeMost) {
		timer := time.NewTimer(jittered(pause))
		select {
		case <-timer.C:
		case <-e.quit:
			timer.Stop()
			return
		}
		ctx, cancel := context.WithTimeout(e.background, probeTimeout)
		entry := &statestore.Entry{Key: epochKey()}
		err := e.store.Update(ctx, []*statestore.Entry{entry}, func(rules.Instant) (statestore.Durability, error) {
			return statestore.Rebuildable, nil
		})
		cancel()
		if err == nil {
			e.log.Info("the store is back", "after", time.Since(since).Round(time.Millisecond))
			e.commits.found()
			return
		}
	}
}

// found lets commands in again.
func (m *committer) found() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.away = false
}
