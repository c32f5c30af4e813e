// SPDX-License-Identifier: Apache-2.0

package directive_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/resilienced/resilienced/rules/admit"
	"github.com/resilienced/resilienced/rules/breaker"
	"github.com/resilienced/resilienced/rules/budget"
	"github.com/resilienced/resilienced/rules/classify"
	"github.com/resilienced/resilienced/rules/directive"
	"github.com/resilienced/resilienced/rules/fallback"
	"github.com/resilienced/resilienced/rules/limit"
	"github.com/resilienced/resilienced/rules/operation"
	"github.com/resilienced/resilienced/rules/target"
)

// dry makes every level observed.
func dry(w *admit.World) {
	for i := range w.Levels {
		c := w.Levels[i].Config
		c.DryBreaker, c.DryBudget, c.DryLimit, c.DryRetry = true, true, true, true
	}
}

// innocent is the same report to a service that knows nothing but the signal
// and the caller's own bounds, and has allowances for everything.
func innocent(f *directive.Facts) *directive.Facts {
	facts, world, query := *f, *f.World, *f.Query
	facts.World, facts.Query = &world, &query
	world.Runs, world.Task, world.Pass = nil, nil, false
	query.TaskBudget = 1 << 30
	world.Levels = nil
	for _, l := range f.World.Levels {
		c := *l.Config
		c.DryBreaker, c.DryBudget, c.DryLimit, c.DryRetry = false, false, false, false
		c.Retry.FleetFloor = 1 << 40
		world.Levels = append(world.Levels, admit.Level{Config: &c, Kind: l.Kind, CostRank: l.CostRank})
	}
	world.Op = f.World.Op.Edit()
	for i := range world.Op.Detail.Levels {
		world.Op.Detail.Levels[i].Timeouts = 0
	}
	return &facts
}

// TestObservedDirectiveKnowsNothing: what this service knows of targets, runs
// and allowances moves no directive, and would is what it would have led to.
func TestObservedDirectiveKnowsNothing(t *testing.T) {
	rows := append(classify.Rows(), classify.Variants()...)
	rapid.Check(t, func(t *rapid.T) {
		row := rapid.SampledFrom(rows).Draw(t, "row")
		v := classify.Verdict{
			Rule: row.ID, Class: row.Class, Reason: row.Reason, Certainty: row.Certainty, Effect: row.Effect, Unprocessed: row.Unprocessed,
		}
		if rapid.Bool().Draw(t, "asks") {
			v.RetryAfter, v.HasRetryAfter = time.Duration(rapid.Int64Range(0, 90).Draw(t, "wait"))*time.Second, true
		}
		f := drawFacts(t, v)
		ruled := directive.Decide(f)
		if f.World.Pass = rapid.Bool().Draw(t, "pass"); !f.World.Pass {
			dry(f.World)
		}
		got, want := directive.Decide(f), directive.Decide(innocent(f))
		if got.Action != want.Action || got.Next != want.Next || got.Delay != want.Delay || got.State != want.State || got.Terminal != want.Terminal {
			t.Fatalf("observed %+v\nfrom the signal alone %+v", got, want)
		}
		same := got.Action == ruled.Action && got.Next == ruled.Next
		switch {
		case got.Unpaid == same:
			t.Fatalf("a promise that the rules do not make, or the other way round: %+v\nby the rules %+v", got, ruled)
		case same && got.Delay == ruled.Delay && got.Terminal == ruled.Terminal:
			if got.Would != nil {
				t.Fatalf("would %+v is the same as %+v", got.Would, ruled)
			}
		case got.Would == nil || got.Would.Action != ruled.Action || got.Would.Reason == admit.None:
			t.Fatalf("would %+v, by the rules %+v", got.Would, ruled)
		case got.TakeTask && !ruled.TakeTask, got.TakeFleet > ruled.TakeFleet:
			t.Fatalf("it takes %+v, by the rules %+v", got, ruled)
		}
	})
}

