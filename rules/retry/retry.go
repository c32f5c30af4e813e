// SPDX-License-Identifier: Apache-2.0

// Package retry holds the rules that bound retries: the wait between them, the
// budget that a task shares, and the fleet's budget on one target.
//
// The fleet's budget is a ratio with a floor: every first attempt deposits 200
// milli-tokens that last 10 s, 10 tokens are always there, and a retry
// withdraws 1 token, or 0.4 after a throttle (semantics §1.6).
package retry

import (
	"maps"
	"time"

	"github.com/resilienced/resilienced/rules"
)

// Wait is the backoff before the n-th retry, n from 1, without jitter.
func (c Config) Wait(n int) time.Duration {
	d := c.Initial
	if c.Backoff == Exponential {
		for i := 1; i < n && d < c.Max; i++ {
			d *= time.Duration(max(c.Multiplier, 1))
		}
	}
	return min(d, c.Max)
}

// Spread draws the wait that is answered for d, with r a random number drawn
// evenly from all 64-bit values. The cap was applied to d before.
func (c Config) Spread(d time.Duration, r uint64) time.Duration {
	switch c.Jitter {
	case EqualJitter:
		return d/2 + draw(d-d/2, r)
	case FullJitter:
		return draw(d, r)
	case AdditiveJitter:
		return d + draw(d/10, r)
	case NoJitter:
	}
	return d
}

// AddMargin draws what a caller waits when the target asked for d: never less,
// at most a second or a tenth more.
func (c Config) AddMargin(d time.Duration, r uint64) time.Duration {
	if !c.Margin || d <= 0 {
		return d
	}
	return d + draw(min(time.Second, d/10), r)
}

// draw maps r evenly to [0, d], in microseconds.
func draw(d time.Duration, r uint64) time.Duration {
	span := uint64(d/time.Microsecond) + 1
	return time.Duration(r%span) * time.Microsecond
}

// Entry is a sum of milli-tokens that counts for the ttl after At.
type Entry struct {
	At    rules.Instant `json:"a"`
	Milli int64         `json:"m"`
}

// Add returns entries with milli-tokens added at now. Entries whose ttl is over
// are dropped; entries of one instant, rounded down to grain, are one. The
// slice that came in is not changed.
func Add(entries []Entry, now rules.Instant, milli int64, ttl, grain time.Duration) []Entry {
	at := now
	if g := rules.Instant(grain / time.Microsecond); g > 0 {
		at -= at % g
	}
	kept := make([]Entry, 0, len(entries)+1)
	for _, e := range entries {
		if now < e.At.Add(ttl) {
			kept = append(kept, e)
		}
	}
	if n := len(kept); n > 0 && kept[n-1].At == at {
		kept[n-1].Milli += milli
		return kept
	}
	return append(kept, Entry{At: at, Milli: milli})
}

// Sum is what entries are worth at now.
func Sum(entries []Entry, now rules.Instant, ttl time.Duration) int64 {
	var sum int64
	for _, e := range entries {
		if now < e.At.Add(ttl) {
			sum += e.Milli
		}
	}
	return sum
}

// Available is the fleet's budget in milli-tokens: the floor and what was
// deposited, less what was withdrawn, both within the ttl.
func (c Config) Available(deposits, withdrawals []Entry, now rules.Instant) int64 {
	return c.FleetFloor + Sum(deposits, now, c.FleetTTL) - Sum(withdrawals, now, c.FleetTTL)
}

// Task is the record of a task's retries in a run, by target.
type Task struct {
	Used      map[string]int `json:"u"`
	UpdatedAt rules.Instant  `json:"up"`
}

// TaskRetention is how long a task's record is kept after its last change.
const TaskRetention = 24 * time.Hour

// maxTaskTargets bounds the record; a task that retried on more targets has
// its further targets counted together.
const maxTaskTargets = 64

// overflow is where the retries on further targets are counted.
const overflow = "*"

// DueAt is when the record may be dropped.
func (t *Task) DueAt() rules.Instant { return t.UpdatedAt.Add(TaskRetention) }

// Count is how many retries the task has used on the target.
func (t *Task) Count(target string) int {
	if t == nil {
		return 0
	}
	if n, ok := t.Used[target]; ok || len(t.Used) < maxTaskTargets {
		return n
	}
	return t.Used[overflow]
}

// Take returns the task after one more retry on the target.
func (t *Task) Take(target string, now rules.Instant) *Task {
	next := &Task{Used: make(map[string]int, 1), UpdatedAt: now}
	if t != nil {
		maps.Copy(next.Used, t.Used)
	}
	if _, ok := next.Used[target]; !ok && len(next.Used) >= maxTaskTargets {
		target = overflow
	}
	next.Used[target]++
	return next
}
