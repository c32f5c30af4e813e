// SPDX-License-Identifier: Apache-2.0

package server

import (
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/resilienced/resilienced/engine"
	pb "github.com/resilienced/resilienced/gen/resilience/v1"
	"github.com/resilienced/resilienced/rules/budget"
	"github.com/resilienced/resilienced/rules/fallback"
)

func TestAcquireAndReport(t *testing.T) {
	h := newHarness(t, nil)
	ctx := t.Context()
	run, err := h.runs.StartRun(ctx, &pb.StartRunRequest{
		RequestId: "q1", RunId: "run-1", Caps: &pb.Caps{CostMicros: proto.Int64(1000)}, Labels: map[string]string{"team": "search"},
	})
	if err != nil {
		t.Fatal(err)
	}
	if r := run.GetRun(); r.GetState() != pb.RunState_RUN_STATE_ACTIVE || r.GetCaps().GetCostMicros() != 1000 || r.GetCaps().Tokens != nil ||
		r.GetCurrency() != "USD" || r.GetSoftPercent() != 80 || r.GetLabels()["team"] != "search" || r.GetCreatedAt() == nil {
		t.Errorf("run %v", r)
	}
	resp, err := h.permits.Acquire(ctx, &pb.AcquireRequest{
		RequestId: "q2", RunId: "run-1", Target: "openai/gpt-x", OperationId: "o1", Idempotency: pb.Idempotency_IDEMPOTENCY_IDEMPOTENT,
		Estimate: &pb.Estimate{CostMicros: proto.Int64(400)},
	})
	if err != nil {
		t.Fatal(err)
	}
	p := resp.GetPermit()
	if resp.GetDecision() != pb.Decision_DECISION_GRANTED || p.GetPermitId() == "" || p.GetFence() == 0 || p.GetTarget() != "openai/gpt-x" ||
		p.GetOperationId() != "o1" || p.GetAttempt() != 1 || p.GetReserved().GetCostMicros() != 400 ||
		p.GetEstimateSource() != pb.EstimateSource_ESTIMATE_SOURCE_EXPLICIT || p.GetLevelKind() != pb.LevelKind_LEVEL_KIND_PRIMARY ||
		p.GetLease().AsDuration() <= 0 || p.GetHeartbeatEvery().AsDuration() <= 0 || p.GetTimeoutHint().AsDuration() <= 0 {
		t.Errorf("grant %v", resp)
	}
	if left := resp.GetRun().GetRemaining(); left.GetCostMicros() != 600 || left.Calls != nil {
		t.Errorf("remaining %v, want 600 and nothing else", left)
	}
	report, err := h.permits.Report(ctx, &pb.ReportRequest{
		PermitId: p.GetPermitId(), Fence: p.GetFence(), Outcome: pb.Outcome_OUTCOME_FAILURE, Duration: durationpb.New(time.Second),
		Signal: &pb.Signal{HttpStatus: proto.Int32(503)}, Usage: &pb.Usage{CostMicros: proto.Int64(300)},
	})
	if err != nil {
		t.Fatal(err)
	}
	if report.GetClass() != pb.Class_CLASS_TRANSIENT || report.GetReason() != "UNAVAILABLE" || report.GetRule() != "R07" ||
		report.GetAction() != pb.Action_ACTION_RETRY || report.GetDelay().AsDuration() <= 0 || !report.GetCounted() ||
		report.GetBreaker().GetState() != pb.BreakerState_BREAKER_STATE_CLOSED || report.GetRetryScope() != pb.RetryScope_RETRY_SCOPE_CALL ||
		report.GetRun().GetSpent().GetCostMicros() != 300 || report.GetBudgets().GetAttemptsLeft() != 2 || report.GetDecisionId() == "" {
		t.Errorf("report's answer %v", report)
	}
	wait, err := h.permits.Acquire(ctx, &pb.AcquireRequest{RunId: "run-1", Target: "openai/gpt-x", OperationId: "o1"})
	if err != nil {
		t.Fatal(err)
	}
	if wait.GetDecision() != pb.Decision_DECISION_WAIT || wait.GetReason() != pb.DecisionReason_DECISION_REASON_BACKOFF ||
		wait.GetPermit() != nil || wait.GetDelay().AsDuration() <= 0 || wait.GetReadyAt() == nil || wait.GetAction() != 0 {
		t.Errorf("answer within the backoff %v", wait)
	}
}

