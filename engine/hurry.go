// SPDX-License-Identifier: Apache-2.0

package engine

import "time"

// A transaction over a network costs as much as some twenty commands in it. So
// while one is in flight another is begun only for a batch that is worth it, or
// for commands that have waited for longer than a transaction usually takes:
// the one in flight may be stuck at a key that they do not need.
const (
	worthwhileBatch = 32
	longestHold     = 5 * time.Millisecond
)

// hurry begins a transaction for commands that were held back for a batch that
// did not come together. The committer's lock guards it.
type hurry struct {
	timer *time.Timer
	since time.Time // since when commands are held back; zero: none are
	// pause is how long a lane waits for its callers, gathering how many lanes
	// do so, and enough how many commands end that.
	pause             time.Duration
	gathering, enough int
}

// shortestPause is the least for which gathering is worth a timer.
const shortestPause = 300 * time.Microsecond

// keyWait is how much longer a transaction waited for its keys than it took to
// write, less a little: where nobody else holds them, reading is the quicker
// half. Negative: it did not wait. One that wrote nothing, for which locked is
// zero, has nothing to compare with.
func keyWait(began, locked, ended time.Time) time.Duration {
	if locked.Before(began) {
		return -shortestPause
	}
	return locked.Sub(began) - ended.Sub(locked) - shortestPause
}

// gather returns how long a lane is to wait before it seals its next batch, so
// that those it has just answered can come along. Where other replicas want the
// same keys, a batch that is sealed at once only waits for them in the database,
// and everybody's batches stay small. So the pause grows while transactions wait
// for their keys, and shrinks when they do not.
func (h *hurry) gather(waited time.Duration, members int) time.Duration {
	h.pause = min(max(h.pause+waited/4, 0), longestHold)
	if h.pause < shortestPause {
		return 0
	}
	h.gathering++
	h.enough = max(h.enough, members)
	return h.pause
}

func (h *hurry) gathered() {
	if h.gathering--; h.gathering == 0 {
		h.enough = 0
	}
}

// worthwhile reports whether another transaction is to be begun for what waits.
// If not, what waits is looked at again in time. The caller holds mu.
func (m *committer) worthwhile() bool {
	h := &m.hurry
	switch {
	case !m.shared || m.active == 0 || m.queue.runnable() >= max(worthwhileBatch, h.enough):
	case h.since.IsZero():
		h.since = time.Now()
		h.wait(longestHold, m.hasten)
		return false
	case time.Since(h.since) < longestHold:
		return false
	}
	h.since = time.Time{}
	return true
}

func (h *hurry) wait(d time.Duration, then func()) {
	if h.timer == nil {
		h.timer = time.AfterFunc(d, then)
		return
	}
	h.timer.Reset(d)
}

// hasten begins a transaction for commands that were held back for too long.
func (m *committer) hasten() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.hurry.since.IsZero() {
		return
	}
	if left := longestHold - time.Since(m.hurry.since); left > 0 {
		m.hurry.wait(left, m.hasten)
		return
	}
	m.dispatch()
}