// TestWouldNamesTheState: the reason of a directive that observed rules keep
// back is what they go by.
func TestWouldNamesTheState(t *testing.T) {
	failed := classify.Verdict{Rule: "R05", Class: classify.Transient, Reason: classify.ReasonServerError, Certainty: classify.Ambiguous}
	limited := classify.Verdict{Rule: "R12", Class: classify.Pressure, Reason: classify.ReasonRateLimited, Certainty: classify.Rejected}
	full := int64(1)
	for _, c := range []struct {
		name   string
		v      classify.Verdict
		change func(f *directive.Facts)
		action operation.Action
		reason admit.Reason
	}{
		{"run", failed, func(f *directive.Facts) {
			f.World.Runs = []*budget.Run{{ID: "r", Caps: budget.Caps{Cost: &full}, Spent: budget.Amounts{Cost: 1}}}
		}, operation.Stop, admit.RunExhausted},
		{"stopped run", failed, func(f *directive.Facts) {
			f.World.Runs = []*budget.Run{{ID: "r", Final: budget.Stopped}}
		}, operation.Stop, admit.RunStopped},
		{"task", failed, func(f *directive.Facts) { f.World.Op.Detail.TaskUsed = 3 }, operation.DeadLetter, admit.TaskRetryBudget},
		{"fleet", failed, func(f *directive.Facts) { f.World.Levels[0].Config.Retry.FleetFloor = 0 }, operation.DeadLetter, admit.FleetRetryBudget},
		{"breaker", failed, func(f *directive.Facts) {
			f.World.Levels[0].Control.Breaker = breaker.State{Phase: breaker.Open, OpenUntil: f.World.Now + 80_000_000}
		}, operation.DeadLetter, admit.BreakerOpen},
		{"cooldown", limited, func(f *directive.Facts) {
			f.World.Levels[0].Cooldown = limit.Cooldown{Until: f.World.Now + 40_000_000}
		}, operation.Retry, admit.Cooldown},
	} {
		f := facts(c.v, true, false, true, fallback.Primary)
		f.World.Chain.OnExhausted = fallback.ThenDeadLetter
		c.change(f)
		dry(f.World)
		d := directive.Decide(f)
		if d.Action != operation.Retry || d.Delay != time.Second || d.Would == nil || d.Would.Action != c.action || d.Would.Reason != c.reason {
			t.Errorf("%s: %+v, would %+v", c.name, d, d.Would)
		}
	}
}

// TestAttemptsBoundTheAdvice: who obeys does not retry for longer because the
// rules are only watched.
func TestAttemptsBoundTheAdvice(t *testing.T) {
	failed := classify.Verdict{Rule: "R05", Class: classify.Transient, Reason: classify.ReasonServerError, Certainty: classify.Ambiguous}
	for attempts, want := range map[int]operation.Action{1: operation.Retry, 2: operation.Retry, 3: operation.DeadLetter, 9: operation.DeadLetter} {
		f := facts(failed, true, false, true, fallback.Primary)
		f.World.Chain.OnExhausted = fallback.ThenDeadLetter
		f.World.Op.Detail.At(0).Attempts = attempts
		dry(f.World)
		if d := directive.Decide(f); d.Action != want || d.Would != nil {
			t.Errorf("after %d attempts: %+v", attempts, d)
		}
	}
}

// TestCallersBoundsHold: observing is no reason to go on longer than the caller
// itself wants to.
func TestCallersBoundsHold(t *testing.T) {
	failed := classify.Verdict{Rule: "R05", Class: classify.Transient, Reason: classify.ReasonServerError, Certainty: classify.Ambiguous}
	f := facts(failed, true, false, false, fallback.Primary)
	dry(f.World)
	f.World.Op.Detail.At(0).Attempts, f.Query.MaxAttempts = 2, 2 // fewer than the policy's
	if d := directive.Decide(f); d.Action == operation.Retry || d.Would != nil {
		t.Errorf("beyond the caller's attempts: %+v", d)
	}
	f = facts(failed, true, false, false, fallback.Primary)
	dry(f.World)
	f.Query.Deadline = time.Microsecond
	if d := directive.Decide(f); d.Action == operation.Retry || d.RetryDenied != admit.Deadline {
		t.Errorf("beyond the caller's deadline: %+v", d)
	}
}

// TestOneRuleObserved: a report follows the rules that are enforced and not
// the one that is only computed.
func TestOneRuleObserved(t *testing.T) {
	failed := classify.Verdict{Rule: "R05", Class: classify.Transient, Reason: classify.ReasonServerError, Certainty: classify.Ambiguous}
	full := int64(1)
	for name, c := range map[string]struct {
		set    func(c *target.Config)
		action operation.Action
	}{
		"none":   {func(*target.Config) {}, operation.Stop},
		"budget": {func(c *target.Config) { c.DryBudget = true }, operation.Retry},
		"retry":  {func(c *target.Config) { c.DryRetry = true }, operation.Stop},
	} {
		f := facts(failed, true, false, false, fallback.Primary)
		f.World.Runs = []*budget.Run{{ID: "r", Caps: budget.Caps{Cost: &full}, Spent: budget.Amounts{Cost: 1}}}
		c.set(f.World.Levels[0].Config)
		if d := directive.Decide(f); d.Action != c.action {
			t.Errorf("%s observed: %+v", name, d)
		}
		f.World.Runs[0].Final = budget.Stopped // no rule of the target
		if d := directive.Decide(f); d.Action != operation.Stop {
			t.Errorf("%s observed, the run stopped: %+v", name, d)
		}
	}
}
