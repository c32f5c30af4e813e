// SPDX-License-Identifier: Apache-2.0

package admit

import (
	"slices"
	"time"

	"github.com/resilienced/resilienced/rules/breaker"
	"github.com/resilienced/resilienced/rules/budget"
	"github.com/resilienced/resilienced/rules/fallback"
	"github.com/resilienced/resilienced/rules/target"
)

// attempt is one level that was asked.
type attempt struct {
	level int
	look  Look
}

// chooseLevel grants the first level that passes, or refuses (steps 5 to 7).
func (a *arbiter) chooseLevel() Decision {
	start, pressure := a.start(), false
	if cheaper := a.cheaper(start); cheaper > start {
		start, pressure = cheaper, true
	}
	first := a.q.At(a.w, start)
	if first.Passes() {
		d := a.grant(start, &first, nil)
		if pressure {
			d.Reason, d.Rule = CostPressure, "run.soft_percent"
		}
		return d
	}
	asked := []attempt{{start, first}}
	if a.stays(start, &first) {
		return a.refusal(asked)
	}
	for _, i := range a.candidates(start, &first, pressure) {
		look := a.q.At(a.w, i)
		if skip := a.unfit(i, start); skip != None {
			look = Look{Reason: skip, Rule: "fallback", BlockedBy: a.w.Levels[i].Config.Name}
		}
		if look.Passes() {
			return a.grant(i, &look, asked)
		}
		asked = append(asked, attempt{i, look})
	}
	return a.refusal(asked)
}

// stays: a short cooldown of the primary is waited for (seed 003).
func (a *arbiter) stays(start int, l *Look) bool {
	return l.Reason == Cooldown && l.Delay < a.w.Levels[start].Config.Retry.StayLimit && l.Delay <= a.patience()
}

// patience is the longest wait that is answered with WAIT.
func (a *arbiter) patience() time.Duration {
	if a.q.Deadline > 0 {
		return min(a.q.MaxWait, a.q.Deadline)
	}
	return a.q.MaxWait
}

// candidates are the levels to ask after start has refused, in order (2.3,
// Acquire-time choice).
func (a *arbiter) candidates(start int, l *Look, pressure bool) []int {
	c := a.w.Chain
	var order []int
	switch l.Reason {
	case BreakerOpen, ForcedOpen, ProbeInFlight, ReporterHeld:
		order = c.From(start, fallback.CrossProvider)
		cause := a.w.Levels[start].Control.Breaker.Cause
		switch cause {
		case breaker.CauseAuth:
			order = slices.DeleteFunc(order, func(i int) bool { return a.sharesCredential(i, start) })
		case breaker.CauseQuality:
		default:
			order = append(order, c.Below(start, fallback.CrossProvider)...)
		}
	case Cooldown:
		order = c.From(start, fallback.SameProviderCheaper)
	default:
		order = c.From(start, fallback.Primary)
	}
	if pressure {
		for i := range start {
			order = append(order, i)
		}
	}
	return order
}

func (a *arbiter) sharesCredential(i, j int) bool {
	credential := a.w.Levels[i].Config.Credential
	return credential != "" && credential == a.w.Levels[j].Config.Credential
}

// unfit says why an operation may not go to a level other than its start.
func (a *arbiter) unfit(i, start int) Reason {
	op := a.w.Op
	if op == nil || i == start {
		return None
	}
	if op.Tried(i) >= a.Allowed(i) {
		return LevelTried
	}
	if op.Detail != nil && Suspect(a.w.Levels[i].Config, op.Detail.Suspect) {
		return CredentialSuspect
	}
	return None
}

// Suspect reports whether the target's credential failed the operation before.
func Suspect(c *target.Config, suspects []string) bool {
	return c.Credential != "" && slices.Contains(suspects, c.Credential)
}

// cheaper returns the level at which a run under pressure starts: the first
// that costs less than level 0 and that the operation may still use; or start.
func (a *arbiter) cheaper(start int) int {
	if start != 0 || a.q.Pin != nil || len(a.w.Levels) < 2 || !budget.UnderPressure(a.w.Runs, a.w.Now) {
		return start
	}
	for i := 1; i < len(a.w.Levels); i++ {
		if a.w.Levels[i].Kind != fallback.HumanQueue && a.unfit(i, start) == None && a.isCheaper(i) {
			return i
		}
	}
	return start
}

// isCheaper compares a level with level 0 by what they cost, else by rank,
// else by the name of the kind.
func (a *arbiter) isCheaper(i int) bool {
	cost := func(i int) (int64, bool) {
		q := a.question(i)
		q.Estimate.Cost, q.Needed = nil, true
		v, source, known := q.Cost()
		return v, known && source != budget.SourceUnpriced
	}
	own, known := cost(i)
	base, baseKnown := cost(0)
	if known && baseKnown {
		return own < base
	}
	if own, base := a.w.Levels[i].CostRank, a.w.Levels[0].CostRank; own > 0 && base > 0 {
		return own < base
	}
	return a.w.Levels[i].Kind == fallback.SameProviderCheaper
}

func (a *arbiter) grant(i int, l *Look, asked []attempt) Decision {
	d := Decision{
		Outcome: Granted, Level: i, Probe: l.Probe, Reserve: l.Reserve, Source: l.Source,
		Would: l.Would, Skipped: a.skipped(asked),
	}
	if a.would != nil {
		d.Would = a.would
	}
	if i > 0 && len(asked) > 0 {
		d.Reason, d.Rule, d.BlockedBy = asked[0].look.Reason, asked[0].look.Rule, asked[0].look.BlockedBy
	}
	if a.Pays() {
		d.PayTask, d.PayFleet = true, RetryCost(a.w.Op)
	}
	return d
}

func (a *arbiter) skipped(asked []attempt) []Skip {
	skips := make([]Skip, 0, len(asked))
	for _, t := range asked {
		skips = append(skips, Skip{
			Target: a.w.Levels[t.level].Config.Name, Level: t.level, Reason: t.look.Reason, Delay: t.look.Delay,
		})
	}
	return skips
}

// refusal answers with the reason of level 0, or of the level that was asked
// first if level 0 was not, and with the smallest delay (C4).
func (a *arbiter) refusal(asked []attempt) Decision {
	ofZero := func(t attempt) bool {
		return t.level == 0 && t.look.Reason != LevelTried && t.look.Reason != CredentialSuspect
	}
	if i := slices.IndexFunc(asked, ofZero); i > 0 {
		asked = slices.Concat(asked[i:i+1], asked[:i], asked[i+1:])
	}
	first := &asked[0].look
	d := Decision{
		Outcome: Denied, Reason: first.Reason, Rule: first.Rule, BlockedBy: first.BlockedBy, Detail: first.Detail,
		Skipped: a.skipped(asked[1:]), Level: asked[0].level,
	}
	for _, t := range asked {
		if delay := t.look.Delay; delay > 0 && (d.Delay == 0 || delay < d.Delay) {
			d.Delay = delay
		}
	}
	if d.Delay > 0 && d.Delay <= a.patience() {
		d.Outcome = Wait
	}
	if d.Outcome == Wait || d.Reason == Cooldown { // a fleet must not come back in one instant
		d.Delay = a.w.Levels[asked[0].level].Config.Retry.AddMargin(d.Delay, a.q.Rand)
	}
	return d
}
