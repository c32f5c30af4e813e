// SPDX-License-Identifier: Apache-2.0

package directive_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/resilienced/resilienced/rules/admit"
	"github.com/resilienced/resilienced/rules/breaker"
	"github.com/resilienced/resilienced/rules/budget"
	"github.com/resilienced/resilienced/rules/classify"
	"github.com/resilienced/resilienced/rules/deadletter"
	"github.com/resilienced/resilienced/rules/directive"
	"github.com/resilienced/resilienced/rules/fallback"
	"github.com/resilienced/resilienced/rules/operation"
	"github.com/resilienced/resilienced/rules/retry"
	"github.com/resilienced/resilienced/rules/target"
)

// facts makes the facts of a first attempt at level 0 of a chain.
func facts(v classify.Verdict, idempotent, notProcessed, envelope bool, kinds ...fallback.Kind) *directive.Facts {
	w := &admit.World{Now: 1_000_000_000, Chain: &fallback.Chain{}, Op: operation.New(operation.Idempotent)}
	w.Op.Attempts, w.Op.Detail.At(0).Attempts = 1, 1
	for i, k := range kinds {
		cfg := &target.Config{
			Name: fmt.Sprint("t", i), Kind: "llm", Breaker: breaker.Config{CooldownBase: time.Second, CooldownMax: time.Minute},
			Retry: retry.Config{
				MaxAttempts: 3, Initial: time.Second, Multiplier: 2, Max: 30 * time.Second, Jitter: retry.NoJitter, StayLimit: 10 * time.Second,
				MaxInlineWait: time.Minute, FleetFloor: 10_000, FleetTTL: 10 * time.Second, NotProcessed: notProcessed,
			},
		}
		w.Levels = append(w.Levels, admit.Level{Config: cfg, Kind: k})
		w.Chain.Levels = append(w.Chain.Levels, fallback.Level{Target: cfg.Name, Kind: k})
	}
	return &directive.Facts{
		World: w, Verdict: v, Envelope: envelope,
		Query: &admit.Query{Operation: "o", Idempotent: idempotent, MaxAttempts: 3, TaskBudget: 3, Deadline: time.Hour},
	}
}

// TestEveryRow walks the tree for every row of the table, idempotent or not,
// with and without somewhere to go, and checks what must hold for all.
func TestEveryRow(t *testing.T) {
	chains := [][]fallback.Kind{
		{fallback.Primary},
		{fallback.Primary, fallback.SameProviderCheaper},
		{fallback.Primary, fallback.CrossProvider},
		{fallback.Primary, fallback.SameProviderCheaper, fallback.CrossProvider, fallback.SelfHosted},
	}
	for _, row := range classify.Rows() {
		for i := range 8 {
			idempotent, notProcessed, envelope := i&1 == 0, i&2 == 0, i&4 == 0
			for _, kinds := range chains {
				v := classify.Verdict{Rule: row.ID, Class: row.Class, Reason: row.Reason, Certainty: row.Certainty, Effect: row.Effect}
				f := facts(v, idempotent, notProcessed, envelope, kinds...)
				d := directive.Decide(f)
				if why := wrong(f, &d); why != "" {
					t.Errorf("%s (%s), idempotent %v, retry unprocessed %v, envelope %v, %d levels: %s: %+v",
						row.ID, row.Reason, idempotent, notProcessed, envelope, len(kinds), why, d)
				}
				if again := directive.Decide(f); again.Action != d.Action || again.Delay != d.Delay || again.Next != d.Next {
					t.Errorf("%s: the same facts led to %+v and %+v", row.ID, d, again)
				}
			}
		}
	}
}

// wrong says which promise a directive breaks, if any.
func wrong(f *directive.Facts, d *directive.Directive) string {
	v := &f.Verdict
	again := d.Action == operation.Retry || d.Action == operation.Fallback
	switch {
	case d.Action == operation.ActionUnspecified:
		return "no action"
	case !f.Query.Idempotent && v.Certainty == classify.Ambiguous && again:
		return "it may run twice"
	case v.Class == classify.OK && d.Action != operation.Continue:
		return "a result is not used"
	case v.Class == classify.Deterministic && d.Letter != nil:
		return "a deterministic failure became a dead letter"
	case v.Class == classify.Aborted && again:
		return "a cancelled call is made again"
	case v.Class == classify.Unknown && (again || d.Escalation == nil):
		return "an unknown answer is not shown to a person"
	case d.Letter != nil && !f.Envelope:
		return "a letter without content"
	case d.Action == operation.Retry && d.Next != f.Level:
		return "a retry elsewhere"
	case d.Action == operation.Fallback && (d.Next == f.Level || d.Next < 0):
		return "a fallback to itself"
	case d.Action == operation.Fallback && d.TakeTask:
		return "a fallback costs a retry"
	case d.Action == operation.Retry && !d.Uncounted && !d.TakeTask:
		return "a retry costs nothing"
	case v.Reason == classify.ReasonContentPolicy && d.Action == operation.Fallback:
		return "a refusal for policy is carried elsewhere"
	}
	return ""
}

// TestRunOver is T1: a run that is over ends everything but a result.
func TestRunOver(t *testing.T) {
	limit := int64(1)
	f := facts(classify.Verdict{Rule: "R05", Class: classify.Transient, Reason: classify.ReasonServerError, Certainty: classify.Ambiguous}, true, false, true, fallback.Primary)
	f.World.Runs = []*budget.Run{{ID: "r", Caps: budget.Caps{Cost: &limit}, Spent: budget.Amounts{Cost: 1}}}
	d := directive.Decide(f)
	if d.Action != operation.Stop || !d.Terminal || d.Letter == nil || d.Letter.Policy != deadletter.Manual || d.Letter.Reason != classify.ReasonRunBudget {
		t.Errorf("a failure in a run that is over: %+v", d)
	}
	f.Verdict = classify.Verdict{Rule: "R01", Class: classify.OK}
	if d := directive.Decide(f); d.Action != operation.Continue {
		t.Errorf("a result in it: %+v", d)
	}
}

// TestStayLimit is the boundary of seed 003: below 10 s one waits, from 10 s
// on one goes to the cheaper level.
func TestStayLimit(t *testing.T) {
	for _, c := range []struct {
		wait time.Duration
		want operation.Action
	}{{9999 * time.Millisecond, operation.Retry}, {10 * time.Second, operation.Fallback}} {
		v := classify.Verdict{Rule: "R12", Class: classify.Pressure, Reason: classify.ReasonRateLimited, Certainty: classify.Rejected, RetryAfter: c.wait, HasRetryAfter: true}
		d := directive.Decide(facts(v, true, false, true, fallback.Primary, fallback.SameProviderCheaper))
		if d.Action != c.want || (c.want == operation.Retry && d.Delay != c.wait) {
			t.Errorf("after %v: %+v", c.wait, d)
		}
	}
}
