// SPDX-License-Identifier: Apache-2.0

package queue

import (
	"slices"
	"time"
)

// command is what a caller waits for.
type command struct {
	key    int // none is negative
	answer func()
}

// replica gathers commands into batches as the engine's committer does: a
// command that finds no transaction under way goes at once; those that come
// meanwhile form the next batch; one whose key is in flight in this replica
// stays. The rest of the rule is Model.Second.
type replica struct {
	sim     *sim
	waiting []command
	active  int
	flying  map[int]bool // keys of transactions in flight

	holding           bool          // commands are held back
	since             time.Duration // since when
	pause             time.Duration // of a lane for its callers
	gathering, enough int
}

// submit hands a command over.
func (r *replica) submit(c command) {
	r.waiting = append(r.waiting, c)
	r.dispatch()
}

// dispatch starts batches as long as a lane is free and something can go.
func (r *replica) dispatch() {
	for r.active < r.sim.lanes && r.worthwhile() {
		batch := r.seal()
		if len(batch) == 0 {
			return
		}
		r.active++
		r.begin(batch)
	}
}

// worthwhile reports whether one more transaction is to be begun.
func (r *replica) worthwhile() bool {
	runnable := 0
	for _, c := range r.waiting {
		if !r.flying[c.key] {
			runnable++
		}
	}
	second := r.sim.m.Second
	switch {
	case runnable == 0:
		return false
	case r.active == 0 || runnable >= max(second.Batch, r.enough):
	case !r.holding:
		r.holding, r.since = true, r.sim.clock.now
		r.hasten(second.Hold)
		return false
	case r.sim.clock.now-r.since < second.Hold:
		return false
	}
	r.holding = false
	return true
}

// hasten looks again at commands that are held back.
func (r *replica) hasten(in time.Duration) {
	since := r.since
	r.sim.clock.after(in, func() {
		if r.holding && r.since == since {
			r.dispatch()
		}
	})
}

// seal takes what may go together out of the queue.
func (r *replica) seal() []command {
	var batch, stay []command
	for _, c := range r.waiting {
		full := r.sim.m.MaxBatch > 0 && len(batch) >= r.sim.m.MaxBatch
		if full || r.flying[c.key] {
			stay = append(stay, c)
		} else {
			batch = append(batch, c)
		}
	}
	r.waiting = stay
	return batch
}

// begin sends a batch on its way.
func (r *replica) begin(batch []command) {
	var keys []int
	for _, c := range batch {
		if c.key >= 0 {
			keys = append(keys, c.key)
		}
	}
	slices.Sort(keys)
	keys = slices.Compact(keys)
	for _, k := range keys {
		r.flying[k] = true
	}
	s, c := r.sim, r.sim.m.Costs
	ours, theirs := c.Ours.Of(len(batch)), c.Database.Of(len(batch))
	begun := s.clock.now
	s.processors.work(ours/4, func() {
		s.half(func() {
			asked := s.clock.now
			s.rows.lock(keys, func() {
				blocked := s.clock.now - asked
				s.processors.work(theirs/2, func() {
					s.half(func() { r.decide(batch, keys, begun, blocked) })
				})
			})
		})
	})
}

// decide is the middle of a batch's life, and what follows from it.
func (r *replica) decide(batch []command, keys []int, begun, blocked time.Duration) {
	s, c := r.sim, r.sim.m.Costs
	ours, theirs := c.Ours.Of(len(batch)), c.Database.Of(len(batch))
	decided := s.clock.now
	committed := func() {
		s.rows.unlock(keys)
		s.half(func() {
			waited := (decided - begun) - (s.clock.now - decided)
			s.processors.work(ours/4, func() {
				s.committed(s.clock.now-begun, blocked)
				r.end(batch, keys, waited)
			})
		})
	}
	s.processors.work(ours/2, func() {
		s.half(func() {
			s.processors.work(theirs/2, func() {
				if s.m.Rebuildable {
					committed()
					return
				}
				s.disk.flush(committed)
			})
		})
	})
}

// end answers the callers and hands the lane on: what waits goes first, unless
// the lane gathers.
func (r *replica) end(batch []command, keys []int, waited time.Duration) {
	for _, k := range keys {
		delete(r.flying, k)
	}
	second := r.sim.m.Second
	r.pause = min(max(r.pause+(waited-second.Margin)/4, 0), second.Hold)
	if r.pause >= second.Margin && second.Margin > 0 {
		r.gathering++
		r.enough = max(r.enough, len(batch))
		r.sim.clock.after(r.pause, func() {
			if r.gathering--; r.gathering == 0 {
				r.enough = 0
			}
			r.active--
			r.dispatch()
		})
	} else {
		r.active--
	}
	r.dispatch()
	for _, c := range batch {
		c.answer()
	}
}
