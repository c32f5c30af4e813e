// SPDX-License-Identifier: Apache-2.0

package drill

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	pb "github.com/resilienced/resilienced/gen/resilience/v1"
)

const oneStep = "id: X\nsteps: [{advance: 1s}]\n"

func TestSetUp(t *testing.T) {
	f := &fakeConn{}
	r := runText(t, f, `
id: X
targets: {t: {kind: tool, slots: 1}}
runs: {kid: {parent: mum, cap: 0}, mum: {}}
steps: [{advance: 1s}]
`)
	wantOK(t, r)
	same(t, "calls", []string{
		"DrillService.StartDrill", "PolicyService.ApplyPolicy", "RunService.StartRun", "RunService.StartRun",
		"DrillService.AdvanceClock", "DrillService.EndDrill",
	}, f.rpcs())
	for _, c := range f.calls {
		want := []string{"drill-1"}
		if c.rpc == "DrillService.StartDrill" {
			want = nil
		}
		same(t, c.rpc+"'s namespace", want, c.namespace)
		if c.deadline {
			t.Errorf("%s was sent a deadline", c.rpc)
		}
	}
	runs := made[*pb.StartRunRequest](f, "RunService.StartRun")
	for _, req := range runs {
		req.RequestId = ""
	}
	same(t, "runs", []*pb.StartRunRequest{
		{RunId: "mum"}, {RunId: "kid", ParentRunId: "mum", Caps: &pb.Caps{CostMicros: proto.Int64(0)}},
	}, runs)
}

func TestFreshNamespaces(t *testing.T) {
	f := &fakeConn{}
	ctx := metadata.AppendToOutgoingContext(t.Context(), namespaceKey, "mine", "authorization", "secret")
	Run(ctx, f, []Scenario{parse("a", []byte(oneStep)), parse("b", []byte(oneStep))}, Options{})
	var seen []string
	for _, c := range f.calls {
		if c.rpc == "DrillService.AdvanceClock" {
			seen = append(seen, c.namespace...)
		}
	}
	same(t, "namespaces", []string{"drill-1", "drill-2"}, seen)
}

func TestPolicyText(t *testing.T) {
	s := parse("x.yaml", []byte(`
id: X
targets:
  plain: {kind: llm}
  "y": {kind: action, max_attempts: 2, task_budget: 1, consec: 3, slots: 0, call_timeout: 30s, cred: "1", price: 0, ctx: 9, retry_np: true, floor: 2, ratio: 0, enforce: DRY_RUN}
chains: {c: [plain:PRIMARY, y:CROSS_PROVIDER]}
steps: [{advance: 1s}]
`))
	got, err := policyText(&s)
	if err != nil || len(s.Faults) > 0 {
		t.Fatal(err, s.Faults)
	}
	same(t, "policy", `chains:
  c:
  - plain:PRIMARY
  - y:CROSS_PROVIDER
prices:
  table: none
targets:
- idempotent: true
  match: plain
  preset: llm
- breaker:
    consecutive_failures: 3
  call_timeout: 30s
  credential: '1'
  enforcement: DRY_RUN
  idempotent: false
  limit:
    concurrency: 0
  match: 'y'
  max_context: 9
  preset: action
  price:
    per_call: 0
  retry:
    fleet:
      floor_milli: 2000
      ratio_milli: 0
    max_attempts: 2
    retry_when_not_processed: true
    task_budget: 1
version: 1
`, got)
}

