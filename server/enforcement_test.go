// SPDX-License-Identifier: Apache-2.0

package server

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	pb "github.com/resilienced/resilienced/gen/resilience/v1"
)

// TestObserving goes the operator's way: observe, look, enforce.
func TestObserving(t *testing.T) {
	h := newHarness(t, nil)
	ctx := t.Context()
	policies, decisions := pb.NewPolicyServiceClient(h.conn), pb.NewDecisionServiceClient(h.conn)
	if _, err := h.targets.SetBreaker(ctx, &pb.SetBreakerRequest{
		RequestId: "b", Target: "tool/a", Mode: pb.BreakerMode_BREAKER_MODE_FORCED_OPEN, Reason: "test",
	}); err != nil {
		t.Fatal(err)
	}
	set, err := policies.SetEnforcement(ctx, &pb.SetEnforcementRequest{
		RequestId: "q1", Match: "tool/*", Mode: pb.EnforcementMode_ENFORCEMENT_MODE_OBSERVE, Reason: "look first", Actor: "me",
	})
	if entries := set.GetEnforcement().GetEntries(); err != nil || len(entries) != 1 || entries[0].GetActor() != "me" ||
		entries[0].GetMode() != pb.EnforcementMode_ENFORCEMENT_MODE_OBSERVE || entries[0].GetSetAt() == nil {
		t.Fatalf("set %v, %v", set, err)
	}
	granted, err := h.permits.Acquire(ctx, &pb.AcquireRequest{Target: "tool/a", Idempotency: pb.Idempotency_IDEMPOTENCY_IDEMPOTENT})
	if w := granted.GetWould(); err != nil || granted.GetPermit() == nil || w.GetDecision() != pb.Decision_DECISION_DENIED ||
		w.GetReason() != pb.DecisionReason_DECISION_REASON_FORCED_OPEN || w.GetRule() == "" {
		t.Fatalf("granted %v, %v", granted, err)
	}
	report, err := h.permits.Report(ctx, &pb.ReportRequest{
		PermitId: granted.GetPermit().GetPermitId(), Outcome: pb.Outcome_OUTCOME_FAILURE, Signal: &pb.Signal{HttpStatus: proto.Int32(500)},
		Usage: &pb.Usage{CostMicros: proto.Int64(31), InputTokens: proto.Int64(7)},
	})
	if w := report.GetWould(); err != nil || report.GetAction() != pb.Action_ACTION_RETRY || w.GetAction() == pb.Action_ACTION_UNSPECIFIED ||
		w.GetReason() != pb.DecisionReason_DECISION_REASON_BREAKER_OPEN {
		t.Errorf("report %v, %v", report, err)
	}
	sum, err := decisions.SummarizeCalls(ctx, &pb.SummarizeCallsRequest{NameGlob: "tool/*"})
	if err != nil || len(sum.GetTargets()) != 1 || sum.GetFrom() == nil || sum.GetUntil() == nil {
		t.Fatalf("summary %v, %v", sum, err)
	}
	want := &pb.CallSummary{
		Target: "tool/a", Acquires: 1, Granted: 1, Reports: 1, Failures: 1, CostMicros: 31, Observed: true,
		WouldRefuse: []*pb.RefusalCount{{
			Reason: pb.DecisionReason_DECISION_REASON_FORCED_OPEN, Calls: 1, CostMicros: 31, Tokens: 7,
		}},
	}
	if !proto.Equal(sum.GetTargets()[0], want) {
		t.Errorf("summary %v, want %v", sum.GetTargets()[0], want)
	}
	shown, err := h.targets.GetTarget(ctx, &pb.GetTargetRequest{Target: "tool/a"})
	if err != nil || strings.Join(shown.GetTarget().GetObserved(), " ") != "breaker budget limit retry" {
		t.Errorf("target %v, %v", shown, err)
	}
	explained, err := policies.ExplainTarget(ctx, &pb.ExplainTargetRequest{Target: "tool/a"})
	if err != nil || !slices.ContainsFunc(explained.GetFields(), func(f *pb.ResolvedField) bool {
		return f.GetPath() == "enforcement.breaker" && f.GetValue() == "DRY_RUN" && f.GetSource() == "resilienced observe tool/* by me: look first"
	}) {
		t.Errorf("explained %v, %v", explained, err)
	}
	if _, err := policies.SetEnforcement(ctx, &pb.SetEnforcementRequest{
		RequestId: "q2", Match: "tool/a", Mode: pb.EnforcementMode_ENFORCEMENT_MODE_ENFORCE, ExpectedEpoch: new(set.GetEnforcement().GetEpoch()),
	}); err != nil {
		t.Fatal(err)
	}
	refused, err := h.permits.Acquire(ctx, &pb.AcquireRequest{Target: "tool/a"})
	if err != nil || refused.GetDecision() != pb.Decision_DECISION_DENIED || refused.GetWould() != nil {
		t.Errorf("refused %v, %v", refused, err)
	}
	if shown, err := h.targets.GetTarget(ctx, &pb.GetTargetRequest{Target: "tool/a"}); err != nil || len(shown.GetTarget().GetObserved()) != 0 {
		t.Errorf("target %v, %v", shown, err)
	}
}

