// SPDX-License-Identifier: Apache-2.0

package classify

import (
	"fmt"
	"testing"
	"time"
)

// want is what a case expects of a verdict.
type want struct {
	rule      string
	class     Class
	reason    Reason
	certainty Certainty
	effect    Effect
	left      Disposition
	cooldown  time.Duration
	quality   bool
	auth      bool
}

func wantOf(v Verdict) want {
	return want{
		v.Rule, v.Class, v.Reason, v.Certainty, v.Effect, v.Unprocessed,
		v.Cooldown, v.QualityFailure, v.AuthFailure,
	}
}

func http(code int) Signal      { return Signal{HTTPStatus: code} }
func code(name string) Signal   { return Signal{GRPCCode: name} }
func thrown(name string) Signal { return Signal{Exception: name} }
func mcp(number int) Signal     { return Signal{MCPCode: number} }

func body(httpStatus int, name string) Signal {
	return Signal{HTTPStatus: httpStatus, BodyCode: name}
}

func judged(q QualityVerdict) Signal { return Signal{HTTPStatus: 200, Quality: q} }

func asked(s Signal, d time.Duration) Signal {
	s.RetryAfter, s.HasRetryAfter = d, true
	return s
}

func during(s Signal, p Phase) Signal {
	s.Phase = p
	return s
}

func with(s Signal, pairs ...string) Signal {
	headers := map[string]string{}
	for i := 0; i < len(pairs); i += 2 {
		headers[pairs[i]] = pairs[i+1]
	}
	s.Headers = headers
	return s
}

// llm is the context of most cases.
var llm = Context{Kind: "llm", SlowFailsAfter: 300 * time.Second}

type tableCase struct {
	want    want
	c       Context
	signals []Signal
}

