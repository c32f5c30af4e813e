// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/resilienced/resilienced/statestore"
)

// Bounds of the return of grants that nobody waits for. Those beyond them end
// with their lease.
const (
	maxReturns     = 16 << 10
	returnsPerTurn = 256
	returnAgain    = 100 * time.Millisecond
	returnTimeout  = 5 * time.Second
)

// returns are grants whose callers had left when they were committed. They are
// given back side by side, so that they share transactions.
type returns struct {
	wake chan struct{}

	mu      sync.Mutex
	waiting []*release
	dropped int
}

func newReturns() *returns { return &returns{wake: make(chan struct{}, 1)} }

// recordLost records the attempt before as lost: the grant has stored that.
func (a *acquire) recordLost(e *Engine) {
	if a.lost != nil && a.granted != nil {
		e.record.lost(a.req.Namespace, a.req.OperationID, a.lost)
	}
}

// left is what remains to be done when the caller of an Acquire has left.
func (a *acquire) left(e *Engine) {
	a.recordLost(e)
	if a.granted != nil && !a.req.DryRun {
		e.giveBack(a)
	}
}

// giveBack releases a grant unless a repeat of the request takes it up.
func (e *Engine) giveBack(a *acquire) {
	r := &release{
		req: &ReleaseRequest{Namespace: a.req.Namespace}, operation: a.req.OperationID,
		fence: a.granted.Permit.Fence, onlyFresh: true,
	}
	if e.commits.shared {
		e.returns.offer(r)
		return
	}
	ctx, cancel := context.WithTimeout(e.background, returnTimeout)
	defer cancel()
	if err := e.submit(ctx, r.req.Namespace, true, r, r.plan); err != nil {
		e.log.Warn("a grant to nobody could not be given back; its lease ends it", "error", err)
	}
}

func (q *returns) offer(r *release) {
	q.mu.Lock()
	if len(q.waiting) < maxReturns {
		q.waiting = append(q.waiting, r)
	} else {
		q.dropped++
	}
	q.mu.Unlock()
	nudge(q.wake)
}

func (q *returns) take() (some []*release, dropped int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := min(len(q.waiting), returnsPerTurn)
	some, dropped, q.dropped = q.waiting[:n:n], q.dropped, 0
	if q.waiting = q.waiting[n:]; len(q.waiting) == 0 {
		q.waiting = nil
	}
	return some, dropped
}

// returnLoop gives back what nobody waits for, the last time when the engine
// closes.
func (e *Engine) returnLoop() {
	for {
		select {
		case <-e.quit:
			e.returnAll()
			return
		case <-e.returns.wake:
		}
		for !e.returnAll() {
			pause := time.NewTimer(jittered(returnAgain))
			select {
			case <-e.quit:
				pause.Stop()
				return
			case <-pause.C:
			}
		}
	}
}

// returnAll gives back what waits; false if the store did not take all of it.
func (e *Engine) returnAll() bool {
	for {
		some, dropped := e.returns.take()
		if dropped > 0 {
			e.log.Warn("too many grants to nobody; the lease of some ends them", "grants", dropped)
		}
		if len(some) == 0 {
			return true
		}
		if failed := e.returnSome(some); len(failed) > 0 {
			for _, r := range failed {
				e.returns.offer(r)
			}
			return false
		}
	}
}

// returnSome returns those that are to be tried again.
func (e *Engine) returnSome(some []*release) []*release {
	commands := make([]*command, len(some))
	for i, r := range some {
		c := &command{}
		c.begin(e.background, e, r.req.Namespace, true, r)
		r.plan(c)
		commands[i] = c
	}
	e.commits.all(commands)
	var failed []*release
	for i, c := range commands {
		if c.err != nil && !errors.Is(c.err, ErrInternal) {
			failed = append(failed, some[i])
		}
	}
	if len(failed) > 0 {
		ctx, cancel := e.bound(e.background, returnTimeout)
		defer cancel()
		_, err := e.fresh(ctx) // the policy may have changed
		e.log.Debug("grants to nobody are given back later", "grants", len(failed), "policy", err)
	}
	return failed
}

func (r *release) plan(c *command) {
	r.op = c.key(operationKey(r.req.Namespace, r.operation), statestore.Write, 0)
}
