// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"time"

	"github.com/resilienced/resilienced/rules"
	"github.com/resilienced/resilienced/rules/admit"
	"github.com/resilienced/resilienced/rules/breaker"
	"github.com/resilienced/resilienced/rules/budget"
	"github.com/resilienced/resilienced/rules/classify"
	"github.com/resilienced/resilienced/rules/deadletter"
	"github.com/resilienced/resilienced/rules/fallback"
	"github.com/resilienced/resilienced/rules/operation"
)

// AcquireRequest asks for the right to make one attempt. The server has
// validated it: names, lengths and ranges are right. Only Target or Chain is
// required.
type AcquireRequest struct {
	Namespace      string
	RequestID      string // empty: not repeatable
	RunID          string
	TaskID         string
	OperationID    string // empty: a new operation
	Target         string
	Chain          string
	Idempotency    operation.Idempotency
	IdempotencyKey string
	Estimate       budget.Estimate
	Deadline       time.Duration  // what remains of the caller's own; 0: none
	MaxWait        *time.Duration // nil: the policy's
	ReplayOf       string
	Credential     string
	PinLevel       *int
	DryRun         bool
	Lease          time.Duration // 0: the policy's
	MaxAttempts    int           // 0: the policy's; it can only lower it
	Reporter       string
	Fingerprint    string
	// Hash is of everything but the request id, to tell a repeat from a reuse.
	Hash uint64
}

// Grant is a permit as its caller sees it.
type Grant struct {
	PermitID       string
	Fence          uint64
	Operation      string
	Target         string
	Level          int
	Kind           fallback.Kind
	Probe          bool
	Generation     uint64
	Attempt        int
	Lease          time.Duration // what remains of it
	HeartbeatEvery time.Duration
	Timeout        time.Duration
	Reserved       budget.Amounts
	Source         budget.Source
	IdempotencyKey string
	Degraded       bool
}

// AcquireResult is the answer to an Acquire.
type AcquireResult struct {
	Decision   admit.Outcome
	Reason     admit.Reason
	Rule       string
	Delay      time.Duration
	Now        rules.Instant // store time of the decision
	BlockedBy  string
	Terminal   bool
	DecisionID string
	Grant      *Grant // nil unless granted
	Run        *RunView
	Would      *admit.Would // what a dry run withheld
	Skipped    []admit.Skip
	Action     operation.Action // for a refusal
	Next       *NextLevel       // for a refusal
	ResultRef  string
	Detail     string // the numbers compared, in words
}

// NextLevel is where a caller is to go next.
type NextLevel struct {
	Target string
	Level  int
	Kind   fallback.Kind
}

// ReportRequest says how a call went.
type ReportRequest struct {
	Namespace string
	RequestID string
	PermitID  string
	Fence     uint64 // 0: not given; else it must be the permit's
	Signal    classify.Signal
	Usage     budget.Usage
	Model     string               // as the provider names it, for display
	Envelope  *deadletter.Envelope // nil: none came along
	ResultRef string
	// Hash is of everything but the request id.
	Hash uint64
}

// ReportResult is the directive.
type ReportResult struct {
	Answer     operation.Answer
	Next       *NextLevel
	Counted    bool
	Booked     bool   // taken in now: not a repeat, not given back, not too late
	Kind       string // of the permit's target, such as tool
	Breaker    BreakerView
	Left       Allowances
	Run        *RunView
	DecisionID string
	Now        rules.Instant
}

// BreakerView is a target's breaker as a report left it.
type BreakerView struct {
	Target     string
	Phase      breaker.Phase
	Generation uint64
	Cause      breaker.Cause
	OpenedNow  bool
}

// Allowances is what is left of the retry budgets.
type Allowances struct {
	Attempts   int
	Task       int
	FleetMilli int64
}

// HeartbeatResult is the answer to a heartbeat.
type HeartbeatResult struct {
	Lease        time.Duration // what remains of it from now
	Every        time.Duration
	Cancel       bool
	CancelReason admit.Reason
}

// ReleaseRequest gives a permit back unused: by its id, or by the ids of the
// Acquire whose answer was lost.
type ReleaseRequest struct {
	Namespace        string
	PermitID         string
	Fence            uint64
	AcquireRequestID string
	OperationID      string // with AcquireRequestID, if the Acquire named one
}

// ReleaseResult is the answer to a Release. Released is false if there is no
// such permit, or if it was reported or lost before.
type ReleaseResult struct {
	Released bool
	Run      *RunView
}
