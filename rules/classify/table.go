// SPDX-License-Identifier: Apache-2.0

package classify

// Row is one line of the table: what a kind of signal means and how it counts.
type Row struct {
	ID string
	// Title says which signals the row is about.
	Title string
	// Variant is empty for the row itself and names the case otherwise.
	Variant string

	Class          Class
	Reason         Reason
	Certainty      Certainty
	Effect         Effect
	Unprocessed    Disposition
	QualityFailure bool
	AuthFailure    bool
}

// Rows returns the 42 rows in their order, each in its main form.
func Rows() []Row { return rowsWhere(func(r Row) bool { return r.Variant == "" }) }

// Variants returns the further forms of rows whose meaning depends on more
// than their signal.
func Variants() []Row { return rowsWhere(func(r Row) bool { return r.Variant != "" }) }

func rowsWhere(keep func(Row) bool) []Row {
	rows := make([]Row, 0, len(table))
	for _, r := range table {
		if keep(r) {
			rows = append(rows, r)
		}
	}
	return rows
}

// rowID is the place of a row or of a variant in the table.
type rowID uint8

const (
	r01 rowID = iota
	r02
	r03
	r03Sent
	r04
	r05
	r06
	r07
	r07Rejected
	r08
	r09
	r10
	r11
	r12
	r13
	r14
	r15
	r16
	r16Other
	r17
	r18
	r19
	r20
	r21
	r22
	r23
	r24
	r24Hard
	r25
	r26
	r26DataLoss
	r27
	r28
	r29
	r30
	r31
	r32
	r33
	r34
	r35
	r35Truncated
	r35Semantic
	r36
	r36Info
	r36Authority
	r36Task
	r36Cost
	r37
	r38
	r39
	r39Price
	r40
	r41
	r42
)

