// SPDX-License-Identifier: Apache-2.0

// Package rules holds what every rule shares: the instant that a rule is given
// and the mode in which it is enforced.
//
// The packages below it are pure. They hold the state types that the store
// keeps and the functions that lead from one state to the next. They do no
// I/O, read no clock, start no goroutine, take no lock, write no log and draw
// no random number: time and randomness come in as arguments, and the same
// arguments give the same result.
package rules

import "time"

// Instant is a moment of store time in microseconds since the Unix epoch.
// The zero Instant means "never" or "not set".
type Instant int64

// At converts a time to an Instant, rounded down to the microsecond.
func At(t time.Time) Instant { return Instant(t.UnixMicro()) }

// Time converts the Instant for display. The zero Instant gives the zero time.
func (i Instant) Time() time.Time {
	if i == 0 {
		return time.Time{}
	}
	return time.UnixMicro(int64(i)).UTC()
}

// Add returns the Instant d later.
func (i Instant) Add(d time.Duration) Instant { return i + Instant(d/time.Microsecond) }

// Sub returns the time from j to i. It is negative when i is before j.
func (i Instant) Sub(j Instant) time.Duration { return time.Duration(i-j) * time.Microsecond }

// Until returns how long it is from now to i, never less than zero.
func (i Instant) Until(now Instant) time.Duration {
	if i <= now {
		return 0
	}
	return i.Sub(now)
}

// Earliest returns the smaller Instant that is set; zero when none is.
func Earliest(instants ...Instant) Instant {
	var least Instant
	for _, i := range instants {
		if i != 0 && (least == 0 || i < least) {
			least = i
		}
	}
	return least
}

// NextFence returns the fence or generation that follows previous at now. A
// record that was lost or evicted can so never issue one a second time.
func NextFence(previous uint64, now Instant) uint64 {
	return max(previous+1, uint64(max(now, 0)))
}
