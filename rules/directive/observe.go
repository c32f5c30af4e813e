// SPDX-License-Identifier: Apache-2.0

package directive

import (
	"time"

	"github.com/resilienced/resilienced/rules/admit"
	"github.com/resilienced/resilienced/rules/target"
)

// This file says what the tree may look at of what this service knows besides
// the signal. A rule that is only computed at the permit's level is not looked
// at: the caller does what it would do without this service. What bounds an
// operation by itself holds in any case: its deadline and its attempts.

// observed reports that a rule is only computed at the permit's level.
func (f *Facts) observed() bool {
	c := f.World.Levels[f.Level].Config
	return f.World.Dry(c.DryBreaker || c.DryBudget || c.DryLimit || c.DryRetry)
}

// observe walks the tree without the rules that are only computed, and once
// more with them. The directive takes no allowance that theirs does not take.
func observe(f *Facts) Directive {
	d := walk(f)
	facts, world := *f, *f.World
	world.Enforced = true
	facts.World = &world
	ruled := walk(&facts)
	d.TakeTask = d.TakeTask && ruled.TakeTask
	d.TakeFleet = min(d.TakeFleet, ruled.TakeFleet)
	d.Unpaid = d.Action != ruled.Action || d.Next != ruled.Next
	if d.Unpaid || d.Delay != ruled.Delay || d.Terminal != ruled.Terminal {
		d.Would = &Would{Action: ruled.Action, Reason: ruled.reason()}
	}
	return d
}

// reason is what this service knows that a directive follows from.
func (d *Directive) reason() admit.Reason {
	switch {
	case d.Because != admit.None:
		return d.Because
	case d.RetryDenied != admit.None:
		return d.RetryDenied
	}
	return admit.Cooldown // what else moves a directive is the fleet's wait
}

func (t *tree) config() *target.Config { return t.World.Levels[t.Level].Config }

// passing: the breaker does not stand in the way.
func (t *tree) passing() bool {
	return t.World.Dry(t.config().DryBreaker) || t.World.Levels[t.Level].Control.Breaker.Passing()
}

// failing: the target shows the pattern of an outage, or its breaker is not
// closed.
func (t *tree) failing() bool {
	return !t.World.Dry(t.config().DryBreaker) &&
		(t.World.Levels[t.Level].Control.Breaker.Pattern5xx(t.World.Now) || !t.passing())
}

// sustained: the target is out for long.
func (t *tree) sustained() bool {
	return !t.World.Dry(t.config().DryBreaker) &&
		t.World.Levels[t.Level].Control.Breaker.SustainedOutage(t.config().Breaker, t.World.Now)
}

// cooldown is what is left of the fleet's.
func (t *tree) cooldown() time.Duration {
	if t.World.Dry(t.config().DryLimit) {
		return 0
	}
	return t.World.Levels[t.Level].Cooldown.Remaining(t.World.Now)
}

// attemptsLeft bounds what is advised, also where the rule is only computed:
// who obeys must not retry for longer than the policy would let him. Acquire
// grants a further attempt all the same.
func (t *tree) attemptsLeft() bool {
	return t.counters().Attempts < admit.Allowed(t.Query.MaxAttempts, t.config().Retry, t.Level)
}

// tired: the operation has seen enough timeouts of the target.
func (t *tree) tired() bool {
	return !t.World.Dry(t.config().DryRetry) && t.counters().Timeouts >= manyTimeouts
}

func (t *tree) taskLeft() bool {
	return t.World.Dry(t.config().DryRetry) || admit.TaskUsed(t.World, t.config().Name) < t.Query.TaskBudget
}

func (t *tree) fleetLeft(cost int64) bool {
	return t.World.Dry(t.config().DryRetry) || admit.Available(t.World, t.Level) >= cost
}
