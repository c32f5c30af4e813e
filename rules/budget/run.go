// SPDX-License-Identifier: Apache-2.0

// Package budget holds the rules for money: what a run may still spend, what
// its permits reserve, and what calls are estimated to cost and did cost.
//
// A permit is granted only if for its run and every ancestor, in each capped
// dimension, spent + assumed + reserved + estimate is at most the cap. What a
// call costs beyond its reservation is booked in full (semantics §1.7).
// All amounts are int64; there are no floats, and sums saturate.
package budget

import (
	"math"
	"math/bits"
	"slices"
	"time"

	"github.com/resilienced/resilienced/rules"
)

// DefaultSoftPercent is where pressure starts if nobody says otherwise.
const DefaultSoftPercent = 80

// Add returns a + b in each dimension, kept within int64.
func (a Amounts) Add(b Amounts) Amounts {
	return Amounts{Cost: add(a.Cost, b.Cost), Tokens: add(a.Tokens, b.Tokens), Calls: add(a.Calls, b.Calls)}
}

// Less returns a - b in each dimension, never below zero.
func (a Amounts) Less(b Amounts) Amounts {
	return Amounts{Cost: max(a.Cost-b.Cost, 0), Tokens: max(a.Tokens-b.Tokens, 0), Calls: max(a.Calls-b.Calls, 0)}
}

func add(a, b int64) int64 {
	if b > 0 && a > math.MaxInt64-b {
		return math.MaxInt64
	}
	return a + b
}

// Round returns the instant at which a reservation that ends at expires is
// booked as assumed: the end of its grain, so that a run keeps few of them.
func Round(expires rules.Instant, grain time.Duration) rules.Instant {
	g := rules.Instant(grain / time.Microsecond)
	if g <= 1 {
		return expires
	}
	return (expires + g - 1) / g * g
}

// Derive returns the run with every reservation whose time is over booked as
// assumed. It returns the run itself if there is none.
func (r *Run) Derive(now rules.Instant) *Run {
	due := 0
	for due < len(r.Reservations) && r.Reservations[due].Until <= now {
		due++
	}
	if due == 0 {
		return r
	}
	next := *r
	for _, lost := range r.Reservations[:due] {
		next.Reserved = next.Reserved.Less(lost.Amounts)
		next.Assumed = next.Assumed.Add(r.assume(lost.Amounts))
	}
	next.Reservations = slices.Clone(r.Reservations[due:])
	return &next
}

// TouchedAt is when the run was changed last.
func (r *Run) TouchedAt() rules.Instant { return r.UpdatedAt }

// assume is what is booked for permits that were lost: the call may have been
// made, so it counts as one whatever is charged.
func (r *Run) assume(a Amounts) Amounts {
	if r.OnLost == ChargeZero {
		return Amounts{Calls: a.Calls}
	}
	return a
}

// DueAt is when the next reservation is booked as assumed.
func (r *Run) DueAt() rules.Instant {
	if len(r.Reservations) == 0 {
		return 0
	}
	return r.Reservations[0].Until
}

// Reserve returns the run with a permit's amounts held until the instant that
// Round gave.
func (r *Run) Reserve(a Amounts, until, now rules.Instant) *Run {
	next := *r
	next.Reserved = next.Reserved.Add(a)
	next.UpdatedAt = now
	i, found := slices.BinarySearchFunc(r.Reservations, until, byUntil)
	if found {
		next.Reservations = slices.Clone(r.Reservations)
		next.Reservations[i].Amounts = next.Reservations[i].Amounts.Add(a)
		return &next
	}
	next.Reservations = make([]Reservation, 0, len(r.Reservations)+4)
	next.Reservations = append(next.Reservations, r.Reservations[:i]...)
	next.Reservations = append(next.Reservations, Reservation{Until: until, Amounts: a})
	next.Reservations = append(next.Reservations, r.Reservations[i:]...)
	return &next
}

