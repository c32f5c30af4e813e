// SPDX-License-Identifier: Apache-2.0

package server

import (
	"slices"
	"testing"
	"time"
	"unicode/utf8"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	pb "github.com/resilienced/resilienced/gen/resilience/v1"
	"github.com/resilienced/resilienced/rules/budget"
)

// neverOurs fails on the codes that say that the service is at fault.
func neverOurs(t *testing.T, err error) {
	t.Helper()
	ours := []codes.Code{codes.Internal, codes.Unknown, codes.DataLoss, codes.Unimplemented, codes.Unavailable}
	if slices.Contains(ours, codeOf(err)) {
		t.Fatalf("the service blames itself: %v", err)
	}
}

func seed(f *testing.F, messages ...proto.Message) {
	f.Helper()
	for _, m := range messages {
		bytes, err := proto.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(bytes)
	}
	f.Add([]byte{})
	f.Add([]byte("\x2a\x03a\xffb"))
	f.Add([]byte("\xff\xff"))
}

func FuzzAcquireRequest(f *testing.F) {
	seed(f,
		&pb.AcquireRequest{Target: "openai/gpt-x"},
		&pb.AcquireRequest{
			RequestId: "q", RunId: "r", TaskId: "t", OperationId: "o", Chain: "c", Idempotency: 3, IdempotencyKey: "k",
			Estimate: &pb.Estimate{CostMicros: proto.Int64(-1)}, Deadline: durationpb.New(time.Minute), MaxWait: durationpb.New(0),
			ReplayOf: "dl:o", PinLevel: proto.Int32(3), DryRun: true, Lease: &durationpb.Duration{Nanos: -1}, MaxAttempts: proto.Int32(9),
			Labels: map[string]string{"a": "b"}, Fingerprint: "f", CredentialRef: "key", ReporterId: "me",
		},
	)
	h := newHarness(f, nil)
	f.Fuzz(func(t *testing.T, bytes []byte) {
		r := &pb.AcquireRequest{}
		if err := newCodec().Unmarshal(mem.BufferSlice{mem.SliceBuffer(bytes)}, r); err != nil {
			t.Fatal(err)
		}
		var c checker
		checkAcquire(&c, r)
		good := c.err() == nil && !undecodable(r)
		if good && (!utf8.ValidString(r.GetTarget()) || len(r.GetTarget()) > maxName || r.GetEstimate().GetCostMicros() < 0 ||
			r.GetEstimate().GetInputTokens() > budget.MaxAmount) {
			t.Fatalf("taken for a good request: %v", r)
		}
		hashAcquire(r)
		err := h.raw(t.Context(), pb.PermitService_Acquire_FullMethodName, bytes, &pb.AcquireResponse{})
		neverOurs(t, err)
		if !good && codeOf(err) != codes.InvalidArgument {
			t.Fatalf("a bad request is answered with %v", err)
		}
	})
}

func FuzzReportRequest(f *testing.F) {
	h := newHarness(f, nil)
	permit := h.grant(f.Context(), f, &pb.AcquireRequest{Target: "x"})
	seed(f,
		&pb.ReportRequest{PermitId: permit.GetPermitId(), Outcome: pb.Outcome_OUTCOME_SUCCESS},
		&pb.ReportRequest{
			PermitId: permit.GetPermitId(), Fence: permit.GetFence(), Outcome: 9, Duration: durationpb.New(-1),
			Signal: &pb.Signal{
				HttpStatus: proto.Int32(429), GrpcCode: "UNAVAILABLE", Exception: "timeout", Phase: 9, RetryAfter: durationpb.New(time.Hour),
				Headers: map[string]string{"Retry-After": "Fri, 31 Dec 9999 23:59:59 GMT", "Cookie": "c"}, McpCode: proto.Int32(-32001),
			},
			Quality: &pb.Quality{Verdict: 99}, ClassHint: 99, Usage: &pb.Usage{CostMicros: proto.Int64(budget.MaxAmount)},
			DeadLetter: &pb.DeadLetterEnvelope{PayloadSha256: []byte{1}, LastError: &pb.LastError{Stack: "s"}},
		},
	)
	f.Fuzz(func(t *testing.T, bytes []byte) {
		r := &pb.ReportRequest{}
		if err := newCodec().Unmarshal(mem.BufferSlice{mem.SliceBuffer(bytes)}, r); err != nil {
			t.Fatal(err)
		}
		var c checker
		checkReport(&c, r)
		if c.err() == nil {
			command := reportOf("default", r)
			for name := range command.Signal.Headers {
				if secret(name) {
					t.Fatalf("the header %q goes on", name)
				}
			}
		}
		neverOurs(t, h.raw(t.Context(), pb.PermitService_Report_FullMethodName, bytes, &pb.ReportResponse{}))
	})
}
