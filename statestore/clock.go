// SPDX-License-Identifier: Apache-2.0

package statestore

import (
	"time"

	"github.com/resilienced/resilienced/rules"
)

// Clock is the time of a store that lives in one process: the wall clock as it
// was when the store was opened, plus what the monotonic clock has counted
// since. A step of the wall clock does nothing to it and it never goes back.
// While the machine sleeps it may stand still, so leases grow longer and never
// shorter. The zero Clock is not usable; NewClock makes one. A Clock may be
// read from many goroutines.
type Clock struct {
	base  rules.Instant
	start time.Time
}

// NewClock returns a clock that starts at the wall clock, or at floor if that
// is later.
func NewClock(floor rules.Instant) Clock {
	now := time.Now()
	return Clock{base: max(rules.At(now), floor), start: now}
}

// Now returns the clock's instant.
func (c Clock) Now() rules.Instant { return c.base.Add(time.Since(c.start)) }
