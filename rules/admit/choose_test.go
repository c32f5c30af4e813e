// SPDX-License-Identifier: Apache-2.0

package admit_test

import (
	"testing"
	"time"

	"github.com/resilienced/resilienced/rules/admit"
	"github.com/resilienced/resilienced/rules/breaker"
	"github.com/resilienced/resilienced/rules/budget"
	"github.com/resilienced/resilienced/rules/fallback"
)

// four is a chain with one level of each kind that a target can have.
func four() (*admit.Query, *admit.World) {
	return fresh(fallback.Primary, fallback.SameProviderCheaper, fallback.CrossProvider, fallback.SelfHosted)
}

// open opens the breaker of a level.
func open(w *admit.World, level int, cause breaker.Cause, left time.Duration) {
	w.Levels[level].Control.Breaker = breaker.State{Phase: breaker.Open, Cause: cause, OpenUntil: now.Add(left), Cycles: 1}
}

// TestOrderOfLevels is the Acquire-time choice of semantics §2.3.
func TestOrderOfLevels(t *testing.T) {
	for _, c := range []struct {
		name  string
		set   func(w *admit.World)
		level int // -1: none
	}{
		{"all well", func(*admit.World) {}, 0},
		{"primary open for transport: another provider first", func(w *admit.World) { open(w, 0, breaker.CauseTransport, time.Minute) }, 2},
		{"and the cheaper model last", func(w *admit.World) {
			for _, i := range []int{0, 2, 3} {
				open(w, i, breaker.CauseTransport, time.Minute)
			}
		}, 1},
		{"but not for quality", func(w *admit.World) {
			open(w, 0, breaker.CauseQuality, time.Minute)
			open(w, 2, breaker.CauseTransport, time.Minute)
			open(w, 3, breaker.CauseTransport, time.Minute)
		}, -1},
		{"auth: another credential", func(w *admit.World) {
			open(w, 0, breaker.CauseAuth, time.Minute)
			w.Levels[0].Config.Credential, w.Levels[2].Config.Credential = "k", "k"
		}, 3},
		{"forced open is as open", func(w *admit.World) { w.Levels[0].Control.Breaker.Phase = breaker.ForcedOpen }, 2},
		{"a probe that is out is as open", func(w *admit.World) {
			w.Levels[0].Control.Breaker = breaker.State{Phase: breaker.HalfOpen}.TakeProbe(breaker.Probe{Expires: now + 9})
		}, 2},
		{"a free probe is the primary's", func(w *admit.World) { w.Levels[0].Control.Breaker = breaker.State{Phase: breaker.HalfOpen} }, 0},
		{"long cooldown: the cheaper model", func(w *admit.World) { w.Levels[0].Cooldown.Until = now.Add(time.Minute) }, 1},
		{"a queue of people is not called", func(w *admit.World) {
			w.Chain.Levels[2].Kind, w.Levels[2].Kind = fallback.HumanQueue, fallback.HumanQueue
			w.Chain.Levels[3].Kind, w.Levels[3].Kind = fallback.HumanQueue, fallback.HumanQueue
			open(w, 0, breaker.CauseQuality, time.Minute)
		}, -1},
	} {
		q, w := four()
		c.set(w)
		d := admit.Decide(q, w)
		if got := d.Level; d.Outcome == admit.Granted && got != c.level || (d.Outcome == admit.Granted) != (c.level >= 0) {
			t.Errorf("%s: %+v", c.name, d)
		}
	}
}

// TestRefusalOfChain is C4: level 0's reason, the smallest delay.
func TestRefusalOfChain(t *testing.T) {
	q, w := four()
	for i, left := range []time.Duration{40, 30, 8, 20} {
		open(w, i, breaker.CauseTransport, left*time.Second)
	}
	d := admit.Decide(q, w)
	if d.Outcome != admit.Wait || d.Reason != admit.BreakerOpen || d.Delay != 8*time.Second || d.BlockedBy != "t0" || len(d.Skipped) != 3 {
		t.Errorf("%+v", d)
	}
	q.MaxWait = 8*time.Second - 1
	if d := admit.Decide(q, w); d.Outcome != admit.Denied || d.Delay != 8*time.Second {
		t.Errorf("%+v", d)
	}
}

// TestCostPressure is semantics §1.7.9.
func TestCostPressure(t *testing.T) {
	price := func(w *admit.World, prices ...int64) {
		for i := range prices {
			w.Levels[i].Config.Price = &budget.Price{PerCall: &prices[i]}
		}
	}
	under := func() (*admit.Query, *admit.World) {
		q, w := four()
		w.Runs = []*budget.Run{run("r", 100, 80)}
		return q, w
	}
	q, w := under()
	price(w, 10, 10, 5, 1)
	if d := admit.Decide(q, w); d.Level != 2 || d.Reason != admit.CostPressure {
		t.Errorf("the first cheaper level: %+v", d)
	}
	q.Pin = new(0)
	if d := admit.Decide(q, w); d.Level != 0 || d.Reason != admit.None {
		t.Errorf("a pinned level: %+v", d)
	}
	q, w = under()
	price(w, 10, 10, 5, 1)
	attempted(w, 2, 1)
	if d := admit.Decide(q, w); d.Level != 3 || d.Reason != admit.CostPressure {
		t.Errorf("the first cheaper level that was not tried: %+v", d)
	}
	q, w = under()
	price(w, 15, 15, 15, 1)
	open(w, 3, breaker.CauseTransport, 20*time.Second)
	if d := admit.Decide(q, w); d.Outcome != admit.Granted || d.Level != 0 {
		t.Errorf("nothing cheaper is there, but level 0 is: %+v", d)
	}
	w.Runs[0].Spent.Cost = 90
	if d := admit.Decide(q, w); d.Outcome != admit.Denied || d.Reason != admit.RunBudget {
		t.Errorf("nothing passes, and level 0 says why: %+v", d)
	}
}

// TestDeeperWhenUnaffordable: a level that the run cannot pay is passed over.
func TestDeeperWhenUnaffordable(t *testing.T) {
	q, w := four()
	w.Runs = []*budget.Run{run("r", 100, 0)}
	for i, price := range []int64{200, 150, 90, 10} {
		w.Levels[i].Config.Price = &budget.Price{PerCall: &price}
	}
	if d := admit.Decide(q, w); d.Level != 2 || d.Reserve.Cost != 90 || d.Source != budget.SourcePerCall {
		t.Errorf("%+v", d)
	}
}

// TestDryRunReserves: what a dry run lets pass is counted like any other call.
func TestDryRunReserves(t *testing.T) {
	q, w := single()
	w.Levels[0].Config.DryBudget = true
	w.Runs = []*budget.Run{run("r", 100, 0)}
	d := admit.Decide(q, w)
	if d.Outcome != admit.Granted || d.Would == nil || d.Would.Reason != admit.PriceUnknown || d.Reserve.Calls != 1 {
		t.Errorf("%+v", d)
	}
}

// TestLast: what the attempt before reserved stands in where a price list says
// no more, and never for a missing price.
func TestLast(t *testing.T) {
	q, w := four()
	w.Runs = []*budget.Run{run("r", 100, 0)}
	q.Last = new(int64(30))
	w.Levels[1].Config.Price = &budget.Price{Input: new(int64(5))}
	if l := q.At(w, 0); l.Reason != admit.PriceUnknown {
		t.Errorf("without a price: %+v", l)
	}
	if l := q.At(w, 1); l.Reason != admit.None || l.Reserve.Cost != 30 {
		t.Errorf("with a price for tokens: %+v", l)
	}
}
