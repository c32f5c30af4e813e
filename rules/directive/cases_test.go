// SPDX-License-Identifier: Apache-2.0

package directive_test

import (
	"testing"
	"time"

	"github.com/resilienced/resilienced/rules/admit"
	"github.com/resilienced/resilienced/rules/breaker"
	"github.com/resilienced/resilienced/rules/budget"
	"github.com/resilienced/resilienced/rules/classify"
	"github.com/resilienced/resilienced/rules/deadletter"
	"github.com/resilienced/resilienced/rules/directive"
	"github.com/resilienced/resilienced/rules/escalation"
	"github.com/resilienced/resilienced/rules/fallback"
	"github.com/resilienced/resilienced/rules/operation"
)

// reason is the verdict of the first row, or variant, with a reason.
func reason(r classify.Reason) classify.Verdict {
	for _, row := range append(classify.Rows(), classify.Variants()...) {
		if row.Reason == r {
			return classify.Verdict{
				Rule: row.ID, Class: row.Class, Reason: row.Reason, Certainty: row.Certainty, Effect: row.Effect,
				Unprocessed: row.Unprocessed, QualityFailure: row.QualityFailure, AuthFailure: row.AuthFailure,
			}
		}
	}
	panic("no row has reason " + r)
}

// after adds the wait that the target asked for, and the cooldown it set.
func after(r classify.Reason, wait time.Duration) classify.Verdict {
	v := reason(r)
	v.RetryAfter, v.HasRetryAfter, v.Cooldown = wait, true, wait
	return v
}

// idem is the facts of a first attempt of an idempotent operation.
func idem(v classify.Verdict, kinds ...fallback.Kind) *directive.Facts {
	f := facts(v, true, false, true, kinds...)
	if v.Cooldown > 0 {
		f.World.Levels[0].Cooldown.Until = f.World.Now.Add(v.Cooldown)
	}
	return f
}

// opened puts level 0's breaker into OPEN.
func opened(f *directive.Facts, cause breaker.Cause, left time.Duration) {
	f.World.Levels[0].Control.Breaker = breaker.State{Phase: breaker.Open, Cause: cause, OpenUntil: f.World.Now.Add(left), Cycles: 1}
}

// TestStoppedRunLocksWhatMayHaveHappened: T1 comes before T5, and must not leave
// a payment whose outcome is unknown open for another try.
func TestStoppedRunLocksWhatMayHaveHappened(t *testing.T) {
	for r, want := range map[classify.Reason]operation.State{
		classify.ReasonTimeout: operation.Locked, classify.ReasonSchema: operation.Locked,
		classify.ReasonConnect: operation.Open, classify.ReasonCancelled: operation.Open,
	} {
		f := facts(reason(r), false, true, true, fallback.Primary)
		f.World.Runs = []*budget.Run{{ID: "r", Final: budget.Stopped}}
		if d := directive.Decide(f); d.Action != operation.Stop || !d.Terminal || d.State != want {
			t.Errorf("%s: %+v", r, d)
		}
	}
}

// TestLateCancelKeepsTheLock: a lost permit locked the operation, and that its
// caller gave up unlocks nothing; that the call never left does.
func TestLateCancelKeepsTheLock(t *testing.T) {
	for r, want := range map[classify.Reason]operation.State{
		classify.ReasonCancelled: operation.Locked, classify.ReasonConnect: operation.Open, classify.ReasonOK: operation.Succeeded,
	} {
		f := facts(reason(r), false, false, true, fallback.Primary)
		f.World.Op.State = operation.Locked
		if d := directive.Decide(f); d.State != want {
			t.Errorf("%s: %+v", r, d)
		}
	}
}

