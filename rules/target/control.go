// SPDX-License-Identifier: Apache-2.0

// Package target holds the two records of a target: the control record, which
// decides and is exact, and the tally, which only counts.
package target

import (
	"slices"
	"time"

	"github.com/resilienced/resilienced/rules"
	"github.com/resilienced/resilienced/rules/breaker"
	"github.com/resilienced/resilienced/rules/limit"
	"github.com/resilienced/resilienced/rules/retry"
)

// Control is what decides about a target. It is written only by a command that
// changes it. The zero Control is a fresh target, which has no record.
type Control struct {
	Breaker     breaker.State  `json:"b"`
	Cooldown    limit.Cooldown `json:"c"`
	Slots       []limit.Holder `json:"s,omitempty"`
	Rate        limit.Bucket   `json:"r"`
	Withdrawals []retry.Entry  `json:"w,omitempty"`
	Held        []HeldReporter `json:"h,omitempty"`
	Ramp        Ramp           `json:"ra"`
	UpdatedAt   rules.Instant  `json:"u,omitempty"`
	NextDue     rules.Instant  `json:"d,omitempty"` // see Stamp
}

// HeldReporter is a reporter that is kept from the target alone, because only
// it saw failures that may be its own.
type HeldReporter struct {
	Reporter uint64        `json:"r"`
	Until    rules.Instant `json:"u"`
}

// Ramp counts the grants of one second after a breaker closed.
type Ramp struct {
	Second int64 `json:"s,omitempty"`
	Grants int   `json:"g,omitempty"`
}

// maxHeld bounds the reporters that are held at once; beyond that the one
// whose hold ends first makes room.
const maxHeld = 32

// Retention is how long a control record without trouble is kept: as long as a
// permit of an older generation may still be reported, which is a day after the
// end of its lease. In a record that went earlier it would pass for a new one.
const Retention = 48 * time.Hour

// Event is something that happened to a target at an instant.
type Event struct {
	Transition breaker.Transition
}

// Derive returns the record with everything that is due applied.
func (c Control) Derive(cfg *Config, now rules.Instant) (Control, []breaker.Transition) {
	var made []breaker.Transition
	c.Breaker, made = c.Breaker.Derive(cfg.Breaker, now)
	c.Slots = limit.Live(c.Slots, now)
	if slices.ContainsFunc(c.Held, func(h HeldReporter) bool { return h.Until <= now }) {
		c.Held = slices.DeleteFunc(slices.Clone(c.Held), func(h HeldReporter) bool { return h.Until <= now })
	}
	return c, made
}

// Stamp returns the record as it is to be stored: with the instant at which
// time changes it next, which needs the policy's numbers.
func (c Control) Stamp(cfg *Config, now rules.Instant) *Control {
	c.UpdatedAt = max(c.UpdatedAt, now)
	c.NextDue = rules.Earliest(c.Breaker.Due(cfg.Breaker), limit.FirstExpiry(c.Slots))
	if c.NextDue == 0 {
		c.NextDue = c.UpdatedAt.Add(Retention)
	}
	return &c
}

// Pending reports whether something in a stored record is due, so that it has
// to be derived.
func (c *Control) Pending(now rules.Instant) bool {
	return c.NextDue <= now || slices.ContainsFunc(c.Held, func(h HeldReporter) bool { return h.Until <= now })
}

// TouchedAt is when the record was changed last.
func (c *Control) TouchedAt() rules.Instant { return c.UpdatedAt }

// DueAt is when the sweeper is to look at the record.
func (c *Control) DueAt() rules.Instant { return c.NextDue }

// Facts are the phase of the breaker when the record was last changed.
func (c *Control) Facts() rules.Facts { return rules.Facts{State: c.Breaker.Phase.String()} }

// Fresh reports whether a derived record says nothing any more, so that it may
// go: healthy, held by nobody, and older than any permit of it.
func (c Control) Fresh(now rules.Instant) bool {
	b := c.Breaker
	return b.Phase == breaker.Closed && b.Cycles == 0 && b.Consecutive == 0 && b.Auth == 0 && b.Quality == 0 &&
		len(c.Slots) == 0 && len(c.Held) == 0 && c.Cooldown.Until <= now && now >= c.UpdatedAt.Add(Retention)
}

