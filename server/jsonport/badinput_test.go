// SPDX-License-Identifier: Apache-2.0

package jsonport

import (
	"net/http"
	"slices"
	"strings"
	"testing"
)

// Every body that is no request of the method, what it gets, and that the
// answer names the cure.
func TestBodies(t *testing.T) {
	h := newHarness(t, nil)
	const report = "/resilience.v1.PermitService/Report"
	deep := strings.Repeat(`{"a":`, 40) + "1" + strings.Repeat("}", 40)
	cases := []struct {
		name, path, body string
		status           int
		code             string
		reason, field    string
		says             string
	}{
		{"empty", acquire, "", 400, "invalid_argument", "MALFORMED", "", "send {}"},
		{"spaces", acquire, " \n\t", 400, "invalid_argument", "MALFORMED", "", "send {}"},
		{"not JSON", acquire, "target=x", 400, "invalid_argument", "MALFORMED", "", "line 1, column 2"},
		{"truncated", acquire, `{"target": "x`, 400, "invalid_argument", "MALFORMED", "", "ends too early, after 13 bytes"},
		{"no value", acquire, "{\n\"target\": }", 400, "invalid_argument", "MALFORMED", "", "line 2, column 11"},
		{"trailing", acquire, `{"target": "x"} {}`, 400, "invalid_argument", "MALFORMED", "", "after top-level value"},
		{"trailing comma", acquire, `{"target": "x",}`, 400, "invalid_argument", "MALFORMED", "", "column 16"},
		{"comment", acquire, `{/*c*/"target": "x"}`, 400, "invalid_argument", "MALFORMED", "", "not JSON"},
		{"NaN", acquire, `{"estimate": {"cost_micros": NaN}}`, 400, "invalid_argument", "MALFORMED", "", "not JSON"},
		{"array", acquire, `[{"target": "x"}]`, 400, "invalid_argument", "MALFORMED", "", "not an object"},
		{"null", acquire, `null`, 400, "invalid_argument", "MALFORMED", "", "not an object"},
		{"text", acquire, `"x"`, 400, "invalid_argument", "MALFORMED", "", "not an object"},
		{"byte order mark", acquire, "\ufeff{}", 400, "invalid_argument", "MALFORMED", "", "not JSON"},
		{"deep", acquire, `{"labels": ` + deep + `}`, 400, "invalid_argument", "MALFORMED", "labels.a", "must be a string"},
		{"deep and unknown", acquire, deep, 400, "invalid_argument", "MALFORMED", "a", "is no field"},
		{"invalid UTF-8", acquire, "{\"target\": \"a\xffb\"}", 400, "invalid_argument", "MALFORMED", "", "not UTF-8"},
		{"half a surrogate", acquire, `{"target": "a\ud800b"}`, 400, "invalid_argument", "MALFORMED", "", "does not fit resilience.v1.AcquireRequest: "},
		{"NUL", acquire, `{"target": "a\u0000b"}`, 400, "invalid_argument", "INVALID_REQUEST", "target", ""},
		{"unknown field", acquire, `{"tarrget": "x"}`, 400, "invalid_argument", "MALFORMED", "tarrget", "it has request_id, "},
		{"unknown nested field", acquire, `{"target": "x", "estimate": {"input_tokens": 1, "dollars": 2}}`, 400, "invalid_argument", "MALFORMED", "estimate.dollars", "cost_micros"},
		{"case matters", acquire, `{"Target": "x"}`, 400, "invalid_argument", "MALFORMED", "Target", "is no field"},
		{"twice", acquire, `{"target": "x", "target": "y"}`, 400, "invalid_argument", "MALFORMED", "target", "sent twice"},
		{"twice under both names", acquire, `{"run_id": "x", "runId": "y"}`, 400, "invalid_argument", "MALFORMED", "runId", "sent twice"},
		{"a label twice", acquire, `{"target": "x", "labels": {"a": "1", "a": "2"}}`, 400, "invalid_argument", "MALFORMED", "labels.a", "sent twice"},
		{"number for text", acquire, `{"target": 5}`, 400, "invalid_argument", "MALFORMED", "target", "must be a string (line 1, column 12)"},
		{"text for number", acquire, `{"estimate": {"cost_micros": "a lot"}}`, 400, "invalid_argument", "MALFORMED", "estimate.cost_micros", "must be an integer of 64 bits"},
		{"fraction", acquire, `{"estimate": {"cost_micros": 1.5}}`, 400, "invalid_argument", "MALFORMED", "estimate.cost_micros", "must be an integer of 64 bits"},
		{"huge number", acquire, `{"estimate": {"cost_micros": 1e30}}`, 400, "invalid_argument", "MALFORMED", "estimate.cost_micros", "must be an integer of 64 bits"},
		{"monstrous number", acquire, `{"estimate": {"cost_micros": 1e999999999}}`, 400, "invalid_argument", "MALFORMED", "estimate.cost_micros", "must be an integer of 64 bits"},
		{"one beyond", acquire, `{"estimate": {"cost_micros": 9223372036854775808}}`, 400, "invalid_argument", "MALFORMED", "estimate.cost_micros", "must be an integer of 64 bits"},
		{"negative amount", acquire, `{"target": "x", "estimate": {"cost_micros": -1}}`, 400, "invalid_argument", "INVALID_REQUEST", "estimate.cost_micros", ""},
		{"negative fence", report, `{"permit_id": "p", "fence": -1}`, 400, "invalid_argument", "MALFORMED", "fence", "not negative"},
		{"text for bool", acquire, `{"target": "x", "dry_run": "true"}`, 400, "invalid_argument", "MALFORMED", "dry_run", "true or false"},
		{"unknown enum word", acquire, `{"target": "x", "idempotency": "MAYBE"}`, 400, "invalid_argument", "MALFORMED", "idempotency", "IDEMPOTENCY_NON_IDEMPOTENT"},
		{"unknown enum number", acquire, `{"target": "x", "idempotency": 99}`, 400, "invalid_argument", "INVALID_REQUEST", "idempotency", "99"},
		{"bad duration", acquire, `{"target": "x", "max_wait": "5 minutes"}`, 400, "invalid_argument", "MALFORMED", "max_wait", `"1.5s"`},
		{"number for duration", acquire, `{"target": "x", "max_wait": 5}`, 400, "invalid_argument", "MALFORMED", "max_wait", `"1.5s"`},
		{"object for duration", acquire, `{"target": "x", "max_wait": {"seconds": 5}}`, 400, "invalid_argument", "MALFORMED", "max_wait", `"1.5s"`},
		{"array for text", acquire, `{"target": ["x"]}`, 400, "invalid_argument", "MALFORMED", "target", "must be a string"},
		{"text for object", acquire, `{"target": "x", "estimate": "x"}`, 400, "invalid_argument", "MALFORMED", "estimate", "an object with fields of Estimate"},
		{"array for map", acquire, `{"target": "x", "labels": ["a"]}`, 400, "invalid_argument", "MALFORMED", "labels", "an object whose values are each a string"},
		{"number in map", acquire, `{"target": "x", "labels": {"a": 1}}`, 400, "invalid_argument", "MALFORMED", "labels.a", "must be a string"},
		{"both of a choice", "/resilience.v1.PermitService/Release", `{"permit_id": "a", "acquire_request_id": "b"}`, 400, "invalid_argument", "MALFORMED", "acquire_request_id", "excludes another field"},
		{"bad base64", report, `{"permit_id": "p", "dead_letter": {"payload": "%%%"}}`, 400, "invalid_argument", "MALFORMED", "dead_letter.payload", "base64"},
		{"element of a list", "/resilience.v1.RunService/ListRuns", `{"states": ["RUN_STATE_ACTIVE", "GONE"]}`, 400, "invalid_argument", "MALFORMED", "states[1]", "must be one of RUN_STATE_"},
		{"an escape in a key", acquire, `{"\u001b[2J": 1}`, 400, "invalid_argument", "MALFORMED", "\ufffd[2J", "is no field"},
		{"nothing said", acquire, `{}`, 400, "invalid_argument", "INVALID_REQUEST", "target", ""},
		{"no such run", acquire, `{"target": "x", "run_id": "none"}`, 404, "not_found", "RUN_UNKNOWN", "", "StartRun"},
		{"no such chain", acquire, `{"chain": "none"}`, 400, "invalid_argument", "CHAIN_UNKNOWN", "chain", "names no chain"},
		{"no such permit", report, `{"permit_id": "p", "outcome": "OUTCOME_SUCCESS"}`, 400, "invalid_argument", "PERMIT_INVALID", "permit_id", ""},
		{"largest that is read", acquire, `{"target": "` + strings.Repeat("x", 1<<20-14) + `"}`, 400, "invalid_argument", "INVALID_REQUEST", "target", ""},
		{"one byte more", acquire, `{"target": "` + strings.Repeat("x", 1<<20-13) + `"}`, 429, "resource_exhausted", "", "", "1048576"},
		{"too large", acquire, strings.Repeat(" ", 2<<20), 413, "resource_exhausted", "", "", "1048576 bytes"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got := h.post(t, c.path, c.body)
			f := got.failure(t)
			if got.status != c.status || f.Code != c.code || f.reason(t) != c.reason {
				t.Fatalf("status %d, code %q, reason %q; want %d, %q, %q: %.300s", got.status, f.Code, f.reason(t), c.status, c.code, c.reason, got.body)
			}
			if c.field != "" && !slices.Contains(f.fields(t), c.field) {
				t.Errorf("fields %q; want %q: %.300s", f.fields(t), c.field, got.body)
			}
			if !strings.Contains(f.Message, c.says) || len(f.Message) > 2000 {
				t.Errorf("the text %.300q does not say %q", f.Message, c.says)
			}
		})
	}
}

