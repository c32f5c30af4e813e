// SPDX-License-Identifier: Apache-2.0

package jsonport

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	pb "github.com/resilienced/resilienced/gen/resilience/v1"
	"github.com/resilienced/resilienced/server"
)

// A call and its report, as a shell makes them.
func TestCall(t *testing.T) {
	h := newHarness(t, nil)
	got := h.post(t, acquire, `{"target": "openai/gpt-x"}`)
	var may struct {
		Decision string
		Reason   *string
		Permit   struct {
			PermitID string `json:"permit_id"`
			Fence    string
			Lease    string
		}
	}
	if err := json.Unmarshal(got.body, &may); err != nil {
		t.Fatal(err)
	}
	if got.status != 200 || may.Decision != "DECISION_GRANTED" || may.Reason != nil || may.Permit.PermitID == "" || !strings.HasSuffix(may.Permit.Lease, "s") {
		t.Fatalf("status %d: %s", got.status, got.body)
	}
	if string(got.body) != compact(t, got.body) {
		t.Errorf("there are spaces in %s", got.body)
	}
	if ct := got.header.Get("Content-Type"); ct != "application/json" {
		t.Errorf("content type %q", ct)
	}
	for _, fence := range []string{may.Permit.Fence, strconv.Quote(may.Permit.Fence)} {
		got = h.post(t, "/resilience.v1.PermitService/Report",
			`{"permitId": "`+may.Permit.PermitID+`", "fence": `+fence+`, "outcome": "OUTCOME_SUCCESS", "duration": "0.8s", "signal": {"http_status": 200}}`)
		if got.status != 200 || !strings.Contains(string(got.body), `"action":"ACTION_CONTINUE"`) {
			t.Errorf("a report with the fence %s: status %d: %s", fence, got.status, got.body)
		}
	}
	got = h.post(t, "/grpc.health.v1.Health/Check", `{}`)
	if got.status != 200 || !strings.Contains(string(got.body), "SERVING") {
		t.Errorf("health: status %d: %s", got.status, got.body)
	}
}

// Headers are metadata, and nothing crosses from one namespace to another.
func TestHeaders(t *testing.T) {
	h := newHarness(t, nil)
	const startRun, getRun = "/resilience.v1.RunService/StartRun", "/resilience.v1.RunService/GetRun"
	if got := h.post(t, startRun, `{"request_id": "q", "run_id": "r"}`, "Resilience-Namespace", "one"); got.status != 200 {
		t.Fatalf("status %d: %s", got.status, got.body)
	}
	if got := h.post(t, getRun, `{"run_id": "r"}`, "resilience-namespace", "one"); got.status != 200 {
		t.Errorf("status %d: %s", got.status, got.body)
	}
	for _, other := range [][]string{nil, {"Resilience-Namespace", "two"}, {"X-Resilience-Namespace", "one"}, {"Cookie", "resilience-namespace=one"}} {
		if got := h.post(t, getRun, `{"run_id": "r"}`, other...); got.status != 404 {
			t.Errorf("with %q: status %d: %s", other, got.status, got.body)
		}
	}
	got := h.post(t, acquire, `{"target": "x"}`, "Resilience-Namespace", "one", "Resilience-Run-Id", "r")
	if got.status != 200 || !strings.Contains(string(got.body), `"run":{`) {
		t.Errorf("the run of the header is not that of the call: %s", got.body)
	}
}

// An error says in JSON what the details are, all faults at once.
func TestErrors(t *testing.T) {
	h := newHarness(t, nil)
	got := h.post(t, acquire, `{"estimate": {"cost_micros": -1}, "target": "a\u0001"}`)
	f := got.failure(t)
	if f.reason(t) != "INVALID_REQUEST" || len(f.fields(t)) != 2 {
		t.Errorf("reason %q, fields %q: %s", f.reason(t), f.fields(t), got.body)
	}
}

func TestSeconds(t *testing.T) {
	for d, want := range map[time.Duration]string{0: "1", time.Millisecond: "1", time.Second: "1", 1001 * time.Millisecond: "2", time.Hour: "3600"} {
		if got := seconds(d); got != want {
			t.Errorf("%v is %q, want %q", d, got, want)
		}
	}
}

