// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"time"

	"github.com/resilienced/resilienced/policy/strict"
	"github.com/resilienced/resilienced/rules/budget"
	"github.com/resilienced/resilienced/rules/limit"
	"github.com/resilienced/resilienced/rules/target"
)

// check notes what does not fit together in an entry, or in defaults with e
// nil: fields that contradict each other, and fields without effect.
func (p *Policy) check(d *strict.Decoder, e *entry) {
	c := checker{Policy: p, d: d, e: e, Config: &p.unnamed}
	if e != nil {
		c.Config = &e.config
	}
	c.order("breaker.cooldown_base", c.Breaker.CooldownBase, "breaker.cooldown_max", c.Breaker.CooldownMax)
	c.order("retry.initial", c.Retry.Initial, "retry.max", c.Retry.Max)
	if c.Breaker.SlowAfter > 0 && c.SlowFailsAfter > 0 {
		c.order("breaker.slow_call_after", c.Breaker.SlowAfter, "breaker.slow_call_fails_after", c.SlowFailsAfter)
	}
	if lease := c.CallTimeout + c.LeaseMargin; lease > c.MaxHold {
		c.fail("max_hold", "max_hold is %s, and a lease (call_timeout and lease_margin) takes %s; write at least that",
			strict.FormatDuration(c.MaxHold), strict.FormatDuration(lease))
	}
	c.window()
	c.rate()
	if c.Limit.Scope == limit.ScopeProvider && c.Provider == "" {
		c.fail("cooldown.scope", "the scope PROVIDER needs a provider; write provider, or another scope")
	}
	if c.UnknownPrice == budget.UseFallbackPrice && c.DefaultEstimate == nil {
		c.fail("unknown_price", "FALLBACK_PRICE needs default_estimate, the micro-USD to assume for a call; write it too")
	}
}

// checker is one entry, or defaults, under check.
type checker struct {
	*Policy
	*target.Config

	d *strict.Decoder
	e *entry
}

// fail notes a problem with a field, where it is set. Of a field that nobody
// set it is noted for the entry.
func (c *checker) fail(path, format string, args ...any) {
	for _, s := range c.e.settings() {
		if s.Field.Path == path {
			c.d.Fail(s.Pos, c.e.path+"."+path, format, args...)
			return
		}
	}
	if pos, ok := c.origin(nil, path); ok {
		c.d.Fail(pos, "defaults."+path, format, args...)
	} else if c.e != nil {
		c.d.Fail(c.e.pos, c.e.path, format, args...)
	}
}

// order notes a minimum that is greater than its maximum, at the one that the
// file sets.
func (c *checker) order(low string, least time.Duration, high string, most time.Duration) {
	if least <= most {
		return
	}
	path, pos := low, strict.Position{}
	for _, candidate := range []string{low, high} {
		if found, ok := c.origin(c.e, candidate); ok && (pos == strict.Position{} || found.Line > pos.Line) {
			path, pos = candidate, found
		}
	}
	c.fail(path, "%s is %s and %s is %s; raise the one or lower the other",
		low, strict.FormatDuration(least), high, strict.FormatDuration(most))
}

// window notes what an entry says of a rate window that is switched off.
func (c *checker) window() {
	if c.Breaker.Window > 0 || c.e == nil {
		return
	}
	for _, s := range c.e.own {
		switch s.Field.Path {
		case "breaker.failure_percent", "breaker.slow_percent", "breaker.min_calls":
			c.fail(s.Field.Path, "this has no effect while the window is off; write breaker.window too, such as 60s")
		}
	}
}

// rate notes a rate that lacks one of its two numbers.
func (c *checker) rate() {
	if c.Limit.Rate > 0 && c.Limit.Per == 0 {
		c.fail("limit.rate.tokens", "a rate needs the time that the tokens are for; write per too, such as per: 1m")
	}
	if c.Limit.Rate > 0 {
		return
	}
	for _, path := range []string{"limit.rate.per", "limit.rate.burst"} {
		if c.set(c.e, path) && !c.set(c.e, "limit.rate.tokens") {
			c.fail(path, "this has no effect without a rate; write limit.rate.tokens too")
		}
	}
}
