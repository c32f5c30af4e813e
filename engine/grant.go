// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"time"

	"github.com/resilienced/resilienced/rules"
	"github.com/resilienced/resilienced/rules/admit"
	"github.com/resilienced/resilienced/rules/breaker"
	"github.com/resilienced/resilienced/rules/budget"
	"github.com/resilienced/resilienced/rules/limit"
	"github.com/resilienced/resilienced/rules/operation"
	"github.com/resilienced/resilienced/rules/target"
	"github.com/resilienced/resilienced/statestore"
)

// grant carries a grant out: permit, slot, probe, reservations, allowances.
func (a *acquire) grant(t *txn, d *admit.Decision, w *admit.World, q *admit.Query) {
	keys := &a.levels[d.Level]
	level := &w.Levels[d.Level]
	p := a.permit(t, d, level, w.Op)
	changes := d.Probe || d.PayFleet > 0 || (!d.Bare && level.Control.Changes(keys.config, t.now))
	if changes && !t.putControl(keys, a.take(d, level, p, t.now), t.turned(keys)) {
		return
	}
	if d.PayTask && a.task >= 0 && !a.ready(t, a.task) {
		return
	}
	op := a.admitted(t, d, w, q, p)
	first := !d.Bare && !op.Detail.At(d.Level).Deposited
	op.Detail.At(d.Level).Deposited = first || op.Detail.At(d.Level).Deposited
	if d.PayTask && a.task >= 0 {
		t.put(a.task, w.Task.Take(keys.config.Name, t.now))
	}
	admit := (*budget.Run).Admit
	if w.Dry(keys.config.DryBudget) { // the caps were not asked
		admit = (*budget.Run).Reserve
	}
	for i, run := range w.Runs {
		w.Runs[i] = admit(run, p.Reserved, p.Account, t.now)
		t.put(a.runs+i, w.Runs[i])
		t.durable = true
	}
	if old := record[operation.Operation](t, a.op); old != nil && old.Permit != nil && old.Permit.State == operation.PermitActive {
		t.seeLoss(a.req.Namespace, old.Permit, 1)
	}
	t.put(a.op, op)
	if d.Probe || p.Slot || op.Idempotency == operation.NonIdempotent {
		t.durable = true
	}
	if first {
		t.count(keys.tally, tallyOp{key: keys.tallyKey, config: keys.config, now: t.now, deposit: true})
	}
	a.granted = op
}

// ready makes sure that a record is held for writing.
func (a *acquire) ready(t *txn, handle int) bool {
	_, ok := t.want(t.cmd.wants[handle].key, statestore.Write, t.cmd.wants[handle].depth)
	return ok
}

// take is the target's record after the grant.
func (a *acquire) take(d *admit.Decision, level *admit.Level, p *operation.Permit, now rules.Instant) target.Control {
	c := level.Control
	if d.Probe {
		c.Breaker = c.Breaker.TakeProbe(breaker.Probe{Operation: a.req.OperationID, Fence: p.Fence, Expires: p.Expires})
	} else {
		c = c.Grant(level.Config, limit.Holder{Operation: a.req.OperationID, Fence: p.Fence, Expires: p.Expires}, now)
	}
	if d.PayFleet > 0 {
		c = c.Withdraw(level.Config, d.PayFleet, now)
	}
	return c
}

// grain is how coarsely runs keep the ends of leases, outside of drills.
const grain = time.Second

// permit makes the permit of a grant.
func (a *acquire) permit(t *txn, d *admit.Decision, level *admit.Level, op *operation.Operation) *operation.Permit {
	cfg := level.Config
	lease := cfg.CallTimeout + cfg.LeaseMargin
	if a.req.Lease > 0 {
		lease = min(a.req.Lease, cfg.MaxHold)
	}
	hold := cfg.MaxHold
	if d.Probe {
		lease = min(lease, cfg.Breaker.ProbeLease)
		hold = cfg.Breaker.ProbeLease
	}
	p := &operation.Permit{
		RequestID: a.req.RequestID, Hash: a.req.Hash, Target: cfg.Name, Credential: a.req.Credential, Level: d.Level,
		Attempt: 1, Generation: level.Control.Breaker.Generation, GrantedAt: t.now, Expires: t.now.Add(lease), Lease: lease,
		HoldUntil: t.now.Add(hold), Reserved: d.Reserve, Explicit: a.req.Estimate.Cost,
		Input: a.req.Estimate.Input, MaxOutput: a.req.Estimate.MaxOutput, Source: uint8(d.Source), Probe: d.Probe,
		Slot: !d.Probe && !d.Bare && level.Control.FreeSlot(cfg),
	}
	if d.Would != nil {
		p.Would = withholding(d.Would)
	}
	previous := uint64(0)
	if op != nil {
		p.Attempt = op.Attempts + 1
		if op.Permit != nil {
			previous = op.Permit.Fence
		}
	}
	p.Fence = rules.NextFence(previous, t.now)
	p.Account = account(cfg, p.Expires)
	return p
}

// account is when the runs book a permit's reservation as assumed.
func account(cfg *target.Config, expires rules.Instant) rules.Instant {
	if cfg.Exact {
		return expires
	}
	return budget.Round(expires, grain)
}

// admitted is the operation's record after the grant.
func (a *acquire) admitted(t *txn, d *admit.Decision, w *admit.World, q *admit.Query, p *operation.Permit) *operation.Operation {
	op := w.Op
	if op == nil {
		op = operation.New(a.mode(nil))
	}
	next := op
	if w.Op != nil {
		if op.Live(t.now) { // nothing may be refused, so there are two
			op = op.Supersede()
		}
		next = op.Edit()
	}
	detail := next.Detail
	attempts := op.Attempts
	if detail.CreatedAt == 0 {
		detail.CreatedAt, detail.MaxAttempts, detail.TaskBudget = t.now, q.MaxAttempts, q.TaskBudget
		detail.Target, detail.Chain, detail.Task, detail.RunPath = a.chain.Levels[0].Target, a.req.Chain, a.req.TaskID, a.path
		detail.Key, detail.ReplayOf = a.req.IdempotencyKey, a.req.ReplayOf
		detail.Deadline = t.now.Add(operation.DefaultDeadline)
		if op.Permit != nil { // a tombstone comes back to life
			*detail.At(op.Permit.Level) = operation.Level{Attempts: op.Attempts, Deposited: true}
		}
	}
	if a.req.Deadline > 0 {
		detail.Deadline = min(detail.Deadline, t.now.Add(a.req.Deadline))
		if attempts == 0 {
			detail.Deadline = t.now.Add(a.req.Deadline)
		}
	}
	detail.Fingerprint, detail.Reporter = a.req.Fingerprint, a.req.Reporter
	p.Paid = detail.Promised
	detail.Promised, detail.NotBefore = false, 0
	if d.PayTask && a.task < 0 {
		detail.TaskUsed++
	}
	detail.At(d.Level).Attempts++
	next.Attempts++
	next.State = operation.Open
	next.Permit, next.Answer, next.ReportHash = p, nil, 0
	next.Expires = max(next.Expires, p.Expires.Add(operation.Retention))
	return next
}
