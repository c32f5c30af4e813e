// SPDX-License-Identifier: Apache-2.0

package directive

import (
	"time"

	"github.com/resilienced/resilienced/rules/admit"
	"github.com/resilienced/resilienced/rules/classify"
	"github.com/resilienced/resilienced/rules/escalation"
	"github.com/resilienced/resilienced/rules/fallback"
	"github.com/resilienced/resilienced/rules/operation"
	"github.com/resilienced/resilienced/rules/retry"
)

// manyTimeouts on one target end an operation's patience with it (R25).
const manyTimeouts = 2

// emptyRetries is how often an empty answer is asked for again (R35).
const emptyRetries = 1

// want is T8: what would be right if everything allowed it.
func (t *tree) want() {
	t.d.Rule = "T8"
	v := &t.Verdict
	config := t.config()
	switch {
	case leavesProvider(v.Reason):
		if v.Reason == classify.ReasonAuth || v.Reason == classify.ReasonForbidden {
			t.raise(escalation.TypeAuthFailure)
		}
		t.fallBack(fallback.CrossProvider)
	case v.Reason == classify.ReasonRateLimited:
		if hold := t.hold(); hold < config.Retry.StayLimit {
			t.stay(max(t.backoff(), hold))
		} else {
			if t.asked() < config.Retry.StayLimit {
				t.d.Because = admit.Cooldown
			}
			t.fallBack(fallback.SameProviderCheaper)
		}
	case v.Reason == classify.ReasonRateLimitedHard:
		t.fallBack(fallback.SameProviderCheaper)
	case v.Class == classify.Quality:
		t.quality()
	case v.Reason == classify.ReasonRefused && t.refused() == 0 && !v.NoRetry:
		t.transparent()
	case v.Class == classify.Persistent:
		t.fallBack(fallback.CrossProvider)
	case v.Reason == classify.ReasonTimeout && t.tired():
		t.d.Because = admit.AttemptsExhausted
		t.fallBack(fallback.CrossProvider)
	case t.sustained():
		t.d.Because = admit.BreakerOpen
		t.fallBack(t.outageKind())
	case t.failing():
		t.d.Because = admit.BreakerOpen
		t.fallBack(fallback.CrossProvider)
	default:
		t.stay(max(t.backoff(), t.hold()))
	}
}

// leavesProvider: the provider as a whole, or the credential, is of no use.
func leavesProvider(r classify.Reason) bool {
	switch r {
	case classify.ReasonAuth, classify.ReasonForbidden, classify.ReasonTLSConfig, classify.ReasonQuotaExhausted:
		return true
	default:
		return false
	}
}

// quality goes elsewhere with a bad answer, after the retries that are allowed.
func (t *tree) quality() {
	allowed := t.World.Levels[t.Level].Config.Retry.QualityRetries
	switch t.Verdict.Reason {
	case classify.ReasonTruncated:
		t.d.Action = operation.Stop
		return
	case classify.ReasonEmpty:
		allowed = max(allowed, emptyRetries)
	case classify.ReasonRefusal, classify.ReasonSemantic:
		allowed = 0
	default:
	}
	if t.counters().Quality < allowed {
		t.d.QualityRetry = true
		t.stay(t.hold())
		return
	}
	t.fallBack(fallback.CrossProvider)
}

// counters are the operation's on this level, the attempt included.
func (t *tree) counters() operation.Level {
	if d := t.World.Op.Detail; d != nil && t.Level < len(d.Levels) {
		return d.Levels[t.Level]
	}
	return operation.Level{}
}

// outageKind is where a sustained outage leads: to an own host when no vendor
// is left, else to another vendor.
func (t *tree) outageKind() fallback.Kind {
	if t.World.Chain.SustainedJump {
		return fallback.SelfHosted
	}
	allOut, cross := true, false
	for i := range t.World.Levels {
		l := &t.World.Levels[i]
		if l.Kind >= fallback.SelfHosted {
			continue
		}
		allOut = allOut && l.Control.Breaker.SustainedOutage(l.Config.Breaker, t.World.Now)
		cross = cross || (l.Kind == fallback.CrossProvider && t.free(i) && t.admissible(i, nil))
	}
	if cross && !allOut {
		return fallback.CrossProvider
	}
	return fallback.SelfHosted
}

// backoff is the wait before the next retry on this level, with its jitter.
func (t *tree) backoff() time.Duration {
	c := t.World.Levels[t.Level].Config.Retry
	return c.Spread(c.Wait(t.counters().Backoffs+1), t.Rand)
}

// throttled: the target asked for less, so a retry costs less.
func (t *tree) throttled() bool { return t.Verdict.Class == classify.Pressure }

// stay is T9: retry here if everything that bounds retries allows it.
func (t *tree) stay(delay time.Duration) {
	c := t.World.Levels[t.Level].Config.Retry
	cost := int64(retry.CostTransient)
	if t.throttled() {
		cost = retry.CostThrottle
	}
	denied := t.denied(delay, cost)
	if denied == admit.None && !t.Verdict.NoRetry && delay <= c.MaxInlineWait {
		if t.hold() > 0 {
			delay = c.AddMargin(delay, t.Rand)
		}
		t.retry(delay, cost)
		return
	}
	t.d.RetryDenied, t.d.QualityRetry = denied, false
	kind := fallback.CrossProvider
	if rateLimit(t.Verdict.Reason) {
		kind = fallback.SameProviderCheaper
	}
	t.fallBack(kind)
}

func rateLimit(r classify.Reason) bool {
	return r == classify.ReasonRateLimited || r == classify.ReasonRateLimitedHard
}

// denied names the first condition of a retry that is not met (C8).
func (t *tree) denied(delay time.Duration, cost int64) admit.Reason {
	switch {
	case !t.attemptsLeft():
		return admit.AttemptsExhausted
	case !t.taskLeft():
		return admit.TaskRetryBudget
	case !t.fleetLeft(cost):
		return admit.FleetRetryBudget
	case t.Query.Deadline > 0 && delay > t.Query.Deadline:
		return admit.Deadline
	case !t.passing():
		return admit.BreakerOpen
	case !t.affordable():
		return admit.RunBudget
	}
	return admit.None
}

// affordable: another call like this one fits into every run of the path.
func (t *tree) affordable() bool {
	if t.World.Dry(t.config().DryBudget) {
		return true
	}
	for _, r := range t.World.Runs {
		if dimension, _ := r.Fits(t.Reserved); dimension != "" {
			return false
		}
	}
	return true
}

func (t *tree) retry(delay time.Duration, cost int64) {
	t.d.Action, t.d.Delay, t.d.Next = operation.Retry, delay, t.Level
	t.d.TakeTask, t.d.TakeFleet = true, cost
	t.d.RestartCall = t.Verdict.Reason == classify.ReasonStreamBroken
	t.d.RestartWaits = t.Verdict.HasRetryAfter && t.Verdict.RetryAfter > 0
}