// tableCases holds, for every row that a signal can reach, and for each of its
// variants, at least two signals.
func tableCases() []tableCase {
	const dl, manual, stop, once = DispositionDeadLetter, DispositionManual, DispositionStop, DispositionRetryOnce
	slow := Signal{HTTPStatus: 200, Duration: 300 * time.Second}
	tool := Context{Kind: "tool"}
	minute, quarter := time.Minute, 15*time.Minute
	return []tableCase{
		{want{"R01", OK, ReasonOK, Processed, Success, dl, 0, false, false}, llm, []Signal{http(200), http(204), http(304), http(301), code("OK"), {Outcome: OutcomeSuccess}}},
		{want{"R02", OK, ReasonSlow, Processed, Failure, dl, 0, false, false}, llm, []Signal{slow, {GRPCCode: "OK", Duration: time.Hour}, {Outcome: OutcomeSuccess, Duration: time.Hour}}},
		{want{"R03", Transient, ReasonTimeoutRequest, Rejected, Failure, stop, 0, false, false}, llm, []Signal{http(408), during(http(408), Connecting)}},
		{want{"R03", Transient, ReasonTimeoutRequest, Ambiguous, Failure, stop, 0, false, false}, llm, []Signal{during(http(408), BodySent), during(http(408), FirstByte)}},
		{want{"R04", Transient, ReasonTooEarly, Rejected, Neutral, dl, 0, false, false}, llm, []Signal{http(425), http(421)}},
		{want{"R05", Transient, ReasonServerError, Ambiguous, Failure, manual, 0, false, false}, llm, []Signal{http(500), body(200, "api_error")}},
		{want{"R06", Transient, ReasonGateway, Ambiguous, Failure, manual, 0, false, false}, llm, []Signal{http(502), http(504), http(520), http(521), http(522), http(523), http(524)}},
		{want{"R07", Transient, ReasonUnavailable, Ambiguous, Failure, manual, 0, false, false}, llm, []Signal{http(503), with(http(503), "retry-after", "soon")}},
		{want{"R07", Transient, ReasonUnavailable, Rejected, Failure, dl, 0, false, false}, Context{Rejected503: true}, []Signal{http(503), body(503, "what")}},
		{want{"R08", Pressure, ReasonOverloaded, Rejected, Failure, dl, 7 * time.Second, false, false}, llm, []Signal{asked(http(503), 7*time.Second), with(http(503), "retry-after", "7")}},
		{want{"R09", Pressure, ReasonOverloaded, Rejected, Failure, dl, 0, false, false}, llm, []Signal{http(529), body(500, "overloaded_error"), body(200, "overloaded_error"), body(429, "slow_down"), body(503, "server_is_overloaded")}},
		{want{"R10", Persistent, ReasonTLSConfig, NotSent, Neutral, dl, 0, false, false}, llm, []Signal{http(525), http(526), thrown("certificate"), thrown("CERT_HAS_EXPIRED"), thrown("ssl.SSLCertVerificationError")}},
		{want{"R11", Deterministic, ReasonUnsupported, Rejected, Neutral, stop, 0, false, false}, llm, []Signal{http(501), http(505), code("UNIMPLEMENTED")}},
		{want{"R12", Pressure, ReasonRateLimited, Rejected, Neutral, dl, 5 * time.Second, false, false}, llm, []Signal{asked(http(429), 5*time.Second), with(http(429), "retry-after", "5"), with(body(200, "rate_limit_error"), "retry-after", "5")}},
		{want{"R12", Pressure, ReasonRateLimited, Rejected, Neutral, dl, 0, false, false}, llm, []Signal{asked(http(429), 0), with(http(429), "retry-after", "0")}},
		{want{"R13", Pressure, ReasonRateLimitedHard, Rejected, Neutral, dl, minute, false, false}, llm, []Signal{http(429), body(429, "rate_limit_exceeded"), with(http(429), "retry-after", "-1")}},
		{want{"R13", Pressure, ReasonRateLimitedHard, Rejected, Neutral, dl, 5 * minute, false, false}, Context{HardWait: 5 * minute}, []Signal{http(429), with(http(429), "retry-after", "NaN")}},
		{want{"R14", Pressure, ReasonQuotaExhausted, Rejected, Neutral, manual, quarter, false, false}, llm, []Signal{
			http(402), body(429, "insufficient_quota"), body(403, "billing_hard_limit_reached"),
			body(429, "credit_balance_exhausted"), body(429, "team_spend_limit_exceeded"), body(403, "any_usage_limit_exceeded"),
			body(429, "usage_limit_reached"), body(429, "terminal_quota_exhausted"),
			with(code("RESOURCE_EXHAUSTED"), HeaderQuotaID, "GenerateRequestsPerDayPerProjectPerModel"),
			{GRPCCode: "RESOURCE_EXHAUSTED", BodyCode: "requests_per_day"},
			asked(http(402), 0),
		}},
		{want{"R14", Pressure, ReasonQuotaExhausted, Rejected, Neutral, manual, time.Hour, false, false}, llm, []Signal{asked(body(429, "insufficient_quota"), time.Hour), asked(http(402), time.Hour)}},
		{want{"R15", Persistent, ReasonAuth, Rejected, Neutral, manual, 0, false, true}, llm, []Signal{http(401), code("UNAUTHENTICATED"), body(200, "authentication_error")}},
		{want{"R16", Persistent, ReasonForbidden, Rejected, Neutral, stop, 0, false, true}, llm, []Signal{http(403), code("PERMISSION_DENIED")}},
		{want{"R16", Deterministic, ReasonForbidden, Rejected, Neutral, stop, 0, false, true}, tool, []Signal{http(403), code("PERMISSION_DENIED")}},
		{want{"R17", Deterministic, ReasonBadRequest, Rejected, Neutral, stop, 0, false, false}, llm, []Signal{
			http(400), http(405), http(406), http(411), http(414), http(415), http(416), http(417),
			http(422), http(428), http(431), code("INVALID_ARGUMENT"), code("OUT_OF_RANGE"), code("FAILED_PRECONDITION"),
			mcp(-32602), mcp(-32601), mcp(-32600), mcp(-32700), body(200, "is_error"),
			{GRPCCode: "RESOURCE_EXHAUSTED", BodyCode: "MESSAGE_TOO_LARGE"},
		}},
		{want{"R18", Deterministic, ReasonNotFound, Rejected, Neutral, stop, 0, false, false}, llm, []Signal{http(404), http(410), code("NOT_FOUND")}},
		{want{"R19", Deterministic, ReasonConflict, Rejected, Neutral, stop, 0, false, false}, llm, []Signal{http(409), code("ALREADY_EXISTS"), body(409, "in_progress")}},
		{want{"R20", Transient, ReasonAborted, Rejected, Neutral, stop, 0, false, false}, llm, []Signal{code("ABORTED"), {GRPCCode: "Aborted", HTTPStatus: 200}}},
		{want{"R21", Deterministic, ReasonContextLimit, Rejected, Neutral, stop, 0, false, false}, llm, []Signal{http(413), body(400, "context_length_exceeded"), body(400, "request_too_large")}},
		{want{"R22", Deterministic, ReasonContentPolicy, Rejected, Neutral, stop, 0, false, false}, llm, []Signal{body(400, "content_policy_violation"), body(200, "content_filter"), body(200, "SAFETY")}},
		{want{"R22", Deterministic, ReasonContentPolicy, Rejected, Neutral, stop, 0, false, false}, Context{RefusalIsPolicy: true}, []Signal{judged(Refusal), {Quality: Refusal}}},
		{want{"R23", Transient, ReasonUnavailable, Ambiguous, Failure, manual, 0, false, false}, llm, []Signal{code("UNAVAILABLE"), code("Unavailable"), during(code("UNAVAILABLE"), BodySent)}},
		{want{"R24", Pressure, ReasonRateLimited, Rejected, Neutral, dl, 22 * time.Second, false, false}, llm, []Signal{with(code("RESOURCE_EXHAUSTED"), HeaderRetryInfo, "22s"), with(code("RESOURCE_EXHAUSTED"), "grpc-retry-pushback-ms", "22000")}},
		{want{"R24", Pressure, ReasonRateLimitedHard, Rejected, Neutral, dl, minute, false, false}, llm, []Signal{code("RESOURCE_EXHAUSTED"), with(code("RESOURCE_EXHAUSTED"), "grpc-retry-pushback-ms", "-1")}},
		{want{"R25", Transient, ReasonTimeout, Ambiguous, Failure, manual, 0, false, false}, llm, []Signal{code("DEADLINE_EXCEEDED"), thrown("timeout"), thrown("openai.APITimeoutError"), mcp(-32001), during(thrown("timeout"), FirstByte)}},
		{want{"R26", Transient, ReasonServerError, Ambiguous, Failure, manual, 0, false, false}, llm, []Signal{code("INTERNAL"), code("UNKNOWN"), mcp(-32603)}},
		{want{"R26", Unknown, ReasonUnknown, Ambiguous, Failure, manual, 0, false, false}, llm, []Signal{code("DATA_LOSS"), code("DataLoss")}},
		{want{"R27", Aborted, ReasonCancelled, Ambiguous, Neutral, stop, 0, false, false}, llm, []Signal{code("CANCELLED"), code("Canceled"), {Outcome: OutcomeCancelled}, {Outcome: OutcomeCancelled, HTTPStatus: 500}, thrown("asyncio.CancelledError"), http(499)}},
		{want{"R28", Transient, ReasonConnect, NotSent, Failure, dl, 0, false, false}, llm, []Signal{thrown("connect"), thrown("dns"), thrown("ECONNREFUSED"), thrown("ENOTFOUND"), thrown("httpx.ConnectError"), thrown("TLS handshake timeout"), during(thrown("timeout"), Connecting), during(code("UNAVAILABLE"), Connecting)}},
		{want{"R29", Transient, ReasonReset, Ambiguous, Failure, manual, 0, false, false}, llm, []Signal{thrown("reset"), thrown("EOF"), thrown("unexpected EOF"), thrown("ECONNRESET"), thrown("APIConnectionError"), during(thrown("connect"), BodySent), mcp(-32000)}},
		{want{"R30", Transient, ReasonRefused, NotSent, Neutral, once, 0, false, false}, llm, []Signal{thrown("refused_stream"), thrown("REFUSED_STREAM"), thrown("goaway")}},
		{want{"R31", Transient, ReasonStreamBroken, Ambiguous, Failure, manual, 0, false, false}, llm, []Signal{thrown("stream_broken"), during(thrown("reset"), FirstByte), thrown("JSONDecodeError"), {HTTPStatus: 200, Outcome: OutcomeFailure, Exception: "EOF"}}},
		{want{"R32", Quality, ReasonSchema, Processed, Failure, stop, 0, true, false}, llm, []Signal{judged(SchemaViolation), {Outcome: OutcomeFailure, Quality: SchemaViolation}}},
		{want{"R33", Quality, ReasonToolCall, Processed, Failure, stop, 0, true, false}, llm, []Signal{judged(HallucinatedTool), judged(BadToolArgs)}},
		{want{"R34", Quality, ReasonRefusal, Processed, Failure, stop, 0, true, false}, llm, []Signal{judged(Refusal), {GRPCCode: "OK", Quality: Refusal}}},
		{want{"R35", Quality, ReasonEmpty, Processed, Failure, stop, 0, true, false}, llm, []Signal{judged(Empty), {Outcome: OutcomeSuccess, Quality: Empty}}},
		{want{"R35", Quality, ReasonTruncated, Processed, Neutral, stop, 0, false, false}, llm, []Signal{judged(Truncated), {GRPCCode: "OK", Quality: Truncated}}},
		{want{"R35", Quality, ReasonSemantic, Processed, Failure, stop, 0, true, false}, llm, []Signal{judged(SemanticFail), {Quality: SemanticFail}}},
		{want{"R36", Unrecoverable, ReasonLowConfidence, Processed, Success, stop, 0, false, false}, llm, []Signal{judged(LowConfidence), {Quality: LowConfidence}}},
		{want{"R36", Unrecoverable, ReasonNeedsInfo, Processed, Success, stop, 0, false, false}, llm, []Signal{judged(NeedsInfo), {Quality: NeedsInfo}}},
		{want{"R36", Unrecoverable, ReasonNeedsAuthority, Processed, Success, stop, 0, false, false}, llm, []Signal{judged(NeedsAuthority), {Quality: NeedsAuthority}}},
		{want{"R36", Unrecoverable, ReasonAmbiguousTask, Processed, Success, stop, 0, false, false}, llm, []Signal{judged(AmbiguousTask), {Quality: AmbiguousTask}}},
		{want{"R36", Unrecoverable, ReasonCostCommitment, Processed, Success, stop, 0, false, false}, llm, []Signal{judged(CostCommitment), {Quality: CostCommitment}}},
		{want{"R41", Deterministic, ReasonLocal, NotSent, Neutral, stop, 0, false, false}, llm, []Signal{thrown("serialization"), thrown("OutOfMemoryError"), during(thrown("weird"), BeforeSend)}},
		{want{"R42", Unknown, ReasonUnknown, Ambiguous, Failure, manual, 0, false, false}, llm, []Signal{{}, {Outcome: OutcomeFailure}, {Outcome: OutcomeFailure, HTTPStatus: 200}, thrown("weird"), http(418), http(412), http(100), http(-3), http(999), code("NEW_CODE"), {GRPCCode: "UNKNOWN", BodyCode: "odd"}, judged(99), mcp(-1)}},
	}
}