// TestQualityRetryKeepsTheCooldown: nobody retries into a wait that the whole
// fleet keeps.
func TestQualityRetryKeepsTheCooldown(t *testing.T) {
	f := idem(reason(classify.ReasonEmpty), fallback.Primary)
	if d := directive.Decide(f); d.Action != operation.Retry || d.Delay != 0 || !d.QualityRetry {
		t.Errorf("without a cooldown: %+v", d)
	}
	f.World.Levels[0].Cooldown.Until = f.World.Now.Add(5 * time.Second)
	if d := directive.Decide(f); d.Action != operation.Retry || d.Delay != 5*time.Second {
		t.Errorf("in a cooldown: %+v", d)
	}
	f.World.Op.Detail.At(0).Quality = 1
	if d := directive.Decide(f); d.Action != operation.DeadLetter || d.QualityRetry {
		t.Errorf("the second time: %+v", d)
	}
}

// TestOnlyTheTargetsOwnWaitRestartsTheBackoff: a cooldown that others caused
// does not.
func TestOnlyTheTargetsOwnWaitRestartsTheBackoff(t *testing.T) {
	f := idem(reason(classify.ReasonServerError), fallback.Primary)
	f.World.Levels[0].Cooldown.Until = f.World.Now.Add(5 * time.Second)
	if d := directive.Decide(f); d.Action != operation.Retry || d.Delay != 5*time.Second || d.RestartWaits {
		t.Errorf("the fleet's: %+v", d)
	}
	if d := directive.Decide(idem(after(classify.ReasonServerError, 5*time.Second), fallback.Primary)); !d.RestartWaits || d.Delay != 5*time.Second {
		t.Errorf("the target's: %+v", d)
	}
	if d := directive.Decide(idem(after(classify.ReasonServerError, 0), fallback.Primary)); d.RestartWaits || d.Delay != time.Second {
		t.Errorf("the target's of zero: %+v", d)
	}
}

// TestDeterministicStaysWhereItMust: what may not be made twice is not carried
// to another level, and a conflict that may not be retried stops cleanly.
func TestDeterministicStaysWhereItMust(t *testing.T) {
	for _, r := range []classify.Reason{classify.ReasonContextLimit, classify.ReasonNotFound} {
		for _, idempotent := range []bool{true, false} {
			f := facts(reason(r), idempotent, true, true, fallback.Primary, fallback.SameProviderCheaper)
			f.World.Levels[0].Config.MaxContext, f.World.Levels[1].Config.MaxContext = 10, 20
			want := operation.Stop
			if idempotent {
				want = operation.Fallback
			}
			if d := directive.Decide(f); d.Action != want || (want == operation.Stop) != (d.State == operation.Stopped) {
				t.Errorf("%s, idempotent %t: %+v", r, idempotent, d)
			}
		}
	}
	v := reason(classify.ReasonConflict)
	v.InProgress = true
	f := idem(v, fallback.Primary, fallback.CrossProvider)
	f.Key = true
	if d := directive.Decide(f); d.Action != operation.Retry || d.Delay != time.Second {
		t.Errorf("the first call is still running: %+v", d)
	}
	f.World.Op.Detail.At(0).Attempts = 3
	d := directive.Decide(f)
	if d.Action != operation.Stop || d.Next != -1 || d.Letter != nil || d.Escalation != nil || d.TakeTask || d.State != operation.Stopped {
		t.Errorf("and no attempt is left: %+v", d)
	}
}

// TestLargerContext goes behind the highest level first, and never to one whose
// context nobody knows.
func TestLargerContext(t *testing.T) {
	f := idem(reason(classify.ReasonContextLimit), fallback.Primary, fallback.CrossProvider, fallback.CrossProvider, fallback.CrossProvider)
	for i, size := range []int64{100, 200, 50, 150} {
		f.World.Levels[i].Config.MaxContext = size
	}
	f.World.Op.Detail.At(2).Attempts = 1
	if d := directive.Decide(f); d.Action != operation.Fallback || d.Next != 3 {
		t.Errorf("%+v", d)
	}
	f.World.Levels[0].Config.MaxContext = 0
	if d := directive.Decide(f); d.Action != operation.Stop {
		t.Errorf("nothing is larger than what is not known: %+v", d)
	}
}

