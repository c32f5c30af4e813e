// SPDX-License-Identifier: Apache-2.0

package classify

import (
	"testing"
	"time"
)

func TestPrecedence(t *testing.T) {
	const fail, success = OutcomeFailure, OutcomeSuccess
	for _, tc := range []struct {
		name string
		s    Signal
		rule string
	}{
		{"cancelled before everything of the wire", Signal{Outcome: OutcomeCancelled, HTTPStatus: 429, BodyCode: "insufficient_quota"}, "R27"},
		{"verdict before body code", Signal{HTTPStatus: 200, Quality: Refusal, BodyCode: "content_filter"}, "R34"},
		{"verdict before the caller's own exception", Signal{Outcome: fail, Quality: SchemaViolation, Exception: "pydantic.ValidationError"}, "R32"},
		{"verdict with a failure reported", Signal{Outcome: fail, HTTPStatus: 200, Quality: Empty}, "R35"},
		{"no verdict on a call that failed", Signal{HTTPStatus: 503, Quality: Empty}, "R07"},
		{"no verdict on a call that never answered", Signal{Exception: "timeout", Quality: Empty}, "R25"},
		{"body code before status", body(500, "insufficient_quota"), "R14"},
		{"body code before a good status", body(200, "content_filter"), "R22"},
		{"body code before gRPC", Signal{GRPCCode: "UNAVAILABLE", BodyCode: "context_length_exceeded"}, "R21"},
		{"body code before exception", Signal{Exception: "APIStatusError", BodyCode: "overloaded_error"}, "R09"},
		{"a family of codes only beside a quota status", body(500, "x_usage_limit_exceeded"), "R05"},
		{"a daily code beside a success", Signal{Outcome: success, HTTPStatus: 200, BodyCode: "orders_per_day"}, "R01"},
		{"a daily code in a failed stream", Signal{Outcome: fail, HTTPStatus: 200, BodyCode: "tokens_per_day"}, "R14"},
		{"a kind of error only without a bad status", body(404, "invalid_request_error"), "R18"},
		{"a kind of error in a stream that fails late", Signal{Outcome: fail, HTTPStatus: 200, BodyCode: "rate_limit_error"}, "R13"},
		{"an unknown code says nothing", body(500, "E1234"), "R05"},
		{"HTTP before gRPC", Signal{HTTPStatus: 429, GRPCCode: "UNAVAILABLE"}, "R13"},
		{"gRPC over a good HTTP", Signal{HTTPStatus: 200, GRPCCode: "UNAVAILABLE"}, "R23"},
		{"MCP over a good HTTP", Signal{HTTPStatus: 200, MCPCode: -32602}, "R17"},
		{"HTTP before MCP", Signal{HTTPStatus: 404, MCPCode: -32001}, "R18"},
		{"status before exception", Signal{HTTPStatus: 500, Exception: "timeout"}, "R05"},
		{"status before outcome", Signal{Outcome: success, HTTPStatus: 500}, "R05"},
		{"exception before outcome", Signal{Outcome: success, Exception: "timeout"}, "R25"},
		{"exception after a good status", Signal{Outcome: fail, HTTPStatus: 200, Exception: "reset"}, "R31"},
		{"exception after a good status, no outcome", Signal{HTTPStatus: 200, Exception: "timeout"}, "R25"},
		{"a good status and the caller's word", Signal{Outcome: success, HTTPStatus: 200, Exception: "reset"}, "R01"},
		{"a good status and a failure", Signal{Outcome: fail, HTTPStatus: 200}, "R42"},
		{"a good gRPC status and a failure", Signal{Outcome: fail, GRPCCode: "OK"}, "R42"},
		{"no outcome and nothing else", Signal{Message: "429 Too Many Requests"}, "R42"},
		{"an outcome of a newer client", Signal{Outcome: 99}, "R42"},
		{"free text is not read", Signal{HTTPStatus: 400, Message: "insufficient_quota"}, "R17"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if v := Classify(tc.s, llm, nil); v.Rule != tc.rule {
				t.Errorf("%+v is %s %s, want %s", tc.s, v.Rule, v.Reason, tc.rule)
			}
		})
	}
}

