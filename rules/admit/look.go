// SPDX-License-Identifier: Apache-2.0

package admit

import (
	"slices"
	"strconv"
	"time"

	"github.com/resilienced/resilienced/rules/breaker"
	"github.com/resilienced/resilienced/rules/budget"
	"github.com/resilienced/resilienced/rules/target"
)

// Look is what one level says to a call.
type Look struct {
	Reason    Reason // None: it would be granted
	Rule      string
	Delay     time.Duration // how long the refusal holds; 0: nobody knows
	BlockedBy string
	Detail    string
	Would     *Would
	Probe     bool
	Reserve   budget.Amounts
	Source    budget.Source
}

// Passes reports that the level would be granted.
func (l *Look) Passes() bool { return l.Reason == None }

// At asks one level of the world, in the order: forced state, breaker, fleet
// cooldown, reporter, concurrency and rate, price, budgets.
func (q *Query) At(w *World, i int) Look {
	var l Look
	level := &w.Levels[i]
	for _, ask := range [...]func(*Query, *World, *Level, int, *Look){askBreaker, askCooldown, askRoom, askBudget} {
		if ask(q, w, level, i, &l); l.Reason != None {
			return l
		}
	}
	return l
}

// block notes a refusal, or only what would have been in a dry run.
func (l *Look) block(dry bool, level *Level, r Reason, rule string, delay time.Duration, detail string) {
	if dry {
		if l.Would == nil {
			l.Would = &Would{Outcome: Denied, Reason: r, Rule: rule}
		}
		return
	}
	l.Reason, l.Rule, l.Delay, l.Detail = r, rule, delay, detail
	l.BlockedBy = level.Config.Name
}

func askBreaker(q *Query, w *World, level *Level, _ int, l *Look) {
	gate, delay := level.Control.Breaker.Check(level.Config.Breaker, w.Now, q.Idempotent)
	if gate == breaker.GateProbe {
		l.Probe = true
		return
	}
	if r := gateReason(gate); r != None {
		l.block(w.Dry(level.Config.DryBreaker), level, r, breakerRule(&level.Control.Breaker), delay, "")
	}
}

// breakerRule says what opened the breaker.
func breakerRule(s *breaker.State) string {
	if s.Cause == breaker.CauseNone {
		return "breaker.forced"
	}
	return "breaker." + s.Cause.String()
}

func askCooldown(q *Query, w *World, level *Level, _ int, l *Look) {
	if remaining := level.Cooldown.Remaining(w.Now); remaining > 0 {
		l.block(w.Dry(level.Config.DryLimit), level, Cooldown, "cooldown."+level.Cooldown.Cause, remaining, "")
		return
	}
	if q.Reporter == 0 {
		return
	}
	if held := level.Control.HeldFor(q.Reporter, w.Now); held > 0 {
		l.block(w.Dry(level.Config.DryBreaker), level, ReporterHeld, "reporter_guard", held,
			"only this reporter saw the failures, and they may be its own")
	}
}

func askRoom(_ *Query, w *World, level *Level, _ int, l *Look) {
	if l.Probe {
		return
	}
	var median time.Duration
	if level.Tally != nil {
		median = level.Tally.Median()
	}
	admission, delay := level.Control.Room(level.Config, median, w.Now)
	if admission == target.Admitted {
		return
	}
	reason, rule := Concurrency, "limit.concurrency"
	switch admission {
	case target.Ramping:
		reason, rule = Ramp, "breaker.ramp"
	case target.Limited:
		reason, rule = RateLimit, "limit.rate"
	default:
	}
	l.block(w.Dry(level.Config.DryLimit), level, reason, rule, delay, "")
}

// question is the estimate of one level.
func (q *Query) question(w *World, i int) budget.Question {
	level := &w.Levels[i]
	history := int64(-1)
	if level.Tally != nil {
		history = level.Tally.Costs.Quantile(95)
	}
	byDefault := level.Config.DefaultEstimate
	if byDefault == nil && level.Config.Price != nil {
		byDefault = q.Last
	}
	return budget.Question{
		Estimate: q.Estimate, Price: level.Config.Price, History: history, Default: byDefault,
		Unknown: level.Config.UnknownPrice, Deeper: i > 0, Needed: budget.Capped(w.Runs),
	}
}

func (a *arbiter) question(i int) budget.Question { return a.q.question(a.w, i) }

func askBudget(q *Query, w *World, level *Level, i int, l *Look) {
	if len(w.Runs) == 0 {
		return
	}
	if run := currencyMismatch(w.Runs, level.Config.Price); run != "" {
		l.block(w.Dry(level.Config.DryBudget), level, CurrencyMismatch, "run.currency", 0, "the price is in another currency than run "+run)
	}
	cost, source, known := q.question(w, i).Cost()
	if !known {
		l.block(w.Dry(level.Config.DryBudget), level, PriceUnknown, "unknown_price", 0,
			"a run with a cost cap needs a price, an explicit estimate, or unknown_price in the policy")
	}
	if l.Reason != None {
		return
	}
	l.Source = source
	l.Reserve = budget.Amounts{Cost: cost, Tokens: q.Estimate.EstimateTokens(), Calls: 1}
	for _, run := range w.Runs {
		dimension, left := run.Fits(l.Reserve)
		if dimension == budget.DimensionNone {
			continue
		}
		l.block(w.Dry(level.Config.DryBudget), level, RunBudget, "run.caps."+string(dimension), 0,
			strconv.FormatInt(left, 10)+" "+string(dimension)+" are left, the call needs "+strconv.FormatInt(l.Reserve.In(dimension), 10))
		if l.Reason != None {
			l.BlockedBy = run.ID
		}
		return
	}
}

func currencyMismatch(runs []*budget.Run, p *budget.Price) string {
	if p == nil || p.Currency == "" {
		return ""
	}
	i := slices.IndexFunc(runs, func(r *budget.Run) bool {
		return r.Caps.Cost != nil && r.Currency != "" && r.Currency != p.Currency
	})
	if i < 0 {
		return ""
	}
	return runs[i].ID
}