// Admit is Reserve for a grant that the caps allow: Fits has found room for the
// amounts. It notes what was promised, so that a store can check it too.
func (r *Run) Admit(a Amounts, until, now rules.Instant) *Run {
	next := r.Reserve(a, until, now)
	if c := r.Caps; c.Cost != nil || c.Tokens != nil || c.Calls != nil {
		next.Admitted = &Admission{Sum: next.Spent.Add(next.Assumed).Add(next.Reserved), Caps: c}
	}
	return next
}

func byUntil(r Reservation, until rules.Instant) int {
	switch {
	case r.Until < until:
		return -1
	case r.Until > until:
		return 1
	}
	return 0
}

// Settlement is what a permit's report books.
type Settlement struct {
	Reserved Amounts       // what the grant had reserved
	Until    rules.Instant // what Round gave for the end of its lease
	Spent    Amounts       // known to be consumed
	Assumed  Amounts       // believed to be consumed
}

// Settle books a report on a derived run. Before Until the reservation is
// given back; afterwards it stands in assumed and is replaced there.
func (r *Run) Settle(s Settlement, now rules.Instant) *Run {
	next := *r
	next.UpdatedAt = now
	if s.Until > now {
		next.Reserved = next.Reserved.Less(s.Reserved)
		next.Reservations = release(r.Reservations, s.Until, s.Reserved)
	} else {
		next.Assumed = next.Assumed.Less(r.assume(s.Reserved))
	}
	next.Spent = next.Spent.Add(s.Spent)
	next.Assumed = next.Assumed.Add(s.Assumed)
	return &next
}

// Reconcile returns the run with assumed amounts replaced by what was charged.
// A report that comes later still is booked in addition.
func (r *Run) Reconcile(assumed, spent Amounts, now rules.Instant) *Run {
	next := *r
	next.Assumed = next.Assumed.Less(assumed)
	next.Spent = next.Spent.Add(spent)
	next.UpdatedAt = now
	return &next
}

func release(held []Reservation, until rules.Instant, a Amounts) []Reservation {
	i, found := slices.BinarySearchFunc(held, until, byUntil)
	if !found {
		return held
	}
	left := held[i].Amounts.Less(a)
	if left == (Amounts{}) {
		return append(append(make([]Reservation, 0, len(held)), held[:i]...), held[i+1:]...)
	}
	changed := slices.Clone(held)
	changed[i].Amounts = left
	return changed
}

// Move returns the run with a reservation's end moved, for a heartbeat.
func (r *Run) Move(a Amounts, from, to, now rules.Instant) *Run {
	if from == to {
		return r
	}
	moved := *r
	moved.Reserved = moved.Reserved.Less(a)
	moved.Reservations = release(r.Reservations, from, a)
	return moved.Reserve(a, to, now)
}

// StateAt is the run's own state, its ancestors left aside.
func (r *Run) StateAt(now rules.Instant) State {
	if r.Final != 0 {
		return r.Final
	}
	state := Active
	for _, d := range r.limits(now) {
		if d.cap == nil {
			continue
		}
		if d.used >= *d.cap {
			return Exhausted
		}
		if reaches(d.used, *d.cap, r.soft()) {
			state = Pressure
		}
	}
	return state
}

// LimitWall is what ExhaustedBy says of a run whose time is over. The other
// limits have the names of their dimensions.
const LimitWall = "wall"

// ExhaustedBy names the first cap that the run has reached, whether or not it
// has ended; empty if there is none.
func (r *Run) ExhaustedBy(now rules.Instant) string {
	for _, d := range r.limits(now) {
		if d.cap != nil && d.used >= *d.cap {
			return d.name
		}
	}
	return ""
}

// capUse is how much of one cap is used up.
type capUse struct {
	name string
	cap  *int64
	used int64
}

// limits are the caps with what counts towards them, in the order in which a
// refusal names them.
func (r *Run) limits(now rules.Instant) [4]capUse {
	sum := r.Spent.Add(r.Assumed)
	return [...]capUse{
		{string(DimensionCost), r.Caps.Cost, sum.Cost},
		{string(DimensionTokens), r.Caps.Tokens, sum.Tokens},
		{string(DimensionCalls), r.Caps.Calls, sum.Calls},
		{LimitWall, r.Caps.WallMS, now.Sub(r.CreatedAt).Milliseconds()},
	}
}

