// SPDX-License-Identifier: Apache-2.0

package server

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	pb "github.com/resilienced/resilienced/gen/resilience/v1"
)

func TestRuns(t *testing.T) {
	h := newHarness(t, nil)
	ctx := t.Context()
	start := func(id, parent string, caps *pb.Caps) {
		t.Helper()
		if _, err := h.runs.StartRun(ctx, &pb.StartRunRequest{
			RequestId: "s-" + id, RunId: id, ParentRunId: parent, Caps: caps, Labels: map[string]string{"n": id},
		}); err != nil {
			t.Fatal(err)
		}
	}
	start("root", "", &pb.Caps{CostMicros: proto.Int64(100)})
	start("child", "root", nil)
	got, err := h.runs.GetRun(ctx, &pb.GetRunRequest{RunId: "child"})
	if err != nil || got.GetRun().GetParentRunId() != "root" || got.GetRun().GetCaps() != nil || got.GetRun().GetRemaining().GetCostMicros() != 100 {
		t.Errorf("child %v, %v", got, err)
	}
	adjusted, err := h.runs.AdjustRun(ctx, &pb.AdjustRunRequest{
		RequestId: "a1", RunId: "root", Reason: "more", Change: &pb.AdjustRunRequest_Delta{Delta: &pb.Amounts{CostMicros: 50}},
	})
	if err != nil || adjusted.GetRun().GetCaps().GetCostMicros() != 150 {
		t.Errorf("adjusted %v, %v", adjusted, err)
	}
	_, err = h.runs.AdjustRun(ctx, &pb.AdjustRunRequest{
		RequestId: "a2", RunId: "root", Reason: "x", Change: &pb.AdjustRunRequest_Delta{Delta: &pb.Amounts{Tokens: 1}},
	})
	wantError(t, err, codes.InvalidArgument, "INVALID_REQUEST", "delta.tokens")
	replaced, err := h.runs.AdjustRun(ctx, &pb.AdjustRunRequest{
		RequestId: "a3", RunId: "root", Reason: "x", Change: &pb.AdjustRunRequest_Caps{Caps: &pb.Caps{Calls: proto.Int64(9)}},
	})
	if caps := replaced.GetRun().GetCaps(); err != nil || caps.CostMicros != nil || caps.GetCalls() != 9 {
		t.Errorf("replaced %v, %v", replaced, err)
	}
	list, err := h.runs.ListRuns(ctx, &pb.ListRunsRequest{Labels: map[string]string{"n": "child"}})
	if err != nil || len(list.GetRuns()) != 1 || list.GetRuns()[0].GetRunId() != "child" || list.GetNextPageToken() != "" {
		t.Errorf("list %v, %v", list, err)
	}
	reconciled, err := h.runs.ReconcileRun(ctx, &pb.ReconcileRunRequest{RequestId: "c", RunId: "root", Reason: "bill", Actual: &pb.Amounts{}})
	if err != nil {
		t.Errorf("reconciled %v, %v", reconciled, err)
	}
	stopped, err := h.runs.StopRun(ctx, &pb.StopRunRequest{RequestId: "p", RunId: "root", Reason: "enough", Actor: "me"})
	if err != nil || stopped.GetRun().GetState() != pb.RunState_RUN_STATE_STOPPED || stopped.GetRun().GetStopReason() != "enough" {
		t.Errorf("stopped %v, %v", stopped, err)
	}
	denied, err := h.permits.Acquire(ctx, &pb.AcquireRequest{Target: "t", RunId: "child"})
	if err != nil || denied.GetDecision() != pb.Decision_DECISION_DENIED || !denied.GetTerminal() || denied.GetBlockedBy() != "root" ||
		denied.GetReason() != pb.DecisionReason_DECISION_REASON_RUN_STOPPED || denied.GetAction() == 0 {
		t.Errorf("denied %v, %v", denied, err)
	}
	_, err = h.runs.FinishRun(ctx, &pb.FinishRunRequest{RequestId: "f", RunId: "root"})
	wantError(t, err, codes.FailedPrecondition, "RUN_FINAL", "")
	_, err = h.runs.StopRun(ctx, &pb.StopRunRequest{RequestId: "p", RunId: "root", Reason: "another"})
	wantError(t, err, codes.AlreadyExists, "IDEMPOTENCY_MISMATCH", "")
}

