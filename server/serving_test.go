// SPDX-License-Identifier: Apache-2.0

package server

import (
	"errors"
	"io"
	"slices"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	reflectionpb "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/protobuf/types/known/durationpb"

	pb "github.com/resilienced/resilienced/gen/resilience/v1"
)

func TestHealth(t *testing.T) {
	h := newHarness(t, nil)
	health := healthpb.NewHealthClient(h.conn)
	for _, name := range []string{"", "resilience.v1.PermitService", "resilience.v1.DrillService"} {
		resp, err := health.Check(t.Context(), &healthpb.HealthCheckRequest{Service: name})
		if err != nil || resp.GetStatus() != healthpb.HealthCheckResponse_SERVING {
			t.Errorf("health of %q: %v, %v", name, resp, err)
		}
	}
	watch, err := health.Watch(t.Context(), &healthpb.HealthCheckRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if first, err := watch.Recv(); err != nil || first.GetStatus() != healthpb.HealthCheckResponse_SERVING {
		t.Fatalf("watch %v, %v", first, err)
	}
	h.server.NotServing()
	if then, err := watch.Recv(); err != nil || then.GetStatus() != healthpb.HealthCheckResponse_NOT_SERVING {
		t.Fatalf("watch %v, %v", then, err)
	}
	h.grant(t.Context(), t, &pb.AcquireRequest{Target: "x"}) // calls are served as before
	h.server.Drain()
	if _, err := watch.Recv(); codeOf(err) != codes.Unavailable {
		t.Errorf("a drained watch ends with %v", err)
	}
}

func TestReflection(t *testing.T) {
	list := func(h *harness) ([]string, error) {
		stream, err := reflectionpb.NewServerReflectionClient(h.conn).ServerReflectionInfo(t.Context())
		if err != nil {
			return nil, err
		}
		defer func() { _ = stream.CloseSend() }()
		// A stream that was refused already answers Send with EOF and Recv with why.
		err = stream.Send(&reflectionpb.ServerReflectionRequest{
			MessageRequest: &reflectionpb.ServerReflectionRequest_ListServices{ListServices: "*"},
		})
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, err
		}
		resp, err := stream.Recv()
		var names []string
		for _, s := range resp.GetListServicesResponse().GetService() {
			names = append(names, s.GetName())
		}
		return names, err
	}
	names, err := list(newHarness(t, nil))
	if err != nil {
		t.Fatal(err)
	}
	for _, desc := range services() {
		if !slices.Contains(names, desc.ServiceName) {
			t.Errorf("reflection does not name %s", desc.ServiceName)
		}
	}
	if _, err := list(newHarness(t, func(d *Deps) { d.NoReflection = true })); codeOf(err) != codes.Unimplemented {
		t.Errorf("reflection that is off answers with %v", err)
	}
}

// escalated raises an escalation and returns its id.
func (h *harness) escalated(t *testing.T) string {
	t.Helper()
	p := h.grant(t.Context(), t, &pb.AcquireRequest{Target: "pay", Idempotency: pb.Idempotency_IDEMPOTENCY_NON_IDEMPOTENT})
	report, err := h.permits.Report(t.Context(), &pb.ReportRequest{
		PermitId: p.GetPermitId(), Outcome: pb.Outcome_OUTCOME_FAILURE, Signal: &pb.Signal{Exception: "timeout"},
	})
	if err != nil {
		t.Fatal(err)
	}
	return report.GetEscalationId()
}

// Draining ends what only waits, and nothing else. The answer says when to ask
// again, also where gRPC clients look.
func TestDrainEndsWaits(t *testing.T) {
	h := newHarness(t, nil)
	ctx := t.Context()
	id := h.escalated(t)
	watch, err := h.targets.WatchTargets(ctx, &pb.WatchTargetsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := watch.Recv(); err != nil {
		t.Fatal(err)
	}
	waited := make(chan error, 1)
	var trailer metadata.MD
	go func() {
		_, err := pb.NewEscalationServiceClient(h.conn).WaitDecision(ctx, &pb.WaitDecisionRequest{
			Key: &pb.WaitDecisionRequest_EscalationId{EscalationId: id}, Timeout: durationpb.New(time.Minute),
		}, grpc.Trailer(&trailer))
		waited <- err
	}()
	h.server.Drain()
	h.server.Drain()
	_, err = watch.Recv()
	wantError(t, err, codes.Unavailable, "SHUTTING_DOWN", "")
	wantError(t, <-waited, codes.Unavailable, "SHUTTING_DOWN", "")
	if got := trailer.Get(keyPushback); len(got) != 1 || got[0] != "500" {
		t.Errorf("the pushback is %q", got)
	}
	h.grant(ctx, t, &pb.AcquireRequest{Target: "x"})
}
