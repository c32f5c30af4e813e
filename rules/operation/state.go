// SPDX-License-Identifier: Apache-2.0

package operation

import (
	"time"

	"github.com/resilienced/resilienced/rules"
	"github.com/resilienced/resilienced/rules/budget"
	"github.com/resilienced/resilienced/rules/classify"
)

// Idempotency says whether a call may be made twice.
type Idempotency uint8

// The modes. Unspecified takes the target's.
const (
	Unspecified Idempotency = iota
	Idempotent
	NonIdempotent
	IdempotentWithKey
)

// State is where an operation stands between its attempts.
type State uint8

// The states.
const (
	Open         State = iota // may be asked for
	Succeeded                 // a result is there
	Stopped                   // T6 or R42 ended it: OPERATION_FINAL
	Locked                    // its outcome is unknown: OUTCOME_UNKNOWN
	DeadLettered              // waits as a dead letter
)

// String returns the state in upper snake case.
func (s State) String() string {
	return rules.Word(uint8(s), "OPEN", "SUCCEEDED", "STOPPED", "LOCKED", "DEAD_LETTERED")
}

// PermitState is what became of a permit.
type PermitState uint8

// The states of a permit.
const (
	PermitActive PermitState = iota
	PermitSettled
	PermitReleased
	PermitLost
)

// Action is what a caller is to do next.
type Action uint8

// The actions of a directive.
const (
	ActionUnspecified Action = iota
	Continue
	Retry
	Fallback
	DeadLetter
	Escalate
	Stop
)

// Permit is the right to make one attempt. It is immutable but for what
// Heartbeat and Report change.
type Permit struct {
	Fence      uint64         `json:"f"`
	RequestID  string         `json:"q,omitempty"`
	Hash       uint64         `json:"h,omitempty"` // content of the Acquire
	Target     string         `json:"t"`
	Credential string         `json:"cr,omitempty"` // as the caller sent it
	Level      int            `json:"l,omitempty"`
	Attempt    int            `json:"a,omitempty"` // of the operation, over all levels
	Generation uint64         `json:"g,omitempty"` // of the breaker at the grant
	GrantedAt  rules.Instant  `json:"ga"`
	Expires    rules.Instant  `json:"e"`
	Lease      time.Duration  `json:"le"` // what a heartbeat adds
	HoldUntil  rules.Instant  `json:"hu"` // no heartbeat goes beyond
	Reserved   budget.Amounts `json:"re"`
	Explicit   *int64         `json:"ex,omitempty"` // the caller's own estimate in micro-USD, for the levels to come
	Input      *int64         `json:"ei,omitempty"` // the caller's estimate of tokens to be sent
	MaxOutput  *int64         `json:"eo,omitempty"` // and of the most that come back
	Source     uint8          `json:"es,omitempty"` // budget.Source of the estimate
	State      PermitState    `json:"st,omitempty"`
	Probe      bool           `json:"p,omitempty"`
	Slot       bool           `json:"s,omitempty"`
	Paid       bool           `json:"pd,omitempty"` // a promise of a directive was used up
	Taken      bool           `json:"tk,omitempty"` // a repeat of the Acquire was given it again
	Account    rules.Instant  `json:"ac,omitempty"` // when the runs book the reservation as assumed
	// Would is what an observed rule would have answered. Nil: the same.
	Would *Withheld `json:"wo,omitempty"`
}

// Withheld is an answer that was not given because a rule is only observed.
type Withheld struct {
	Outcome uint8  `json:"o"` // admit.Outcome
	Reason  string `json:"r,omitempty"`
	Rule    string `json:"ru,omitempty"`
}

// Level counts what an operation did on one level of its chain.
type Level struct {
	Attempts int `json:"a,omitempty"`
	Backoffs int `json:"b,omitempty"` // retries since the wait last started over
	Timeouts int `json:"t,omitempty"`
	Quality  int `json:"q,omitempty"` // quality retries given
	Refused  int `json:"r,omitempty"` // transparent retries given (R30)
	// Deposited: the fleet's retry budget has its deposit for the level.
	Deposited bool `json:"d,omitempty"`
}

// Answer is the part of a Report's answer that a repeat is given again.
type Answer struct {
	Rule        string             `json:"ru,omitempty"`
	Class       classify.Class     `json:"cl,omitempty"`
	Reason      classify.Reason    `json:"re,omitempty"`
	Certainty   classify.Certainty `json:"ce,omitempty"`
	Action      Action             `json:"ac,omitempty"`
	Delay       time.Duration      `json:"de,omitempty"`
	NextTarget  string             `json:"nt,omitempty"`
	NextLevel   int                `json:"nl,omitempty"`
	NextKind    uint8              `json:"nk,omitempty"`
	NotCounted  string             `json:"nc,omitempty"`
	RetryDenied string             `json:"rd,omitempty"`
	Letter      string             `json:"dl,omitempty"`
	Escalation  string             `json:"es,omitempty"`
	Terminal    bool               `json:"te,omitempty"`
	Opened      bool               `json:"op,omitempty"`
	RestartCall bool               `json:"rc,omitempty"`
	// What the directive would have been if observed rules were enforced.
	// ActionUnspecified: the same.
	WouldAction Action `json:"wa,omitempty"`
	WouldReason string `json:"wr,omitempty"` // admit.Reason
}

// Operation is one logical call: its attempts, and at most one live permit.
type Operation struct {
	State       State         `json:"s,omitempty"`
	Idempotency Idempotency   `json:"i,omitempty"`
	Attempts    int           `json:"n,omitempty"` // over all levels
	Expires     rules.Instant `json:"x,omitempty"` // when the record may go
	Permit      *Permit       `json:"p,omitempty"` // the newest
	ReportHash  uint64        `json:"rh,omitempty"`
	Answer      *Answer       `json:"a,omitempty"` // of the newest permit's report; nil with ReportHash: a plain success
	Detail      *Detail       `json:"d,omitempty"` // nil in a tombstone
}

// Detail is what an operation keeps while more attempts may come.
type Detail struct {
	Key         string        `json:"k,omitempty"` // idempotency key
	Target      string        `json:"t,omitempty"` // target of level 0
	Chain       string        `json:"c,omitempty"`
	RunPath     []string      `json:"r,omitempty"` // root to leaf; empty without a run
	Task        string        `json:"ta,omitempty"`
	Levels      []Level       `json:"l,omitempty"`
	StartLevel  int           `json:"sl,omitempty"` // the level that a FALLBACK named
	Promised    bool          `json:"pr,omitempty"` // a directive paid for the next attempt
	Throttled   bool          `json:"th,omitempty"` // the last failure was a throttle
	NotBefore   rules.Instant `json:"nb,omitempty"` // end of a backoff
	Deadline    rules.Instant `json:"dl,omitempty"`
	Suspect     []string      `json:"su,omitempty"` // credentials that failed
	Lost        []*Permit     `json:"lo,omitempty"` // lost and not yet reported, newest last
	TaskUsed    int           `json:"tu,omitempty"` // retries of an operation without a task
	Fingerprint string        `json:"fp,omitempty"`
	Reporter    string        `json:"rp,omitempty"`
	ResultRef   string        `json:"rr,omitempty"`
	Letter      string        `json:"de,omitempty"`
	Escalation  string        `json:"ec,omitempty"`
	ReplayOf    string        `json:"ro,omitempty"`
	CreatedAt   rules.Instant `json:"cr,omitempty"`

	// The retry numbers that the operation started with (G10).
	MaxAttempts int `json:"ma,omitempty"`
	TaskBudget  int `json:"tb,omitempty"`
}
