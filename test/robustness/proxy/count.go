// SPDX-License-Identifier: Apache-2.0

package proxy

import "sync/atomic"

// Count says what a proxy has done since it was made. A fault took effect if
// its count went up.
type Count struct {
	Accepted  int64 // connections
	Refused   int64 // connections, by Refuse
	Unreached int64 // connections whose target took none
	Cut       int64 // connections, by Cut
	Reset     int64 // connections, by Reset, ResetAfter, or lost bytes
	HalfShut  int64 // directions, by HalfClose

	Passed    int64 // bytes
	Delayed   int64 // bytes, by Delay
	Slowed    int64 // bytes, by Rate
	Held      int64 // bytes, by Hold, whether or not they arrived later
	Swallowed int64 // bytes, by Swallow and HalfClose
}

// Since returns what was done after an earlier count.
func (c Count) Since(earlier Count) Count {
	return Count{
		Accepted:  c.Accepted - earlier.Accepted,
		Refused:   c.Refused - earlier.Refused,
		Unreached: c.Unreached - earlier.Unreached,
		Cut:       c.Cut - earlier.Cut,
		Reset:     c.Reset - earlier.Reset,
		HalfShut:  c.HalfShut - earlier.HalfShut,
		Passed:    c.Passed - earlier.Passed,
		Delayed:   c.Delayed - earlier.Delayed,
		Slowed:    c.Slowed - earlier.Slowed,
		Held:      c.Held - earlier.Held,
		Swallowed: c.Swallowed - earlier.Swallowed,
	}
}

// Broken returns whether anything was done but to carry.
func (c Count) Broken() bool {
	c.Accepted, c.Passed = 0, 0
	return c != Count{}
}

type counts struct {
	accepted, refused, unreached, cut, reset, halfShut atomic.Int64
	passed, delayed, slowed, held, swallowed           atomic.Int64
}

// Count returns what the proxy has done so far.
func (p *Proxy) Count() Count {
	c := &p.counts
	return Count{
		Accepted: c.accepted.Load(), Refused: c.refused.Load(), Unreached: c.unreached.Load(),
		Cut: c.cut.Load(), Reset: c.reset.Load(), HalfShut: c.halfShut.Load(),
		Passed: c.passed.Load(), Delayed: c.delayed.Load(), Slowed: c.slowed.Load(),
		Held: c.held.Load(), Swallowed: c.swallowed.Load(),
	}
}

// addOnce counts the bytes of a chunk the first time that something befalls it.
func addOnce(counted *bool, count *atomic.Int64, n int64) {
	if !*counted {
		*counted = true
		count.Add(n)
	}
}