// What a client may compress, and what of it may not grow without bound.
func TestCompression(t *testing.T) {
	h := newHarness(t, nil)
	press := func(text string) io.Reader {
		var b bytes.Buffer
		w := gzip.NewWriter(&b)
		if _, err := io.WriteString(w, text); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return &b
	}
	headers := []string{"Content-Type", "application/json; charset=UTF-8", "Content-Encoding", "gzip"}
	largest := `{"target": "` + strings.Repeat("x", server.MaxReceive-14) + `"}`
	if got := h.send(t.Context(), t, "POST", acquire, press(largest), headers...); got.status != 400 || got.failure(t).reason(t) != "INVALID_REQUEST" {
		t.Errorf("the largest that is read: status %d: %.300s", got.status, got.body)
	}
	if got := h.send(t.Context(), t, "POST", acquire, press(`{"target": "x"}`), headers...); got.status != 200 {
		t.Errorf("status %d: %s", got.status, got.body)
	}
	got := h.send(t.Context(), t, "POST", acquire, press(strings.Repeat(" ", 4<<20)), headers...)
	if f := got.failure(t); got.status != 429 || f.Code != "resource_exhausted" || !strings.Contains(f.Message, errUnpacked.Error()) {
		t.Errorf("a bomb: status %d: %s", got.status, got.body)
	}
}

// endless is a body without a length and without an end.
type endless struct{}

func (endless) Read(p []byte) (int, error) { return copy(p, bytes.Repeat([]byte(" "), len(p))), nil }

func TestBodyWithoutLength(t *testing.T) {
	h := newHarness(t, nil)
	got := h.send(t.Context(), t, "POST", acquire, endless{}, "Content-Type", "application/json")
	if f := got.failure(t); got.status != 413 || f.Code != "resource_exhausted" {
		t.Errorf("status %d: %s", got.status, got.body)
	}
}

// Generated clients, of Connect and of gRPC-Web, in both forms.
func TestGeneratedClients(t *testing.T) {
	h := newHarness(t, nil)
	for name, options := range map[string][]connect.ClientOption{
		"connect": nil, "connect with JSON": {connect.WithProtoJSON()},
		"gRPC-Web": {connect.WithGRPCWeb()}, "gRPC-Web with JSON": {connect.WithGRPCWeb(), connect.WithProtoJSON()},
		"compressed": {connect.WithSendGzip()},
	} {
		t.Run(name, func(t *testing.T) {
			client := connect.NewClient[pb.AcquireRequest, pb.AcquireResponse](h.client, "http://localhost"+acquire, options...)
			got, err := client.CallUnary(t.Context(), connect.NewRequest(&pb.AcquireRequest{Target: "x"}))
			if err != nil || got.Msg.GetDecision() != pb.Decision_DECISION_GRANTED {
				t.Errorf("answer %v, %v", got, err)
			}
			_, err = client.CallUnary(t.Context(), connect.NewRequest(&pb.AcquireRequest{Target: "x", RunId: "none"}))
			if connect.CodeOf(err) != connect.CodeNotFound || !strings.Contains(err.Error(), "StartRun") {
				t.Errorf("an unknown run: %v", err)
			}
			watch := connect.NewClient[pb.WatchTargetsRequest, pb.WatchTargetsResponse](h.client,
				"http://localhost/resilience.v1.TargetService/WatchTargets", options...)
			stream, err := watch.CallServerStream(t.Context(), connect.NewRequest(&pb.WatchTargetsRequest{}))
			if err != nil {
				t.Fatal(err)
			}
			if !stream.Receive() || !stream.Msg().GetSnapshotDone() {
				t.Errorf("first message %v, %v", stream.Msg(), stream.Err())
			}
			if err := stream.Close(); err != nil {
				t.Error(err)
			}
			stream, err = watch.CallServerStream(t.Context(), connect.NewRequest(&pb.WatchTargetsRequest{NameGlob: "\x01"}))
			if err != nil {
				t.Fatal(err)
			}
			if stream.Receive() || connect.CodeOf(stream.Err()) != connect.CodeInvalidArgument {
				t.Errorf("a wrong request: %v", stream.Err())
			}
			if err := stream.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestBytesThatAreNoMessage(t *testing.T) {
	h := newHarness(t, nil)
	got := h.send(t.Context(), t, "POST", acquire, strings.NewReader("\xff\xff"), "Content-Type", "application/proto")
	if f := got.failure(t); got.status != 400 || f.reason(t) != "MALFORMED" {
		t.Errorf("status %d: %s", got.status, got.body)
	}
	bytes, err := proto.Marshal(&pb.AcquireRequest{Target: "x"})
	if err != nil {
		t.Fatal(err)
	}
	got = h.send(t.Context(), t, "POST", acquire, strings.NewReader(string(bytes)), "Content-Type", "application/proto")
	answer := &pb.AcquireResponse{}
	if err := proto.Unmarshal(got.body, answer); err != nil || answer.GetDecision() != pb.Decision_DECISION_GRANTED {
		t.Errorf("status %d: %q, %v", got.status, got.body, err)
	}
}

// counter is a meter and the handles of all its methods.
type counter struct{ calls chan string }

func (c counter) Method(full string) server.MethodMeter { return handle{full, c.calls} }

type handle struct {
	full  string
	calls chan string
}

func (h handle) Done(code codes.Code, _ time.Duration) { h.calls <- h.full + " " + code.String() }

// Calls pass through the same interceptors as gRPC's.
func TestInterceptors(t *testing.T) {
	c := counter{make(chan string, 10)}
	h := newHarness(t, nil)
	h.port.methods = newMethods(server.New(server.Deps{Engine: h.engine, Meter: c}))
	h.post(t, acquire, `{"target": "x"}`)
	h.post(t, acquire, `{"target": "x", "run_id": "none"}`)
	for _, want := range []string{acquire + " OK", acquire + " NotFound"} {
		if got := <-c.calls; got != want {
			t.Errorf("counted %q, want %q", got, want)
		}
	}
	// A server without an engine panics in every method.
	h.port.methods = newMethods(server.New(server.Deps{Meter: c}))
	got := h.post(t, acquire, `{"target": "x"}`)
	if f := got.failure(t); got.status != 500 || f.reason(t) != "INTERNAL" || strings.Contains(string(got.body), "nil") {
		t.Errorf("a panic: status %d: %s", got.status, got.body)
	}
}

// A caller's own time ends a call that waits; a caller without one may wait
// longer than a request may take to be sent, and a stream longer than that.
func TestTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, nil)
		id := h.escalated(t)
		wait := func(headers ...string) (answer, time.Duration) {
			began := time.Now()
			got := h.post(t, "/resilience.v1.EscalationService/WaitDecision", `{"escalation_id": "`+id+`", "timeout": "60s"}`, headers...)
			return got, time.Since(began)
		}
		if got, took := wait(); got.status != 200 || took != 60*time.Second {
			t.Errorf("after %v: status %d: %s", took, got.status, got.body)
		}
		got, took := wait("Connect-Timeout-Ms", "1500")
		if f := got.failure(t); got.status != 504 || f.Code != "deadline_exceeded" || f.reason(t) != "DEADLINE" || took != 1500*time.Millisecond {
			t.Errorf("after %v: status %d: %s", took, got.status, got.body)
		}
		watch := connect.NewClient[pb.WatchTargetsRequest, pb.WatchTargetsResponse](h.client,
			"http://localhost/resilience.v1.TargetService/WatchTargets", connect.WithProtoJSON())
		stream, err := watch.CallServerStream(t.Context(), connect.NewRequest(&pb.WatchTargetsRequest{}))
		if err != nil || !stream.Receive() {
			t.Fatal(err, stream.Err())
		}
		time.Sleep(time.Hour)
		h.post(t, "/resilience.v1.TargetService/SetBreaker", `{"request_id": "b", "target": "x", "mode": "BREAKER_MODE_FORCED_OPEN", "reason": "a test"}`)
		if !stream.Receive() || len(stream.Msg().GetTargets()) != 1 {
			t.Errorf("after an hour: %v, %v", stream.Msg(), stream.Err())
		}
		h.server.Drain()
		if stream.Receive() || connect.CodeOf(stream.Err()) != connect.CodeUnavailable {
			t.Errorf("a drained stream ends with %v", stream.Err())
		}
		if err := stream.Close(); err != nil {
			t.Error(err)
		}
	})
}

