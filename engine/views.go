// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"time"

	"github.com/resilienced/resilienced/rules"
	"github.com/resilienced/resilienced/rules/admit"
	"github.com/resilienced/resilienced/rules/breaker"
	"github.com/resilienced/resilienced/rules/budget"
	"github.com/resilienced/resilienced/rules/deadletter"
	"github.com/resilienced/resilienced/rules/escalation"
	"github.com/resilienced/resilienced/rules/limit"
	"github.com/resilienced/resilienced/rules/target"
)

// RunView is a run as it reads at Now, its ancestors taken into account.
type RunView struct {
	Run       *budget.Run
	State     budget.State
	BlockedBy string // the run that stopped it, itself or an ancestor
	Remaining budget.Caps
	Overrun   int64
	Wall      time.Duration
	Now       rules.Instant
}

// StartRunRequest makes a run.
type StartRunRequest struct {
	Namespace   string
	RequestID   string
	RunID       string // empty: one is made
	Parent      string
	Caps        budget.Caps // a nil field takes the policy's run defaults
	Unlimited   bool        // nil fields are unlimited even if the policy has defaults
	SoftPercent int         // 0: the policy's
	Currency    string      // empty: the policy's
	Labels      map[string]string
	Hash        uint64 // content but for the request id
}

// AdjustRunRequest changes caps: all of them at once, or by a delta on those
// that are set.
type AdjustRunRequest struct {
	Namespace string
	RequestID string
	RunID     string
	Caps      *budget.Caps   // replaces every cap; a nil field becomes unlimited
	Delta     budget.Amounts // used if Caps is nil
	Actor     string
	Reason    string
	Hash      uint64
}

// EndRunRequest stops or finishes a run and so its descendants.
type EndRunRequest struct {
	Namespace string
	RequestID string
	RunID     string
	Actor     string
	Reason    string
	Hash      uint64
}

// ReconcileRunRequest replaces a part of what is assumed by what was really
// charged, for calls whose reports will not come.
type ReconcileRunRequest struct {
	Namespace string
	RequestID string
	RunID     string
	Replaces  budget.Amounts // at most what the run assumes
	Actual    budget.Amounts
	Actor     string
	Reason    string
	Hash      uint64
}

// ListRunsQuery asks for a page of runs.
type ListRunsQuery struct {
	Namespace string
	Parent    string       // empty: any
	State     budget.State // 0: any
	PageSize  int
	PageToken string
}

// TargetView is a target as it reads at Now.
type TargetView struct {
	Name        string
	Kind        string
	Stored      breaker.Phase // as the store has it
	Control     target.Control
	Config      *target.Config
	Window      breaker.Counts
	FleetMilli  int64 // available retry tokens
	Cooldown    limit.Cooldown
	Transitions []breaker.Transition // newest first, at most 20
	Observed    []string             // the groups of rules that are only computed
	Now         rules.Instant
}

// SetBreakerRequest puts a breaker under an operator's hand, or back.
type SetBreakerRequest struct {
	Namespace  string
	RequestID  string
	Target     string
	Credential string
	Mode       breaker.Phase // Closed stands for AUTO
	TTL        time.Duration // 0: until it is set back
	Actor      string
	Reason     string
	Hash       uint64
}

// ListQuery asks for a page of targets, letters, escalations or decisions.
type ListQuery struct {
	Namespace string
	Prefix    string // of the name
	Target    string // empty: any
	Run       string // empty: any
	Reason    string // empty: any
	State     uint8  // 0: any
	Type      string // of escalations; empty: any
	PageSize  int
	PageToken string
}

// Page is a part of a list.
type Page[T any] struct {
	Items []T
	Next  string
}

// LetterView is a dead letter as it reads at Now.
type LetterView struct {
	ID     string
	Letter *deadletter.Letter
	Now    rules.Instant
}

// EscalationView is an escalation as it reads at Now.
type EscalationView struct {
	Escalation *escalation.Escalation
	Now        rules.Instant
}

// PolicyView is the policy that a namespace follows.
type PolicyView struct {
	Epoch     uint64
	Text      []byte // empty: the built-in defaults
	Hash      string
	Own       bool // false: the server's file, not the namespace's own
	AppliedBy string
	AppliedAt rules.Instant
	Reason    string
	Warnings  []string // of ApplyPolicy: what is allowed and most likely not meant
}

// ApplyPolicyRequest replaces a namespace's policy.
type ApplyPolicyRequest struct {
	Namespace     string // empty: the server's file, for all without their own
	RequestID     string
	File          string // name for error messages
	Text          []byte
	ValidateOnly  bool
	ExpectedEpoch *uint64
	Actor         string
	Reason        string
	Hash          uint64
}

// DecisionView explains one decision.
type DecisionView struct {
	ID        string
	At        rules.Instant
	Method    string // Acquire or Report
	Outcome   string // GRANTED, WAIT, DENIED or the directive's action
	Reason    string
	Rule      string
	BlockedBy string
	Delay     time.Duration
	Epoch     uint64
	Run       string
	Operation string
	Target    string
	Detail    string // the numbers compared, in words
	Logged    bool   // false: read from the id alone
	// Would is what an observed rule would have answered; nil: the same.
	Would *admit.Would
}

// DrillView is the clock of a drill namespace.
type DrillView struct {
	Namespace string
	Now       rules.Instant
	Handled   int // due events that AdvanceClock handled
}