// TestAuthAlwaysAlerts, wherever the call goes next.
func TestAuthAlwaysAlerts(t *testing.T) {
	for want, kinds := range map[operation.Action][]fallback.Kind{
		operation.Fallback: {fallback.Primary, fallback.CrossProvider}, operation.DeadLetter: {fallback.Primary, fallback.SameProviderCheaper},
		operation.Escalate: {fallback.Primary, fallback.HumanQueue},
	} {
		d := directive.Decide(idem(reason(classify.ReasonAuth), kinds...))
		if d.Action != want || d.Escalation == nil || d.Escalation.Type != escalation.TypeAuthFailure {
			t.Errorf("%v: %+v", want, d)
		}
		if d.Letter != nil && d.Letter.Policy != deadletter.Manual {
			t.Errorf("the letter is %v", d.Letter.Policy)
		}
	}
}

// TestPersistentLeaves: a hint that says PERSISTENT leads to another provider
// and not to a retry.
func TestPersistentLeaves(t *testing.T) {
	v := reason(classify.ReasonUnavailable)
	v.Class = classify.Persistent
	if d := directive.Decide(idem(v, fallback.Primary, fallback.CrossProvider)); d.Action != operation.Fallback {
		t.Errorf("%+v", d)
	}
	if d := directive.Decide(idem(v, fallback.Primary)); d.Action != operation.DeadLetter {
		t.Errorf("%+v", d)
	}
}

// TestNoRetryForbidsEveryRetry: x-should-retry: false holds for the transparent
// one and for the one that waits, too.
func TestNoRetryForbidsEveryRetry(t *testing.T) {
	for _, r := range []classify.Reason{classify.ReasonRefused, classify.ReasonRateLimitedHard, classify.ReasonServerError, classify.ReasonEmpty} {
		for _, idempotent := range []bool{true, false} {
			v := reason(r)
			v.NoRetry = true
			if d := directive.Decide(facts(v, idempotent, false, true, fallback.Primary)); d.Action == operation.Retry {
				t.Errorf("%s, idempotent %t: %+v", r, idempotent, d)
			}
		}
	}
}

// TestWaitingRetry is T10 with C22.
func TestWaitingRetry(t *testing.T) {
	hard := func() *directive.Facts {
		v := reason(classify.ReasonRateLimitedHard)
		v.Cooldown = time.Minute
		return idem(v, fallback.Primary)
	}
	open := func() *directive.Facts {
		f := idem(reason(classify.ReasonServerError), fallback.Primary)
		opened(f, breaker.CauseTransport, 30*time.Second)
		return f
	}
	for _, c := range []struct {
		name string
		f    *directive.Facts
		set  func(f *directive.Facts)
		want time.Duration // 0: none
	}{
		{"a hard 429", hard(), func(*directive.Facts) {}, time.Minute},
		{"beyond the longest wait", hard(), func(f *directive.Facts) { f.World.Levels[0].Cooldown.Until++ }, 0},
		{"the deadline is just met", hard(), func(f *directive.Facts) { f.Query.Deadline = time.Minute }, time.Minute},
		{"the deadline is missed", hard(), func(f *directive.Facts) { f.Query.Deadline = time.Minute - 1 }, 0},
		{"an open breaker", open(), func(*directive.Facts) {}, 30 * time.Second},
		{"the backoff is longer", open(), func(f *directive.Facts) {
			f.World.Op.Detail.At(0).Backoffs = 9
			opened(f, breaker.CauseTransport, time.Second)
		}, 30 * time.Second},
		{"and misses the deadline", open(), func(f *directive.Facts) {
			f.World.Op.Detail.At(0).Backoffs, f.Query.Deadline = 9, 2*time.Second
			opened(f, breaker.CauseTransport, time.Second)
		}, 0},
		{"no attempt is left", open(), func(f *directive.Facts) { f.World.Op.Detail.At(0).Attempts = 3 }, 0},
		{"no retry of the task is left", open(), func(f *directive.Facts) { f.World.Op.Detail.TaskUsed = 3 }, 0},
		{"the fleet has just enough", open(), func(f *directive.Facts) {
			l := &f.World.Levels[0]
			l.Control = l.Control.Withdraw(l.Config, 9600, f.World.Now)
		}, 30 * time.Second},
		{"the fleet has too little", open(), func(f *directive.Facts) {
			l := &f.World.Levels[0]
			l.Control = l.Control.Withdraw(l.Config, 9601, f.World.Now)
		}, 0},
		{"not for auth", open(), func(f *directive.Facts) { f.Verdict = reason(classify.ReasonAuth) }, 0},
		{"nobody knows when", open(), func(f *directive.Facts) { f.World.Levels[0].Control.Breaker = breaker.State{Phase: breaker.ForcedOpen} }, 0},
	} {
		c.set(c.f)
		d := directive.Decide(c.f)
		if got := d.Action == operation.Retry; got != (c.want > 0) || d.Delay != c.want {
			t.Errorf("%s: %+v", c.name, d)
		}
		if d.Action == operation.Retry && (d.TakeFleet != 400 || !d.TakeTask || d.Next != 0) {
			t.Errorf("%s: it costs %+v", c.name, d)
		}
	}
}

