// SPDX-License-Identifier: Apache-2.0

package node

import (
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	pb "github.com/resilienced/resilienced/gen/resilience/v1"
)

// TestObservingOverARestart: what operators set and what was counted is in the
// file, and --observe is the server's own.
func TestObservingOverARestart(t *testing.T) {
	dir := t.TempDir()
	ctx := t.Context()
	ask := func(s *served, target string) *pb.AcquireResponse {
		t.Helper()
		resp, err := pb.NewPermitServiceClient(s.conn).Acquire(ctx, &pb.AcquireRequest{Target: target})
		if err != nil {
			t.Fatal(err)
		}
		return resp
	}
	s := serve(t, Config{Store: "sqlite", DataDir: dir, Observe: true})
	policies := pb.NewPolicyServiceClient(s.conn)
	for _, target := range [...]string{"on", "seen"} {
		if _, err := pb.NewTargetServiceClient(s.conn).SetBreaker(ctx, &pb.SetBreakerRequest{
			RequestId: "b-" + target, Target: target, Mode: pb.BreakerMode_BREAKER_MODE_FORCED_OPEN, Reason: "test",
		}); err != nil {
			t.Fatal(err)
		}
	}
	set, err := policies.SetEnforcement(ctx, &pb.SetEnforcementRequest{
		RequestId: "q", Match: "on", Mode: pb.EnforcementMode_ENFORCEMENT_MODE_ENFORCE, Reason: "tried",
	})
	if err != nil || !set.GetEnforcement().GetServerObserves() {
		t.Fatalf("set %v, %v", set, err)
	}
	if ask(s, "on").GetDecision() != pb.Decision_DECISION_DENIED || ask(s, "seen").GetWould() == nil {
		t.Error("an entry does not win over --observe, or --observe refuses")
	}
	if err := s.end(t); err != nil {
		t.Fatal(err)
	}
	s = serve(t, Config{Store: "sqlite", DataDir: dir})
	defer func() {
		if err := s.end(t); err != nil {
			t.Error(err)
		}
	}()
	got, err := pb.NewPolicyServiceClient(s.conn).GetEnforcement(ctx, &pb.GetEnforcementRequest{})
	want := set.GetEnforcement()
	want.ServerObserves = false
	if err != nil || !proto.Equal(got.GetEnforcement(), want) {
		t.Errorf("after the restart %v, %v; before it %v", got, err, want)
	}
	if ask(s, "seen").GetDecision() != pb.Decision_DECISION_DENIED {
		t.Error("observing outlived the server that did it")
	}
	sum, err := pb.NewDecisionServiceClient(s.conn).SummarizeCalls(ctx, &pb.SummarizeCallsRequest{Since: durationpb.New(time.Hour)})
	if n := sum.GetTotals(); err != nil || n.GetAcquires() != 3 || n.GetGranted() != 1 || n.GetRefused()[0].GetCalls() != 2 || n.GetWouldRefuse()[0].GetCalls() != 1 {
		t.Errorf("summary %v, %v", sum, err)
	}
}
