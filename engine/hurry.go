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
}

// worthwhile reports whether another transaction is to be begun for what waits.
// If not, what waits is looked at again in time. The caller holds mu.
func (m *committer) worthwhile() bool {
	h := &m.hurry
	switch {
	case !m.shared || m.active == 0 || m.queue.runnable() >= worthwhileBatch:
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