// HeldFor is how long the reporter is still kept from the target.
func (c Control) HeldFor(reporter uint64, now rules.Instant) time.Duration {
	for _, h := range c.Held {
		if h.Reporter == reporter {
			return h.Until.Until(now)
		}
	}
	return 0
}

// Hold keeps one reporter from the target.
func (c Control) Hold(reporter uint64, until rules.Instant) Control {
	held := slices.DeleteFunc(slices.Clone(c.Held), func(h HeldReporter) bool { return h.Reporter == reporter })
	if len(held) >= maxHeld {
		soonest := slices.IndexFunc(held, func(h HeldReporter) bool { return h.Until == firstEnd(held) })
		held = slices.Delete(held, soonest, soonest+1)
	}
	held = append(held, HeldReporter{Reporter: reporter, Until: until})
	c.Held = held
	return c
}

func firstEnd(held []HeldReporter) rules.Instant {
	var first rules.Instant
	for _, h := range held {
		first = rules.Earliest(first, h.Until)
	}
	return first
}

// Admission is what a control record says to one more call.
type Admission uint8

// The answers that concern limits.
const (
	Admitted Admission = iota
	Full               // CONCURRENCY
	Ramping            // RAMP
	Limited            // RATE_LIMIT
)

// Room asks a derived record whether one more call fits within concurrency,
// ramp and rate, and how long to wait if not. A probe asks nobody.
func (c Control) Room(cfg *Config, median time.Duration, now rules.Instant) (Admission, time.Duration) {
	limited := cfg.Limit.Concurrency
	if elapsed, ramping := c.ramp(cfg, now); ramping && limited > 0 {
		limited = max(1, int(int64(limited)*int64(elapsed)/int64(cfg.Breaker.Ramp)))
		if len(c.Slots) >= limited && len(c.Slots) < cfg.Limit.Concurrency {
			return Ramping, limit.SlotWait(median, limited)
		}
	} else if ramping {
		second := int64(elapsed / time.Second)
		if c.Ramp.Second == second+1 && c.Ramp.Grants >= 1<<min(second, 30) {
			return Ramping, time.Duration(second+1)*time.Second - elapsed
		}
	}
	if limited > 0 && len(c.Slots) >= limited {
		return Full, limit.SlotWait(median, limited)
	}
	if _, wait := c.Rate.Take(cfg.Limit, now); wait > 0 {
		return Limited, wait
	}
	return Admitted, 0
}

// ramp returns the time since the breaker closed while the slow start lasts.
func (c Control) ramp(cfg *Config, now rules.Instant) (time.Duration, bool) {
	if cfg.Breaker.Ramp <= 0 || c.Breaker.Phase != breaker.Closed || c.Breaker.ClosedAt == 0 {
		return 0, false
	}
	elapsed := now.Sub(c.Breaker.ClosedAt)
	return elapsed, elapsed < cfg.Breaker.Ramp
}

// Changes reports whether a grant changes the record, so that it has to be
// held for writing.
func (c Control) Changes(cfg *Config, now rules.Instant) bool {
	_, ramping := c.ramp(cfg, now)
	return ramping || cfg.Limit.Concurrency > 0 || cfg.Limit.Rate > 0
}

// FreeSlot reports whether a call takes one of the target's slots. A call that
// only an observed rule let pass takes none when all are held.
func (c Control) FreeSlot(cfg *Config) bool { return len(c.Slots) < cfg.Limit.Concurrency }

// Grant returns the record after a call that Room admitted, or that passed it
// because the limits are observed.
func (c Control) Grant(cfg *Config, h limit.Holder, now rules.Instant) Control {
	if c.FreeSlot(cfg) {
		c.Slots = limit.With(c.Slots, h)
	}
	if elapsed, ramping := c.ramp(cfg, now); ramping {
		if second := int64(elapsed/time.Second) + 1; c.Ramp.Second != second {
			c.Ramp = Ramp{Second: second}
		}
		c.Ramp.Grants++
	}
	c.Rate, _ = c.Rate.Take(cfg.Limit, now)
	return c
}

// Withdraw takes milli-tokens from the fleet's retry budget.
func (c Control) Withdraw(cfg *Config, milli int64, now rules.Instant) Control {
	c.Withdrawals = retry.Add(c.Withdrawals, now, milli, cfg.Retry.FleetTTL, 0)
	return c
}
