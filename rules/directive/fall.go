// SPDX-License-Identifier: Apache-2.0

package directive

import (
	"slices"
	"time"

	"github.com/resilienced/resilienced/rules/admit"
	"github.com/resilienced/resilienced/rules/breaker"
	"github.com/resilienced/resilienced/rules/classify"
	"github.com/resilienced/resilienced/rules/deadletter"
	"github.com/resilienced/resilienced/rules/escalation"
	"github.com/resilienced/resilienced/rules/fallback"
	"github.com/resilienced/resilienced/rules/operation"
	"github.com/resilienced/resilienced/rules/retry"
)

// fallBack is T10: another level of kind k or beyond, else one wait, else the
// end.
func (t *tree) fallBack(k fallback.Kind) {
	suspects := t.suspects()
	if i := t.search(k, suspects); i >= 0 {
		t.fall(i)
		return
	}
	if i := t.lastResort(k, suspects); i >= 0 {
		t.fall(i)
		return
	}
	wait, known := t.smallestWait(k, suspects)
	if delay := max(t.backoff(), wait); known && t.mayWait(delay) {
		c := t.World.Levels[t.Level].Config.Retry
		t.retry(c.AddMargin(delay, t.Rand), retry.CostThrottle)
		return
	}
	t.exhausted(wait)
}

// suspects are the credentials that are of no use to this operation.
func (t *tree) suspects() []string {
	suspects := t.World.Op.Detail.Suspect
	switch t.Verdict.Reason {
	case classify.ReasonAuth, classify.ReasonForbidden, classify.ReasonQuotaExhausted:
		if own := t.World.Levels[t.Level].Config.Credential; own != "" {
			return append(slices.Clip(suspects), own)
		}
	default:
	}
	return suspects
}

// search finds the level of a FALLBACK, or -1.
func (t *tree) search(k fallback.Kind, suspects []string) int {
	for _, i := range t.World.Chain.Search(k, t.visited) {
		if t.World.Levels[i].Kind == fallback.HumanQueue || t.admissible(i, suspects) {
			return i
		}
	}
	return -1
}

// lastResort: when the target is out for transport, a cheaper model of the
// same provider is another pool, and used before giving up.
func (t *tree) lastResort(k fallback.Kind, suspects []string) int {
	for i := range t.World.Levels {
		if t.World.Levels[i].Kind < k && t.cheaperHelps(i) && t.free(i) && t.admissible(i, suspects) {
			return i
		}
	}
	return -1
}

// cheaperHelps reports whether a level is such another pool, and whether what
// is wrong with the target leaves it any use.
func (t *tree) cheaperHelps(i int) bool {
	state := &t.World.Levels[t.Level].Control.Breaker
	return t.World.Levels[i].Kind == fallback.SameProviderCheaper && !t.passing() && state.Cause != breaker.CauseAuth &&
		state.Cause != breaker.CauseQuality && !leavesProvider(t.Verdict.Reason)
}

func (t *tree) visited(i int) bool { return t.World.Op.Tried(i) > 0 || i == t.Level }

func (t *tree) free(i int) bool { return i < len(t.World.Levels) && !t.visited(i) }

func (t *tree) admissible(i int, suspects []string) bool {
	if admit.Suspect(t.World.Levels[i].Config, suspects) || t.World.Levels[i].Kind == fallback.HumanQueue {
		return false
	}
	look := t.Query.At(t.World, i)
	return look.Passes()
}

// fall takes a level. A queue of people is not called but asked.
func (t *tree) fall(i int) {
	if t.World.Levels[i].Kind == fallback.HumanQueue {
		t.escalate(escalation.TypeUnspecified)
		return
	}
	t.d.Action, t.d.Next, t.d.Delay = operation.Fallback, i, 0
}

// smallestWait is how soon one of the levels that are left, this one
// included, may answer; false if nobody knows.
func (t *tree) smallestWait(k fallback.Kind, suspects []string) (time.Duration, bool) {
	best, known := time.Duration(0), false
	for i := range t.World.Levels {
		l := &t.World.Levels[i]
		if i != t.Level && (t.visited(i) || (l.Kind < k && !t.cheaperHelps(i)) || l.Kind == fallback.HumanQueue ||
			admit.Suspect(l.Config, suspects)) {
			continue
		}
		wait, ok := t.waitOf(i)
		if ok && (!known || wait < best) {
			best, known = wait, true
		}
	}
	return best, known
}

// waitOf is the longer of a level's breaker and cooldown.
func (t *tree) waitOf(i int) (time.Duration, bool) {
	l := &t.World.Levels[i]
	wait := time.Duration(0)
	if !t.World.Dry(l.Config.DryBreaker) {
		var gate breaker.Gate
		gate, wait = l.Control.Breaker.Check(l.Config.Breaker, t.World.Now, t.Query.Idempotent)
		if gate == breaker.GateForcedOpen && wait == 0 {
			return 0, false
		}
	}
	if !t.World.Dry(l.Config.DryLimit) {
		wait = max(wait, l.Cooldown.Remaining(t.World.Now))
	}
	if i == t.Level {
		wait = max(wait, t.hold())
		return wait, true
	}
	look := t.Query.At(t.World, i)
	if wait == 0 && !look.Passes() && look.Delay == 0 {
		return 0, false
	}
	return max(wait, look.Delay), true
}

// mayWait is the guard of the one retry that is promised without a level to
// go to (C22).
func (t *tree) mayWait(wait time.Duration) bool {
	c := t.config().Retry
	switch t.d.RetryDenied {
	case admit.AttemptsExhausted, admit.TaskRetryBudget, admit.FleetRetryBudget:
		return false
	default:
	}
	return t.Level == 0 && !leavesProvider(t.Verdict.Reason) && !t.Verdict.NoRetry &&
		(rateLimit(t.Verdict.Reason) || !t.passing()) &&
		wait <= c.MaxInlineWait && (t.Query.Deadline <= 0 || wait <= t.Query.Deadline) &&
		t.attemptsLeft() && t.taskLeft() && t.fleetLeft(retry.CostThrottle) && t.affordable()
}

// exhausted: no level is left.
func (t *tree) exhausted(wait time.Duration) {
	switch t.World.Chain.OnExhausted {
	case fallback.ThenEscalate:
		t.escalate(escalation.TypeUnspecified)
	case fallback.ThenDeadLetter:
		if t.Envelope {
			t.d.Action, t.d.State = operation.DeadLetter, operation.DeadLettered
			t.letter(deadletter.PolicyFor(t.Verdict.Reason, false), t.Verdict.Reason)
			return
		}
		t.d.Action, t.d.Delay = operation.Stop, wait
	case fallback.ThenStop:
		t.d.Action, t.d.Delay = operation.Stop, wait
	}
}