// What comes with a call in metadata fills empty fields and nothing else.
func TestMetadataFillsFields(t *testing.T) {
	h := newHarness(t, nil)
	if _, err := h.runs.StartRun(in(t.Context(), keyNamespace, "team"), &pb.StartRunRequest{RequestId: "q", RunId: "r"}); err != nil {
		t.Fatal(err)
	}
	ctx := in(t.Context(), keyNamespace, "team", keyRun, "r", keyTask, "t", keyOperation, "o")
	if p := h.grant(ctx, t, &pb.AcquireRequest{Target: "x"}); p.GetOperationId() != "o" || p.GetReserved().GetCalls() != 1 {
		t.Errorf("permit %v is not of operation o in run r", p)
	}
	if p := h.grant(ctx, t, &pb.AcquireRequest{Target: "x", OperationId: "own"}); p.GetOperationId() != "own" {
		t.Errorf("permit %v is not of the operation that the request names", p)
	}
	_, err := h.permits.Acquire(in(t.Context(), keyRun, "r"), &pb.AcquireRequest{Target: "x"})
	wantError(t, err, codes.NotFound, "RUN_UNKNOWN", "") // it is another namespace's
	p := h.grant(ctx, t, &pb.AcquireRequest{Target: "x", OperationId: "o3"})
	report, err := h.permits.Report(in(ctx, keyPermit, p.GetPermitId()), &pb.ReportRequest{Outcome: pb.Outcome_OUTCOME_SUCCESS})
	if err != nil || report.GetAction() != pb.Action_ACTION_CONTINUE {
		t.Errorf("report %v, %v", report, err)
	}
}

func TestPermitLife(t *testing.T) {
	h := newHarness(t, nil)
	ctx := t.Context()
	p := h.grant(ctx, t, &pb.AcquireRequest{RequestId: "a1", Target: "x", OperationId: "o"})
	beat, err := h.permits.Heartbeat(ctx, &pb.HeartbeatRequest{PermitId: p.GetPermitId(), Fence: p.GetFence()})
	if err != nil || beat.GetLease().AsDuration() <= 0 || beat.GetHeartbeatEvery().AsDuration() <= 0 || beat.GetCancelRequested() {
		t.Errorf("heartbeat %v, %v", beat, err)
	}
	release, err := h.permits.Release(ctx, &pb.ReleaseRequest{
		Permit: &pb.ReleaseRequest_AcquireRequestId{AcquireRequestId: "a1"}, OperationId: "o",
	})
	if err != nil || !release.GetReleased() {
		t.Errorf("release %v, %v", release, err)
	}
	_, err = h.permits.Heartbeat(ctx, &pb.HeartbeatRequest{PermitId: p.GetPermitId()})
	wantError(t, err, codes.FailedPrecondition, "LEASE_LOST", "")
	_, err = h.permits.Release(ctx, &pb.ReleaseRequest{})
	wantError(t, err, codes.InvalidArgument, "INVALID_REQUEST", "permit_id")
}

func TestDryRunGrantsNothing(t *testing.T) {
	h := newHarness(t, nil)
	resp, err := h.permits.Acquire(t.Context(), &pb.AcquireRequest{Target: "x", DryRun: true})
	if err != nil || resp.GetDecision() != pb.Decision_DECISION_GRANTED || resp.GetPermit().GetPermitId() != "" {
		t.Errorf("dry run: %v, %v", resp, err)
	}
}

func TestGrantIsOneAllocationForItsParts(t *testing.T) {
	if n := testing.AllocsPerRun(100, func() { granted(someGrant()) }); n > 2 {
		t.Errorf("a grant's answer takes %v allocations, want 1 and the grant's own", n)
	}
}

func someGrant() *engine.Grant {
	return &engine.Grant{
		PermitID: "p", Fence: 1, Operation: "o", Target: "t", Kind: fallback.Primary, Attempt: 1, Lease: time.Minute,
		HeartbeatEvery: time.Second, Timeout: time.Second, Reserved: budget.Amounts{Cost: 1, Calls: 1},
	}
}