func TestFailures(t *testing.T) {
	fails := func(rpc string, err error) *fakeConn {
		f := &fakeConn{}
		on(f, rpc, func(proto.Message) (proto.Message, error) { return nil, err })
		return f
	}
	violation, err := status.New(codes.InvalidArgument, "bad policy").WithDetails(
		&errdetails.ErrorInfo{Reason: "POLICY_INVALID"},
		&errdetails.BadRequest{FieldViolations: []*errdetails.BadRequest_FieldViolation{{Field: "targets[0]", Description: "is odd"}}})
	if err != nil {
		t.Fatal(err)
	}
	const policy = "id: X\ntargets: {t: {kind: llm}}\nruns: {r: {}}\nsteps: [{run: {id: r}}]\n"
	for _, c := range []struct {
		name, text string
		conn       *fakeConn
		reason     Reason
		step       int
		want       string
	}{
		{"invalid", "id: X\nsteps: [{wait: 1}]\n", &fakeConn{}, Invalid, 0, `x0.yaml:2: there is no verb "wait"`},
		{"verb of another version", "id: X\nsteps:\n- {advance: 1s}\n- {claim: {}}\n", &fakeConn{}, NotInVersion, 2, "step 2 (line 4) claim: this version has no DeadLetterService.ClaimReplays"},
		{"start", oneStep, fails("DrillService.StartDrill", refusal(codes.Internal, "INTERNAL")), SetUp, 0, "DrillService.StartDrill: INTERNAL/INTERNAL: no"},
		{"policy", policy, fails("PolicyService.ApplyPolicy", violation.Err()), SetUp, 0, "PolicyService.ApplyPolicy: INVALID_ARGUMENT/POLICY_INVALID: bad policy; targets[0]: is odd"},
		{"run", policy, fails("RunService.StartRun", refusal(codes.ResourceExhausted, "QUOTA")), SetUp, 0, `run "r": RunService.StartRun: RESOURCE_EXHAUSTED/QUOTA: no`},
		{"step", policy, fails("RunService.GetRun", refusal(codes.NotFound, "RUN_UNKNOWN")), Mismatched, 1, "step 1 (line 4) run: want success, got RunService.GetRun: NOT_FOUND/RUN_UNKNOWN: no"},
		{"older server", policy, &fakeConn{}, NotInVersion, 1, "got RunService.GetRun: UNIMPLEMENTED"},
		{"end", oneStep, fails("DrillService.EndDrill", refusal(codes.Internal, "INTERNAL")), TearDown, 0, "DrillService.EndDrill: INTERNAL"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := runText(t, c.conn, c.text)
			if r.Reason != c.reason || r.Step != c.step {
				t.Errorf("reason %q in step %d, want %q in %d", r.Reason, r.Step, c.reason, c.step)
			}
			if got := strings.Join(r.lines(), "\n"); !strings.Contains(got, c.want) {
				t.Errorf("lines = %q, want %q in it", got, c.want)
			}
			started := len(made[*pb.StartDrillRequest](c.conn, "DrillService.StartDrill"))
			ended := len(made[*pb.EndDrillRequest](c.conn, "DrillService.EndDrill"))
			if started != ended && c.name != "start" {
				t.Errorf("%d drills were started and %d ended", started, ended)
			}
		})
	}
}

func TestExpectedErrors(t *testing.T) {
	for _, c := range []struct {
		name, step string
		err        error
		want       Reason
	}{
		{"as expected", "{run: {id: r}, expect: {error: RUN_UNKNOWN}}", refusal(codes.NotFound, "RUN_UNKNOWN"), Passed},
		{"another reason", "{run: {id: r}, expect: {error: QUOTA}}", refusal(codes.NotFound, "RUN_UNKNOWN"), Mismatched},
		{"no reason", "{run: {id: r}, expect: {error: NOT_FOUND}}", status.Error(codes.NotFound, "no"), Mismatched},
		{"no error", "{run: {id: r}, expect: {error: RUN_UNKNOWN}}", nil, Mismatched},
		{"none expected", "{run: {id: r}, expect: {error: ''}}", nil, Passed},
		{"none expected, and there is one", "{run: {id: r}, expect: {error: ''}}", refusal(codes.NotFound, "RUN_UNKNOWN"), Mismatched},
		{"none expected, and there is one without reason", "{run: {id: r}, expect: {error: ''}}", status.Error(codes.Internal, "no"), Mismatched},
		{"fields alone", "{run: {id: r}, expect: {spent: 0}}", refusal(codes.NotFound, "RUN_UNKNOWN"), Mismatched},
		{"fields beside it", "{run_stop: {id: r}, expect: {error: RUN_FINAL, state: COMPLETED}}", nil, Passed},
		{"other fields beside it", "{run_stop: {id: r}, expect: {error: RUN_FINAL, state: ACTIVE}}", nil, Mismatched},
		{"nothing to read beside it", "{acquire: {op: o}, expect: {error: RUN_UNKNOWN, attempt: 1}}", nil, Mismatched},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := &fakeConn{}
			on(f, "RunService.GetRun", func(*pb.GetRunRequest) (*pb.GetRunResponse, error) {
				return &pb.GetRunResponse{Run: &pb.Run{State: pb.RunState_RUN_STATE_COMPLETED}}, c.err
			})
			on(f, "RunService.StopRun", func(*pb.StopRunRequest) (*pb.StopRunResponse, error) {
				return nil, refusal(codes.FailedPrecondition, "RUN_FINAL")
			})
			on(f, "PermitService.Acquire", func(*pb.AcquireRequest) (*pb.AcquireResponse, error) {
				return nil, refusal(codes.NotFound, "RUN_UNKNOWN")
			})
			if r := runText(t, f, wrap(c.step)); r.Reason != c.want {
				t.Errorf("reason %q (%s), want %q", r.Reason, r.lines(), c.want)
			}
		})
	}
}

