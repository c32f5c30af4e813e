// SPDX-License-Identifier: Apache-2.0

package server

import (
	"context"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding"
	grpcproto "google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"

	pb "github.com/resilienced/resilienced/gen/resilience/v1"
)

// rawCodec sends bytes as they are and reads answers as always.
type rawCodec struct{ encoding.CodecV2 }

func (rawCodec) Marshal(v any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(v.([]byte))}, nil
}

// raw calls a method with bytes of any kind.
func (h *harness) raw(ctx context.Context, method string, request []byte, answer proto.Message) error {
	return h.conn.Invoke(ctx, method, request, answer, grpc.ForceCodecV2(rawCodec{encoding.GetCodecV2(grpcproto.Name)}))
}

func TestBytesThatAreNoRequest(t *testing.T) {
	h := newHarness(t, nil)
	for _, bytes := range []string{"\xff\xff\xff", "\x0a\xff", "\x1f"} {
		err := h.raw(t.Context(), pb.PermitService_Acquire_FullMethodName, []byte(bytes), &pb.AcquireResponse{})
		wantError(t, err, codes.InvalidArgument, "MALFORMED", "")
		stream, err := h.conn.NewStream(t.Context(), &grpc.StreamDesc{ServerStreams: true}, pb.TargetService_WatchTargets_FullMethodName,
			grpc.ForceCodecV2(rawCodec{encoding.GetCodecV2(grpcproto.Name)}))
		if err != nil {
			t.Fatal(err)
		}
		if err := stream.SendMsg([]byte(bytes)); err != nil {
			t.Fatal(err)
		}
		if err := stream.CloseSend(); err != nil {
			t.Fatal(err)
		}
		wantError(t, stream.RecvMsg(&pb.WatchTargetsResponse{}), codes.InvalidArgument, "MALFORMED", "")
	}
}

// A string that is not UTF-8 cannot be sent by a well-made client, so it is
// sent as bytes.
func TestNamesThatAreNotUTF8(t *testing.T) {
	h := newHarness(t, nil)
	err := h.raw(t.Context(), pb.PermitService_Acquire_FullMethodName, []byte("\x2a\x03a\xffb"), &pb.AcquireResponse{})
	wantError(t, err, codes.InvalidArgument, "INVALID_REQUEST", "target")
}

func TestTooLargeRequest(t *testing.T) {
	h := newHarness(t, nil)
	_, err := h.permits.Report(t.Context(), &pb.ReportRequest{PermitId: "p", DeadLetter: &pb.DeadLetterEnvelope{Payload: make([]byte, 2<<20)}})
	if got := codeOf(err); got != codes.ResourceExhausted {
		t.Errorf("2 MiB are answered with %v", err)
	}
}

func TestEveryFaultIsNamedAtOnce(t *testing.T) {
	h := newHarness(t, nil)
	_, err := h.permits.Acquire(in(t.Context(), keyNamespace, "a b"), &pb.AcquireRequest{
		Target: "x\x01", Idempotency: 9, Estimate: &pb.Estimate{CostMicros: proto.Int64(-1)},
	})
	wantError(t, err, codes.InvalidArgument, "INVALID_REQUEST", "metadata.resilience-namespace")
	st := err.Error()
	if !strings.Contains(st, "and 3 more") {
		t.Errorf("%q does not say that there are three more faults", st)
	}
}

func TestPermitsOfNobody(t *testing.T) {
	h := newHarness(t, nil)
	ctx := t.Context()
	p := h.grant(ctx, t, &pb.AcquireRequest{Target: "x"})
	success := pb.Outcome_OUTCOME_SUCCESS
	changed := []byte(p.GetPermitId())
	changed[len(changed)/2] ^= 1
	for name, id := range map[string]string{
		"no id": "nonsense", "an altered id": string(changed), "half an id": p.GetPermitId()[:20], "an id and more": p.GetPermitId() + "AAAA",
	} {
		_, err := h.permits.Report(ctx, &pb.ReportRequest{PermitId: id, Outcome: success})
		t.Run(name, func(t *testing.T) { wantError(t, err, codes.InvalidArgument, "PERMIT_INVALID", "permit_id") })
		_, err = h.permits.Heartbeat(ctx, &pb.HeartbeatRequest{PermitId: id})
		t.Run(name, func(t *testing.T) { wantError(t, err, codes.InvalidArgument, "PERMIT_INVALID", "permit_id") })
		_, err = h.permits.Release(ctx, &pb.ReleaseRequest{Permit: &pb.ReleaseRequest_PermitId{PermitId: id}})
		t.Run(name, func(t *testing.T) { wantError(t, err, codes.InvalidArgument, "PERMIT_INVALID", "permit_id") })
	}
	_, err := h.permits.Report(in(ctx, keyNamespace, "other"), &pb.ReportRequest{PermitId: p.GetPermitId(), Outcome: success})
	wantError(t, err, codes.InvalidArgument, "PERMIT_INVALID", "permit_id")
	_, err = h.permits.Report(ctx, &pb.ReportRequest{PermitId: p.GetPermitId(), Fence: p.GetFence() + 1, Outcome: success})
	if err == nil {
		t.Error("a report with another fence is taken")
	}
}

