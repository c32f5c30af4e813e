// SPDX-License-Identifier: Apache-2.0

package admit_test

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/resilienced/resilienced/rules/admit"
	"github.com/resilienced/resilienced/rules/breaker"
	"github.com/resilienced/resilienced/rules/budget"
	"github.com/resilienced/resilienced/rules/fallback"
	"github.com/resilienced/resilienced/rules/limit"
	"github.com/resilienced/resilienced/rules/operation"
)

// TestDecideIsPure: the same question gives the same answer and changes
// nothing, and every answer is one that a caller can act on.
func TestDecideIsPure(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		q, w := drawWorld(t)
		before := snapshot(t, q, w)
		d, again := admit.Decide(q, w), admit.Decide(q, w)
		if !reflect.DeepEqual(d, again) || snapshot(t, q, w) != before {
			t.Fatalf("%+v\n%+v", d, again)
		}
		if why := wrong(q, w, &d); why != "" {
			t.Fatalf("%s: %+v", why, d)
		}
	})
}

// snapshot is everything that Decide was given, as text.
func snapshot(t *rapid.T, q *admit.Query, w *admit.World) string {
	text, err := json.Marshal([]any{q, w})
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// wrong says which promise an answer breaks, if any.
func wrong(q *admit.Query, w *admit.World, d *admit.Decision) string {
	granted := d.Outcome == admit.Granted
	switch {
	case d.Outcome == 0:
		return "no answer"
	case granted && d.Terminal, d.Terminal && d.Outcome == admit.Wait:
		return "terminal, and yet there is hope"
	case !granted && (d.Reason == admit.None || d.Rule == "" || d.Action == operation.ActionUnspecified):
		return "a refusal that does not say why, by what rule, or what to do"
	case d.Outcome == admit.Wait && d.Delay <= 0:
		return "a wait without a length"
	case d.Outcome == admit.Wait && d.Reason != admit.Backoff && d.Delay > q.MaxWait:
		return "a wait longer than anybody wants"
	case d.Delay < 0:
		return "a wait into the past"
	}
	if !granted {
		return ""
	}
	l := &w.Levels[d.Level]
	switch {
	case l.Config.DryBreaker:
		return ""
	case l.Control.Breaker.Phase == breaker.Open || l.Control.Breaker.Phase == breaker.ForcedOpen:
		return "granted through an open breaker"
	case d.Probe != (l.Control.Breaker.Phase == breaker.HalfOpen):
		return "a probe is what goes through a half-open breaker"
	case l.Cooldown.Remaining(w.Now) > 0:
		return "granted in a cooldown"
	case w.Op != nil && w.Op.Live(w.Now):
		return "granted twice at once"
	case w.Op != nil && (w.Op.State == operation.Locked || w.Op.State == operation.Stopped):
		return "granted after its end"
	case w.Op != nil && !w.Levels[start(q, w)].Config.DryRetry && w.Op.Tried(d.Level) >= admit.Allowed(q.MaxAttempts, l.Config.Retry, d.Level):
		return "granted beyond its attempts"
	}
	for _, r := range w.Runs {
		if r.Final != 0 || r.Caps.Cost != nil && r.Spent.Cost+d.Reserve.Cost > *r.Caps.Cost {
			return "granted beyond a cap"
		}
	}
	return ""
}

func start(q *admit.Query, w *admit.World) int {
	switch {
	case w.Op != nil && w.Op.Detail.StartLevel > 0:
		return w.Op.Detail.StartLevel
	case q.Pin != nil:
		return *q.Pin
	}
	return 0
}

// TestFirstNoDecides switches one refusal on after the other, from the last
// check to the first: each new one must decide.
func TestFirstNoDecides(t *testing.T) {
	q, w := single()
	attempted(w, 0, 1)
	l := &w.Levels[0]
	w.Runs = []*budget.Run{run("root", 100, 0), run("leaf", 10, 0)}
	q.Estimate.Cost = new(int64(20))
	q.Reporter = 7
	for _, step := range []struct {
		on   func()
		want admit.Reason
	}{
		{func() {}, admit.RunBudget},
		{func() { q.Estimate.Cost = nil }, admit.PriceUnknown},
		{func() { l.Config.Limit.Concurrency, l.Control.Slots = 1, []limit.Holder{{}} }, admit.Concurrency},
		{func() { l.Control = l.Control.Hold(7, now+20_000_000) }, admit.ReporterHeld},
		{func() { l.Cooldown.Until = now + 20_000_000 }, admit.Cooldown},
		{func() { l.Control.Breaker = breaker.State{Phase: breaker.Open, OpenUntil: now + 20_000_000} }, admit.BreakerOpen},
		{func() { l.Control.Breaker = breaker.State{Phase: breaker.ForcedOpen} }, admit.ForcedOpen},
		{func() { l.Control = l.Control.Withdraw(l.Config, 9_500, now) }, admit.FleetRetryBudget},
		{func() { w.Op.Detail.TaskUsed = 3 }, admit.TaskRetryBudget},
		{func() { w.Identical = 3 }, admit.RepeatedFailure},
		{func() { w.Op.Detail.NotBefore = now + 1 }, admit.Backoff},
		{func() { q.MaxAttempts = 1 }, admit.AttemptsExhausted},
		{func() { w.Op.Permit = &operation.Permit{Expires: now + 1} }, admit.InFlight},
		{func() { w.Op.State = operation.Stopped }, admit.OperationFinal},
		{func() { w.Op.State = operation.Locked }, admit.OutcomeUnknown},
		{func() { w.Runs[1].Final = budget.Completed }, admit.RunCompleted},
		{func() { w.Runs[0].Spent.Cost = 100 }, admit.RunExhausted},
		{func() { w.Runs[0].Final = budget.Stopped }, admit.RunStopped},
	} {
		step.on()
		if d := admit.Decide(q, w); d.Reason != step.want {
			t.Errorf("%s: %+v", step.want, d)
		}
	}
}

// TestBlockedBy names the run that blocks: the first from the root.
func TestBlockedBy(t *testing.T) {
	q, w := single()
	q.Estimate.Cost = new(int64(20))
	w.Runs = []*budget.Run{run("root", 30, 0), run("leaf", 10, 0)}
	if d := admit.Decide(q, w); d.BlockedBy != "leaf" || d.Terminal || d.Outcome != admit.Denied {
		t.Errorf("%+v", d)
	}
	w.Runs[0].Reserved.Cost = 11
	if d := admit.Decide(q, w); d.BlockedBy != "root" {
		t.Errorf("%+v", d)
	}
	w.Runs[1].Final = budget.Stopped
	if d := admit.Decide(q, w); d.BlockedBy != "leaf" || !d.Terminal || d.Reason != admit.RunStopped || d.Action != operation.Stop {
		t.Errorf("%+v", d)
	}
}

// TestPaying: an attempt that no directive promised pays, one that was promised
// does not (C6), and the boundary is the price itself (C7).
func TestPaying(t *testing.T) {
	q, w := single()
	op := attempted(w, 0, 1)
	l := &w.Levels[0]
	if d := admit.Decide(q, w); d.Outcome != admit.Granted || !d.PayTask || d.PayFleet != 1000 {
		t.Errorf("unpromised: %+v", d)
	}
	op.Detail.Throttled = true
	if d := admit.Decide(q, w); d.PayFleet != 400 {
		t.Errorf("after a throttle: %+v", d)
	}
	op.Detail.Throttled = false
	l.Control = l.Control.Withdraw(l.Config, 9000, now)
	if d := admit.Decide(q, w); d.Outcome != admit.Granted {
		t.Errorf("with the price exactly there: %+v", d)
	}
	l.Control = l.Control.Withdraw(l.Config, 1, now)
	if d := admit.Decide(q, w); d.Reason != admit.FleetRetryBudget {
		t.Errorf("with less than the price: %+v", d)
	}
	op.Detail.Promised, op.Detail.TaskUsed = true, 3
	if d := admit.Decide(q, w); d.Outcome != admit.Granted || d.PayTask || d.PayFleet != 0 {
		t.Errorf("promised: %+v", d)
	}
}

// TestStaysForShortCooldown is the boundary of seed 003 at Acquire.
func TestStaysForShortCooldown(t *testing.T) {
	for _, c := range []struct {
		left, maxWait time.Duration
		want          admit.Outcome
		level         int
	}{
		{9999 * time.Millisecond, time.Minute, admit.Wait, 0},
		{10 * time.Second, time.Minute, admit.Granted, 1},
		{5 * time.Second, 5 * time.Second, admit.Wait, 0},
		{5 * time.Second, 4999 * time.Millisecond, admit.Granted, 1},
	} {
		q, w := fresh(fallback.Primary, fallback.SameProviderCheaper)
		q.MaxWait = c.maxWait
		w.Levels[0].Cooldown.Until = now.Add(c.left)
		d := admit.Decide(q, w)
		if d.Outcome != c.want || d.Level != c.level || (d.Outcome == admit.Wait && d.Delay != c.left) {
			t.Errorf("%v left, max_wait %v: %+v", c.left, c.maxWait, d)
		}
	}
}