func TestTable(t *testing.T) {
	seen := map[string]int{}
	for _, tc := range tableCases() {
		for _, s := range tc.signals {
			v := Classify(s, tc.c, nil)
			if got := wantOf(v); got != tc.want {
				t.Errorf("%+v in %+v\n got %v\nwant %v", s, tc.c, got, tc.want)
			}
			if v.Slow != (v.Rule == "R02") {
				t.Errorf("%+v: slow = %v in %s", s, v.Slow, v.Rule)
			}
			seen[fmt.Sprint(v.Rule, v.Class, v.Reason, v.Certainty)]++
		}
	}
	for v, signals := range made() {
		seen[fmt.Sprint(v.rule, v.class, v.reason, v.certainty)] += signals
	}
	for _, r := range append(Rows(), Variants()...) {
		if n := seen[fmt.Sprint(r.ID, r.Class, r.Reason, r.Certainty)]; n < 2 {
			t.Errorf("%s %s %q: %d signals, want two", r.ID, r.Reason, r.Variant, n)
		}
	}
}

// made are the verdicts that no signal gives; each stands for two.
func made() map[want]int {
	ok, failed := r01.verdict(), r05.verdict()
	return map[want]int{
		wantOf(PartialBatch([]Verdict{ok, failed})): 2,
		wantOf(RunSoftLimit()):                      2,
		wantOf(RunBudget()):                         2,
		wantOf(PriceUnknown()):                      2,
		wantOf(Lost()):                              2,
	}
}