func TestBreakingGlass(t *testing.T) {
	h := newHarness(t, nil)
	ctx := t.Context()
	policies := pb.NewPolicyServiceClient(h.conn)
	set, err := policies.SetPass(ctx, &pb.SetPassRequest{RequestId: "q1", Length: durationpb.New(time.Hour), Reason: "incident", Actor: "me"})
	if p := set.GetEnforcement().GetPass(); err != nil || p.GetReason() != "incident" || p.GetActor() != "me" || p.GetUntil() == nil ||
		p.GetRemaining().AsDuration() <= 59*time.Minute || p.GetRemaining().AsDuration() > time.Hour {
		t.Fatalf("set %v, %v", set, err)
	}
	granted, err := h.permits.Acquire(ctx, &pb.AcquireRequest{Target: "x"})
	if err != nil || granted.GetDecision() != pb.Decision_DECISION_GRANTED || granted.GetReason() != pb.DecisionReason_DECISION_REASON_PASS {
		t.Errorf("granted %v, %v", granted, err)
	}
	other, err := policies.GetEnforcement(in(ctx, "resilience-namespace", "other"), &pb.GetEnforcementRequest{})
	if err != nil || other.GetEnforcement().GetPass() != nil {
		t.Errorf("another namespace: %v, %v", other, err)
	}
	ended, err := policies.SetPass(ctx, &pb.SetPassRequest{RequestId: "q2"})
	if err != nil || ended.GetEnforcement().GetPass() != nil {
		t.Errorf("ended %v, %v", ended, err)
	}
}