func TestConflictInProgress(t *testing.T) {
	for _, tc := range []struct {
		s    Signal
		want bool
	}{
		{body(409, "in_progress"), true},
		{body(409, "IDEMPOTENCY_IN_PROGRESS"), true},
		{body(409, "idempotency_key_in_use"), true},
		{Signal{GRPCCode: "ALREADY_EXISTS", BodyCode: "in_progress"}, true},
		{body(409, "idempotency_mismatch"), false},
		{http(409), false},
		{body(400, "in_progress"), false},
	} {
		if v := Classify(tc.s, llm, nil); v.InProgress != tc.want {
			t.Errorf("%+v: in progress = %v", tc.s, v.InProgress)
		}
	}
}

func TestShouldRetry(t *testing.T) {
	const name = "x-should-retry"
	for _, tc := range []struct {
		s       Signal
		no, may bool
	}{
		{with(http(503), name, "false"), true, false},
		{with(http(503), name, "true"), false, false},
		{with(http(409), name, "true"), false, true},
		{with(http(409), name, " True "), false, true},
		{with(http(409), name, "1"), false, false},
		{with(http(418), name, "true"), false, true},
		{with(http(200), name, "true"), false, false},
		{with(body(400, "content_filter"), name, "true"), false, false},
		{with(body(400, "content_filter"), name, "false"), true, false},
		{with(http(503), "grpc-retry-pushback-ms", "-1"), true, false},
		{with(http(503), "grpc-retry-pushback-ms", "x"), true, false},
		{with(http(409), "grpc-retry-pushback-ms", "-1", name, "true"), true, false},
		{with(http(503), "grpc-retry-pushback-ms", "-1", "retry-after", "5"), true, false},
	} {
		if v := Classify(tc.s, llm, nil); v.NoRetry != tc.no || v.MayRetry != tc.may {
			t.Errorf("%+v: no %v may %v, want %v %v", tc.s, v.NoRetry, v.MayRetry, tc.no, tc.may)
		}
	}
}

func TestClassHint(t *testing.T) {
	for _, tc := range []struct {
		name   string
		s      Signal
		hint   Class
		trust  bool
		class  Class
		reason Reason
	}{
		{"less retryable", http(503), Deterministic, false, Deterministic, ReasonBadRequest},
		{"more retryable", http(400), Transient, false, Deterministic, ReasonBadRequest},
		{"more retryable, trusted", http(400), Transient, true, Transient, ReasonServerError},
		{"as retryable", http(503), Pressure, false, Transient, ReasonUnavailable},
		{"as retryable, trusted", http(503), Pressure, true, Pressure, ReasonOverloaded},
		{"a quota is no pressure to wait out", http(402), Quality, false, Pressure, ReasonQuotaExhausted},
		{"a success is not failed", http(200), Deterministic, false, OK, ReasonOK},
		{"a success is not failed, trusted", http(200), Transient, true, OK, ReasonOK},
		{"a failure is not made good", http(500), OK, false, Transient, ReasonServerError},
		{"a failure is not made good, trusted", Signal{}, OK, true, Unknown, ReasonUnknown},
		{"no class of one call", http(500), Partial, true, Transient, ReasonServerError},
		{"a class of a newer client", http(500), 99, true, Transient, ReasonServerError},
		{"unknown, made final", thrown("weird"), Deterministic, false, Deterministic, ReasonBadRequest},
		{"unknown, not made retryable", thrown("weird"), Transient, false, Unknown, ReasonUnknown},
	} {
		t.Run(tc.name, func(t *testing.T) {
			plain := Classify(tc.s, llm, nil)
			s, c := tc.s, llm
			s.ClassHint, c.TrustHints = tc.hint, tc.trust
			v := Classify(s, c, nil)
			if v.Class != tc.class || v.Reason != tc.reason {
				t.Errorf("%s %s, want %s %s", v.Class, v.Reason, tc.class, tc.reason)
			}
			if v.Hinted != (v.Class != plain.Class) {
				t.Errorf("hinted = %v", v.Hinted)
			}
			if v.Effect != plain.Effect || v.Certainty != plain.Certainty || v.Rule != plain.Rule || v.Cooldown != plain.Cooldown {
				t.Errorf("the hint changed a fact: %+v, without %+v", v, plain)
			}
		})
	}
}

func TestHintDoesNotRetryWhatWasRefused(t *testing.T) {
	s := thrown("refused_stream")
	s.ClassHint = Deterministic
	if v := Classify(s, llm, nil); v.Unprocessed != DispositionStop {
		t.Errorf("disposition %s", v.Unprocessed)
	}
}