func TestRowsAreFortyTwo(t *testing.T) {
	rows := Rows()
	if len(rows) != 42 {
		t.Fatalf("%d rows, want 42", len(rows))
	}
	for i, r := range rows {
		if id := fmt.Sprintf("R%02d", i+1); r.ID != id {
			t.Errorf("row %d is %s, want %s", i, r.ID, id)
		}
		if r.Title == "" || r.Class == ClassUnspecified || !upperSnake(string(r.Reason)) {
			t.Errorf("%s is not complete: %+v", r.ID, r)
		}
	}
	for _, v := range Variants() {
		main := rows[0]
		for _, r := range rows {
			if r.ID == v.ID {
				main = r
			}
		}
		if main.ID != v.ID || main.Title != v.Title {
			t.Errorf("variant %s %q does not belong to a row", v.ID, v.Variant)
		}
	}
}

func TestMadeVerdicts(t *testing.T) {
	if v := Lost(); v.Rule != "R40" || v.Class != Aborted || v.Reason != ReasonLost || v.Certainty != Ambiguous || v.Effect != Neutral {
		t.Errorf("Lost() = %+v", v)
	}
	if v := RunBudget(); v.Rule != "R39" || v.Reason != ReasonRunBudget || v.Certainty != NotSent || v.Unprocessed != DispositionManual {
		t.Errorf("RunBudget() = %+v", v)
	}
	if v := PriceUnknown(); v.Rule != "R39" || v.Reason != ReasonPriceUnknown || v.Certainty != NotSent {
		t.Errorf("PriceUnknown() = %+v", v)
	}
	if v := RunSoftLimit(); v.Rule != "R38" || v.Class != Pressure || v.Reason != ReasonCostPressure {
		t.Errorf("RunSoftLimit() = %+v", v)
	}
	if v := Classify(Signal{Outcome: OutcomeReleased, HTTPStatus: 500}, llm, nil); v.Rule != RuleReleased || v.Reason != ReasonReleased || v.Effect != Neutral || v.Cooldown != 0 {
		t.Errorf("released: %+v", v)
	}
}