func (r *Run) soft() int {
	if r.SoftPercent == 0 {
		return DefaultSoftPercent
	}
	return r.SoftPercent
}

// reaches reports used ≥ cap·percent/100 without rounding.
func reaches(used, limit int64, percent int) bool {
	uh, ul := bits.Mul64(uint64(max(used, 0)), 100)
	ch, cl := bits.Mul64(uint64(max(limit, 0)), uint64(percent))
	return uh > ch || (uh == ch && ul >= cl)
}

// Dimension names what a refusal ran into.
type Dimension string

// The dimensions.
const (
	DimensionNone   Dimension = ""
	DimensionCost   Dimension = "cost_micros"
	DimensionTokens Dimension = "tokens"
	DimensionCalls  Dimension = "calls"
)

// In returns one dimension of the amounts.
func (a Amounts) In(d Dimension) int64 {
	switch d {
	case DimensionCost:
		return a.Cost
	case DimensionTokens:
		return a.Tokens
	case DimensionCalls:
		return a.Calls
	case DimensionNone:
	}
	return 0
}

// Fits returns the first capped dimension in which a derived run cannot hold
// the estimate, with what is left there, or DimensionNone.
func (r *Run) Fits(e Amounts) (Dimension, int64) {
	used := r.Spent.Add(r.Assumed).Add(r.Reserved)
	switch {
	case exceeds(used.Cost, e.Cost, r.Caps.Cost):
		return DimensionCost, max(*r.Caps.Cost-used.Cost, 0)
	case exceeds(used.Tokens, e.Tokens, r.Caps.Tokens):
		return DimensionTokens, max(*r.Caps.Tokens-used.Tokens, 0)
	case exceeds(used.Calls, e.Calls, r.Caps.Calls):
		return DimensionCalls, max(*r.Caps.Calls-used.Calls, 0)
	}
	return DimensionNone, 0
}

func exceeds(used, estimate int64, limit *int64) bool {
	return limit != nil && (used > *limit || estimate > *limit-used)
}

// Remaining is what the run may still reserve; nil in a dimension without a
// cap.
func (r *Run) Remaining(now rules.Instant) Caps {
	used := r.Spent.Add(r.Assumed).Add(r.Reserved)
	left := func(limit *int64, used int64) *int64 {
		if limit == nil {
			return nil
		}
		v := max(*limit-used, 0)
		return &v
	}
	return Caps{
		Cost: left(r.Caps.Cost, used.Cost), Tokens: left(r.Caps.Tokens, used.Tokens),
		Calls: left(r.Caps.Calls, used.Calls), WallMS: left(r.Caps.WallMS, now.Sub(r.CreatedAt).Milliseconds()),
	}
}

// Overrun is how far spent money is over the cap; it was spent by calls that
// cost more than they had reserved.
func (r *Run) Overrun() int64 {
	if r.Caps.Cost == nil {
		return 0
	}
	return max(r.Spent.Cost-*r.Caps.Cost, 0)
}

// Blocker returns the first run from the root to the leaf that grants nothing
// any more, with its state; nil if none does. The runs are derived.
func Blocker(path []*Run, now rules.Instant) (*Run, State) {
	for _, r := range path {
		if s := r.StateAt(now); s >= Exhausted {
			return r, s
		}
	}
	return nil, 0
}

// UnderPressure reports whether a run of the path is past its soft threshold.
func UnderPressure(path []*Run, now rules.Instant) bool {
	return slices.ContainsFunc(path, func(r *Run) bool { return r.StateAt(now) == Pressure })
}

// Capped reports whether a run of the path has a cost cap.
func Capped(path []*Run) bool {
	return slices.ContainsFunc(path, func(r *Run) bool { return r.Caps.Cost != nil })
}
