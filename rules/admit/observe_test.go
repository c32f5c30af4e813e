// SPDX-License-Identifier: Apache-2.0

package admit_test

import (
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

// dry switches the rules of every level.
func dry(w *admit.World, on bool) {
	for i := range w.Levels {
		c := *w.Levels[i].Config
		c.DryBreaker, c.DryBudget, c.DryLimit, c.DryRetry = on, on, on, on
		w.Levels[i].Config = &c
	}
}

// TestObserveGrantsAndTells: where nothing is enforced, every call is granted
// at the level where it starts, whatever there is, and would is what the rules
// say, neither more nor less.
func TestObserveGrantsAndTells(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		q, w := drawWorld(t)
		dry(w, false)
		ruled := admit.Decide(q, w)
		byPass := rapid.Bool().Draw(t, "pass")
		if w.Pass = byPass; !byPass {
			dry(w, true)
		}
		d := admit.Decide(q, w)
		start := q.Start(w)
		switch {
		case d.Outcome != admit.Granted || d.Level != start:
			t.Fatalf("refused, or elsewhere: %+v", d)
		case byPass != (d.Reason == admit.Pass):
			t.Fatalf("the reason of a grant: %+v", d)
		}
		if ruled.Outcome == admit.Granted && ruled.Level == start {
			if d.Reason, d.Rule, d.BlockedBy = ruled.Reason, ruled.Rule, ruled.BlockedBy; !reflect.DeepEqual(d, ruled) {
				t.Fatalf("granted %+v\nby the rules %+v", d, ruled)
			}
			return
		}
		w2 := d.Would
		if w2 == nil || w2.Outcome != ruled.Outcome || (ruled.Reason != admit.None && w2.Reason != ruled.Reason) || w2.Reason == admit.None {
			t.Fatalf("would %+v\nby the rules %+v", w2, ruled)
		}
		if !d.Bare || d.Probe || d.PayTask || d.PayFleet != 0 {
			t.Fatalf("a call that would be refused takes something: %+v", d)
		}
		if len(w.Runs) > 0 && d.Reserve.Calls != 1 {
			t.Fatalf("its money is not reserved: %+v", d)
		}
	})
}

// TestEverythingIsObserved: one case for each thing that refuses.
func TestEverythingIsObserved(t *testing.T) {
	for reason, change := range map[admit.Reason]func(q *admit.Query, w *admit.World){
		admit.RunStopped: func(_ *admit.Query, w *admit.World) {
			w.Runs = []*budget.Run{run("r", 10, 0)}
			w.Runs[0].Final = budget.Stopped
		},
		admit.RunCompleted: func(_ *admit.Query, w *admit.World) {
			w.Runs = []*budget.Run{run("r", 10, 0)}
			w.Runs[0].Final = budget.Completed
		},
		admit.RunExhausted:   func(_ *admit.Query, w *admit.World) { w.Runs = []*budget.Run{run("r", 10, 10)} },
		admit.OutcomeUnknown: func(_ *admit.Query, w *admit.World) { attempted(w, 0, 1).State = operation.Locked },
		admit.OperationFinal: func(_ *admit.Query, w *admit.World) { attempted(w, 0, 1).State = operation.Stopped },
		admit.AlreadySucceeded: func(_ *admit.Query, w *admit.World) {
			op := attempted(w, 0, 1)
			op.State, op.Idempotency = operation.Succeeded, operation.NonIdempotent
		},
		admit.InFlight: func(_ *admit.Query, w *admit.World) {
			attempted(w, 0, 1).Permit = &operation.Permit{Expires: now + 10}
		},
		admit.AttemptsExhausted: func(_ *admit.Query, w *admit.World) { attempted(w, 0, 3) },
		admit.Backoff:           func(_ *admit.Query, w *admit.World) { attempted(w, 0, 1).Detail.NotBefore = now + 10 },
		admit.RepeatedFailure:   func(_ *admit.Query, w *admit.World) { w.Identical = 3 },
		admit.TaskRetryBudget:   func(_ *admit.Query, w *admit.World) { attempted(w, 0, 1).Detail.TaskUsed = 3 },
		admit.FleetRetryBudget: func(_ *admit.Query, w *admit.World) {
			attempted(w, 0, 1)
			w.Levels[0].Config.Retry.FleetFloor = 0
		},
		admit.ForcedOpen: func(_ *admit.Query, w *admit.World) { w.Levels[0].Control.Breaker.Phase = breaker.ForcedOpen },
		admit.BreakerOpen: func(_ *admit.Query, w *admit.World) {
			w.Levels[0].Control.Breaker = breaker.State{Phase: breaker.Open, OpenUntil: now + 10}
		},
		admit.ProbeInFlight: func(_ *admit.Query, w *admit.World) {
			w.Levels[0].Control.Breaker = breaker.State{Phase: breaker.HalfOpen, Probes: []breaker.Probe{{Operation: "p", Expires: now + 10}}}
		},
		admit.Cooldown: func(_ *admit.Query, w *admit.World) { w.Levels[0].Cooldown.Until = now + 10 },
		admit.ReporterHeld: func(q *admit.Query, w *admit.World) {
			q.Reporter = 7
			w.Levels[0].Control = w.Levels[0].Control.Hold(7, now+10)
		},
		admit.Concurrency: func(_ *admit.Query, w *admit.World) {
			w.Levels[0].Config.Limit.Concurrency = 1
			w.Levels[0].Control.Slots = []limit.Holder{{Operation: "h", Expires: now + 10}}
		},
		admit.RateLimit: func(_ *admit.Query, w *admit.World) {
			w.Levels[0].Config.Limit = limit.Config{Rate: 1, Per: time.Hour, Burst: 1}
			w.Levels[0].Control.Rate = limit.Bucket{Used: 1000, Since: now}
		},
		admit.PriceUnknown: func(_ *admit.Query, w *admit.World) { w.Runs = []*budget.Run{run("r", 10, 0)} },
		admit.CurrencyMismatch: func(_ *admit.Query, w *admit.World) {
			w.Runs = []*budget.Run{run("r", 10, 0)}
			w.Runs[0].Currency = "USD"
			w.Levels[0].Config.Price = &budget.Price{PerCall: new(int64(1)), Currency: "EUR"}
		},
		admit.RunBudget: func(q *admit.Query, w *admit.World) {
			w.Runs = []*budget.Run{run("r", 10, 0)}
			q.Estimate.Cost = new(int64(11))
		},
	} {
		q, w := single()
		q.MaxWait = 0
		change(q, w)
		if d := admit.Decide(q, w); d.Reason != reason || d.Outcome == admit.Granted {
			t.Errorf("%s: enforced, the answer is %+v", reason, d)
		}
		dry(w, true)
		if d := admit.Decide(q, w); d.Outcome != admit.Granted || !d.Would.Refused() || d.Would.Reason != reason {
			t.Errorf("%s: observed, the answer is %+v, would %+v", reason, d, d.Would)
		}
		dry(w, false)
		w.Pass = true
		if d := admit.Decide(q, w); d.Outcome != admit.Granted || d.Reason != admit.Pass || !d.Would.Refused() || d.Would.Reason != reason {
			t.Errorf("%s: in a pass, the answer is %+v, would %+v", reason, d, d.Would)
		}
	}
}