func TestMismatchStopsTheScenario(t *testing.T) {
	f := &fakeConn{}
	granting(f, retries)
	report := runAll(t, f,
		wrap("{acquire: {op: o, target: t, as: a}, expect: {decision: DENIED, attempt: 1}}", "{report: {permit: a}}"),
		"id: Y\nsteps: [{advance: 1s}]\n")
	r := report.Results[0]
	if r.Reason != Mismatched || r.Step != 1 || r.Line != 3 || r.Verb != "acquire" {
		t.Errorf("result %+v", r)
	}
	same(t, "mismatches", []Mismatch{{"decision", "DENIED", "GRANTED"}}, r.Mismatches)
	if !strings.Contains(r.Message, "answer {attempt: 1, decision: GRANTED, permit: a, target: t}") {
		t.Errorf("message %q does not show the answer", r.Message)
	}
	if n := len(made[*pb.ReportRequest](f, "PermitService.Report")); n != 0 {
		t.Errorf("%d reports were sent after the mismatch", n)
	}
	wantOK(t, report.Results[1])
}

func TestHopeless(t *testing.T) {
	f := &fakeConn{}
	on(f, "DrillService.StartDrill", func(proto.Message) (proto.Message, error) {
		return nil, refusal(codes.FailedPrecondition, "DRILLS_OFF")
	})
	report := runAll(t, f, oneStep, oneStep, "id: X\nstep: []\n", oneStep)
	var reasons []Reason
	for _, r := range report.Results {
		reasons = append(reasons, r.Reason)
	}
	same(t, "reasons", []Reason{SetUp, NotRun, Invalid, NotRun}, reasons)
	if report.Err == nil || !strings.Contains(report.Err.Error(), "DRILLS_OFF") || report.Failed() != 4 {
		t.Errorf("error %v, %d failed", report.Err, report.Failed())
	}
	if len(f.calls) != 1 {
		t.Errorf("calls %q, want one", f.rpcs())
	}
}

func TestInterrupted(t *testing.T) {
	f := &fakeConn{}
	ctx, cancel := context.WithCancel(t.Context())
	on(f, "DrillService.AdvanceClock", func(proto.Message) (proto.Message, error) {
		cancel()
		return nil, status.Error(codes.Canceled, "cancelled")
	})
	s := parse("x.yaml", []byte(oneStep))
	report := Run(ctx, f, []Scenario{s, s}, Options{})
	for _, r := range report.Results {
		if r.Reason != NotRun {
			t.Errorf("reason %q, want %q", r.Reason, NotRun)
		}
	}
	if report.Err == nil || report.Failed() != 2 {
		t.Errorf("error %v, %d failed", report.Err, report.Failed())
	}
	same(t, "calls", []string{"DrillService.StartDrill", "DrillService.AdvanceClock", "DrillService.EndDrill"}, f.rpcs())
}

func TestCallTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeConn{}
		on(f, "DrillService.AdvanceClock", func(proto.Message) (proto.Message, error) {
			time.Sleep(2 * defaultCallTimeout)
			return nil, status.Error(codes.Canceled, "cancelled")
		})
		r := runText(t, f, oneStep)
		if got := strings.Join(r.lines(), "\n"); !strings.Contains(got, "DEADLINE_EXCEEDED: no answer in 1m0s") {
			t.Errorf("lines %q do not tell the timeout", got)
		}
	})
}

func TestPendingIsNeitherPassedNorFailed(t *testing.T) {
	scenario := parse("x.yaml", []byte("id: X\nsteps:\n- {claim: {}}\n"))
	for _, format := range []Format{Table, TAP, JUnit} {
		var out strings.Builder
		failed, err := Execute(t.Context(), &fakeConn{}, []Scenario{scenario}, Options{Format: format, Out: &out, AllowPending: true})
		if err != nil || failed != 0 {
			t.Errorf("%s: failed %d, %v", format, failed, err)
		}
		if !strings.Contains(out.String(), "0 of 1 drills ok, 0 failed, 1 pending") {
			t.Errorf("%s does not say that the scenario is pending:\n%s", format, out.String())
		}
		if failed, _ := Execute(t.Context(), &fakeConn{}, []Scenario{scenario}, Options{Format: format}); failed != 1 {
			t.Errorf("%s: it must fail unless it is allowed to be pending", format)
		}
	}
}
