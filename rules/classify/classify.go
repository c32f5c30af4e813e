// SPDX-License-Identifier: Apache-2.0

package classify

import "time"

// Class is what the server makes of a signal, in the words of seed 003.
type Class uint8

// The classes.
const (
	ClassUnspecified Class = iota
	OK
	Transient
	Persistent
	Quality
	Partial
	Unrecoverable
	Pressure
	Deterministic
	Aborted
	Unknown
)

// Certainty is what the target may have done with the call.
type Certainty uint8

// The certainties.
const (
	CertaintyUnspecified Certainty = iota
	NotSent
	Rejected
	Ambiguous
	Processed
)

// Effect is how a verdict votes on the breaker.
type Effect uint8

// The effects. A neutral verdict touches no streak and no window.
const (
	Neutral Effect = iota
	Success
	Failure
)

// Disposition is what a row says of an operation that is not idempotent and
// that the target did not process (rule T7).
type Disposition uint8

// The dispositions.
const (
	// DispositionDeadLetter keeps it for an automatic replay.
	DispositionDeadLetter Disposition = iota
	// DispositionManual keeps it for a person to replay.
	DispositionManual
	// DispositionStop keeps nothing.
	DispositionStop
	// DispositionRetryOnce retries: the call provably did not run (R30).
	DispositionRetryOnce
)

// Reason is the fine name of a verdict, in upper snake case.
type Reason string

// The reasons of the table.
const (
	ReasonOK              Reason = "OK"
	ReasonSlow            Reason = "SLOW"
	ReasonTimeoutRequest  Reason = "TIMEOUT_REQUEST"
	ReasonTooEarly        Reason = "TOO_EARLY"
	ReasonServerError     Reason = "SERVER_ERROR"
	ReasonGateway         Reason = "GATEWAY"
	ReasonUnavailable     Reason = "UNAVAILABLE"
	ReasonOverloaded      Reason = "OVERLOADED"
	ReasonTLSConfig       Reason = "TLS_CONFIG"
	ReasonUnsupported     Reason = "UNSUPPORTED"
	ReasonRateLimited     Reason = "RATE_LIMITED"
	ReasonRateLimitedHard Reason = "RATE_LIMITED_HARD"
	ReasonQuotaExhausted  Reason = "QUOTA_EXHAUSTED"
	ReasonAuth            Reason = "AUTH"
	ReasonForbidden       Reason = "FORBIDDEN"
	ReasonBadRequest      Reason = "BAD_REQUEST"
	ReasonNotFound        Reason = "NOT_FOUND"
	ReasonConflict        Reason = "CONFLICT"
	ReasonAborted         Reason = "ABORTED"
	ReasonContextLimit    Reason = "CONTEXT_LIMIT"
	ReasonContentPolicy   Reason = "CONTENT_POLICY"
	ReasonTimeout         Reason = "TIMEOUT"
	ReasonCancelled       Reason = "CANCELLED"
	ReasonConnect         Reason = "CONNECT"
	ReasonReset           Reason = "RESET"
	ReasonRefused         Reason = "REFUSED"
	ReasonStreamBroken    Reason = "STREAM_BROKEN"
	ReasonSchema          Reason = "SCHEMA"
	ReasonToolCall        Reason = "TOOL_CALL"
	ReasonRefusal         Reason = "REFUSAL"
	ReasonEmpty           Reason = "EMPTY"
	ReasonTruncated       Reason = "TRUNCATED"
	ReasonSemantic        Reason = "SEMANTIC"
	ReasonLowConfidence   Reason = "LOW_CONFIDENCE"
	ReasonNeedsInfo       Reason = "NEEDS_INFO"
	ReasonNeedsAuthority  Reason = "NEEDS_AUTHORITY"
	ReasonAmbiguousTask   Reason = "AMBIGUOUS_TASK"
	ReasonCostCommitment  Reason = "COST_COMMITMENT"
	ReasonPartial         Reason = "PARTIAL"
	ReasonCostPressure    Reason = "COST_PRESSURE"
	ReasonRunBudget       Reason = "RUN_BUDGET"
	ReasonPriceUnknown    Reason = "PRICE_UNKNOWN"
	ReasonLost            Reason = "LOST"
	ReasonLocal           Reason = "LOCAL"
	ReasonUnknown         Reason = "UNKNOWN"
	ReasonReleased        Reason = "RELEASED"
)

