// SPDX-License-Identifier: Apache-2.0

// Package operation holds the record of one logical call. An operation and its
// permit are one record, so that at most one attempt of it is under way
// (design §5).
package operation

import (
	"slices"
	"time"

	"github.com/resilienced/resilienced/rules"
)

// How long records are kept after their last change.
const (
	// TombstoneRetention is twice the longest deadline of an RPC.
	TombstoneRetention = 60 * time.Second
	// Retention is how long a lost permit may still be reported.
	Retention = 24 * time.Hour
	// LockedRetention is how long an operation stays refused whose outcome
	// nobody knows: as long as the escalation about it can be read, 30 days
	// after its longest deadline (ADR 0009).
	LockedRetention = 31 * 24 * time.Hour
)

// maxLost bounds the lost permits that may still be reported.
const maxLost = 16

// DefaultDeadline bounds the waits of an operation that brought no deadline.
const DefaultDeadline = 15 * time.Minute

// New returns an operation that nobody has attempted yet, which the caller may
// change until it is given to a store.
func New(mode Idempotency) *Operation {
	fresh := &struct {
		operation Operation
		detail    Detail
		levels    [1]Level
	}{}
	fresh.operation.Idempotency = mode
	fresh.operation.Detail = &fresh.detail
	fresh.detail.Levels = fresh.levels[:0]
	return &fresh.operation
}

// Live reports whether the newest permit may still be used at now.
func (o *Operation) Live(now rules.Instant) bool {
	return o.Permit != nil && o.Permit.State == PermitActive && now < o.Permit.Expires
}

// Renew returns the operation with a longer lease of one of its permits: the
// newest, or one that was superseded.
func (o *Operation) Renew(p *Permit) *Operation {
	next := *o
	if o.Permit != nil && o.Permit.Fence == p.Fence {
		next.Permit = p
		return &next
	}
	detail := o.detail()
	detail.Lost = slices.Clone(detail.Lost)
	for i, lost := range detail.Lost {
		if lost.Fence == p.Fence {
			detail.Lost[i] = p
		}
	}
	next.Detail = &detail
	return &next
}

// TouchedAt is an instant that the operation has seen: that of its newest grant.
func (o *Operation) TouchedAt() rules.Instant {
	if o.Permit == nil {
		return 0
	}
	return o.Permit.GrantedAt
}

// DueAt is when a permit's lease ends, or when the record may go.
func (o *Operation) DueAt() rules.Instant {
	if o.Permit != nil && o.Permit.State == PermitActive {
		return o.Permit.Expires
	}
	return o.Expires
}

// Facts are the operation's state.
func (o *Operation) Facts() rules.Facts { return rules.Facts{State: o.State.String()} }

// Derive returns the operation with a lease that is over turned into a lost
// permit, and reports whether that happened. A lost permit counts as an
// attempt; an operation that may not be made twice is locked by it (R40).
func (o *Operation) Derive(now rules.Instant) (*Operation, bool) {
	if o.Permit == nil || o.Permit.State != PermitActive || now < o.Permit.Expires {
		return o, false
	}
	next := o.lose()
	if o.Idempotency == NonIdempotent {
		next.State = Locked
		next.Expires = max(o.Expires, next.Permit.Expires.Add(LockedRetention))
	}
	return next, true
}

// Supersede returns the operation with its live permit treated as lost, so
// that another may be granted beside it where nothing is refused. Its report
// still settles it and votes until the end of its lease.
func (o *Operation) Supersede() *Operation { return o.lose() }

func (o *Operation) lose() *Operation {
	next := *o
	lost := *o.Permit
	lost.State = PermitLost
	next.Permit = &lost
	next.Expires = max(o.Expires, lost.Expires.Add(Retention))
	detail := o.detail()
	detail.Promised, detail.Throttled = false, false
	detail.Lost = append(slices.Clip(detail.Lost), &lost)
	if len(detail.Lost) > maxLost {
		detail.Lost = detail.Lost[len(detail.Lost)-maxLost:]
	}
	next.Detail = &detail
	return &next
}

// detail returns a copy of the detail to change.
func (o *Operation) detail() Detail {
	if o.Detail == nil {
		return Detail{}
	}
	d := *o.Detail
	d.Levels = slices.Clone(d.Levels)
	return d
}

// Edit returns a copy of the operation whose detail may be changed.
func (o *Operation) Edit() *Operation {
	next := *o
	d := o.detail()
	next.Detail = &d
	return &next
}

// At returns the counters of a level, for change; d is the caller's own copy.
func (d *Detail) At(level int) *Level {
	for len(d.Levels) <= level {
		d.Levels = append(d.Levels, Level{})
	}
	return &d.Levels[level]
}

// Tried is how many attempts were made on a level.
func (o *Operation) Tried(level int) int {
	if o == nil {
		return 0
	}
	if o.Detail == nil {
		if o.Permit != nil && o.Permit.Level == level {
			return o.Attempts
		}
		return 0
	}
	if level >= len(o.Detail.Levels) {
		return 0
	}
	return o.Detail.Levels[level].Attempts
}

// Gone reports whether a lost permit may no longer be reported.
func (p *Permit) Gone(now rules.Instant) bool {
	return p.State == PermitLost && now >= p.Expires.Add(Retention)
}

// Lost returns the lost permit with that fence, if its report is still awaited.
func (o *Operation) Lost(fence uint64) *Permit {
	if o.Detail == nil {
		return nil
	}
	for _, p := range o.Detail.Lost {
		if p.Fence == fence {
			return p
		}
	}
	return nil
}

// Found removes a lost permit from the detail, whose copy is the caller's own.
func (d *Detail) Found(fence uint64) {
	d.Lost = slices.DeleteFunc(slices.Clone(d.Lost), func(p *Permit) bool { return p.Fence == fence })
}

// Tombstone returns what is left of an idempotent operation that succeeded at
// its first attempt: enough to answer a repeat.
func (o *Operation) Tombstone(now rules.Instant) *Operation {
	// One block of its own, so that it keeps nothing else alive.
	left := &struct {
		operation Operation
		permit    Permit
	}{operation: *o, permit: *o.Permit}
	left.permit.Explicit, left.permit.Input, left.permit.MaxOutput = nil, nil, nil
	left.operation.Permit = &left.permit
	left.operation.Detail = nil
	left.operation.Expires = now.Add(TombstoneRetention)
	return &left.operation
}

// String returns the action in upper snake case.
func (a Action) String() string {
	if a > Stop {
		return ""
	}
	return [...]string{"", "CONTINUE", "RETRY", "FALLBACK", "DEAD_LETTER", "ESCALATE", "STOP"}[a]
}