func TestDepthAndAncestry(t *testing.T) {
	h := newHarness(t, nil)
	ctx := t.Context()
	for i := 1; i <= 9; i++ {
		parent := ""
		if i > 1 {
			parent = fmt.Sprintf("r%d", i-1)
		}
		_, err := h.runs.StartRun(ctx, &pb.StartRunRequest{RequestId: fmt.Sprintf("q%d", i), RunId: fmt.Sprintf("r%d", i), ParentRunId: parent})
		if i == 9 {
			wantError(t, err, codes.InvalidArgument, "INVALID_REQUEST", "parent_run_id")
		} else if err != nil {
			t.Fatal(err)
		}
	}
	_, err := h.runs.StartRun(ctx, &pb.StartRunRequest{RequestId: "q", RunId: "r1", ParentRunId: "r5"})
	wantError(t, err, codes.InvalidArgument, "INVALID_REQUEST", "parent_run_id")
}

func TestTargets(t *testing.T) {
	h := newHarness(t, nil)
	ctx := t.Context()
	set, err := h.targets.SetBreaker(ctx, &pb.SetBreakerRequest{
		RequestId: "q", Target: "tool/a", Mode: pb.BreakerMode_BREAKER_MODE_FORCED_OPEN, Ttl: durationpb.New(time.Hour), Reason: "repair", Actor: "me",
	})
	if f := set.GetTarget().GetForced(); err != nil || f.GetBy() != "me" || f.GetReason() != "repair" || f.GetRemaining().AsDuration() <= 0 ||
		set.GetTarget().GetEffectiveState() != pb.BreakerState_BREAKER_STATE_FORCED_OPEN {
		t.Errorf("set %v, %v", set, err)
	}
	denied, err := h.permits.Acquire(ctx, &pb.AcquireRequest{Target: "tool/a"})
	if err != nil || denied.GetReason() != pb.DecisionReason_DECISION_REASON_FORCED_OPEN || denied.GetBlockedBy() != "tool/a" {
		t.Errorf("denied %v, %v", denied, err)
	}
	fresh, err := h.targets.GetTarget(ctx, &pb.GetTargetRequest{Target: "never/called"})
	if err != nil || fresh.GetTarget().GetEffectiveState() != pb.BreakerState_BREAKER_STATE_CLOSED || fresh.GetTarget().GetGeneration() != 0 {
		t.Errorf("fresh %v, %v", fresh, err)
	}
	list, err := h.targets.ListTargets(ctx, &pb.ListTargetsRequest{
		NameGlob: "tool/*", States: []pb.BreakerState{pb.BreakerState_BREAKER_STATE_FORCED_OPEN},
	})
	if err != nil || len(list.GetTargets()) != 1 || len(list.GetTargets()[0].GetLastTransitions()) != 1 {
		t.Errorf("list %v, %v", list, err)
	}
}

