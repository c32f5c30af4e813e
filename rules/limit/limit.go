// SPDX-License-Identifier: Apache-2.0

// Package limit holds the rules that pace a target: the fleet's cooldown,
// concurrency slots that are leases, and token buckets.
//
// A slot is held by its lease and by nothing else: a holder whose lease is over
// does not count, whether or not anybody has noticed (semantics §1.4).
package limit

import (
	"math"
	"math/bits"
	"slices"
	"time"

	"github.com/resilienced/resilienced/rules"
)

// MaxCooldown is the longest wait that is believed (semantics §1.5).
const MaxCooldown = 24 * time.Hour

// Remaining is how long the cooldown still holds at now.
func (c Cooldown) Remaining(now rules.Instant) time.Duration { return c.Until.Until(now) }

// Extend returns the cooldown after a target asked for a wait of d at now. A
// shorter wait never shortens it.
func (c Cooldown) Extend(now rules.Instant, d time.Duration, cause, source, raw string) Cooldown {
	clamped := d > MaxCooldown
	if clamped {
		d = MaxCooldown
	}
	if until := now.Add(d); d > 0 && until > c.Until {
		return Cooldown{Until: until, Cause: cause, Source: source, Raw: raw, Clamped: clamped}
	}
	return c
}

// Live returns the holders whose leases are not over at now. It returns the
// slice itself when all are live.
func Live(holders []Holder, now rules.Instant) []Holder {
	dead := func(h Holder) bool { return h.Expires <= now }
	if !slices.ContainsFunc(holders, dead) {
		return holders
	}
	live := make([]Holder, 0, len(holders))
	for _, h := range holders {
		if !dead(h) {
			live = append(live, h)
		}
	}
	return live
}

// With returns holders and one more.
func With(holders []Holder, h Holder) []Holder {
	return append(slices.Clip(holders), h)
}

// Without returns holders less the permit's, and whether it was among them.
func Without(holders []Holder, operation string, fence uint64) ([]Holder, bool) {
	i := find(holders, operation, fence)
	if i < 0 {
		return holders, false
	}
	return append(append(make([]Holder, 0, len(holders)-1), holders[:i]...), holders[i+1:]...), true
}

// Renew returns holders with the permit's lease moved to expires, and whether
// it was among them.
func Renew(holders []Holder, operation string, fence uint64, expires rules.Instant) ([]Holder, bool) {
	i := find(holders, operation, fence)
	if i < 0 {
		return holders, false
	}
	renewed := slices.Clone(holders)
	renewed[i].Expires = expires
	return renewed, true
}

func find(holders []Holder, operation string, fence uint64) int {
	return slices.IndexFunc(holders, func(h Holder) bool {
		return h.Fence == fence && h.Operation == operation
	})
}

// FirstExpiry is when the first holder's lease ends; zero without holders.
func FirstExpiry(holders []Holder) rules.Instant {
	var first rules.Instant
	for _, h := range holders {
		first = rules.Earliest(first, h.Expires)
	}
	return first
}

// The bounds of the wait that a full target answers with.
const (
	minSlotWait = 50 * time.Millisecond
	maxSlotWait = 5 * time.Second
)

// SlotWait is the wait to answer when all slots are taken: the median duration
// of recent calls over the limit, between 50 ms and 5 s.
func SlotWait(median time.Duration, limit int) time.Duration {
	return min(max(median/time.Duration(max(limit, 1)), minSlotWait), maxSlotWait)
}

// milli is the resolution of a bucket.
const milli = 1000

// Take returns the bucket after one token was taken at now, or how long it
// takes until one is there.
func (b Bucket) Take(c Config, now rules.Instant) (Bucket, time.Duration) {
	if c.Rate <= 0 || c.Per <= 0 {
		return b, 0
	}
	capacity := max(c.Burst, 1)
	if c.Burst == 0 {
		capacity = c.Rate
	}
	b = b.refill(c, now)
	if missing := b.Used + milli - capacity*milli; missing > 0 {
		return b, timeFor(c, missing)
	}
	b.Used += milli
	return b, 0
}

// refill gives back what the time since the last look is worth. The rest that
// does not make a milli-token stays in Since.
func (b Bucket) refill(c Config, now rules.Instant) Bucket {
	if b.Used == 0 || now <= b.Since {
		b.Since = max(b.Since, now)
		return b
	}
	if full := timeFor(c, b.Used); now.Sub(b.Since) >= full {
		return Bucket{Since: now}
	}
	gained := mulDiv(uint64(now-b.Since), uint64(c.Rate)*milli, micros(c.Per), false)
	b.Used -= int64(gained)
	b.Since += rules.Instant(mulDiv(gained, micros(c.Per), uint64(c.Rate)*milli, true))
	return b
}

// timeFor is how long it takes to gain so many milli-tokens, rounded up.
func timeFor(c Config, milliTokens int64) time.Duration {
	us := mulDiv(uint64(milliTokens), micros(c.Per), uint64(c.Rate)*milli, true)
	return time.Duration(min(us, maxWaitMicros)) * time.Microsecond
}

// maxWaitMicros keeps a wait within what a Duration holds.
const maxWaitMicros = uint64(365 * 24 * time.Hour / time.Microsecond)

func micros(d time.Duration) uint64 { return max(uint64(d/time.Microsecond), 1) }

// mulDiv is a·b/c in 128 bits, rounded down or up; the largest value if it
// does not fit.
func mulDiv(a, b, c uint64, up bool) uint64 {
	hi, lo := bits.Mul64(a, b)
	if hi >= c {
		return math.MaxInt64
	}
	q, r := bits.Div64(hi, lo, c)
	if up && r > 0 {
		q++
	}
	return q
}
