// SPDX-License-Identifier: Apache-2.0

package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
	"pgregory.net/rapid"

	"github.com/resilienced/resilienced/engine"
	pb "github.com/resilienced/resilienced/gen/resilience/v1"
	"github.com/resilienced/resilienced/rules"
	"github.com/resilienced/resilienced/rules/admit"
	"github.com/resilienced/resilienced/rules/budget"
	"github.com/resilienced/resilienced/rules/classify"
	"github.com/resilienced/resilienced/rules/operation"
)

// exported reads a whole export.
func (h *harness) exported(ctx context.Context, r *pb.ExportCallsRequest) ([]*pb.RecordedCall, []*pb.ExportCallsResponse, error) {
	stream, err := pb.NewDecisionServiceClient(h.conn).ExportCalls(ctx, r)
	if err != nil {
		return nil, nil, err
	}
	var calls []*pb.RecordedCall
	var parts []*pb.ExportCallsResponse
	for {
		part, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return calls, parts, nil
		}
		if err != nil {
			return nil, nil, err
		}
		calls, parts = append(calls, part.GetCalls()...), append(parts, part)
	}
}

func TestExportCalls(t *testing.T) {
	h := newHarness(t, nil)
	ctx := t.Context()
	calls, parts, err := h.exported(ctx, &pb.ExportCallsRequest{})
	if err != nil || len(calls) != 0 || len(parts) != 1 || parts[0].From != nil || parts[0].GetExpected() != 0 {
		t.Fatalf("an empty recording: %v, %v", parts, err)
	}
	const n = 1200
	for i := range n {
		p := h.grant(ctx, t, &pb.AcquireRequest{Target: "x", OperationId: fmt.Sprint("o", i), ReporterId: "me"})
		_, err := h.permits.Report(ctx, &pb.ReportRequest{
			PermitId: p.GetPermitId(), Outcome: pb.Outcome_OUTCOME_SUCCESS, Signal: &pb.Signal{HttpStatus: proto.Int32(200), Message: "words"},
			Quality: &pb.Quality{Detail: "more words"}, Duration: durationpb.New(time.Second),
			Usage: &pb.Usage{CostMicros: new(int64(i)), Model: "m"},
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	calls, parts, err = h.exported(ctx, &pb.ExportCallsRequest{Since: durationpb.New(time.Hour)})
	if err != nil || len(calls) != n || parts[0].GetExpected() != n || !proto.Equal(parts[0].GetFrom(), calls[0].GetReportedAt()) {
		t.Fatalf("%d calls in %d parts, %v", len(calls), len(parts), err)
	}
	for i, c := range calls {
		if c.GetOperationId() != fmt.Sprint("o", i) || c.GetUsage().GetCostMicros() != int64(i) || c.GetSignal().GetMessage() != "" ||
			c.GetQuality() != nil || c.GetSignal().GetHttpStatus() != 200 || c.GetReporterDigest() == "" || c.GetReporterDigest() == "me" {
			t.Fatalf("call %d: %v", i, c)
		}
		if _, err := CallFromProto(c); err != nil {
			t.Fatalf("call %d cannot be read again: %v", i, err)
		}
	}
	if calls, _, err := h.exported(in(ctx, keyNamespace, "other"), &pb.ExportCallsRequest{}); err != nil || len(calls) != 0 {
		t.Errorf("another namespace sees %d calls, %v", len(calls), err)
	}
}

func TestExportCallsBadInput(t *testing.T) {
	h := newHarness(t, nil)
	for _, since := range []*durationpb.Duration{{Seconds: 8 * 24 * 3600}, {Seconds: -1}, {}, {Seconds: 1, Nanos: -1}} {
		_, _, err := h.exported(t.Context(), &pb.ExportCallsRequest{Since: since})
		wantError(t, err, codes.InvalidArgument, "INVALID_REQUEST", "since")
	}
	_, _, err := h.exported(in(t.Context(), keyNamespace, "a b"), &pb.ExportCallsRequest{})
	wantError(t, err, codes.InvalidArgument, "INVALID_REQUEST", "metadata."+keyNamespace)
}

// A drain ends an export that its reader does not take in.
func TestDrainEndsExports(t *testing.T) {
	h := newHarness(t, nil)
	ctx := t.Context()
	for i := range 5000 { // more than the connection's windows hold
		p := h.grant(ctx, t, &pb.AcquireRequest{Target: "x", OperationId: fmt.Sprint(strings.Repeat("o", 100), i)})
		if _, err := h.permits.Report(ctx, &pb.ReportRequest{PermitId: p.GetPermitId(), Outcome: pb.Outcome_OUTCOME_SUCCESS}); err != nil {
			t.Fatal(err)
		}
	}
	stream, err := pb.NewDecisionServiceClient(h.conn).ExportCalls(ctx, &pb.ExportCallsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); err != nil {
		t.Fatal(err)
	}
	h.server.Drain()
	for err == nil {
		_, err = stream.Recv()
	}
	if codeOf(err) != codes.Unavailable {
		t.Errorf("a drained export ends with %v", err)
	}
}

func someCall() *engine.Call {
	at := rules.Instant(1_767_225_600_123_456)
	return &engine.Call{
		AcquiredAt: at, ReportedAt: at + 7, Late: true, Target: "t", Chain: "c", Level: 2, Run: "r", Task: "ta", Operation: "o",
		Idempotency: operation.IdempotentWithKey, Credential: "cr", Reporter: "ab", Fingerprint: "f",
		Estimate: budget.Estimate{Cost: new(int64(0)), Input: new(int64(1)), MaxOutput: new(int64(2))},
		Signal: classify.Signal{
			Outcome: classify.OutcomeFailure, HTTPStatus: 429, GRPCCode: "UNAVAILABLE", MCPCode: -32001, Exception: "timeout",
			Phase: classify.BodySent, Headers: map[string]string{"retry-after": "5"}, RetryAfter: time.Second, HasRetryAfter: true,
			BodyCode: "slow_down", Quality: classify.SchemaViolation, ClassHint: classify.Pressure, Duration: time.Minute,
		},
		Usage: budget.Usage{Cost: new(int64(0)), Input: new(int64(3)), Output: new(int64(4)), Cached: new(int64(5))},
		Would: admit.BreakerOpen,
	}
}

// TestCallRoundTrip: no field of a call is lost on the wire, nor in a file.
func TestCallRoundTrip(t *testing.T) {
	bare := &engine.Call{AcquiredAt: 1, Target: "t"}
	unknown := &engine.Call{AcquiredAt: 5, ReportedAt: 5, Target: "t", Signal: classify.Signal{Outcome: classify.OutcomeSuccess, Quality: unknownVerdict}}
	for _, want := range []*engine.Call{someCall(), bare, unknown} {
		got, err := CallFromProto(CallToProto(want))
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("over the wire\n%+v\nis\n%+v\n%v", want, got, err)
		}
		var file bytes.Buffer
		if err := WriteCall(&file, want); err != nil {
			t.Fatal(err)
		}
		read, err := all(ReadCalls(&file))
		if err != nil || len(read) != 1 || !reflect.DeepEqual(read[0], want) {
			t.Errorf("through a file: %+v, %v", read, err)
		}
	}
	v := reflect.ValueOf(*someCall())
	for i := range v.NumField() {
		if v.Field(i).IsZero() {
			t.Errorf("the round trip does not try %s", v.Type().Field(i).Name)
		}
	}
}

// TestWordsOfCalls: what calls say with an enum survives the wire.
func TestWordsOfCalls(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := &engine.Call{
			AcquiredAt: 1, ReportedAt: 1, Target: "t", Idempotency: operation.Idempotency(rapid.IntRange(0, 3).Draw(t, "mode")),
			Signal: classify.Signal{
				Outcome:   classify.Outcome(rapid.IntRange(1, 3).Draw(t, "outcome")),
				Phase:     rapid.SampledFrom([]classify.Phase{0, classify.BeforeSend, classify.BodySent, classify.FirstByte}).Draw(t, "phase"),
				Quality:   classify.QualityVerdict(rapid.IntRange(0, 12).Draw(t, "quality")),
				ClassHint: classify.Class(rapid.IntRange(0, 10).Draw(t, "hint")),
			},
		}
		got, err := CallFromProto(CallToProto(want))
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("%+v is %+v, %v", want, got, err)
		}
	})
}