// table is the whole of it; dispositions that are not named are DEAD_LETTER.
//
//nolint:gochecknoglobals // Read-only: the table is data, and a copy per call would cost more than the call.
var table = [...]Row{
	r01:          {ID: "R01", Title: "a good status and no bad verdict", Class: OK, Reason: ReasonOK, Certainty: Processed, Effect: Success},
	r02:          {ID: "R02", Title: "as R01, but too slow", Class: OK, Reason: ReasonSlow, Certainty: Processed, Effect: Failure},
	r03:          {ID: "R03", Title: "HTTP 408", Class: Transient, Reason: ReasonTimeoutRequest, Certainty: Rejected, Effect: Failure, Unprocessed: DispositionStop},
	r03Sent:      {ID: "R03", Title: "HTTP 408", Variant: "the body had been sent", Class: Transient, Reason: ReasonTimeoutRequest, Certainty: Ambiguous, Effect: Failure, Unprocessed: DispositionStop},
	r04:          {ID: "R04", Title: "HTTP 421, 425", Class: Transient, Reason: ReasonTooEarly, Certainty: Rejected},
	r05:          {ID: "R05", Title: "HTTP 500", Class: Transient, Reason: ReasonServerError, Certainty: Ambiguous, Effect: Failure, Unprocessed: DispositionManual},
	r06:          {ID: "R06", Title: "HTTP 502, 504, 520-524", Class: Transient, Reason: ReasonGateway, Certainty: Ambiguous, Effect: Failure, Unprocessed: DispositionManual},
	r07:          {ID: "R07", Title: "HTTP 503 without a wait", Class: Transient, Reason: ReasonUnavailable, Certainty: Ambiguous, Effect: Failure, Unprocessed: DispositionManual},
	r07Rejected:  {ID: "R07", Title: "HTTP 503 without a wait", Variant: "the policy takes this target's 503 as not processed", Class: Transient, Reason: ReasonUnavailable, Certainty: Rejected, Effect: Failure},
	r08:          {ID: "R08", Title: "HTTP 503 with a wait", Class: Pressure, Reason: ReasonOverloaded, Certainty: Rejected, Effect: Failure},
	r09:          {ID: "R09", Title: "HTTP 529, or a code that says overloaded", Class: Pressure, Reason: ReasonOverloaded, Certainty: Rejected, Effect: Failure},
	r10:          {ID: "R10", Title: "HTTP 525, 526, TLS certificate not valid", Class: Persistent, Reason: ReasonTLSConfig, Certainty: NotSent},
	r11:          {ID: "R11", Title: "HTTP 501, 505, gRPC UNIMPLEMENTED", Class: Deterministic, Reason: ReasonUnsupported, Certainty: Rejected, Unprocessed: DispositionStop},
	r12:          {ID: "R12", Title: "HTTP 429 with a wait", Class: Pressure, Reason: ReasonRateLimited, Certainty: Rejected},
	r13:          {ID: "R13", Title: "HTTP 429 without a wait", Class: Pressure, Reason: ReasonRateLimitedHard, Certainty: Rejected},
	r14:          {ID: "R14", Title: "HTTP 402, or a code that says money or quota is gone", Class: Pressure, Reason: ReasonQuotaExhausted, Certainty: Rejected, Unprocessed: DispositionManual},
	r15:          {ID: "R15", Title: "HTTP 401, gRPC UNAUTHENTICATED", Class: Persistent, Reason: ReasonAuth, Certainty: Rejected, Unprocessed: DispositionManual, AuthFailure: true},
	r16:          {ID: "R16", Title: "HTTP 403, gRPC PERMISSION_DENIED", Class: Persistent, Reason: ReasonForbidden, Certainty: Rejected, Unprocessed: DispositionStop, AuthFailure: true},
	r16Other:     {ID: "R16", Title: "HTTP 403, gRPC PERMISSION_DENIED", Variant: "the target is not of kind llm", Class: Deterministic, Reason: ReasonForbidden, Certainty: Rejected, Unprocessed: DispositionStop, AuthFailure: true},
	r17:          {ID: "R17", Title: "HTTP 400, 405, 406, 411, 414-417, 422, 428, 431; gRPC INVALID_ARGUMENT, OUT_OF_RANGE, FAILED_PRECONDITION; MCP invalid request", Class: Deterministic, Reason: ReasonBadRequest, Certainty: Rejected, Unprocessed: DispositionStop},
	r18:          {ID: "R18", Title: "HTTP 404, 410; gRPC NOT_FOUND", Class: Deterministic, Reason: ReasonNotFound, Certainty: Rejected, Unprocessed: DispositionStop},
	r19:          {ID: "R19", Title: "HTTP 409; gRPC ALREADY_EXISTS", Class: Deterministic, Reason: ReasonConflict, Certainty: Rejected, Unprocessed: DispositionStop},
	r20:          {ID: "R20", Title: "gRPC ABORTED", Class: Transient, Reason: ReasonAborted, Certainty: Rejected, Unprocessed: DispositionStop},
	r21:          {ID: "R21", Title: "HTTP 413, or a code that says the input is too long", Class: Deterministic, Reason: ReasonContextLimit, Certainty: Rejected, Unprocessed: DispositionStop},
	r22:          {ID: "R22", Title: "a code that says the content policy stopped it", Class: Deterministic, Reason: ReasonContentPolicy, Certainty: Rejected, Unprocessed: DispositionStop},
	r23:          {ID: "R23", Title: "gRPC UNAVAILABLE", Class: Transient, Reason: ReasonUnavailable, Certainty: Ambiguous, Effect: Failure, Unprocessed: DispositionManual},
	r24:          {ID: "R24", Title: "gRPC RESOURCE_EXHAUSTED", Class: Pressure, Reason: ReasonRateLimited, Certainty: Rejected},
	r24Hard:      {ID: "R24", Title: "gRPC RESOURCE_EXHAUSTED", Variant: "without a wait", Class: Pressure, Reason: ReasonRateLimitedHard, Certainty: Rejected},
	r25:          {ID: "R25", Title: "gRPC DEADLINE_EXCEEDED, a timeout of the caller", Class: Transient, Reason: ReasonTimeout, Certainty: Ambiguous, Effect: Failure, Unprocessed: DispositionManual},
	r26:          {ID: "R26", Title: "gRPC INTERNAL, DATA_LOSS, UNKNOWN without a detail; MCP internal error", Class: Transient, Reason: ReasonServerError, Certainty: Ambiguous, Effect: Failure, Unprocessed: DispositionManual},
	r26DataLoss:  {ID: "R26", Title: "gRPC INTERNAL, DATA_LOSS, UNKNOWN without a detail; MCP internal error", Variant: "DATA_LOSS", Class: Unknown, Reason: ReasonUnknown, Certainty: Ambiguous, Effect: Failure, Unprocessed: DispositionManual},
	r27:          {ID: "R27", Title: "gRPC CANCELLED, cancelled by the caller", Class: Aborted, Reason: ReasonCancelled, Certainty: Ambiguous, Unprocessed: DispositionStop},
	r28:          {ID: "R28", Title: "no connection: DNS, refused, no route, connect or handshake timeout", Class: Transient, Reason: ReasonConnect, Certainty: NotSent, Effect: Failure},
	r29:          {ID: "R29", Title: "connection lost before the answer", Class: Transient, Reason: ReasonReset, Certainty: Ambiguous, Effect: Failure, Unprocessed: DispositionManual},
	r30:          {ID: "R30", Title: "HTTP/2 REFUSED_STREAM, GOAWAY below the stream", Class: Transient, Reason: ReasonRefused, Certainty: NotSent, Unprocessed: DispositionRetryOnce},
	r31:          {ID: "R31", Title: "answer cut, stalled or malformed after its first byte", Class: Transient, Reason: ReasonStreamBroken, Certainty: Ambiguous, Effect: Failure, Unprocessed: DispositionManual},
	r32:          {ID: "R32", Title: "verdict SCHEMA_VIOLATION", Class: Quality, Reason: ReasonSchema, Certainty: Processed, Effect: Failure, Unprocessed: DispositionStop, QualityFailure: true},
	r33:          {ID: "R33", Title: "verdict HALLUCINATED_TOOL, BAD_TOOL_ARGS", Class: Quality, Reason: ReasonToolCall, Certainty: Processed, Effect: Failure, Unprocessed: DispositionStop, QualityFailure: true},
	r34:          {ID: "R34", Title: "verdict REFUSAL", Class: Quality, Reason: ReasonRefusal, Certainty: Processed, Effect: Failure, Unprocessed: DispositionStop, QualityFailure: true},
	r35:          {ID: "R35", Title: "verdict EMPTY, TRUNCATED, SEMANTIC_FAIL", Class: Quality, Reason: ReasonEmpty, Certainty: Processed, Effect: Failure, Unprocessed: DispositionStop, QualityFailure: true},
	r35Truncated: {ID: "R35", Title: "verdict EMPTY, TRUNCATED, SEMANTIC_FAIL", Variant: "TRUNCATED", Class: Quality, Reason: ReasonTruncated, Certainty: Processed, Unprocessed: DispositionStop},
	r35Semantic:  {ID: "R35", Title: "verdict EMPTY, TRUNCATED, SEMANTIC_FAIL", Variant: "SEMANTIC_FAIL", Class: Quality, Reason: ReasonSemantic, Certainty: Processed, Effect: Failure, Unprocessed: DispositionStop, QualityFailure: true},
	r36:          {ID: "R36", Title: "verdict that only a person can act on", Class: Unrecoverable, Reason: ReasonLowConfidence, Certainty: Processed, Effect: Success, Unprocessed: DispositionStop},
	r36Info:      {ID: "R36", Title: "verdict that only a person can act on", Variant: "NEEDS_INFO", Class: Unrecoverable, Reason: ReasonNeedsInfo, Certainty: Processed, Effect: Success, Unprocessed: DispositionStop},
	r36Authority: {ID: "R36", Title: "verdict that only a person can act on", Variant: "NEEDS_AUTHORITY", Class: Unrecoverable, Reason: ReasonNeedsAuthority, Certainty: Processed, Effect: Success, Unprocessed: DispositionStop},
	r36Task:      {ID: "R36", Title: "verdict that only a person can act on", Variant: "AMBIGUOUS_TASK", Class: Unrecoverable, Reason: ReasonAmbiguousTask, Certainty: Processed, Effect: Success, Unprocessed: DispositionStop},
	r36Cost:      {ID: "R36", Title: "verdict that only a person can act on", Variant: "COST_COMMITMENT", Class: Unrecoverable, Reason: ReasonCostCommitment, Certainty: Processed, Effect: Success, Unprocessed: DispositionStop},
	r37:          {ID: "R37", Title: "report of a batch, some items failed", Class: Partial, Reason: ReasonPartial},
	r38:          {ID: "R38", Title: "run beyond its soft limit", Class: Pressure, Reason: ReasonCostPressure},
	r39:          {ID: "R39", Title: "run at its cap, or price not known", Class: Pressure, Reason: ReasonRunBudget, Certainty: NotSent, Unprocessed: DispositionManual},
	r39Price:     {ID: "R39", Title: "run at its cap, or price not known", Variant: "price not known", Class: Pressure, Reason: ReasonPriceUnknown, Certainty: NotSent, Unprocessed: DispositionManual},
	r40:          {ID: "R40", Title: "permit's lease over without a report", Class: Aborted, Reason: ReasonLost, Certainty: Ambiguous, Unprocessed: DispositionStop},
	r41:          {ID: "R41", Title: "local error before anything was sent", Class: Deterministic, Reason: ReasonLocal, Certainty: NotSent, Unprocessed: DispositionStop},
	r42:          {ID: "R42", Title: "anything else", Class: Unknown, Reason: ReasonUnknown, Certainty: Ambiguous, Effect: Failure, Unprocessed: DispositionManual},
}

// verdict is the row as a verdict, without what a signal adds.
func (id rowID) verdict() Verdict {
	r := &table[id]
	return Verdict{
		Rule:           r.ID,
		Class:          r.Class,
		Reason:         r.Reason,
		Certainty:      r.Certainty,
		Effect:         r.Effect,
		Unprocessed:    r.Unprocessed,
		QualityFailure: r.QualityFailure,
		AuthFailure:    r.AuthFailure,
		Slow:           id == r02,
	}
}
