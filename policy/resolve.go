// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"fmt"
	"slices"

	"github.com/resilienced/resilienced/policy/strict"
	"github.com/resilienced/resilienced/rules/retry"
	"github.com/resilienced/resilienced/rules/target"
)

// base is what an entry starts from: its preset and its kind.
func (e *entry) base() target.Config {
	c := preset(e.preset.text)
	setKind(&c, e.kind.text)
	return c
}

// settings are those of an entry; none of a target that no entry matches.
func (e *entry) settings() []strict.Setting[target.Config] {
	if e == nil {
		return nil
	}
	return e.own
}

// build puts a target together: base, then defaults, then what the entry e
// says, if there is one, and then what follows from these. The second result
// says of the fields that follow from others where they come from.
func (p *Policy) build(base target.Config, e *entry) (target.Config, map[string]string) {
	c := base
	for _, s := range p.defaults {
		s.Apply(&c)
	}
	for _, s := range e.settings() {
		s.Apply(&c)
	}
	notes := make(map[string]string)
	p.derive(&c, e, notes)
	if e != nil {
		c.Rules = e.rules.rules
	}
	c.Rules = slices.Concat(c.Rules, p.rules.rules)
	if p.DryRun() {
		for key, flag := range dryFlags() {
			*flag(&c) = true
			notes["enforcement."+key] = p.line(p.dryRun)
		}
	}
	if p.opts.Exact {
		c.Exact, c.Retry.Jitter, c.Retry.Margin, c.Breaker.Ramp = true, retry.NoJitter, false, 0
		for _, path := range []string{"retry.jitter", "retry.retry_after_margin", "breaker.ramp"} {
			notes[path] = "drill"
		}
	}
	if p.opts.Shortest {
		c.Retry.Margin, c.Breaker.Ramp = false, 0
	}
	return c, notes
}

// derive sets the fields that nobody set and that follow from others.
func (p *Policy) derive(c *target.Config, e *entry, notes map[string]string) {
	from := func(path string) string {
		pos, _ := p.origin(e, path)
		return fmt.Sprintf("from %s (%s)", path, p.line(pos))
	}
	// One operation may use its attempts; action stays at none.
	if p.set(e, "retry.max_attempts") && !p.set(e, "retry.task_budget") && c.Kind != presetAction {
		if most := c.Retry.MaxAttempts - 1; most > c.Retry.TaskBudget {
			c.Retry.TaskBudget = most
			notes["retry.task_budget"] = from("retry.max_attempts")
		}
	}
	// A permit may be held for one lease at least.
	if lease := c.CallTimeout + c.LeaseMargin; lease > c.MaxHold && !p.set(e, "max_hold") {
		c.MaxHold = lease
		notes["max_hold"] = "from call_timeout and lease_margin"
		for _, path := range []string{"lease_margin", "call_timeout"} {
			if p.set(e, path) {
				notes["max_hold"] = from(path)
			}
		}
	}
	switch price := priceOf(c); {
	case price.Input == nil && price.Output == nil && price.CachedInput == nil && price.PerCall == nil:
		c.Price = nil
	case price.Currency == "":
		price.Currency = p.runs.Currency
		c.Price = price
		notes["price.currency"] = "runs.currency"
		if pos, ok := p.at["runs.currency"]; ok {
			notes["price.currency"] = fmt.Sprintf("runs.currency (%s)", p.line(pos))
		}
	}
}

// origin is where the entry, or else defaults, sets a field.
func (p *Policy) origin(e *entry, path string) (strict.Position, bool) {
	for _, layer := range [][]strict.Setting[target.Config]{e.settings(), p.defaults} {
		for _, s := range slices.Backward(layer) {
			if s.Field.Path == path {
				return s.Pos, true
			}
		}
	}
	return strict.Position{}, false
}

func (p *Policy) set(e *entry, path string) bool {
	_, ok := p.origin(e, path)
	return ok
}

// line is a place in the form file:line; "default" for none.
func (p *Policy) line(pos strict.Position) string {
	if pos == (strict.Position{}) {
		return "default"
	}
	return fmt.Sprintf("%s:%d", p.file, pos.Line)
}