func all(calls iter.Seq2[*engine.Call, error]) ([]*engine.Call, error) {
	var list []*engine.Call
	for c, err := range calls {
		if err != nil {
			return list, err
		}
		list = append(list, c)
	}
	return list, nil
}

func TestCallFromProtoNamesFields(t *testing.T) {
	at := timestamppb.New(time.Unix(10, 0))
	for _, c := range []struct {
		field string
		call  *pb.RecordedCall
	}{
		{"acquired_at", &pb.RecordedCall{Target: "t"}},
		{"acquired_at", &pb.RecordedCall{Target: "t", AcquiredAt: &timestamppb.Timestamp{Seconds: -5}}},
		{"acquired_at", &pb.RecordedCall{Target: "t", AcquiredAt: &timestamppb.Timestamp{Nanos: -5}}},
		{"reported_at", &pb.RecordedCall{Target: "t", AcquiredAt: at, ReportedAt: timestamppb.New(time.Unix(9, 0)), Outcome: 1}},
		{"target", &pb.RecordedCall{AcquiredAt: at}},
		{"level", &pb.RecordedCall{AcquiredAt: at, Target: "t", Level: 16}},
		{"level", &pb.RecordedCall{AcquiredAt: at, Target: "t", Level: -1}},
		{"run_id", &pb.RecordedCall{AcquiredAt: at, Target: "t", RunId: "a\x1fb"}},
		{"idempotency", &pb.RecordedCall{AcquiredAt: at, Target: "t", Idempotency: 9}},
		{"outcome", &pb.RecordedCall{AcquiredAt: at, ReportedAt: at, Target: "t"}},
		{"outcome", &pb.RecordedCall{AcquiredAt: at, ReportedAt: at, Target: "t", Outcome: pb.Outcome_OUTCOME_RELEASED}},
		{"signal.http_status", &pb.RecordedCall{AcquiredAt: at, Target: "t", Signal: &pb.Signal{HttpStatus: proto.Int32(7)}}},
		{"usage.cost_micros", &pb.RecordedCall{AcquiredAt: at, Target: "t", Usage: &pb.Usage{CostMicros: proto.Int64(-1)}}},
		{"estimate.input_tokens", &pb.RecordedCall{AcquiredAt: at, Target: "t", Estimate: &pb.Estimate{InputTokens: proto.Int64(-1)}}},
		{"duration", &pb.RecordedCall{AcquiredAt: at, Target: "t", Duration: durationpb.New(-1)}},
	} {
		_, err := CallFromProto(c.call)
		bad, ok := errors.AsType[*requestError](err)
		if !ok || bad.violations[0].field != c.field {
			t.Errorf("%v: %v; want %s", c.call, err, c.field)
		}
	}
}

