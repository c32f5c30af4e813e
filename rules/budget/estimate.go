// SPDX-License-Identifier: Apache-2.0

package budget

import (
	"math"
	"math/bits"
)

// Source says where an estimate came from.
type Source uint8

// The sources of an estimate.
const (
	SourceNone     Source = iota // no price, and none is needed
	SourceExplicit               // the caller's own figure
	SourceTokens                 // tokens by the price list
	SourcePerCall                // the price of one call
	SourceHistory                // what 95 of 100 recent calls cost at most, and a quarter more
	SourceDefault                // the policy's default_estimate
	SourceUnpriced               // unknown, and the policy allows it
)

// String returns the source in upper snake case.
func (s Source) String() string {
	return [...]string{"NONE", "EXPLICIT", "TOKENS", "PER_CALL", "HISTORY", "DEFAULT", "UNPRICED"}[s]
}

// perMillion is the number of units that a token price is for.
const perMillion = 1_000_000

// MaxAmount is the largest amount that a request may name: 1e15, a billion
// dollars in micro-USD. It keeps sums far from their limits.
const MaxAmount = 1_000_000_000_000_000

// Question is what an estimate is made from.
type Question struct {
	Estimate Estimate
	Price    *Price // of the level's target; nil: unknown
	// History is the 95th percentile of recent costs of the target; -1: none.
	History int64
	Default *int64 // policy's default_estimate
	Unknown Unknown
	Deeper  bool // a level below the first
	// Needed: a run with a cost cap pays, so the cost must be known.
	Needed bool
}

// Cost returns what to reserve for a call and where the figure came from. It
// reports false if the price is needed and unknown.
func (q Question) Cost() (int64, Source, bool) {
	own, source, known := q.own()
	if e := q.Estimate.Cost; e != nil && (!q.Deeper || !known || *e <= own) {
		return *e, SourceExplicit, true
	}
	switch {
	case known:
		return own, source, true
	case !q.Needed:
		return 0, SourceNone, true
	case q.Unknown == AllowUnpriced:
		return 0, SourceUnpriced, true
	case q.Unknown == UseFallbackPrice && q.Default != nil:
		return *q.Default, SourceDefault, true
	}
	return 0, SourceNone, false
}

// own is what the target's price, history or default say.
func (q Question) own() (int64, Source, bool) {
	p := q.Price
	if p == nil {
		return 0, SourceNone, false
	}
	if tokens, ok := q.tokens(); ok {
		return tokens, SourceTokens, true
	}
	switch {
	case p.PerCall != nil:
		return *p.PerCall, SourcePerCall, true
	case q.History >= 0:
		return add(q.History, (q.History+3)/4), SourceHistory, true
	case q.Default != nil:
		return *q.Default, SourceDefault, true
	}
	return 0, SourceNone, false
}

// tokens prices the tokens that the caller named, if every one has a price.
func (q Question) tokens() (int64, bool) {
	e, p := q.Estimate, q.Price
	if e.Input == nil && e.MaxOutput == nil {
		return 0, false
	}
	sum := int64(0)
	if p.PerCall != nil {
		sum = *p.PerCall
	}
	for _, part := range [...]struct{ units, price *int64 }{{e.Input, p.Input}, {e.MaxOutput, p.Output}} {
		if part.units == nil {
			continue
		}
		if part.price == nil {
			return 0, false
		}
		sum = add(sum, Charge(*part.units, *part.price))
	}
	return sum, true
}

// Charge is units·price/1e6, rounded up, in 128 bits; it saturates.
func Charge(units, price int64) int64 {
	hi, lo := bits.Mul64(uint64(max(units, 0)), uint64(max(price, 0)))
	if hi >= perMillion {
		return math.MaxInt64
	}
	q, r := bits.Div64(hi, lo, perMillion)
	if r > 0 {
		q++
	}
	if q > math.MaxInt64 {
		return math.MaxInt64
	}
	return int64(q)
}

// EstimateTokens is what a call reserves in the token dimension: what it sends
// and the most that it may get. Without figures it is zero: most calls of
// tools use none, and what comes is settled in full.
func (e Estimate) EstimateTokens() int64 {
	sum := int64(0)
	for _, n := range [...]*int64{e.Input, e.MaxOutput} {
		if n != nil {
			sum = add(sum, *n)
		}
	}
	return sum
}

// Tokens is how many billable tokens were used: input less cached, and output.
// It reports false if the caller named none.
func (u Usage) Tokens() (int64, bool) {
	if u.Input == nil && u.Output == nil {
		return 0, false
	}
	value := func(p *int64) int64 {
		if p == nil {
			return 0
		}
		return *p
	}
	return add(max(value(u.Input)-value(u.Cached), 0), value(u.Output)), true
}

// Price returns what the usage cost: the caller's figure, or its tokens by the
// price list. It reports false if neither is known.
func (u Usage) Price(p *Price) (int64, bool) {
	if u.Cost != nil {
		return *u.Cost, true
	}
	if p == nil || (u.Input == nil && u.Output == nil) {
		return 0, false
	}
	fresh, cached := u.Input, u.Cached
	if fresh != nil && cached != nil {
		rest := max(*fresh-*cached, 0)
		fresh = &rest
	}
	cachedPrice := p.CachedInput
	if cachedPrice == nil {
		cachedPrice = p.Input
	}
	sum := int64(0)
	if p.PerCall != nil {
		sum = *p.PerCall
	}
	for _, part := range [...]struct{ units, price *int64 }{{fresh, p.Input}, {cached, cachedPrice}, {u.Output, p.Output}} {
		if part.units == nil || *part.units == 0 {
			continue
		}
		if part.price == nil {
			return 0, false
		}
		sum = add(sum, Charge(*part.units, *part.price))
	}
	return sum, true
}
