// SPDX-License-Identifier: Apache-2.0

package admit

import "github.com/resilienced/resilienced/rules/budget"

// observe answers where nothing may be refused. The call goes where it would
// go without this service: to the level that it starts at. What the rules
// would have answered stands in Would.
//
// A call that would not have been granted there takes nothing that a refused
// call does not take: no probe, no retry of a budget. Money it does reserve,
// because it will be spent.
func (a *arbiter) observe() Decision {
	start := a.start()
	enforced := *a.w
	enforced.Enforced = true
	d := (&arbiter{q: a.q, w: &enforced}).decide()
	if d.Outcome != Granted || d.Level != start {
		d = a.anyway(start, &d)
	}
	return a.passed(d)
}

// passed says of a grant that a pass holds.
func (a *arbiter) passed(d Decision) Decision {
	if a.w.Pass {
		d.Reason, d.Rule, d.BlockedBy = Pass, "pass", ""
	}
	return d
}

// Anyway grants a call where nothing may be refused against a ruling that was
// made elsewhere, such as that of a quota.
func Anyway(q *Query, w *World, ruled *Decision) Decision {
	a := &arbiter{q: q, w: w}
	d := a.anyway(a.start(), ruled)
	return a.passed(d)
}

// anyway grants the start level against what the rules say.
func (a *arbiter) anyway(start int, ruled *Decision) Decision {
	d := Decision{
		Outcome: Granted, Level: start, Bare: true, Would: &Would{Outcome: ruled.Outcome, Reason: ruled.Reason, Rule: ruled.Rule},
		Detail: ruled.Detail,
	}
	if d.Would.Reason == None && len(ruled.Skipped) > 0 { // granted elsewhere
		d.Would.Reason, d.Would.Rule = ruled.Skipped[0].Reason, "fallback"
	}
	if len(a.w.Runs) == 0 {
		return d
	}
	cost, source, known := a.question(start).Cost()
	if !known {
		cost, source = 0, budget.SourceUnpriced
	}
	d.Source = source
	d.Reserve = budget.Amounts{Cost: cost, Tokens: a.q.Estimate.EstimateTokens(), Calls: 1}
	return d
}
