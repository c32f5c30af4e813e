// SPDX-License-Identifier: Apache-2.0

package directive_test

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/resilienced/resilienced/rules"
	"github.com/resilienced/resilienced/rules/admit"
	"github.com/resilienced/resilienced/rules/breaker"
	"github.com/resilienced/resilienced/rules/budget"
	"github.com/resilienced/resilienced/rules/classify"
	"github.com/resilienced/resilienced/rules/deadletter"
	"github.com/resilienced/resilienced/rules/directive"
	"github.com/resilienced/resilienced/rules/fallback"
	"github.com/resilienced/resilienced/rules/operation"
)

// TestAnyWorld walks the tree for any verdict in any world: later attempts,
// deeper levels, breakers in any state, runs without money.
func TestAnyWorld(t *testing.T) {
	rows := append(classify.Rows(), classify.Variants()...)
	rapid.Check(t, func(t *rapid.T) {
		row := rapid.SampledFrom(rows).Draw(t, "row")
		v := classify.Verdict{
			Rule: row.ID, Class: row.Class, Reason: row.Reason, Certainty: row.Certainty, Effect: row.Effect, Unprocessed: row.Unprocessed,
			NoRetry: rapid.IntRange(0, 7).Draw(t, "no retry") == 7, MayRetry: rapid.Bool().Draw(t, "may retry"), InProgress: rapid.Bool().Draw(t, "running"),
		}
		if rapid.Bool().Draw(t, "asks") {
			v.RetryAfter, v.HasRetryAfter = time.Duration(rapid.Int64Range(0, 90).Draw(t, "wait"))*time.Second, true
		}
		f := drawFacts(t, v)
		before := text(t, f)
		d, again := directive.Decide(f), directive.Decide(f)
		if !reflect.DeepEqual(d, again) || text(t, f) != before {
			t.Fatalf("the same facts led to %+v and %+v", d, again)
		}
		why := broken(f, &d)
		if blocked, _ := budget.Blocker(f.World.Runs, f.World.Now); blocked == nil && why == "" { // else T1 comes first
			why = wrong(f, &d)
		}
		if why != "" {
			t.Fatalf("%s: %+v", why, d)
		}
	})
}

