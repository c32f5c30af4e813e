// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"github.com/resilienced/resilienced/rules/breaker"
	"github.com/resilienced/resilienced/rules/classify"
	"github.com/resilienced/resilienced/rules/limit"
	"github.com/resilienced/resilienced/rules/operation"
	"github.com/resilienced/resilienced/rules/target"
	"github.com/resilienced/resilienced/statestore"
)

// ballot is what a report did to its target.
type ballot struct {
	control    target.Control
	changed    bool
	notCounted string
	opened     bool
	made       []breaker.Transition
}

// vote frees the permit's slot, lets the report count, and extends the fleet's
// cooldown. It puts the tally, and leaves the control record to carry.
func (r *report) vote(t *txn, op *operation.Operation, v *classify.Verdict) ballot {
	cfg := r.own.config
	stored := record[target.Control](t, r.own.control)
	b := ballot{}
	if stored != nil {
		b.control, b.made = stored.Derive(cfg, t.now)
		b.changed = len(b.made) > 0
	}
	c := &b.control
	if slots, held := limit.Without(c.Slots, r.claims.Operation, r.claims.Fence); held {
		c.Slots, b.changed = slots, true
	}
	permit := breaker.Ballot{
		Operation: r.claims.Operation, Fence: r.claims.Fence, Generation: r.permit.Generation,
		GrantedAt: r.permit.GrantedAt, Expires: r.permit.Expires,
	}
	b.notCounted = c.Breaker.Counts(permit, t.now)
	if b.notCounted == "" && r.expired(t.now) {
		b.notCounted = breaker.NotCountedExpired
	}
	if b.notCounted == "" {
		r.castVote(t, &b, permit, op, v)
	} else if c.Breaker.HasProbe(r.claims.Operation, r.claims.Fence) {
		c.Breaker, b.changed = c.Breaker.FreeProbe(r.claims.Operation, r.claims.Fence, t.now), true
	}
	r.cool(t, &b, v)
	return b
}

// castVote counts the report in the tally and lets it vote on the breaker.
func (r *report) castVote(t *txn, b *ballot, permit breaker.Ballot, op *operation.Operation, v *classify.Verdict) {
	cfg, c := r.own.config, &b.control
	reporter := uint64(0)
	if op.Detail != nil {
		reporter = reporterID(op.Detail.Reporter)
	}
	duration := min(r.req.Signal.Duration, max(t.now.Sub(r.permit.GrantedAt), 0))
	sample := target.Sample{
		Effect: v.Effect, Generation: c.Breaker.Generation, Reporter: reporter, Cost: -1,
		Slow: v.Effect == classify.Success && cfg.Breaker.SlowAfter > 0 && duration >= cfg.Breaker.SlowAfter,
	}
	if v.Effect == classify.Success {
		sample.Duration = duration
	}
	if cost, known := r.req.Usage.Price(cfg.Price); known {
		sample.Cost = cost
	}
	view := target.Tally{}
	if seen := t.tally(r.own.tally, r.own.tallyKey); seen != nil {
		view = *seen
	}
	window := view.Counts(cfg, c.Breaker.Generation, t.now)
	addSample(&window, &sample)
	if t.engine.tallies.shared(r.own.tallyKey, cfg, t.now) {
		// Of the last moment only the own part is known, which may say otherwise
		// than the whole.
		window = view.Settled(cfg, c.Breaker.Generation, t.now, stripeBound)
	}
	vote := breaker.Vote{
		Effect: v.Effect, Quality: v.QualityFailure, Auth: v.AuthFailure, Reporter: reporter, Window: window,
		ClientError: clientError(v.Rule), Alone: view.Alone(reporter, t.now),
		Suspect: v.Certainty == classify.NotSent || v.Reason == classify.ReasonTimeout,
	}
	t.count(r.own.tally, tallyOp{key: r.own.tallyKey, config: cfg, now: t.now, sampled: true, sample: sample})
	before := c.Breaker
	state, verdict := before.Apply(cfg.Breaker, permit, vote, t.now)
	c.Breaker = state
	if verdict.Transition != nil {
		b.made = append(b.made, *verdict.Transition)
		b.opened = verdict.Transition.To == breaker.Open
		if verdict.Transition.To == breaker.Closed {
			c.Ramp = target.Ramp{}
		}
	}
	if verdict.Hold {
		*c = c.Hold(reporter, t.now.Add(cfg.Breaker.CooldownBase))
	}
	b.changed = b.changed || verdict.Transition != nil || verdict.Hold || !same(&before, &state)
}

// same reports whether a vote left the streaks and probes as they were.
func same(a, b *breaker.State) bool {
	return a.Consecutive == b.Consecutive && a.Quality == b.Quality && a.Auth == b.Auth && a.Successes == b.Successes &&
		len(a.Probes) == len(b.Probes) && a.Phase == b.Phase
}

func addSample(w *breaker.Counts, s *target.Sample) {
	switch s.Effect {
	case classify.Failure:
		w.Failures++
	case classify.Success:
		w.Successes++
	case classify.Neutral:
	}
	if s.Slow {
		w.Slow++
	}
}

// clientError names the rows that prove a target is there (C14).
func clientError(rule string) bool {
	switch rule {
	case "R11", "R17", "R18", "R19", "R21", "R22":
		return true
	default:
		return false
	}
}

// cool extends the fleet's cooldown, on the target or on the record that it
// shares with others.
func (r *report) cool(t *txn, b *ballot, v *classify.Verdict) {
	if v.Cooldown <= 0 {
		return
	}
	raw := v.RawRetryAfter
	if r.own.cooldown == r.own.control {
		next := b.control.Cooldown.Extend(t.now, v.Cooldown, string(v.Reason), r.claims.Operation, raw)
		b.changed = b.changed || next != b.control.Cooldown
		b.control.Cooldown = next
		return
	}
	key := t.cmd.wants[r.own.cooldown].key
	if _, ok := t.want(key, statestore.Write, 0); !ok {
		return
	}
	shared := target.Control{}
	if stored := record[target.Control](t, r.own.cooldown); stored != nil {
		shared = *stored
	}
	shared.Cooldown = shared.Cooldown.Extend(t.now, v.Cooldown, string(v.Reason), r.claims.Operation, raw)
	t.put(r.own.cooldown, shared.Stamp(r.own.config, t.now))
	t.durable = true
}
