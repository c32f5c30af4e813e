// SPDX-License-Identifier: Apache-2.0

// Package admit holds the order of Acquire's checks: run, operation, retry
// allowances, then level by level of the chain (semantics §1.2). The first
// check that says no decides, so that the answer is the same for the same
// records.
package admit

import (
	"time"

	"github.com/resilienced/resilienced/rules"
	"github.com/resilienced/resilienced/rules/breaker"
	"github.com/resilienced/resilienced/rules/budget"
	"github.com/resilienced/resilienced/rules/fallback"
	"github.com/resilienced/resilienced/rules/limit"
	"github.com/resilienced/resilienced/rules/operation"
	"github.com/resilienced/resilienced/rules/retry"
	"github.com/resilienced/resilienced/rules/target"
)

// Outcome is the answer to an Acquire.
type Outcome uint8

// The outcomes.
const (
	Granted Outcome = iota + 1
	Wait
	Denied
)

// Reason says why an Acquire was refused, or granted otherwise than asked, in
// upper snake case. The empty Reason is a plain grant.
type Reason string

// The reasons.
const (
	None              Reason = ""
	RunStopped        Reason = "RUN_STOPPED"
	RunExhausted      Reason = "RUN_EXHAUSTED"
	RunCompleted      Reason = "RUN_COMPLETED"
	AttemptsExhausted Reason = "ATTEMPTS_EXHAUSTED"
	Backoff           Reason = "BACKOFF"
	TaskRetryBudget   Reason = "TASK_RETRY_BUDGET"
	FleetRetryBudget  Reason = "FLEET_RETRY_BUDGET"
	InFlight          Reason = "OPERATION_IN_FLIGHT"
	OutcomeUnknown    Reason = "OUTCOME_UNKNOWN"
	OperationFinal    Reason = "OPERATION_FINAL"
	AlreadySucceeded  Reason = "OPERATION_ALREADY_SUCCEEDED"
	RepeatedFailure   Reason = "REPEATED_FAILURE"
	ReporterHeld      Reason = "REPORTER_HELD"
	TargetUnknown     Reason = "TARGET_UNKNOWN"
	ForcedOpen        Reason = "FORCED_OPEN"
	BreakerOpen       Reason = "BREAKER_OPEN"
	ProbeInFlight     Reason = "PROBE_IN_FLIGHT"
	Cooldown          Reason = "COOLDOWN"
	Concurrency       Reason = "CONCURRENCY"
	RateLimit         Reason = "RATE_LIMIT"
	Ramp              Reason = "RAMP"
	PriceUnknown      Reason = "PRICE_UNKNOWN"
	CurrencyMismatch  Reason = "CURRENCY_MISMATCH"
	RunBudget         Reason = "RUN_BUDGET"
	CostPressure      Reason = "COST_PRESSURE"
	Quota             Reason = "QUOTA"
	Deadline          Reason = "DEADLINE"
	LevelTried        Reason = "LEVEL_TRIED"
	Pass              Reason = "PASS"
	CredentialSuspect Reason = "CREDENTIAL_SUSPECT"
)

// Level is one level of the chain as the rules see it. Its control record is
// derived.
type Level struct {
	Config   *target.Config
	Kind     fallback.Kind
	CostRank int
	Control  target.Control
	Tally    *target.Tally // may be nil: nothing counted
	// Cooldown is the target's own, or the one it shares by its scope.
	Cooldown limit.Cooldown
}

// Query is what an Acquire asks, with the policy's numbers filled in.
type Query struct {
	Operation   string
	Idempotent  bool
	Estimate    budget.Estimate
	Last        *int64        // what the attempt before reserved, for a level whose price says no more; may be nil
	Deadline    time.Duration // 0: none
	MaxWait     time.Duration
	Pin         *int
	MaxAttempts int // the operation's, lowered by the request
	TaskBudget  int
	Credential  string
	Reporter    uint64
	Rand        uint64
}

// World is everything that the rules may look at. Runs are derived, root
// first; Op is derived, or nil for a new operation.
type World struct {
	Now       rules.Instant
	Chain     *fallback.Chain
	Levels    []Level
	Runs      []*budget.Run
	Op        *operation.Operation
	Task      *retry.Task
	Identical int // failures of this fingerprint in the run
	// Pass: an operator lets everything pass for now.
	Pass bool
	// Enforced: nothing passes by a dry run or a pass, to learn what would be
	// answered without them.
	Enforced bool
}

// Dry reports whether a rule that a policy enforces, or only computes as
// configured says, is only computed here.
func (w *World) Dry(configured bool) bool { return !w.Enforced && (w.Pass || configured) }

// Observed reports whether nothing may be refused to a call of the level.
func (w *World) Observed(level int) bool { return w.Dry(w.Levels[level].Config.Observed()) }

// Decision is the answer with everything that a person may later ask.
type Decision struct {
	Outcome   Outcome
	Reason    Reason
	Rule      string
	Delay     time.Duration
	BlockedBy string
	Terminal  bool
	Detail    string // the numbers compared, in words
	Would     *Would
	Skipped   []Skip
	Action    operation.Action // of a refusal

	// Of a grant.
	Level    int
	Probe    bool
	Reserve  budget.Amounts
	Source   budget.Source
	PayTask  bool  // takes a retry of the task's budget
	PayFleet int64 // milli-tokens from the fleet's budget
	// Bare: the call would not have been granted here. It takes no slot and no
	// token, so that what is computed of the others stays as if it were not made.
	Bare bool
}

// Would is what a dry run withheld: a refusal, or a grant on another level than
// the one that was granted, because that one would have refused.
type Would struct {
	Outcome Outcome
	Reason  Reason
	Rule    string
}

// Refused reports that the call would not have been made at all. It may be
// asked of nil.
func (w *Would) Refused() bool { return w != nil && w.Outcome != Granted }

// Skip is a level that was passed over.
type Skip struct {
	Target string
	Level  int
	Reason Reason
	Delay  time.Duration
}

// gateReason maps the breaker's answer.
func gateReason(g breaker.Gate) Reason {
	switch g {
	case breaker.GateDenied:
		return BreakerOpen
	case breaker.GateForcedOpen:
		return ForcedOpen
	case breaker.GateProbeOut:
		return ProbeInFlight
	case breaker.GateOpen, breaker.GateProbe:
	}
	return None
}

// String returns the outcome in upper snake case.
func (o Outcome) String() string {
	if o > Denied {
		return ""
	}
	return [...]string{"", "GRANTED", "WAIT", "DENIED"}[o]
}
