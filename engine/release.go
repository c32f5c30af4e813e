// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"

	"github.com/resilienced/resilienced/rules/budget"
	"github.com/resilienced/resilienced/rules/limit"
	"github.com/resilienced/resilienced/rules/operation"
	"github.com/resilienced/resilienced/rules/target"
	"github.com/resilienced/resilienced/statestore"
)

// release is the command of one Release. It finds the permit by the operation,
// because the answer that named it may have been lost.
type release struct {
	req       *ReleaseRequest
	operation string
	fence     uint64 // 0: the permit of the Acquire's request id
	onlyFresh bool   // not if a repeat of the Acquire took the permit up

	op     int
	result ReleaseResult
}

// Release gives a permit back unused: the slot is free, the reservation is
// returned, and the attempt does not count.
func (e *Engine) Release(ctx context.Context, req *ReleaseRequest) (*ReleaseResult, error) {
	r := &release{req: req, operation: req.OperationID}
	if req.PermitID != "" {
		c, err := e.claimsFor(req.Namespace, req.PermitID, req.Fence)
		if err != nil {
			return nil, err
		}
		r.operation, r.fence = c.Operation, c.Fence
	} else if r.operation == "" {
		r.operation = operationFor(req.AcquireRequestID)
	}
	if err := e.submit(ctx, req.Namespace, true, r, r.plan); err != nil {
		return nil, err
	}
	return &r.result, nil
}

func (r *release) apply(t *txn) error {
	r.result = ReleaseResult{}
	op := record[operation.Operation](t, r.op)
	if op == nil || op.Permit == nil {
		return nil
	}
	p := r.find(op, t.now)
	if p == nil || (r.onlyFresh && p.Taken) {
		return nil
	}
	newest := p == op.Permit
	if newest && !op.Live(t.now) {
		r.result.Released = p.State == operation.PermitReleased // by an earlier request
		return nil
	}
	var path []string
	if op.Detail != nil {
		path = op.Detail.RunPath
	}
	own := t.heldLevel(t.cmd.policies.of(r.req.Namespace).Target(p.Target), p)
	root := 0
	for i, run := range path {
		if h, _ := t.want(runKey(r.req.Namespace, run), statestore.Write, uint8(i)); i == 0 {
			root = h
		}
	}
	if t.missing {
		return errNeed
	}
	if !newest {
		t.seeLoss(r.req.Namespace, p, -1)
	}
	return releasePermit(t, &returned{
		op: r.op, runs: root, depth: len(path), own: own, operation: op, permit: p, newest: newest, name: r.operation,
	}, func(target.Control) {
		r.result.Released = true
		r.result.Run = runView(t.derivedRuns(root, len(path), nil), t.now)
	})
}

// find is the permit that is given back: the operation's newest, or one that it
// superseded.
func (r *release) find(op *operation.Operation, now instant) *operation.Permit {
	switch p := op.Permit; {
	case r.fence == 0 && p.RequestID != r.req.AcquireRequestID:
		return nil
	case r.fence == 0 || p.Fence == r.fence:
		return p
	}
	if p := op.Lost(r.fence); p != nil && now < p.Expires {
		return p
	}
	return nil
}

// heldLevel asks for the records of a permit's target, held if it keeps a slot
// or a probe there.
func (t *txn) heldLevel(cfg *target.Config, p *operation.Permit) levelKeys {
	mode := statestore.Read
	if p.Slot || p.Probe {
		mode = statestore.Write
	}
	k := levelKeys{config: cfg, tallyKey: tallyKey(t.cmd.namespace, cfg.Name)}
	k.control, _ = t.want(controlKey(t.cmd.namespace, cfg, p.Credential), mode, 0)
	k.cooldown = k.control
	return k
}

// returned is a permit on its way back.
type returned struct {
	op, runs, depth int
	own             levelKeys
	operation       *operation.Operation
	permit          *operation.Permit
	newest          bool
	name            string
	hash            uint64
}

// releasePermit undoes a grant: slot or probe, reservation, attempt.
func releasePermit(t *txn, b *returned, done func(target.Control)) error {
	c := t.control(&b.own)
	if slots, held := limit.Without(c.Slots, b.name, b.permit.Fence); held || c.Breaker.HasProbe(b.name, b.permit.Fence) {
		c.Slots = slots
		c.Breaker = c.Breaker.FreeProbe(b.name, b.permit.Fence, t.now)
		if !t.putControl(&b.own, c, t.turned(&b.own)) {
			return errNeed
		}
		t.durable = true
	}
	for i, run := range t.derivedRuns(b.runs, b.depth, nil) {
		if run == nil {
			continue
		}
		t.put(b.runs+i, run.Settle(budget.Settlement{Reserved: b.permit.Reserved, Until: b.permit.Account}, t.now))
		t.durable = true
	}
	next := b.operation.Edit()
	next.Detail.Found(b.permit.Fence)
	if b.newest {
		p := *b.permit
		p.State = operation.PermitReleased
		next.Permit, next.ReportHash = &p, b.hash
		next.Detail.Promised = p.Paid
		next.Detail.At(p.Level).Attempts--
		next.Attempts--
		next.Expires = t.now.Add(operation.Retention)
	}
	t.put(b.op, next)
	done(c)
	return nil
}
