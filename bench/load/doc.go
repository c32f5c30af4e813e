// SPDX-License-Identifier: Apache-2.0

// Package load drives something with many callers and measures it.
//
// A closed loop asks how much goes through: each caller begins its next
// operation when the last one has ended. An open loop asks how long one takes
// at a given rate: operations fall due by the clock, whether or not earlier
// ones have ended, and each is timed from when it was due and not from when a
// caller came to it. A server that stops for a second is then seen by all that
// fell due in that second and not by one (coordinated omission).
//
//	begin ──warm── reading ──────── window ──────── reading ── stop
//
// Only what ends within the window counts, and the two readings of the
// server's counters are the window's ends, so that operations and processor
// time are of the same span.
package load
