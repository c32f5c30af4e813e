// SPDX-License-Identifier: Apache-2.0

package admit_test

import (
	"fmt"
	"time"

	"pgregory.net/rapid"

	"github.com/resilienced/resilienced/rules"
	"github.com/resilienced/resilienced/rules/admit"
	"github.com/resilienced/resilienced/rules/breaker"
	"github.com/resilienced/resilienced/rules/budget"
	"github.com/resilienced/resilienced/rules/fallback"
	"github.com/resilienced/resilienced/rules/limit"
	"github.com/resilienced/resilienced/rules/operation"
	"github.com/resilienced/resilienced/rules/retry"
	"github.com/resilienced/resilienced/rules/target"
)

const now = rules.Instant(1_000_000_000)

// fresh is a world where everything passes: a chain of the given kinds.
func fresh(kinds ...fallback.Kind) (*admit.Query, *admit.World) {
	w := &admit.World{Now: now, Chain: &fallback.Chain{}}
	for i, k := range kinds {
		cfg := &target.Config{
			Name: fmt.Sprint("t", i), Kind: "llm", MaxIdentical: 3,
			Breaker: breaker.Config{CooldownBase: 30 * time.Second, CooldownMax: 5 * time.Minute, Probes: 1},
			Retry:   retry.Config{MaxAttempts: 3, StayLimit: 10 * time.Second, FleetFloor: 10_000, FleetTTL: 10 * time.Second},
		}
		w.Levels = append(w.Levels, admit.Level{Config: cfg, Kind: k})
		w.Chain.Levels = append(w.Chain.Levels, fallback.Level{Target: cfg.Name, Kind: k})
	}
	return &admit.Query{Operation: "o", Idempotent: true, MaxWait: 10 * time.Second, MaxAttempts: 3, TaskBudget: 3}, w
}

func single() (*admit.Query, *admit.World) { return fresh(fallback.Primary) }

// attempted gives the world an operation that was tried on a level before.
func attempted(w *admit.World, level, times int) *operation.Operation {
	w.Op = operation.New(operation.Idempotent)
	w.Op.Attempts = times
	w.Op.Detail.At(level).Attempts = times
	w.Op.Permit = &operation.Permit{State: operation.PermitSettled}
	return w.Op
}

func run(id string, limit, spent int64) *budget.Run {
	return &budget.Run{ID: id, Caps: budget.Caps{Cost: &limit}, Spent: budget.Amounts{Cost: spent}}
}

// drawWorld makes any world: open, forced, cooling, full, priced or not, with
// runs and an operation in any state.
func drawWorld(t *rapid.T) (*admit.Query, *admit.World) {
	kinds := []fallback.Kind{fallback.Primary}
	for range rapid.IntRange(0, 3).Draw(t, "levels") {
		kinds = append(kinds, max(kinds[len(kinds)-1], fallback.Kind(rapid.IntRange(1, 6).Draw(t, "kind"))))
	}
	q, w := fresh(kinds...)
	for i := range w.Levels {
		drawLevel(t, &w.Levels[i])
	}
	for i := range rapid.IntRange(0, 2).Draw(t, "runs") {
		r := run(fmt.Sprint("r", i), rapid.Int64Range(1, 100).Draw(t, "cap"), rapid.Int64Range(0, 110).Draw(t, "spent"))
		r.Final = rapid.SampledFrom([]budget.State{0, 0, 0, budget.Stopped, budget.Completed}).Draw(t, "final")
		r.ZeroCostLate = rapid.Bool().Draw(t, "zero late")
		w.Runs = append(w.Runs, r)
	}
	if rapid.Bool().Draw(t, "estimate") {
		q.Estimate.Cost = new(rapid.Int64Range(0, 60).Draw(t, "cost"))
	}
	q.Idempotent = rapid.Bool().Draw(t, "idempotent")
	q.MaxWait = rapid.SampledFrom([]time.Duration{0, time.Second, 10 * time.Second, time.Hour}).Draw(t, "max wait")
	if rapid.Bool().Draw(t, "pin") {
		q.Pin = new(rapid.IntRange(0, len(kinds)-1).Draw(t, "level"))
	}
	w.Identical = rapid.IntRange(0, 4).Draw(t, "identical")
	if rapid.Bool().Draw(t, "known") {
		drawOperation(t, w)
	}
	return q, w
}

func drawLevel(t *rapid.T, l *admit.Level) {
	l.Control.Breaker = breaker.State{
		Phase: breaker.Phase(rapid.IntRange(0, 5).Draw(t, "phase")), Cause: breaker.Cause(rapid.IntRange(0, 4).Draw(t, "cause")), Cycles: 1,
	}
	switch s := &l.Control.Breaker; s.Phase {
	case breaker.Open:
		s.OpenUntil = now + rules.Instant(rapid.Int64Range(1, 40_000_000).Draw(t, "open"))
	case breaker.HalfOpen:
		if s.ProbeIdle = now; rapid.Bool().Draw(t, "probe") {
			*s = s.TakeProbe(breaker.Probe{Operation: "p", Expires: now + 9_000_000})
		}
	case breaker.Closed, breaker.ForcedOpen, breaker.ForcedClosed, breaker.Disabled:
	}
	if rapid.IntRange(0, 3).Draw(t, "cools") == 3 {
		l.Cooldown.Until = now + rules.Instant(rapid.Int64Range(1, 40_000_000).Draw(t, "cooldown"))
	}
	if rapid.IntRange(0, 3).Draw(t, "full") == 3 {
		l.Config.Limit.Concurrency = 1
		l.Control.Slots = []limit.Holder{{Operation: "h", Expires: now + 5_000_000}}
	}
	if rapid.Bool().Draw(t, "priced") {
		l.Config.Price = &budget.Price{PerCall: new(rapid.Int64Range(0, 60).Draw(t, "price"))}
	}
	dry := rapid.IntRange(0, 7).Draw(t, "dry") == 7
	l.Config.DryBreaker, l.Config.DryBudget, l.Config.DryLimit, l.Config.DryRetry = dry, dry, dry, dry
	l.Config.Credential = rapid.SampledFrom([]string{"", "k1", "k2"}).Draw(t, "credential")
	l.Config.Retry.RetriesPerLevel = rapid.IntRange(0, 1).Draw(t, "per level")
}

func drawOperation(t *rapid.T, w *admit.World) {
	w.Op = operation.New(operation.Idempotency(rapid.IntRange(1, 3).Draw(t, "mode")))
	w.Op.State = operation.State(rapid.IntRange(0, 4).Draw(t, "state"))
	for i := range w.Levels {
		n := rapid.IntRange(0, 2).Draw(t, "tried")
		w.Op.Detail.At(i).Attempts = n
		w.Op.Attempts += n
	}
	w.Op.Permit = &operation.Permit{State: operation.PermitState(rapid.IntRange(0, 3).Draw(t, "permit")), Expires: now + 7}
	d := w.Op.Detail
	d.StartLevel = rapid.IntRange(0, len(w.Levels)-1).Draw(t, "start")
	d.Promised, d.Throttled = rapid.Bool().Draw(t, "promised"), rapid.Bool().Draw(t, "throttled")
	d.NotBefore = now + rules.Instant(rapid.IntRange(-1, 1).Draw(t, "backoff"))
	d.TaskUsed = rapid.IntRange(0, 4).Draw(t, "task")
	if rapid.Bool().Draw(t, "suspects") {
		d.Suspect = []string{"k1"}
	}
}