// TestObserveStaysAtItsStart: a chain is left alone, and would tells of the
// level that would have served.
func TestObserveStaysAtItsStart(t *testing.T) {
	q, w := fresh(fallback.Primary, fallback.CrossProvider)
	w.Levels[0].Control.Breaker = breaker.State{Phase: breaker.Open, OpenUntil: now + 10}
	if d := admit.Decide(q, w); d.Level != 1 {
		t.Fatalf("enforced: %+v", d)
	}
	dry(w, true)
	d := admit.Decide(q, w)
	if d.Level != 0 || d.Would.Outcome != admit.Granted || d.Would.Reason != admit.BreakerOpen || d.Would.Refused() {
		t.Errorf("observed: %+v, would %+v", d, d.Would)
	}
	// Of a chain whose first level alone is observed, that level decides.
	dry(w, false)
	c := *w.Levels[1].Config
	c.DryBreaker, c.DryBudget, c.DryLimit, c.DryRetry = true, true, true, true
	w.Levels[1].Config = &c
	if d := admit.Decide(q, w); d.Level != 1 || d.Would != nil {
		t.Errorf("the second level is observed: %+v", d)
	}
}

// TestObservedProbe: a half-open breaker gives its probe as if it were
// enforced, and nobody else gets one.
func TestObservedProbe(t *testing.T) {
	q, w := single()
	dry(w, true)
	w.Levels[0].Control.Breaker = breaker.State{Phase: breaker.HalfOpen, ProbeIdle: now}
	if d := admit.Decide(q, w); !d.Probe || d.Would != nil || d.Bare {
		t.Errorf("the first call: %+v", d)
	}
	q.Idempotent = false
	if d := admit.Decide(q, w); d.Probe || d.Would.Reason != admit.BreakerOpen {
		t.Errorf("a call that may not be a probe: %+v", d)
	}
}

// TestAnyway: what stands before the rules is observed as they are.
func TestAnyway(t *testing.T) {
	q, w := single()
	w.Pass = true
	d := admit.Anyway(q, w, &admit.Decision{Outcome: admit.Denied, Reason: admit.Quota, Rule: "quotas.operations"})
	if d.Outcome != admit.Granted || d.Reason != admit.Pass || d.Would.Reason != admit.Quota || d.Would.Rule != "quotas.operations" {
		t.Errorf("%+v, would %+v", d, d.Would)
	}
}