// Every request that reaches no method, and what it gets.
func TestRequests(t *testing.T) {
	h := newHarness(t, nil)
	const watch = "/resilience.v1.TargetService/WatchTargets"
	cases := []struct {
		name, method, path string
		headers            []string
		status             int
		code, says         string
	}{
		{"unknown path", "GET", "/nothing", nil, 404, "unimplemented", "GET /"},
		{"unknown path, posted", "POST", "/v1/acquire", nil, 404, "unimplemented", "GET /"},
		{"unknown method", "POST", "/resilience.v1.PermitService/Acquires", nil, 404, "unimplemented", "Acquire, Heartbeat, Release, Report"},
		{"unknown service", "POST", "/resilience.v2.PermitService/Acquire", nil, 404, "unimplemented", "GET /"},
		{"trailing slash", "POST", acquire + "/", nil, 404, "unimplemented", "it has Acquire"},
		{"dots", "POST", "/healthz/../" + acquire[1:], nil, 404, "unimplemented", "GET /"},
		{"a call by GET", "GET", acquire, nil, 405, "invalid_argument", "use POST"},
		{"a call by PUT", "PUT", acquire, nil, 405, "invalid_argument", "use POST"},
		{"preflight", "OPTIONS", acquire, []string{"Origin", "http://localhost:3000", "Access-Control-Request-Method", "POST"}, 405, "invalid_argument", "use POST"},
		{"a page by POST", "POST", "/readyz", []string{"Content-Type", "application/json"}, 405, "invalid_argument", "use GET, HEAD"},
		{"no type", "POST", acquire, nil, 415, "invalid_argument", "-H 'content-type: application/json'"},
		{"a form", "POST", acquire, []string{"Content-Type", "application/x-www-form-urlencoded"}, 415, "invalid_argument", "-H 'content-type: application/json'"},
		{"plain text", "POST", acquire, []string{"Content-Type", "text/plain; x=application/json"}, 415, "invalid_argument", "application/json"},
		{"no type at all", "POST", acquire, []string{"Content-Type", ";;;"}, 415, "invalid_argument", "application/json"},
		{"another charset", "POST", acquire, []string{"Content-Type", "application/json; charset=latin1"}, 415, "invalid_argument", "UTF-8"},
		{"a stream's type for a call", "POST", acquire, []string{"Content-Type", "application/connect+json"}, 415, "invalid_argument", "application/json"},
		{"a call's type for a stream", "POST", watch, []string{"Content-Type", "application/json"}, 415, "invalid_argument", "application/connect+json"},
		{"gRPC itself", "POST", acquire, []string{"Content-Type", "application/grpc"}, 415, "invalid_argument", "application/json"},
		{"unknown compression", "POST", acquire, []string{"Content-Type", "application/json", "Content-Encoding", "br"}, 501, "unimplemented", "gzip"},
		{"not what it says to be", "POST", acquire, []string{"Content-Type", "application/json", "Content-Encoding", "gzip"}, 400, "invalid_argument", ""},
		{"a time that is none", "POST", acquire, []string{"Content-Type", "application/json", "Connect-Timeout-Ms", "soon"}, 400, "invalid_argument", "timeout"},
		{"a negative time", "POST", acquire, []string{"Content-Type", "application/json", "Connect-Timeout-Ms", "-1"}, 400, "invalid_argument", "timeout"},
		{"two namespaces", "POST", acquire, []string{"Content-Type", "application/json", "Resilience-Namespace", "a", "Resilience-Namespace", "b"}, 400, "invalid_argument", "sent 2 times"},
		{"two namespaces in one", "POST", acquire, []string{"Content-Type", "application/json", "Resilience-Namespace", "a, b"}, 400, "invalid_argument", "metadata.resilience-namespace"},
		{"an empty namespace", "POST", acquire, []string{"Content-Type", "application/json", "Resilience-Namespace", ""}, 400, "invalid_argument", "metadata.resilience-namespace"},
		{"a drill that is none", "POST", acquire, []string{"Content-Type", "application/json", "Resilience-Namespace", "drill-x"}, 400, "failed_precondition", "StartDrill"},
		{"another host", "POST", acquire, []string{"Content-Type", "application/json", "Host", "evil.example"}, 421, "permission_denied", "localhost"},
		{"another host, a page", "GET", "/metrics", []string{"Host", "evil.example:7071"}, 421, "permission_denied", "localhost"},
		{"a host that begins well", "POST", acquire, []string{"Content-Type", "application/json", "Host", "localhost.evil.example"}, 421, "permission_denied", "localhost"},
		{"an address of others", "GET", "/healthz", []string{"Host", "192.0.2.1:7071"}, 421, "permission_denied", "localhost"},
		{"another origin", "POST", acquire, []string{"Content-Type", "application/json", "Origin", "https://evil.example"}, 403, "permission_denied", "web page"},
		{"another port's origin", "POST", acquire, []string{"Content-Type", "application/json", "Origin", "http://localhost:3000"}, 403, "permission_denied", "web page"},
		{"no origin", "POST", acquire, []string{"Content-Type", "application/json", "Origin", "null"}, 403, "permission_denied", "web page"},
		{"a page of another site", "POST", acquire, []string{"Content-Type", "application/json", "Sec-Fetch-Site", "cross-site"}, 403, "permission_denied", "web page"},
		{"a page of the same site", "POST", acquire, []string{"Content-Type", "application/json", "Sec-Fetch-Site", "same-site"}, 403, "permission_denied", "web page"},
		{"no metrics", "GET", "/metrics", nil, 404, "unimplemented", "resilienced serve"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got := h.send(t.Context(), t, c.method, c.path, strings.NewReader(`{"target": "x"}`), c.headers...)
			f := got.failure(t)
			if got.status != c.status || f.Code != c.code {
				t.Errorf("status %d, code %q; want %d, %q: %s", got.status, f.Code, c.status, c.code, got.body)
			}
			if !strings.Contains(f.Message, c.says) || len(f.Message) < 10 {
				t.Errorf("the text %q does not say %q", f.Message, c.says)
			}
			if c.status == http.StatusMethodNotAllowed && got.header.Get("Allow") == "" {
				t.Error("Allow is missing")
			}
			for name := range got.header {
				if strings.HasPrefix(name, "Access-Control-") {
					t.Errorf("%s is sent", name)
				}
			}
		})
	}
}