func TestReusedIDs(t *testing.T) {
	h := newHarness(t, nil)
	ctx := t.Context()
	first := h.grant(ctx, t, &pb.AcquireRequest{RequestId: "q", OperationId: "o", Target: "x"})
	again := h.grant(ctx, t, &pb.AcquireRequest{RequestId: "q", OperationId: "o", Target: "x"})
	if first.GetPermitId() != again.GetPermitId() {
		t.Error("a repeat is given another permit")
	}
	_, err := h.permits.Acquire(ctx, &pb.AcquireRequest{RequestId: "q", OperationId: "o", Target: "x", Fingerprint: "f"})
	wantError(t, err, codes.AlreadyExists, "IDEMPOTENCY_MISMATCH", "")
	report := &pb.ReportRequest{PermitId: first.GetPermitId(), Outcome: pb.Outcome_OUTCOME_SUCCESS}
	one, err := h.permits.Report(ctx, report)
	if err != nil {
		t.Fatal(err)
	}
	two, err := h.permits.Report(ctx, report)
	if err != nil || two.GetAction() != one.GetAction() || two.GetClass() != one.GetClass() {
		t.Errorf("the same report again: %v, %v; the first answer was %v", two, err, one)
	}
	_, err = h.permits.Report(ctx, &pb.ReportRequest{PermitId: first.GetPermitId(), Outcome: pb.Outcome_OUTCOME_FAILURE})
	wantError(t, err, codes.AlreadyExists, "IDEMPOTENCY_MISMATCH", "")
}

func TestUnknownThings(t *testing.T) {
	h := newHarness(t, nil)
	ctx := t.Context()
	_, err := h.permits.Acquire(ctx, &pb.AcquireRequest{Target: "x", RunId: "none"})
	wantError(t, err, codes.NotFound, "RUN_UNKNOWN", "")
	_, err = h.permits.Acquire(ctx, &pb.AcquireRequest{Chain: "none"})
	wantError(t, err, codes.InvalidArgument, "CHAIN_UNKNOWN", "chain")
	_, err = h.permits.Acquire(in(ctx, keyNamespace, "drill-none"), &pb.AcquireRequest{Target: "x"})
	wantError(t, err, codes.FailedPrecondition, "NOT_A_DRILL", "")
	_, err = pb.NewDeadLetterServiceClient(h.conn).GetDeadLetter(ctx, &pb.GetDeadLetterRequest{
		Key: &pb.GetDeadLetterRequest_OperationId{OperationId: "none"},
	})
	wantError(t, err, codes.NotFound, "NOT_FOUND", "")
	_, err = pb.NewEscalationServiceClient(h.conn).GetEscalation(ctx, &pb.GetEscalationRequest{
		Key: &pb.GetEscalationRequest_DedupeKey{DedupeKey: "none"},
	})
	wantError(t, err, codes.NotFound, "NOT_FOUND", "")
	_, err = pb.NewDecisionServiceClient(h.conn).ExplainDecision(ctx, &pb.ExplainDecisionRequest{
		Key: &pb.ExplainDecisionRequest_DecisionId{DecisionId: "none"},
	})
	wantError(t, err, codes.InvalidArgument, "INVALID_REQUEST", "decision_id")
	for _, list := range []func() error{
		func() error { _, err := h.runs.ListRuns(ctx, &pb.ListRunsRequest{PageToken: "x"}); return err },
		func() error {
			_, err := pb.NewDecisionServiceClient(h.conn).ListDecisions(ctx, &pb.ListDecisionsRequest{PageToken: "x"})
			return err
		},
	} {
		wantError(t, list(), codes.InvalidArgument, "PAGE_TOKEN_INVALID", "page_token")
	}
}

// No method of any service answers an empty request with INTERNAL, UNKNOWN or
// a panic, and none is left unimplemented.
func TestEmptyRequests(t *testing.T) {
	h := newHarness(t, nil)
	for _, desc := range services() {
		for _, m := range desc.Methods {
			err := h.raw(t.Context(), "/"+desc.ServiceName+"/"+m.MethodName, nil, &pb.AcquireResponse{})
			switch code := codeOf(err); code {
			case codes.OK, codes.InvalidArgument:
			default:
				t.Errorf("%s/%s: %v", desc.ServiceName, m.MethodName, err)
			}
		}
	}
}