func TestExceptionNames(t *testing.T) {
	names := map[string][]string{
		"R10": {"x509: certificate invalid", "SELF_SIGNED_CERT_IN_CHAIN", "x509.UnknownAuthorityError", "ERR_TLS_CERT_ALTNAME_INVALID"},
		"R25": {"TimeoutError", "ReadTimeout", "httpx2.ReadTimeout", "java.net.SocketTimeoutException", "ETIMEDOUT", "APIConnectionTimeoutError", "context.DeadlineExceeded", "context deadline exceeded", "UND_ERR_HEADERS_TIMEOUT", "stream_idle_timeout"},
		"R27": {"AbortError", "APIUserAbortError", "context.Canceled", "KeyboardInterrupt"},
		"R28": {"ConnectError", "ConnectTimeout", "UND_ERR_CONNECT_TIMEOUT", "ConnectionRefusedError", "java.net.ConnectException", "socket.gaierror", "EAI_AGAIN", "EHOSTUNREACH", "no route to host", "no such host", "PoolTimeout", "requests.exceptions.ConnectTimeout", "urllib3.exceptions.NewConnectionError", "tls handshake"},
		"R29": {"ConnectionError", "APIConnectionError", "ConnectionResetError", "BrokenPipeError", "RemoteProtocolError", "ServerDisconnectedError", "UND_ERR_SOCKET", "socket hang up", "io.EOF", "SSLError", "GoAwayError"},
		"R30": {"REFUSED_STREAM", "h2::RefusedStream", "GOAWAY"},
		"R31": {"stream_broken", "IncompleteRead", "ChunkedEncodingError", "ClientPayloadError", "APIResponseValidationError", "ERR_STREAM_PREMATURE_CLOSE"},
		"R41": {"local", "SerializationError", "json.MarshalerError", "config", "InvalidURL", "MemoryError", "LocalProtocolError"},
		"R42": {"weird", "Error", "Exception", "ValueError", "the request hit a timeout", "日本", "...", "time out of mind"},
	}
	for rule, list := range names {
		for _, name := range list {
			if v := Classify(Signal{Outcome: OutcomeFailure, Exception: name}, llm, nil); v.Rule != rule {
				t.Errorf("%q is %s, want %s", name, v.Rule, rule)
			}
		}
	}
}

// TestExceptionPhases pins every kind in every phase.
func TestExceptionPhases(t *testing.T) {
	phases := [...]Phase{PhaseUnspecified, BeforeSend, Connecting, BodySent, FirstByte}
	for name, rules := range map[string][len(phases)]string{
		"timeout":       {"R25", "R28", "R28", "R25", "R25"},
		"connect":       {"R28", "R28", "R28", "R29", "R31"},
		"connection":    {"R29", "R28", "R28", "R29", "R31"},
		"reset":         {"R29", "R28", "R28", "R29", "R31"},
		"stream_broken": {"R31", "R31", "R31", "R31", "R31"},
		"malformed":     {"R31", "R31", "R31", "R31", "R31"},
		"goaway":        {"R30", "R30", "R30", "R30", "R31"},
		"certificate":   {"R10", "R10", "R10", "R29", "R31"},
		"local":         {"R41", "R41", "R41", "R42", "R42"},
		"cancelled":     {"R27", "R27", "R27", "R27", "R27"},
		"weird":         {"R42", "R41", "R42", "R42", "R42"},
	} {
		for i, p := range phases {
			v := Classify(during(thrown(name), p), llm, nil)
			if v.Rule != rules[i] {
				t.Errorf("%s in phase %s is %s, want %s", name, p, v.Rule, rules[i])
			}
			if p >= BodySent && v.Certainty == NotSent && v.Rule != "R30" {
				t.Errorf("%s in phase %s is said not to be sent", name, p)
			}
		}
	}
}

func TestSlowIsOffWithoutALimit(t *testing.T) {
	if v := Classify(Signal{HTTPStatus: 200, Duration: time.Hour}, Context{}, nil); v.Rule != "R01" {
		t.Errorf("rule %s", v.Rule)
	}
	if v := Classify(Signal{HTTPStatus: 200, Duration: llm.SlowFailsAfter - 1}, llm, nil); v.Rule != "R01" {
		t.Errorf("rule %s just below the limit", v.Rule)
	}
}