// TestWaitOfOtherLevels: a level that would pass soon counts, one that is of no
// use does not.
func TestWaitOfOtherLevels(t *testing.T) {
	for cause, want := range map[breaker.Cause]time.Duration{breaker.CauseTransport: 5 * time.Second, breaker.CauseQuality: 30 * time.Second} {
		f := idem(reason(classify.ReasonServerError), fallback.Primary, fallback.SameProviderCheaper)
		opened(f, cause, 30*time.Second)
		f.World.Levels[1].Cooldown.Until = f.World.Now.Add(5 * time.Second)
		if d := directive.Decide(f); d.Action != operation.Retry || d.Delay != want {
			t.Errorf("the cheaper level waits 5 s, the primary is open for %v: %+v", cause, d)
		}
	}
}

// TestDeniedInOrder is C8, from the last condition to the first.
func TestDeniedInOrder(t *testing.T) {
	f := idem(reason(classify.ReasonServerError), fallback.Primary)
	cost := int64(5)
	for _, step := range []struct {
		on   func()
		want admit.Reason
	}{
		{func() {}, admit.None},
		{func() {
			f.Reserved.Cost = 6
			f.World.Runs = []*budget.Run{{Caps: budget.Caps{Cost: &cost}}}
		}, admit.RunBudget},
		{func() { f.Query.Deadline = time.Second }, admit.RunBudget}, // a delay equal to what remains is allowed
		{func() { f.Query.Deadline = time.Second - 1 }, admit.Deadline},
		{func() {
			l := &f.World.Levels[0]
			l.Control = l.Control.Withdraw(l.Config, 9001, f.World.Now)
		}, admit.FleetRetryBudget},
		{func() { f.World.Op.Detail.TaskUsed = 3 }, admit.TaskRetryBudget},
		{func() { f.World.Op.Detail.At(0).Attempts = 3 }, admit.AttemptsExhausted},
	} {
		step.on()
		d := directive.Decide(f)
		if d.RetryDenied != step.want || (step.want == admit.None) != (d.Action == operation.Retry) {
			t.Errorf("%q: %+v", step.want, d)
		}
		if d.Action == operation.DeadLetter && d.Letter.Policy != deadletter.Auto {
			t.Errorf("%q: the letter is %v", step.want, d.Letter.Policy)
		}
	}
	limited := idem(after(classify.ReasonRateLimited, time.Second), fallback.Primary)
	opened(limited, breaker.CauseTransport, 2*time.Second)
	if d := directive.Decide(limited); d.RetryDenied != admit.BreakerOpen || d.Action != operation.Retry || d.Delay != 2*time.Second {
		t.Errorf("a short wait at an open breaker: %+v", d)
	}
}
