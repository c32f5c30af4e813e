// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"

	"github.com/resilienced/resilienced/rules/admit"
	"github.com/resilienced/resilienced/rules/budget"
	"github.com/resilienced/resilienced/rules/limit"
	"github.com/resilienced/resilienced/rules/operation"
	"github.com/resilienced/resilienced/rules/target"
	"github.com/resilienced/resilienced/statestore"
)

// heartbeat is the command of one Heartbeat.
type heartbeat struct {
	ns     string
	claims *claims
	path   []string
	op     int
	runs   int
	result HeartbeatResult
}

// Heartbeat extends a permit's lease by its length, up to the policy's
// max_hold. After the lease has ended it fails with ErrLeaseLost and revives
// nothing.
func (e *Engine) Heartbeat(ctx context.Context, ns, permitID string, fence uint64) (*HeartbeatResult, error) {
	c, err := e.claimsFor(ns, permitID, fence)
	if err != nil {
		return nil, err
	}
	h := &heartbeat{ns: ns, claims: c}
	if c.Run != "" {
		if h.path, err = e.pathUntil(ctx, e.commits.patience(ctx, reportPatience), ns, c.Run, true); err != nil {
			return nil, err
		}
	}
	err = e.submit(ctx, ns, true, h, func(cmd *command) {
		for i, run := range h.path {
			if k := cmd.key(runKey(ns, run), statestore.Write, uint8(i)); i == 0 {
				h.runs = k
			}
		}
		h.op = cmd.key(operationKey(ns, c.Operation), statestore.Write, 0)
	})
	if err != nil {
		return nil, err
	}
	return &h.result, nil
}

func (h *heartbeat) apply(t *txn) error {
	h.result = HeartbeatResult{}
	op := record[operation.Operation](t, h.op)
	held := h.held(op, t.now)
	if held == nil {
		return ErrLeaseLost
	}
	p := *held
	expires := max(min(t.now.Add(p.Lease), p.HoldUntil), p.Expires)
	set := t.cmd.policies
	cfg := set.of(h.ns).Target(p.Target)
	runs := t.derivedRuns(h.runs, len(h.path), nil)
	if expires != p.Expires {
		own := t.heldLevel(cfg, &p)
		if t.missing {
			return errNeed
		}
		if !h.renewHold(t, &own, &p, expires) {
			return errNeed
		}
		from := p.Account
		p.Expires, p.Account = expires, account(cfg, expires)
		for i, run := range runs {
			if run != nil {
				runs[i] = run.Move(p.Reserved, from, p.Account, t.now)
				t.put(h.runs+i, runs[i])
			}
		}
		t.put(h.op, op.Renew(&p))
		t.durable = p.Slot || p.Probe || len(runs) > 0
	}
	h.result.Lease, h.result.Every = p.Expires.Until(t.now), p.Lease/heartbeats
	if blocker, state := budget.Blocker(runs, t.now); blocker != nil && !spared(set.above.pass(h.ns) > t.now, cfg, state) {
		h.result.Cancel, h.result.CancelReason = true, runReason(state)
	}
	return nil
}

// held is the permit if its lease still holds: the operation's newest, or one
// that was superseded by it.
func (h *heartbeat) held(op *operation.Operation, now instant) *operation.Permit {
	switch {
	case op == nil || op.Permit == nil:
		return nil
	case op.Permit.Fence == h.claims.Fence:
		if op.Live(now) {
			return op.Permit
		}
		return nil
	}
	if p := op.Lost(h.claims.Fence); p != nil && now < p.Expires {
		return p
	}
	return nil
}

// spared: a call under way is not ended by what would not refuse another.
func spared(pass bool, cfg *target.Config, state budget.State) bool {
	return pass || cfg.Observed() || (cfg.DryBudget && state == budget.Exhausted)
}

// renewHold moves the end of the slot or probe that the permit holds; false if
// that takes more records.
func (h *heartbeat) renewHold(t *txn, own *levelKeys, p *operation.Permit, expires instant) bool {
	if !p.Slot && !p.Probe {
		return true
	}
	c := t.control(own)
	c.Slots, _ = limit.Renew(c.Slots, h.claims.Operation, p.Fence, expires)
	if c.Breaker.HasProbe(h.claims.Operation, p.Fence) {
		c.Breaker = c.Breaker.RenewProbe(h.claims.Operation, p.Fence, expires)
	}
	return t.putControl(own, c, t.turned(own))
}

// runReason names why a run grants nothing any more.
func runReason(s budget.State) admit.Reason {
	switch s {
	case budget.Stopped:
		return admit.RunStopped
	case budget.Completed:
		return admit.RunCompleted
	case budget.Exhausted, budget.Active, budget.Pressure:
	}
	return admit.RunExhausted
}