func text(t *rapid.T, f *directive.Facts) string {
	b, err := json.Marshal(f)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func drawFacts(t *rapid.T, v classify.Verdict) *directive.Facts {
	kinds := []fallback.Kind{fallback.Primary}
	for range rapid.IntRange(0, 3).Draw(t, "levels") {
		kinds = append(kinds, max(kinds[len(kinds)-1], fallback.Kind(rapid.IntRange(1, 6).Draw(t, "kind"))))
	}
	f := facts(v, rapid.Bool().Draw(t, "idempotent"), rapid.Bool().Draw(t, "retry_np"), rapid.IntRange(0, 3).Draw(t, "envelope") > 0, kinds...)
	f.Key = f.Query.Idempotent && rapid.Bool().Draw(t, "key")
	f.Level = rapid.IntRange(0, len(kinds)-1).Draw(t, "level")
	w := f.World
	w.Chain.OnExhausted = fallback.Exhausted(rapid.IntRange(0, 2).Draw(t, "then"))
	w.Op.Attempts = 0
	for i := range w.Levels {
		n := rapid.IntRange(0, 3).Draw(t, "tried")
		if i == f.Level {
			n = max(n, 1)
		}
		*w.Op.Detail.At(i) = operation.Level{
			Attempts: n, Backoffs: rapid.IntRange(0, 6).Draw(t, "backoffs"), Timeouts: rapid.IntRange(0, 2).Draw(t, "timeouts"),
			Quality: rapid.IntRange(0, 1).Draw(t, "quality"), Refused: rapid.IntRange(0, 1).Draw(t, "refused"),
		}
		w.Op.Attempts += n
		l := &w.Levels[i]
		l.Control.Breaker = breaker.State{
			Phase: breaker.Phase(rapid.IntRange(0, 5).Draw(t, "phase")), Cause: breaker.Cause(rapid.IntRange(0, 4).Draw(t, "cause")),
			OpenUntil: w.Now + rules.Instant(rapid.Int64Range(1, 90_000_000).Draw(t, "open")), Cycles: rapid.IntRange(0, 7).Draw(t, "cycles"),
		}
		if rapid.IntRange(0, 3).Draw(t, "cools") == 3 {
			l.Cooldown.Until = w.Now + rules.Instant(rapid.Int64Range(1, 90_000_000).Draw(t, "cooldown"))
		}
		l.Config.Credential = rapid.SampledFrom([]string{"", "k1", "k2"}).Draw(t, "credential")
	}
	if rapid.IntRange(0, 3).Draw(t, "run") == 3 {
		r := &budget.Run{ID: "r", Caps: budget.Caps{Cost: new(int64(10))}, Spent: budget.Amounts{Cost: rapid.Int64Range(0, 11).Draw(t, "spent")}}
		w.Runs, f.Reserved = []*budget.Run{r}, budget.Amounts{Cost: 2}
	}
	w.Op.Detail.TaskUsed = rapid.IntRange(0, 3).Draw(t, "task")
	f.Query.Deadline = time.Duration(rapid.Int64Range(1, 100).Draw(t, "deadline")) * time.Second
	return f
}

// broken says which further promise a directive breaks, if any.
func broken(f *directive.Facts, d *directive.Directive) string {
	w, v := f.World, &f.Verdict
	own := &w.Levels[f.Level]
	blocked, _ := budget.Blocker(w.Runs, w.Now)
	wait := own.Cooldown.Remaining(w.Now)
	if v.HasRetryAfter {
		wait = max(wait, v.RetryAfter)
	}
	again := d.Action == operation.Retry || d.Action == operation.Fallback
	switch {
	case blocked != nil && v.Class != classify.OK && (d.Action != operation.Stop || !d.Terminal):
		return "a run that is over goes on"
	case blocked == nil && d.Terminal:
		return "terminal without a reason"
	case v.Class == classify.Deterministic && d.Letter != nil && blocked == nil:
		return "a deterministic failure became a dead letter"
	case !f.Query.Idempotent && v.Class == classify.Quality && again:
		return "what was done is done again"
	case !f.Query.Idempotent && v.Class == classify.Deterministic && again:
		return "a wrong call that may not be made twice is made again"
	case !f.Query.Idempotent && !own.Config.Retry.NotProcessed && d.Action == operation.Fallback:
		return "what may not be made twice went elsewhere"
	case !f.Query.Idempotent && again && !d.Uncounted && v.Certainty != classify.NotSent && v.Certainty != classify.Rejected:
		return "what was processed is done again"
	case !f.Query.Idempotent && v.Certainty == classify.Ambiguous && v.Class != classify.Aborted && d.State == operation.Open:
		return "what may have happened stays open"
	case v.NoRetry && d.Action == operation.Retry:
		return "a retry that the target forbids"
	}
	if d.Action == operation.Fallback {
		return badLevel(f, d)
	}
	if d.Action != operation.Retry || d.Uncounted {
		return ""
	}
	return badRetry(f, d, wait)
}

func badLevel(f *directive.Facts, d *directive.Directive) string {
	w := f.World
	next := &w.Levels[d.Next]
	look := f.Query.At(w, d.Next)
	switch {
	case w.Op.Tried(d.Next) > 0:
		return "a fallback to a level that was tried"
	case !look.Passes():
		return "a fallback to a level that would refuse"
	case next.Kind == fallback.HumanQueue:
		return "a fallback to people"
	case f.Verdict.Reason == classify.ReasonAuth && next.Config.Credential != "" && next.Config.Credential == w.Levels[f.Level].Config.Credential:
		return "a fallback with the credential that was refused"
	}
	return ""
}

func badRetry(f *directive.Facts, d *directive.Directive, wait time.Duration) string {
	w := f.World
	own := &w.Levels[f.Level]
	passing := own.Control.Breaker.Passing()
	switch {
	case w.Op.Tried(f.Level) >= admit.Allowed(f.Query.MaxAttempts, own.Config.Retry, f.Level):
		return "a retry beyond the attempts"
	case w.Op.Detail.TaskUsed >= f.Query.TaskBudget:
		return "a retry beyond the task's budget"
	case admit.Available(w, f.Level) < d.TakeFleet:
		return "a retry beyond the fleet's budget"
	case d.Delay > f.Query.Deadline || d.Delay > own.Config.Retry.MaxInlineWait:
		return "a retry after the deadline"
	case passing && d.Delay < wait && len(w.Levels) == 1:
		return "a retry before the target asked"
	case !passing && (d.TakeFleet != 400 || f.Level != 0):
		return "a retry at an open breaker that is not the waiting one"
	case own.Control.Breaker.Phase == breaker.Open && len(w.Levels) == 1 && d.Delay < own.Control.Breaker.OpenUntil.Until(w.Now):
		return "a retry into an open breaker"
	}
	for _, r := range w.Runs {
		if dimension, _ := r.Fits(f.Reserved); dimension != budget.DimensionNone {
			return "a retry that the run cannot pay"
		}
	}
	if d.Letter != nil && d.Letter.Policy == deadletter.Auto {
		return "a retry and a letter"
	}
	return ""
}