func TestWatchTargets(t *testing.T) {
	h := newHarness(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	hold := func(id, target string, mode pb.BreakerMode) {
		t.Helper()
		if _, err := h.targets.SetBreaker(ctx, &pb.SetBreakerRequest{RequestId: id, Target: target, Mode: mode, Reason: "test"}); err != nil {
			t.Fatal(err)
		}
	}
	hold("q1", "a/1", pb.BreakerMode_BREAKER_MODE_FORCED_OPEN)
	hold("q2", "b/1", pb.BreakerMode_BREAKER_MODE_FORCED_OPEN)
	stream, err := h.targets.WatchTargets(ctx, &pb.WatchTargetsRequest{NameGlob: "a/*"})
	if err != nil {
		t.Fatal(err)
	}
	snapshot, err := stream.Recv()
	if err != nil || !snapshot.GetSnapshotDone() || len(snapshot.GetTargets()) != 1 || snapshot.GetTargets()[0].GetTarget() != "a/1" {
		t.Fatalf("snapshot %v, %v", snapshot, err)
	}
	hold("q3", "b/1", pb.BreakerMode_BREAKER_MODE_AUTO)
	hold("q4", "a/1", pb.BreakerMode_BREAKER_MODE_AUTO)
	change, err := stream.Recv()
	if err != nil || change.GetSnapshotDone() || len(change.GetTargets()) != 1 ||
		change.GetTargets()[0].GetEffectiveState() != pb.BreakerState_BREAKER_STATE_CLOSED {
		t.Fatalf("change %v, %v", change, err)
	}
}

const policyText = `version: 1
targets:
  - match: "tool/*"
    preset: tool
chains:
  chat:
    levels:
      - {target: openai/gpt-x, kind: PRIMARY}
      - {target: other/model, kind: CROSS_PROVIDER}
`

func TestPolicies(t *testing.T) {
	h := newHarness(t, nil)
	ctx := t.Context()
	policies := pb.NewPolicyServiceClient(h.conn)
	none, err := policies.GetPolicy(ctx, &pb.GetPolicyRequest{})
	if err != nil || none.GetYaml() != "" || none.GetAppliedAt() != nil {
		t.Errorf("no policy: %v, %v", none, err)
	}
	checked, err := policies.ApplyPolicy(ctx, &pb.ApplyPolicyRequest{RequestId: "v", Yaml: policyText, ValidateOnly: true})
	if err != nil || !checked.GetChanged() || checked.GetEpoch() != none.GetEpoch() {
		t.Errorf("validated: %v, %v", checked, err)
	}
	applied, err := policies.ApplyPolicy(ctx, &pb.ApplyPolicyRequest{
		RequestId: "q", Yaml: policyText, Reason: "first", Actor: "me", ExpectedEpoch: new(none.GetEpoch()),
	})
	if err != nil || !applied.GetChanged() || applied.GetEpoch() <= none.GetEpoch() {
		t.Errorf("applied: %v, %v", applied, err)
	}
	got, err := policies.GetPolicy(ctx, &pb.GetPolicyRequest{})
	if err != nil || got.GetYaml() != policyText || got.GetAppliedBy() != "me" || len(got.GetSha256()) != 64 || got.GetAppliedAt() == nil {
		t.Errorf("policy: %v, %v", got, err)
	}
	explained, err := policies.ExplainTarget(ctx, &pb.ExplainTargetRequest{Target: "tool/search"})
	if err != nil || explained.GetKind() != "tool" || len(explained.GetMatched()) != 1 || len(explained.GetFields()) < 10 {
		t.Errorf("explained: %v, %v", explained, err)
	}
	_, err = policies.ApplyPolicy(ctx, &pb.ApplyPolicyRequest{RequestId: "e", Yaml: policyText + "# new\n", Reason: "x", ExpectedEpoch: proto.Int64(0)})
	wantError(t, err, codes.Aborted, "EPOCH_CHANGED", "expected_epoch")
	_, err = policies.ApplyPolicy(ctx, &pb.ApplyPolicyRequest{RequestId: "b", Yaml: strings.Replace(policyText, "preset", "presett", 1), Reason: "x"})
	wantError(t, err, codes.InvalidArgument, "POLICY_INVALID", "")
	if !strings.Contains(err.Error(), "policy.yaml:") {
		t.Errorf("%q names no line", err)
	}
	_, err = policies.ApplyPolicy(ctx, &pb.ApplyPolicyRequest{RequestId: "g", Yaml: "\x00\x01", Reason: "x"})
	wantError(t, err, codes.InvalidArgument, "POLICY_INVALID", "")
}

// A failure of a call that may not be repeated leaves a letter, an escalation
// and a decision, which can be read, listed and waited for.
func TestWhatAFailureLeaves(t *testing.T) {
	h := newHarness(t, nil)
	ctx := t.Context()
	p := h.grant(ctx, t, &pb.AcquireRequest{
		Target: "pay", OperationId: "o", TaskId: "t", Idempotency: pb.Idempotency_IDEMPOTENCY_NON_IDEMPOTENT,
	})
	report, err := h.permits.Report(ctx, &pb.ReportRequest{
		PermitId: p.GetPermitId(), Outcome: pb.Outcome_OUTCOME_FAILURE, Signal: &pb.Signal{Exception: "timeout", Message: "no answer"},
		DeadLetter: &pb.DeadLetterEnvelope{
			Payload: []byte("pay 5"), Labels: map[string]string{"team": "pay"}, Checkpoint: &pb.Checkpoint{Id: "c"},
			LastError: &pb.LastError{Type: "Timeout", Stack: "main.go:1"},
		},
	})
	if err != nil || report.GetDeadLetterId() == "" || report.GetEscalationId() == "" || report.GetAction() != pb.Action_ACTION_ESCALATE {
		t.Fatalf("report %v, %v", report, err)
	}
	letters, escalations := pb.NewDeadLetterServiceClient(h.conn), pb.NewEscalationServiceClient(h.conn)
	full, err := letters.GetDeadLetter(ctx, &pb.GetDeadLetterRequest{Key: &pb.GetDeadLetterRequest_DeadLetterId{DeadLetterId: report.GetDeadLetterId()}})
	if l := full.GetDeadLetter(); err != nil || l.GetOperationId() != "o" || l.GetTaskId() != "t" || l.GetTarget() != "pay" ||
		string(l.GetEnvelope().GetPayload()) != "pay 5" || l.GetEnvelope().GetLastError().GetStack() == "" || len(l.GetHistory()) != 1 ||
		l.GetState() != pb.DeadLetterState_DEAD_LETTER_STATE_OPEN || l.GetReplayPolicy() != pb.ReplayPolicy_REPLAY_POLICY_MANUAL ||
		l.GetExpiresAt() == nil || l.GetCertainty() != pb.Certainty_CERTAINTY_AMBIGUOUS {
		t.Errorf("letter %v, %v", full, err)
	}
	list, err := letters.ListDeadLetters(ctx, &pb.ListDeadLettersRequest{
		States: []pb.DeadLetterState{pb.DeadLetterState_DEAD_LETTER_STATE_OPEN}, Target: "pay", Labels: map[string]string{"team": "pay"},
	})
	if err != nil || len(list.GetDeadLetters()) != 1 || len(list.GetDeadLetters()[0].GetEnvelope().GetPayload()) != 0 ||
		list.GetDeadLetters()[0].GetEnvelope().GetLastError().GetStack() != "" || len(list.GetDeadLetters()[0].GetHistory()) != 0 {
		t.Errorf("list of letters %v, %v", list, err)
	}
	waited, err := escalations.WaitDecision(ctx, &pb.WaitDecisionRequest{
		Key: &pb.WaitDecisionRequest_EscalationId{EscalationId: report.GetEscalationId()}, Timeout: durationpb.New(time.Millisecond),
	})
	if e := waited.GetEscalation(); err != nil || waited.GetFinal() || e.GetState() != pb.EscalationState_ESCALATION_STATE_OPEN ||
		e.GetType() != "ambiguous_outcome" || len(e.GetOptions()) != 2 || e.GetDeadline().AsDuration() <= 0 ||
		e.GetDefaultAction() != pb.DefaultAction_DEFAULT_ACTION_DO_NOTHING || e.GetQuestion() == "" {
		t.Errorf("escalation %v, %v", waited, err)
	}
	open, err := escalations.ListEscalations(ctx, &pb.ListEscalationsRequest{
		States: []pb.EscalationState{pb.EscalationState_ESCALATION_STATE_OPEN}, Type: "ambiguous_outcome",
	})
	if err != nil || len(open.GetEscalations()) != 1 {
		t.Errorf("list of escalations %v, %v", open, err)
	}
	why, err := pb.NewDecisionServiceClient(h.conn).ExplainDecision(ctx, &pb.ExplainDecisionRequest{
		Key: &pb.ExplainDecisionRequest_DecisionId{DecisionId: report.GetDecisionId()},
	})
	if err != nil || why.GetRecord().GetAction() != pb.Action_ACTION_ESCALATE || why.GetRecord().GetSignalReason() != "TIMEOUT" ||
		why.GetRecord().GetKind() != pb.DecisionKind_DECISION_KIND_REPORT || why.GetText() == "" || why.GetSource() == 0 {
		t.Errorf("decision %v, %v", why, err)
	}
}

// A target is told which chains it is a level of, whatever their names are.
func TestExplainTargetNamesItsChains(t *testing.T) {
	h := newHarness(t, nil)
	policies := pb.NewPolicyServiceClient(h.conn)
	const text = "version: 1\ntargets: [{match: \"*\", preset: llm}]\nchains:\n" +
		"  \"a.levels[0]\": [x:PRIMARY, y:CROSS_PROVIDER]\n  b: [y:PRIMARY, x:CROSS_PROVIDER]\n  c: [z:PRIMARY]\n"
	if _, err := policies.ApplyPolicy(t.Context(), &pb.ApplyPolicyRequest{RequestId: "q", Yaml: text, Reason: "x"}); err != nil {
		t.Fatal(err)
	}
	for target, want := range map[string][]string{"x": {"a.levels[0]", "b"}, "z": {"c"}, "other": nil} {
		got, err := policies.ExplainTarget(t.Context(), &pb.ExplainTargetRequest{Target: target})
		if err != nil || !slices.Equal(got.GetChains(), want) {
			t.Errorf("%s: %q, %v, want %q", target, got.GetChains(), err, want)
		}
	}
}

func TestExplainPermit(t *testing.T) {
	h := newHarness(t, nil)
	p := h.grant(t.Context(), t, &pb.AcquireRequest{Target: "x", OperationId: "o"})
	why, err := pb.NewDecisionServiceClient(h.conn).ExplainDecision(t.Context(), &pb.ExplainDecisionRequest{
		Key: &pb.ExplainDecisionRequest_PermitId{PermitId: p.GetPermitId()},
	})
	if err != nil || why.GetRecord().GetDecision() != pb.Decision_DECISION_GRANTED || why.GetRecord().GetPermitId() != p.GetPermitId() ||
		why.GetRecord().GetOperationId() != "o" || why.GetSource() != pb.ExplanationSource_EXPLANATION_SOURCE_OPERATION {
		t.Errorf("permit %v, %v", why, err)
	}
}

func TestDrills(t *testing.T) {
	h := newHarness(t, nil)
	drills := pb.NewDrillServiceClient(h.conn)
	d, err := drills.StartDrill(t.Context(), &pb.StartDrillRequest{RequestId: "q"})
	if err != nil || !strings.HasPrefix(d.GetNamespace(), "drill-") {
		t.Fatalf("drill %v, %v", d, err)
	}
	ctx := in(t.Context(), keyNamespace, d.GetNamespace())
	h.grant(ctx, t, &pb.AcquireRequest{Target: "x"})
	moved, err := drills.AdvanceClock(ctx, &pb.AdvanceClockRequest{RequestId: "a", By: durationpb.New(time.Hour)})
	if err != nil || moved.GetNow().AsTime().Sub(d.GetNow().AsTime()) != time.Hour || moved.GetEventsHandled() == 0 {
		t.Errorf("moved %v, %v", moved, err)
	}
	_, err = drills.AdvanceClock(ctx, &pb.AdvanceClockRequest{RequestId: "b", By: durationpb.New(-1)})
	wantError(t, err, codes.InvalidArgument, "INVALID_REQUEST", "by")
	if _, err := drills.EndDrill(ctx, &pb.EndDrillRequest{RequestId: "c"}); err != nil {
		t.Error(err)
	}
	_, err = h.permits.Acquire(ctx, &pb.AcquireRequest{Target: "x"})
	wantError(t, err, codes.FailedPrecondition, "NOT_A_DRILL", "")
	_, err = drills.AdvanceClock(t.Context(), &pb.AdvanceClockRequest{RequestId: "d", By: durationpb.New(0)})
	wantError(t, err, codes.FailedPrecondition, "NOT_A_DRILL", "")
}
