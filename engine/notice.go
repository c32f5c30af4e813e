// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"github.com/resilienced/resilienced/rules"
	"github.com/resilienced/resilienced/rules/budget"
	"github.com/resilienced/resilienced/rules/classify"
	"github.com/resilienced/resilienced/rules/operation"
	"github.com/resilienced/resilienced/statestore"
)

// What a run's event says besides the operator's methods.
const (
	RunExhausted = "EXHAUSTED" // a cap was reached; the event's reason names it
	RunOverrun   = "OVERRUN"   // more than a tenth over its cost cap
	RunAssumed   = "ASSUMED"   // more than a fifth of what is spent is only assumed
)

// Where a run's sums deserve somebody's attention.
const (
	overrunPart = 10 // a tenth of its cap
	assumedPart = 5  // a fifth of what it spent
)

// notice compares the records of a commit with what they were, and tells of
// what no single command can see: whichever of them lost a permit or brought a
// run to its cap, it is told once.
func (e *Engine) notice(entries []*statestore.Entry) {
	if e.onEvent == nil && e.observer == nil {
		return
	}
	now := rules.Instant(e.storeTime.Load())
	for _, entry := range entries {
		if !entry.Changed() || isDrill(entry.Key.Namespace) {
			continue
		}
		switch entry.Key.Kind {
		case statestore.KindOperation:
			e.noticeOperation(entry, now)
		case statestore.KindRun:
			e.noticeRun(entry, now)
		default:
		}
	}
}

// noticeOperation follows the live permits of an operation.
func (e *Engine) noticeOperation(entry *statestore.Entry, now rules.Instant) {
	before, after := activePermit(entry.Loaded()), activePermit(entry.Record())
	if before != nil && after != nil && before.Fence == after.Fence {
		return // a heartbeat, or a repeat of the Acquire
	}
	if before != nil {
		e.permitsChanged(entry.Key.Namespace, before, -1)
		if before.Expires <= now && replaced(before, entry.Record()) {
			e.publish(Event{
				Kind: EventLost, Namespace: entry.Key.Namespace, Name: entry.Key.Name, Target: before.Target,
				At: before.Expires, Reason: string(classify.ReasonLost),
			})
		}
	}
	if after != nil {
		e.permitsChanged(entry.Key.Namespace, after, 1)
	}
}

func (e *Engine) permitsChanged(ns string, p *operation.Permit, by int) {
	if e.observer != nil && p.GrantedAt >= e.startedAt {
		e.observer.PermitsChanged(ns, p.Target, by)
	}
}

// activePermit is the permit of an operation's record as long as nothing ended
// it there; nil if there is none.
func activePermit(r statestore.Record) *operation.Permit {
	op, ok := r.(*operation.Operation)
	if !ok || op == nil || op.Permit == nil || op.Permit.State != operation.PermitActive {
		return nil
	}
	return op.Permit
}

// replaced reports whether another permit came after one that was active. If
// its lease had ended, it was lost, and nobody has said so: the sweeper, which
// tells of those that it finds, came later.
func replaced(before *operation.Permit, r statestore.Record) bool {
	op, ok := r.(*operation.Operation)
	return ok && op != nil && op.Permit != nil && op.Permit.Fence != before.Fence
}

// noticeRun tells of a run that this commit brought to a cap, or past what is
// worth looking at.
func (e *Engine) noticeRun(entry *statestore.Entry, now rules.Instant) {
	after, ok := entry.Record().(*budget.Run)
	if !ok || after == nil {
		return
	}
	before, _ := entry.Loaded().(*budget.Run)
	if before == nil {
		before = &budget.Run{Caps: after.Caps, CreatedAt: after.CreatedAt, UpdatedAt: after.CreatedAt}
	}
	tell := func(state, reason string) {
		e.publish(Event{Kind: EventRun, Namespace: entry.Key.Namespace, Name: entry.Key.Name, State: state, Reason: reason, At: now})
	}
	if limit := after.ExhaustedBy(now); limit != "" && after.Final == 0 {
		was := before.ExhaustedBy(before.UpdatedAt)
		// Deriving a run does not move UpdatedAt, so it does not tell again.
		if was == "" && (limit != budget.LimitWall || after.UpdatedAt > before.UpdatedAt) {
			tell(RunExhausted, limit)
		}
	}
	if over(after) && !over(before) {
		tell(RunOverrun, string(budget.DimensionCost))
	}
	if guessed(after) && !guessed(before) {
		tell(RunAssumed, string(budget.DimensionCost))
	}
}

func over(r *budget.Run) bool {
	return r.Caps.Cost != nil && r.Overrun() > *r.Caps.Cost/overrunPart
}

func guessed(r *budget.Run) bool {
	return r.Assumed.Cost > r.Spent.Cost/assumedPart
}
