// SPDX-License-Identifier: Apache-2.0

package drill

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/durationpb"

	pb "github.com/resilienced/resilienced/gen/resilience/v1"
)

func wantOK(t *testing.T, r Result) {
	t.Helper()
	if !r.OK() {
		t.Errorf("%s: %s", r.Reason, r.lines())
	}
}

func same(t *testing.T, what string, want, got any) {
	t.Helper()
	if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

func TestAcquireRequest(t *testing.T) {
	f := &fakeConn{}
	granting(f, retries)
	wantOK(t, runText(t, f, wrap(
		"{acquire: {target: t}}",
		"{acquire: {op: o, chain: c, run: r, task: k, est: 0, max_attempts: 1, max_wait: 0, idem: I}}",
		"{acquire: {op: o, target: t, idem: N, est: 7}}",
	)))
	got := made[*pb.AcquireRequest](f, "PermitService.Acquire")
	for _, req := range got {
		if len(req.GetRequestId()) != 36 {
			t.Errorf("request id %q is no UUID", req.GetRequestId())
		}
		req.RequestId = ""
	}
	same(t, "requests", []*pb.AcquireRequest{
		{Target: "t", MaxWait: durationpb.New(10 * time.Second)},
		{
			OperationId: "o", Chain: "c", RunId: "r", TaskId: "k", Estimate: &pb.Estimate{CostMicros: proto.Int64(0)},
			MaxAttempts: proto.Int32(1), MaxWait: &durationpb.Duration{}, Idempotency: pb.Idempotency_IDEMPOTENCY_IDEMPOTENT,
		},
		{
			OperationId: "o", Target: "t", Estimate: &pb.Estimate{CostMicros: proto.Int64(7)},
			MaxWait: durationpb.New(10 * time.Second), Idempotency: pb.Idempotency_IDEMPOTENCY_NON_IDEMPOTENT,
		},
	}, got)
}

func TestRequestIDs(t *testing.T) {
	f := &fakeConn{}
	granting(f, retries)
	text := wrap(
		"{acquire: {op: o, target: t, request_id: q1, as: a}}", "{acquire: {op: o, target: t, request_id: q1}}",
		"{acquire: {op: o, target: t, request_id: q2}}", "{acquire: {op: o, target: t}}", "{acquire: {op: o, target: t}}",
		"{report: {permit: a}}", "{report: {permit: a}}",
	)
	report := runAll(t, f, text, text)
	wantOK(t, report.Results[0])
	wantOK(t, report.Results[1])
	seen := make(map[string]int)
	for _, req := range made[*pb.AcquireRequest](f, "PermitService.Acquire") {
		seen[req.GetRequestId()]++
	}
	for _, req := range made[*pb.ReportRequest](f, "PermitService.Report") {
		seen[req.GetRequestId()]++
	}
	counts := make(map[int]int)
	for _, n := range seen {
		counts[n]++
	}
	// In each drill q1 twice, and five others once; q1 is another in the second.
	same(t, "ids by how often they were sent", map[int]int{2: 2, 1: 10}, counts)
}

func TestReportRequest(t *testing.T) {
	const (
		ok     = pb.Outcome_OUTCOME_SUCCESS
		failed = pb.Outcome_OUTCOME_FAILURE
	)
	for _, c := range []struct {
		args string
		want *pb.ReportRequest
	}{
		{"", &pb.ReportRequest{Outcome: ok, Signal: &pb.Signal{HttpStatus: proto.Int32(200)}}},
		{"cost: 0", &pb.ReportRequest{Outcome: ok, Signal: &pb.Signal{HttpStatus: proto.Int32(200)}, Usage: &pb.Usage{CostMicros: proto.Int64(0)}}},
		{"ms: 30s, sig: {http: 299}", &pb.ReportRequest{Outcome: ok, Signal: &pb.Signal{HttpStatus: proto.Int32(299)}, Duration: durationpb.New(30 * time.Second)}},
		{"sig: {http: 304}", &pb.ReportRequest{Outcome: failed, Signal: &pb.Signal{HttpStatus: proto.Int32(304)}}},
		{"sig: {http: 503, code: overloaded}", &pb.ReportRequest{Outcome: failed, Signal: &pb.Signal{HttpStatus: proto.Int32(503), BodyCode: "overloaded"}}},
		{"sig: {grpc: OK}", &pb.ReportRequest{Outcome: ok, Signal: &pb.Signal{GrpcCode: "OK"}}},
		{"sig: {grpc: UNAVAILABLE}", &pb.ReportRequest{Outcome: failed, Signal: &pb.Signal{GrpcCode: "UNAVAILABLE"}}},
		{"sig: {exc: timeout}", &pb.ReportRequest{Outcome: failed, Signal: &pb.Signal{Exception: "timeout"}}},
		{"sig: {cancelled: true}", &pb.ReportRequest{Outcome: pb.Outcome_OUTCOME_CANCELLED}},
		{"sig: {http: 200, cancelled: true}", &pb.ReportRequest{Outcome: pb.Outcome_OUTCOME_CANCELLED, Signal: &pb.Signal{HttpStatus: proto.Int32(200)}}},
		{"sig: {}", &pb.ReportRequest{Outcome: failed}},
		{"sig: {http: 200, quality: REFUSAL}", &pb.ReportRequest{Outcome: ok, Signal: &pb.Signal{HttpStatus: proto.Int32(200)}, Quality: &pb.Quality{Verdict: pb.QualityVerdict_QUALITY_VERDICT_REFUSAL}}},
		{"sig: {quality: EMPTY}", &pb.ReportRequest{Outcome: ok, Signal: &pb.Signal{HttpStatus: proto.Int32(200)}, Quality: &pb.Quality{Verdict: pb.QualityVerdict_QUALITY_VERDICT_EMPTY}}},
		{"sig: {http: 429, retry_after: 0}", &pb.ReportRequest{Outcome: failed, Signal: &pb.Signal{HttpStatus: proto.Int32(429), RetryAfter: &durationpb.Duration{}}}},
		{"sig: {http: 429, retry_after: 9.999}", &pb.ReportRequest{Outcome: failed, Signal: &pb.Signal{HttpStatus: proto.Int32(429), RetryAfter: durationpb.New(9999 * time.Millisecond)}}},
		{"sig: {http: 429, retry_after: -5}", &pb.ReportRequest{Outcome: failed, Signal: &pb.Signal{HttpStatus: proto.Int32(429), Headers: map[string]string{"retry-after": "-5"}}}},
	} {
		t.Run(c.args, func(t *testing.T) {
			f := &fakeConn{}
			granting(f, retries)
			wantOK(t, runText(t, f, wrap("{acquire: {op: o, target: t, as: a}}", "{report: {permit: a, "+c.args+"}}")))
			got := made[*pb.ReportRequest](f, "PermitService.Report")[0]
			if len(got.GetRequestId()) != 36 || got.GetDeadLetter() == nil {
				t.Errorf("request id %q, envelope %v", got.GetRequestId(), got.GetDeadLetter())
			}
			got.RequestId, got.DeadLetter = "", nil
			c.want.PermitId, c.want.Fence = "p1", 1
			if c.want.Duration == nil {
				c.want.Duration = durationpb.New(100 * time.Millisecond)
			}
			same(t, "request", c.want, got)
		})
	}
}

func TestPermitNames(t *testing.T) {
	f := &fakeConn{}
	permits := map[string]*pb.Permit{"q1": {PermitId: "p1", Fence: 1}, "q2": {PermitId: "p2", Fence: 2}}
	byID := make(map[string]string)
	on(f, "PermitService.Acquire", func(in *pb.AcquireRequest) (*pb.AcquireResponse, error) {
		if in.GetTarget() == "no" {
			return &pb.AcquireResponse{Decision: pb.Decision_DECISION_WAIT}, nil
		}
		name := byID[in.GetRequestId()]
		if name == "" {
			name = []string{"q1", "q2"}[len(byID)]
			byID[in.GetRequestId()] = name
		}
		return &pb.AcquireResponse{Decision: pb.Decision_DECISION_GRANTED, Permit: permits[name]}, nil
	})
	on(f, "PermitService.Report", retries)
	wantOK(t, runText(t, f, wrap(
		"{acquire: {op: a, target: t, request_id: q1, as: a}, expect: {permit: a}}",
		"{acquire: {op: a, target: t, request_id: q1, as: zz}, expect: {permit: a}}",
		"{acquire: {op: b, target: t, request_id: q2, as: }, expect: {permit: ''}}",
		"{acquire: {op: b, target: no, as: a}, expect: {decision: WAIT, permit: ''}}",
		"{report: {permit: a}}",
		"{acquire: {op: b, target: t, request_id: q2, as: a}, expect: {permit: a}}",
		"{acquire: {op: a, target: t, request_id: q1}, expect: {permit: a}}",
		"{report: {permit: a}}",
	)))
	var reported []string
	for _, req := range made[*pb.ReportRequest](f, "PermitService.Report") {
		reported = append(reported, req.GetPermitId())
	}
	same(t, "reported permits", []string{"p1", "p2"}, reported)

	r := runText(t, f, wrap("{report: {permit: zz}}"))
	if r.Reason != Failed || r.Step != 1 {
		t.Errorf("an unbound permit gave %+v", r)
	}
}

func TestBurst(t *testing.T) {
	f := &fakeConn{}
	n := 0
	on(f, "PermitService.Acquire", func(in *pb.AcquireRequest) (*pb.AcquireResponse, error) {
		n++
		switch n {
		case 3:
			return &pb.AcquireResponse{Decision: pb.Decision_DECISION_WAIT, Reason: pb.DecisionReason_DECISION_REASON_COOLDOWN}, nil
		case 4:
			return &pb.AcquireResponse{Decision: pb.Decision_DECISION_DENIED, Reason: pb.DecisionReason_DECISION_REASON_BREAKER_OPEN}, nil
		}
		return &pb.AcquireResponse{Decision: pb.Decision_DECISION_GRANTED, Permit: &pb.Permit{PermitId: in.GetOperationId(), OperationId: in.GetOperationId()}}, nil
	})
	on(f, "PermitService.Report", func(in *pb.ReportRequest) (*pb.ReportResponse, error) {
		return &pb.ReportResponse{Action: pb.Action_ACTION_DEAD_LETTER, DeadLetterId: "d-" + in.GetPermitId(), EscalationId: "e"}, nil
	})
	on(f, "EscalationService.GetEscalation", func(*pb.GetEscalationRequest) (*pb.GetEscalationResponse, error) {
		return &pb.GetEscalationResponse{Escalation: &pb.Escalation{DedupeKey: "esc:x0"}}, nil
	})
	on(f, "EscalationService.WaitDecision", func(in *pb.WaitDecisionRequest) (*pb.WaitDecisionResponse, error) {
		if in.GetEscalationId() != "e" {
			return nil, refusal(codes.NotFound, "NOT_FOUND")
		}
		return &pb.WaitDecisionResponse{Escalation: &pb.Escalation{State: pb.EscalationState_ESCALATION_STATE_OPEN, Occurrences: 3}}, nil
	})
	wantOK(t, runText(t, f, wrap(
		"{burst: {op: x, n: 5, target: t, run: r, sig: {http: 500}, cost: 5}, expect: {granted: 3, actions: {DEAD_LETTER: 3, COOLDOWN: 1, BREAKER_OPEN: 1}}}",
		"{esc_wait: {id: 'esc:x0'}, expect: {state: OPEN, occ: 3}}",
		"{esc_wait: {id: 'esc:x1'}, expect: {occ: 3}}",
		"{esc_wait: {id: 'esc:x2'}, expect: {error: NOT_FOUND}}",
		"{burst: {op: y, n: 0}, expect: {granted: 0, actions: {}}}",
	)))
	var operations []string
	for _, req := range made[*pb.AcquireRequest](f, "PermitService.Acquire") {
		operations = append(operations, req.GetOperationId())
	}
	same(t, "operations", []string{"x0", "x1", "x2", "x3", "x4"}, operations)
	if n := len(made[*pb.GetEscalationRequest](f, "EscalationService.GetEscalation")); n != 1 {
		t.Errorf("the folded escalation was read %d times, want once", n)
	}

	r := runText(t, f, wrap("{burst: {op: x, n: 1000000, target: t}}"))
	if r.Reason != Failed {
		t.Errorf("a burst of a million gave %+v", r)
	}
}

func TestEscalationFolds(t *testing.T) {
	f := &fakeConn{}
	granting(f, func(in *pb.ReportRequest) (*pb.ReportResponse, error) {
		return &pb.ReportResponse{Action: pb.Action_ACTION_ESCALATE, EscalationId: "e7", DeadLetterId: "d-" + in.GetPermitId()}, nil
	})
	on(f, "EscalationService.GetEscalation", func(*pb.GetEscalationRequest) (*pb.GetEscalationResponse, error) {
		return &pb.GetEscalationResponse{Escalation: &pb.Escalation{DedupeKey: "esc:first"}}, nil
	})
	wantOK(t, runText(t, f, wrap(
		"{acquire: {op: first, target: t, as: a}}", "{report: {permit: a}, expect: {esc: 'esc:first', dl: 'dl:first'}}",
		"{acquire: {op: next, target: t, as: b}}", "{report: {permit: b}, expect: {esc: 'esc:first', dl: 'dl:next'}}",
	)))
}

func TestAdvance(t *testing.T) {
	f := &fakeConn{}
	wantOK(t, runText(t, f, wrap("{advance: 0}", "{advance: 1500}", "{advance: 400d}")))
	var moved []time.Duration
	for _, req := range made[*pb.AdvanceClockRequest](f, "DrillService.AdvanceClock") {
		moved = append(moved, req.GetBy().AsDuration())
	}
	same(t, "moves", []time.Duration{0, 1500 * time.Millisecond, 366 * 24 * time.Hour, 34 * 24 * time.Hour}, moved)
}

func TestObjects(t *testing.T) {
	f := &fakeConn{}
	on(f, "TargetService.GetTarget", func(in *pb.GetTargetRequest) (*pb.GetTargetResponse, error) {
		return &pb.GetTargetResponse{Target: &pb.Target{
			Target: in.GetTarget(), EffectiveState: pb.BreakerState_BREAKER_STATE_OPEN, StoredState: pb.BreakerState_BREAKER_STATE_CLOSED,
			Cause: pb.BreakerCause_BREAKER_CAUSE_PROBE_ABANDONED, Cycles: 2, OpenFor: durationpb.New(time.Minute), ConsecutiveFailures: 5,
		}}, nil
	})
	on(f, "TargetService.SetBreaker", func(in *pb.SetBreakerRequest) (*pb.SetBreakerResponse, error) {
		if in.GetMode() != pb.BreakerMode_BREAKER_MODE_FORCED_OPEN || in.GetReason() == "" || in.GetRequestId() == "" {
			return nil, refusal(codes.InvalidArgument, "INVALID_REQUEST")
		}
		return &pb.SetBreakerResponse{Target: &pb.Target{EffectiveState: pb.BreakerState_BREAKER_STATE_FORCED_OPEN}}, nil
	})
	on(f, "RunService.GetRun", func(*pb.GetRunRequest) (*pb.GetRunResponse, error) {
		return &pb.GetRunResponse{Run: &pb.Run{
			State: pb.RunState_RUN_STATE_EXHAUSTED, Spent: &pb.Amounts{CostMicros: 1}, Reserved: &pb.Amounts{CostMicros: 2},
			Assumed: &pb.Amounts{CostMicros: 3}, OverrunMicros: 4,
		}}, nil
	})
	on(f, "RunService.AdjustRun", func(in *pb.AdjustRunRequest) (*pb.AdjustRunResponse, error) {
		return &pb.AdjustRunResponse{Run: &pb.Run{Spent: in.GetDelta()}}, nil
	})
	on(f, "RunService.StopRun", func(*pb.StopRunRequest) (*pb.StopRunResponse, error) {
		return nil, refusal(codes.FailedPrecondition, "RUN_FINAL")
	})
	on(f, "DeadLetterService.GetDeadLetter", func(in *pb.GetDeadLetterRequest) (*pb.GetDeadLetterResponse, error) {
		if in.GetOperationId() != "o/1" {
			return nil, refusal(codes.NotFound, "NOT_FOUND")
		}
		return &pb.GetDeadLetterResponse{DeadLetter: &pb.DeadLetter{
			State: pb.DeadLetterState_DEAD_LETTER_STATE_PARKED, Kind: pb.DeadLetterKind_DEAD_LETTER_KIND_KNOWN_BAD,
			ReplayPolicy: pb.ReplayPolicy_REPLAY_POLICY_MANUAL, Reason: "UNKNOWN", ReplayCount: 3,
		}}, nil
	})
	on(f, "EscalationService.WaitDecision", func(in *pb.WaitDecisionRequest) (*pb.WaitDecisionResponse, error) {
		e := &pb.Escalation{State: pb.EscalationState_ESCALATION_STATE_DECIDED, Decision: &pb.EscalationDecision{OptionId: "approve", DecidedBy: "human"}}
		if in.GetDedupeKey() == "e2" {
			e.Decision.DefaultAction = pb.DefaultAction_DEFAULT_ACTION_PROCEED
			e.LateDecisions = []*pb.LateDecision{{}}
		}
		return &pb.WaitDecisionResponse{Escalation: e}, nil
	})
	wantOK(t, runText(t, f, wrap(
		"{breaker: {target: t}, expect: {state: OPEN, cause: PROBE_ABANDONED, cycles: 2, open_ms: 60000, consecutive: 5}}",
		"{set_breaker: {target: t, mode: FORCED_OPEN}, expect: {state: FORCED_OPEN}}",
		"{run: {id: r}, expect: {state: EXHAUSTED, spent: 1, reserved: 2, assumed: 3, overrun: 4}}",
		"{run_adjust: {id: r, delta: -5}, expect: {spent: -5}}",
		"{run_stop: {id: r}, expect: {error: RUN_FINAL, state: EXHAUSTED, overrun: 4}}",
		"{dlq: {id: 'dl:o/1'}, expect: {state: PARKED, kind: KNOWN_BAD, policy: MANUAL, reason: UNKNOWN, replays: 3}}",
		"{dlq: {id: 'dl:o2'}, expect: {state: ABSENT, kind: ''}}",
		"{esc_wait: {id: e1}, expect: {state: DECIDED, decision: approve, by: human, late: 0}}",
		"{esc_wait: {id: e2}, expect: {decision: PROCEED, late: 1}}",
	)))
}