// escalated raises an escalation and returns its id.
func (h *harness) escalated(t *testing.T) string {
	t.Helper()
	permits := pb.NewPermitServiceClient(h.grpc)
	may, err := permits.Acquire(t.Context(), &pb.AcquireRequest{Target: "pay", Idempotency: pb.Idempotency_IDEMPOTENCY_NON_IDEMPOTENT})
	if err != nil {
		t.Fatal(err)
	}
	report, err := permits.Report(t.Context(), &pb.ReportRequest{
		PermitId: may.GetPermit().GetPermitId(), Outcome: pb.Outcome_OUTCOME_FAILURE, Signal: &pb.Signal{Exception: "timeout"},
	})
	if err != nil {
		t.Fatal(err)
	}
	return report.GetEscalationId()
}

// Draining answers a call that waits, and says when to ask again.
func TestDrainEndsWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, nil)
		id := h.escalated(t)
		got := make(chan answer, 1)
		go func() {
			got <- h.post(t, "/resilience.v1.EscalationService/WaitDecision", `{"escalation_id": "`+id+`", "timeout": "60s"}`)
		}()
		synctest.Wait()
		h.server.Drain()
		a := <-got
		f := a.failure(t)
		if a.status != http.StatusServiceUnavailable || f.reason(t) != "SHUTTING_DOWN" || a.header.Get("Retry-After") != "1" {
			t.Errorf("status %d, Retry-After %q: %s", a.status, a.header.Get("Retry-After"), a.body)
		}
		if pushback := a.header.Get("Grpc-Retry-Pushback-Ms"); pushback != "500" {
			t.Errorf("pushback %q", pushback)
		}
	})
}