func TestPartialBatchVotesOnce(t *testing.T) {
	ok, failed, bad, neutral := r01.verdict(), r05.verdict(), r32.verdict(), r17.verdict()
	for _, tc := range []struct {
		items   []Verdict
		effect  Effect
		quality bool
	}{
		{nil, Neutral, false},
		{[]Verdict{neutral}, Neutral, false},
		{[]Verdict{ok, failed}, Success, false},
		{[]Verdict{ok, failed, failed}, Failure, false},
		{[]Verdict{ok, bad, bad}, Failure, true},
		{[]Verdict{ok, bad, failed}, Failure, false},
		{[]Verdict{neutral, failed}, Neutral, false},
	} {
		v := PartialBatch(tc.items)
		if v.Rule != "R37" || v.Class != Partial || v.Effect != tc.effect || v.QualityFailure != tc.quality {
			t.Errorf("%d items: %s %s quality %v, want %s %v", len(tc.items), v.Rule, v.Effect, v.QualityFailure, tc.effect, tc.quality)
		}
	}
}

// complete fails the test if a verdict lacks what every verdict has.
func complete(t interface {
	Helper()
	Errorf(format string, args ...any)
}, s Signal, v Verdict,
) {
	t.Helper()
	if v.Rule == "" || v.Class == ClassUnspecified || v.Class > Unknown || v.Reason == "" ||
		v.Certainty == CertaintyUnspecified || v.Cooldown < 0 || v.RetryAfter < 0 {
		t.Errorf("%+v: not complete: %+v", s, v)
	}
}

func TestEveryHTTPStatus(t *testing.T) {
	counts := map[Class]int{}
	for h := 100; h <= 599; h++ {
		for _, c := range []Context{{}, llm} {
			v := Classify(http(h), c, nil)
			complete(t, http(h), v)
			if ok := h >= 200 && h < 400; ok != (v.Class == OK) {
				t.Errorf("HTTP %d is %s", h, v.Class)
			}
			counts[v.Class]++
		}
	}
	if counts[OK] != 400 || counts[Unknown] == 0 {
		t.Errorf("classes: %v", counts)
	}
}

func TestEveryGRPCCode(t *testing.T) {
	rules := map[string]string{
		"OK": "R01", "CANCELLED": "R27", "UNKNOWN": "R26", "INVALID_ARGUMENT": "R17",
		"DEADLINE_EXCEEDED": "R25", "NOT_FOUND": "R18", "ALREADY_EXISTS": "R19",
		"PERMISSION_DENIED": "R16", "RESOURCE_EXHAUSTED": "R24", "FAILED_PRECONDITION": "R17",
		"ABORTED": "R20", "OUT_OF_RANGE": "R17", "UNIMPLEMENTED": "R11", "INTERNAL": "R26",
		"UNAVAILABLE": "R23", "DATA_LOSS": "R26", "UNAUTHENTICATED": "R15",
	}
	if len(rules) != 17 {
		t.Fatalf("%d codes", len(rules))
	}
	for name, rule := range rules {
		v := Classify(code(name), llm, nil)
		complete(t, code(name), v)
		if v.Rule != rule {
			t.Errorf("%s is %s, want %s", name, v.Rule, rule)
		}
		if !knownGRPC(name) {
			t.Errorf("%s is not known", name)
		}
	}
}