// TestEnforcementFaults: each fault names its field and changes nothing.
func TestEnforcementFaults(t *testing.T) {
	h := newHarness(t, nil)
	ctx := t.Context()
	policies, decisions := pb.NewPolicyServiceClient(h.conn), pb.NewDecisionServiceClient(h.conn)
	const enforce = pb.EnforcementMode_ENFORCEMENT_MODE_ENFORCE
	for _, c := range []struct {
		field string
		req   *pb.SetEnforcementRequest
	}{
		{"request_id", &pb.SetEnforcementRequest{Match: "x", Mode: enforce}},
		{"match", &pb.SetEnforcementRequest{RequestId: "q", Mode: enforce}},
		{"match", &pb.SetEnforcementRequest{RequestId: "q", Match: "a\x1b[31m", Mode: enforce}},
		{"match", &pb.SetEnforcementRequest{RequestId: "q", Match: strings.Repeat("x", maxName+1), Mode: enforce}},
		{"mode", &pb.SetEnforcementRequest{RequestId: "q", Match: "x"}},
		{"mode", &pb.SetEnforcementRequest{RequestId: "q", Match: "x", Mode: 9}},
		{"expected_epoch", &pb.SetEnforcementRequest{RequestId: "q", Match: "x", Mode: enforce, ExpectedEpoch: proto.Int64(-1)}},
		{"reason", &pb.SetEnforcementRequest{RequestId: "q", Match: "x", Mode: enforce, Reason: strings.Repeat("r", maxNote+1)}},
		{"actor", &pb.SetEnforcementRequest{RequestId: "q", Match: "x", Mode: enforce, Actor: " me"}},
	} {
		_, err := policies.SetEnforcement(ctx, c.req)
		wantError(t, err, codes.InvalidArgument, "INVALID_REQUEST", c.field)
	}
	for _, c := range []struct {
		field string
		req   *pb.SetPassRequest
	}{
		{"request_id", &pb.SetPassRequest{}},
		{"length", &pb.SetPassRequest{RequestId: "q", Length: durationpb.New(24*time.Hour + 1), Reason: "r"}},
		{"length", &pb.SetPassRequest{RequestId: "q", Length: durationpb.New(-1), Reason: "r"}},
		{"reason", &pb.SetPassRequest{RequestId: "q", Length: durationpb.New(1)}},
	} {
		_, err := policies.SetPass(ctx, c.req)
		wantError(t, err, codes.InvalidArgument, "INVALID_REQUEST", c.field)
	}
	for _, c := range []struct {
		field string
		req   *pb.SummarizeCallsRequest
	}{
		{"since", &pb.SummarizeCallsRequest{Since: durationpb.New(0)}},
		{"since", &pb.SummarizeCallsRequest{Since: durationpb.New(7*24*time.Hour + 1)}},
		{"name_glob", &pb.SummarizeCallsRequest{NameGlob: "\x00"}},
	} {
		_, err := decisions.SummarizeCalls(ctx, c.req)
		wantError(t, err, codes.InvalidArgument, "INVALID_REQUEST", c.field)
	}
	_, err := policies.SetEnforcement(ctx, &pb.SetEnforcementRequest{RequestId: "q", Match: "x", Mode: enforce, ExpectedEpoch: proto.Int64(7)})
	wantError(t, err, codes.Aborted, "EPOCH_CHANGED", "")
	got, err := policies.GetEnforcement(ctx, &pb.GetEnforcementRequest{})
	if err != nil || !proto.Equal(got.GetEnforcement(), &pb.Enforcement{}) {
		t.Fatalf("after all this: %v, %v", got, err)
	}
	good := &pb.SetEnforcementRequest{RequestId: "q", Match: "x", Mode: enforce}
	for range 2 {
		if _, err := policies.SetEnforcement(ctx, good); err != nil {
			t.Fatal(err)
		}
	}
	_, err = policies.SetEnforcement(ctx, &pb.SetEnforcementRequest{RequestId: "q", Match: "y", Mode: enforce})
	wantError(t, err, codes.AlreadyExists, "IDEMPOTENCY_MISMATCH", "")
	if got, err := policies.GetEnforcement(ctx, &pb.GetEnforcementRequest{}); err != nil || got.GetEnforcement().GetEpoch() != 1 {
		t.Errorf("after a repeat: %v, %v", got, err)
	}
}

// TestExplainWould: the log keeps what was only observed.
func TestExplainWould(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, nil)
		ctx := t.Context()
		decisions := pb.NewDecisionServiceClient(h.conn)
		if _, err := pb.NewPolicyServiceClient(h.conn).SetEnforcement(ctx, &pb.SetEnforcementRequest{
			RequestId: "q", Match: "*", Mode: pb.EnforcementMode_ENFORCEMENT_MODE_OBSERVE,
		}); err != nil {
			t.Fatal(err)
		}
		if _, err := h.targets.SetBreaker(ctx, &pb.SetBreakerRequest{
			RequestId: "b", Target: "x", Mode: pb.BreakerMode_BREAKER_MODE_FORCED_OPEN, Reason: "test",
		}); err != nil {
			t.Fatal(err)
		}
		if _, err := h.permits.Acquire(ctx, &pb.AcquireRequest{Target: "x"}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second) // the log is written behind the decisions
		list, err := decisions.ListDecisions(ctx, &pb.ListDecisionsRequest{Target: "x"})
		if err != nil || len(list.GetDecisions()) != 1 {
			t.Fatalf("log %v, %v", list, err)
		}
		d := list.GetDecisions()[0]
		if d.GetDecision() != pb.Decision_DECISION_GRANTED || d.GetWould().GetReason() != pb.DecisionReason_DECISION_REASON_FORCED_OPEN {
			t.Errorf("logged %v", d)
		}
		why, err := decisions.ExplainDecision(ctx, &pb.ExplainDecisionRequest{
			Key: &pb.ExplainDecisionRequest_DecisionId{DecisionId: d.GetDecisionId()},
		})
		if err != nil || !strings.Contains(why.GetText(), "would have been DENIED because of FORCED_OPEN") {
			t.Errorf("explained %v, %v", why, err)
		}
	})
}