// QualityVerdict is what the caller thinks of an answer that came.
type QualityVerdict uint8

// The quality verdicts of rows R32 to R36.
const (
	QualityNone QualityVerdict = iota
	SchemaViolation
	HallucinatedTool
	BadToolArgs
	Refusal
	Empty
	Truncated
	SemanticFail
	LowConfidence
	NeedsInfo
	NeedsAuthority
	AmbiguousTask
	CostCommitment
)

// Outcome is how the caller sums up a call.
type Outcome uint8

// The outcomes of a Report.
const (
	OutcomeUnspecified Outcome = iota
	OutcomeSuccess
	OutcomeFailure
	OutcomeCancelled
	OutcomeReleased
)

// Phase is how far a call had come when it ended.
type Phase uint8

// The phases.
const (
	PhaseUnspecified Phase = iota
	// BeforeSend: nothing left the process.
	BeforeSend
	// Connecting: name look-up, connect or handshake.
	Connecting
	// BodySent: the request, or a part of its body, left.
	BodySent
	// FirstByte: the answer began.
	FirstByte
)

// Signal is what the wire said. All fields are optional; Headers' names are in
// lower case.
type Signal struct {
	Outcome    Outcome
	HTTPStatus int    // 0: none
	GRPCCode   string // upper snake case name, "" for none
	MCPCode    int    // 0: none
	Exception  string // kind of a local or transport error, "" for none
	Phase      Phase
	Headers    map[string]string
	// RetryAfter is the wait that the caller read itself; HasRetryAfter tells
	// zero from absent. It stands for a Retry-After header.
	RetryAfter    time.Duration
	HasRetryAfter bool
	BodyCode      string
	Message       string
	Quality       QualityVerdict
	ClassHint     Class
	Duration      time.Duration
}

// Context is what the server knows about the call besides the signal.
type Context struct {
	// Kind is the target's kind: llm, tool, fast, action or strict.
	Kind string
	// SlowFailsAfter is the duration from which a success counts as a failure;
	// zero switches the rule off.
	SlowFailsAfter time.Duration
	// Rejected503 says that this target's 503 means "not processed".
	Rejected503 bool
	// RefusalIsPolicy maps a refusal to row R22.
	RefusalIsPolicy bool
	// TrustHints lets a hint make a signal more retryable too.
	TrustHints bool
	// Wall is the server's wall time in Unix seconds, for a Retry-After that
	// is a date and comes without a Date header. Zero: not known, and such a
	// date cannot be read.
	Wall int64
	// HardWait is how long the fleet holds a target whose 429 names no wait.
	// Zero: 60 s.
	HardWait time.Duration
}

// Verdict is what a signal means.
type Verdict struct {
	Rule      string // R01 to R42, or the id of an operator's rule
	Class     Class
	Reason    Reason
	Certainty Certainty
	Effect    Effect
	// QualityFailure: the failure counts towards the quality streak too.
	QualityFailure bool
	// AuthFailure: the report counts towards the auth streak.
	AuthFailure bool
	// Slow marks R02 only. The milder "slow, but still a success" is for the
	// caller of Classify to mark.
	Slow bool
	// RetryAfter is the wait that the target asked for, at most 24 h; valid if
	// HasRetryAfter. It is not set where the table ignores it.
	RetryAfter    time.Duration
	HasRetryAfter bool
	// RawRetryAfter is the value as it came, for display; RetryAfterSource the
	// header or field it came from; Clamped says that more than 24 h was asked.
	RawRetryAfter    string
	RetryAfterSource string
	Clamped          bool
	// ParseErrors counts wait hints that could not be read.
	ParseErrors int
	// Cooldown is how long the whole fleet is to hold the target; zero: not.
	Cooldown time.Duration
	// NoRetry forbids a retry on this target (x-should-retry: false, a
	// negative pushback); a fallback stays allowed.
	NoRetry bool
	// MayRetry is x-should-retry: true on a status that alone would not be
	// retried.
	MayRetry bool
	// Unprocessed says what to do with a non-idempotent operation that was
	// not processed (T7).
	Unprocessed Disposition
	// InProgress tells that a conflict (R19) carried a code that says "the
	// first call is still running".
	InProgress bool
	// Hinted tells that a class hint replaced class, reason and disposition.
	Hinted bool
}
