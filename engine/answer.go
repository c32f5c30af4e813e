// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"slices"
	"time"

	"github.com/resilienced/resilienced/rules"
	"github.com/resilienced/resilienced/rules/admit"
	"github.com/resilienced/resilienced/rules/budget"
	"github.com/resilienced/resilienced/rules/fallback"
	"github.com/resilienced/resilienced/rules/operation"
	"github.com/resilienced/resilienced/rules/target"
)

// answer turns a decision into the result of an Acquire.
func (a *acquire) answer(t *txn, d *admit.Decision, w *admit.World) {
	r := a.result
	r.Decision, r.Reason, r.Rule, r.Delay, r.BlockedBy = d.Outcome, d.Reason, d.Rule, d.Delay, d.BlockedBy
	r.Terminal, r.Would, r.Skipped, r.Action = d.Terminal, d.Would, d.Skipped, d.Action
	if w.Op != nil && w.Op.Detail != nil && d.Reason == admit.AlreadySucceeded {
		r.ResultRef = w.Op.Detail.ResultRef
	}
	if d.Outcome != admit.Granted && d.Action == operation.Retry {
		l := a.chain.Levels[d.Level]
		r.Next = &NextLevel{Target: l.Target, Level: d.Level, Kind: l.Kind}
	}
	r.Run = runView(w.Runs, t.now)
	r.Detail = d.Detail
}

// complete adds to a committed answer what needs no transaction: the ids.
func (a *acquire) complete(e *Engine) {
	r := a.result
	at := r.Now
	if a.granted != nil {
		cfg := a.policy.Target(a.granted.Permit.Target)
		r.Grant = e.grantView(a.req.Namespace, a.req.OperationID, a.req.RunID, a.granted, a.chain, cfg, r.Now)
		at = a.granted.Permit.GrantedAt
	}
	id := decisionID{
		method: methodAcquire, at: at, epoch: a.epoch, outcome: byte(r.Decision),
		reason: string(r.Reason), rule: r.Rule, blockedBy: r.BlockedBy, delay: r.Delay,
	}
	r.DecisionID = id.encode()
}

// repeatGrant answers a repeat with the grant that was made before.
func (a *acquire) repeatGrant(t *txn, op *operation.Operation) {
	p := op.Permit
	if !p.Taken && p.State == operation.PermitActive {
		taken := *p
		taken.Taken = true
		next := *op
		next.Permit = &taken
		t.put(a.op, &next)
	}
	a.granted = op
	a.result.Decision = admit.Granted
	a.result.Would = withheldAnswer(p.Would)
	a.result.Run = runView(t.derivedRuns(a.runs, len(a.path), nil), t.now)
}

// withholding is what was not answered, as it is recorded.
func withholding(w *admit.Would) *operation.Withheld {
	return &operation.Withheld{Outcome: uint8(w.Outcome), Reason: string(w.Reason), Rule: w.Rule}
}

// withheldAnswer is the recorded one as it is shown; nil: the same was answered.
func withheldAnswer(w *operation.Withheld) *admit.Would {
	if w == nil {
		return nil
	}
	return &admit.Would{Outcome: admit.Outcome(w.Outcome), Reason: admit.Reason(w.Reason), Rule: w.Rule}
}

// heartbeats divides a lease into the heartbeats that keep it (G8).
const heartbeats = 3

// grantView is a permit as its caller sees it.
func (e *Engine) grantView(ns, name, run string, op *operation.Operation, chain *fallback.Chain, cfg *target.Config, now rules.Instant) *Grant {
	p := op.Permit
	g := &Grant{
		PermitID: e.permits.encode(claimsOf(ns, name, run, p)), Fence: p.Fence, Operation: name, Target: p.Target, Level: p.Level,
		Kind: fallback.Primary, Probe: p.Probe, Generation: p.Generation, Attempt: p.Attempt,
		Lease: p.Expires.Until(now), HeartbeatEvery: p.Lease / heartbeats, Timeout: min(cfg.CallTimeout, p.Lease),
		Reserved: p.Reserved, Source: budget.Source(p.Source), Degraded: p.Level > 0,
	}
	if p.Level < len(chain.Levels) {
		g.Kind = chain.Levels[p.Level].Kind
	}
	if op.Idempotency == operation.IdempotentWithKey {
		g.IdempotencyKey = name
		if op.Detail != nil && op.Detail.Key != "" {
			g.IdempotencyKey = op.Detail.Key
		}
	}
	return g
}

// claimsOf is what a permit's id carries. It does not change while the permit
// lives, so that a repeat gets the same id.
func claimsOf(ns, name, run string, p *operation.Permit) *claims {
	c := &claims{
		Namespace: ns, Operation: name, Target: p.Target, Run: run, Credential: p.Credential,
		Fence: p.Fence, Generation: p.Generation, Expires: p.GrantedAt.Add(p.Lease), Cost: p.Reserved.Cost,
	}
	if p.Slot {
		c.Flags |= flagSlot
	}
	if p.Probe {
		c.Flags |= flagProbe
	}
	return c
}

// runView is the leaf of a path of derived runs as a caller sees it; nil
// without a run.
func runView(path []*budget.Run, now rules.Instant) *RunView {
	if len(path) == 0 || path[len(path)-1] == nil {
		return nil
	}
	leaf := path[len(path)-1]
	v := &RunView{
		Run: leaf, State: leaf.StateAt(now), Overrun: leaf.Overrun(), Now: now,
		Wall: now.Sub(leaf.CreatedAt).Truncate(time.Millisecond), Remaining: leaf.Remaining(now),
	}
	for _, r := range path[:len(path)-1] {
		v.Remaining = smaller(v.Remaining, r.Remaining(now))
	}
	if blocker, _ := budget.Blocker(path, now); blocker != nil {
		v.BlockedBy = blocker.ID
	}
	if i := slices.IndexFunc(path, func(r *budget.Run) bool { return r.Final != 0 }); i >= 0 && leaf.Final == 0 {
		v.State, v.BlockedBy = budget.Stopped, path[i].ID
	}
	return v
}

// smaller is what both remainders leave in each dimension.
func smaller(a, b budget.Caps) budget.Caps {
	least := func(x, y *int64) *int64 {
		if x == nil || (y != nil && *y < *x) {
			return y
		}
		return x
	}
	return budget.Caps{
		Cost: least(a.Cost, b.Cost), Tokens: least(a.Tokens, b.Tokens),
		Calls: least(a.Calls, b.Calls), WallMS: least(a.WallMS, b.WallMS),
	}
}