func TestReadCallsNamesLines(t *testing.T) {
	const good = `{"acquiredAt":"2026-01-01T00:00:00Z","target":"t"}`
	for _, c := range []struct{ name, file, want string }{
		{"empty", "", ""},
		{"blank lines", "\n" + good + "\r\n\n" + good, ""},
		{"no JSON", good + "\nhello\n", "line 2: it is not"},
		{"half a line", good[:20], "line 1: it is not"},
		{"unknown field", `{"acquiredAt":"2026-01-01T00:00:00Z","target":"t","colour":1}`, "line 1: it is not"},
		{"wrong type", `{"acquiredAt":5,"target":"t"}`, "line 1: it is not"},
		{"wrong value", good + "\n\n" + `{"acquiredAt":"2026-01-01T00:00:00Z"}`, "line 3: target: is required"},
		{"two on a line", good + good, "line 1: it is not"},
		{"too long", good + "\n" + strings.Repeat(" ", maxCallLine+1), "line 2: it is longer"},
	} {
		calls, err := all(ReadCalls(strings.NewReader(c.file)))
		if (c.want == "") != (err == nil) || (err != nil && !strings.HasPrefix(err.Error(), c.want)) {
			t.Errorf("%s: %d calls, %v; want %q", c.name, len(calls), err, c.want)
		}
	}
	broken := errors.New("broken")
	if _, err := all(ReadCalls(io.MultiReader(strings.NewReader(good+"\n"), iotest.ErrReader(broken)))); !errors.Is(err, broken) {
		t.Errorf("a reader's error is %v", err)
	}
	for _, err := range ReadCalls(strings.NewReader(good + "\n" + good)) {
		if err != nil {
			t.Error(err)
		}
		break // it ends when nobody reads on
	}
	if err := WriteCall(failing{}, someCall()); err == nil {
		t.Error("a call was written to nowhere")
	}
}

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

// FuzzReadCalls: whatever a file holds, reading ends, and what was read can be
// written and read again as it is.
func FuzzReadCalls(f *testing.F) {
	var file bytes.Buffer
	if err := WriteCall(&file, someCall()); err != nil {
		f.Fatal(err)
	}
	f.Add(file.Bytes())
	f.Add([]byte(`{"acquiredAt":"2026-01-01T00:00:00Z","target":"t","quality":{"verdict":77}}` + "\n{}"))
	f.Add([]byte("\x00\xff\n{\"target\":\"\\ud800\"}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		calls, _ := all(ReadCalls(bytes.NewReader(data)))
		for _, c := range calls {
			var again bytes.Buffer
			if err := WriteCall(&again, c); err != nil {
				t.Fatal(err)
			}
			read, err := all(ReadCalls(&again))
			if err != nil || len(read) != 1 || !reflect.DeepEqual(read[0], c) {
				t.Fatalf("%+v is read again as %+v, %v", c, read, err)
			}
		}
	})
}
