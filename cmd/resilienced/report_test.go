// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "github.com/resilienced/resilienced/gen/resilience/v1"
)

func summaryOf(from time.Time) *pb.SummarizeCallsResponse {
	cooldown := func(n, cost int64) *pb.RefusalCount {
		return &pb.RefusalCount{Reason: pb.DecisionReason_DECISION_REASON_COOLDOWN, Calls: n, CostMicros: cost}
	}
	budget := func(n, cost int64) *pb.RefusalCount {
		return &pb.RefusalCount{Reason: pb.DecisionReason_DECISION_REASON_RUN_BUDGET, Calls: n, CostMicros: cost}
	}
	return &pb.SummarizeCallsResponse{
		From: timestamppb.New(from), Until: timestamppb.New(from.Add(time.Hour)),
		Totals: &pb.CallSummary{
			Acquires: 12345, Granted: 12300, Reports: 12290, Failures: 400, CostMicros: 80_000_000, Early: 40, Opened: 4, Unpriced: 3,
			Refused: []*pb.RefusalCount{cooldown(45, 0)}, WouldRefuse: []*pb.RefusalCount{budget(17, 11_200_000), cooldown(40, 20_000_000)},
		},
		Targets: []*pb.CallSummary{
			{Target: "openai/gpt-x", Observed: true, Acquires: 12000, Early: 40, Opened: 3, CostMicros: 79_000_000, WouldRefuse: []*pb.RefusalCount{budget(17, 11_200_000), cooldown(39, 19_000_000)}},
			{Target: "it's; rm -rf", Observed: true, Acquires: 100, CostMicros: 1_000_000, WouldRefuse: []*pb.RefusalCount{cooldown(1, 1_000_000)}},
			{Target: "__other__", Observed: true, Acquires: 9, WouldRefuse: []*pb.RefusalCount{cooldown(1, 0)}},
			{Target: "tool/search", Acquires: 236, Opened: 1, Refused: []*pb.RefusalCount{cooldown(45, 0)}},
			{Target: "quiet", Observed: true},
		},
	}
}

func TestReportSummary(t *testing.T) {
	from := time.Date(2026, 3, 1, 14, 0, 0, 0, time.Local)
	var asked *pb.SummarizeCallsRequest
	answer := summaryOf(from)
	addr := serveFake(t, func(_ context.Context, _ string, req any) (any, error) {
		if r, ok := req.(*pb.SummarizeCallsRequest); ok {
			asked = r
			return answer, nil
		}
		return nil, nil
	})
	code, out, errs := runAt(t, addr, "report", "--since", "2h", "--target", "*")
	want := `2026-03-01 14:00 to 2026-03-01 15:00
12,345 calls asked, 12,300 granted, 45 refused (COOLDOWN 45)
12,290 reported, 400 failed, $80.00 spent
57 calls would have been refused (COOLDOWN 40, RUN_BUDGET 17); it would have saved you $31.20 (and what 3 more cost nobody knows)
40 calls came before a wait was over that the target or a directive had named
breakers opened 1 time
breakers of observed targets would have opened 3 times

TARGET        RULES      ASKED  REFUSED  WOULD REFUSE  EARLY  FAILED  OPENED   SPENT  WOULD SAVE  REASONS
openai/gpt-x  observed  12,000        0            56     40       0       3  $79.00      $30.20  COOLDOWN 39, RUN_BUDGET 17
it's; rm -rf  observed     100        0             1      0       0       0   $1.00       $1.00  COOLDOWN 1
__other__     observed       9        0             1      0       0       0   $0.00              COOLDOWN 1
tool/search   enforced     236       45             0      0       0       1   $0.00              COOLDOWN 45
quiet         observed       0        0             0      0       0       0   $0.00

Switch these on first:
  resilienced enforce openai/gpt-x
  resilienced enforce 'it'"'"'s; rm -rf'
`
	if code != exitOK || errs != "" {
		t.Errorf("exit %d, %s", code, errs)
	}
	wantText(t, "summary", out, want)
	if asked.GetSince().AsDuration() != 2*time.Hour || asked.GetNameGlob() != "*" {
		t.Errorf("asked %v", asked)
	}
	answer = &pb.SummarizeCallsResponse{From: timestamppb.New(from), Until: timestamppb.New(from), Totals: &pb.CallSummary{}}
	if code, out, _ := runAt(t, addr, "report"); code != exitOK || !strings.HasPrefix(out, "nothing was asked since 2026-03-01 14:00; point a client at 127.0.0.1:") {
		t.Errorf("nothing: exit %d, %q", code, out)
	}
	if asked.GetSince().AsDuration() != time.Hour {
		t.Errorf("the default is %v", asked.GetSince())
	}
}

func TestEnforceAndPass(t *testing.T) {
	var asked any
	holds := &pb.Enforcement{ServerObserves: true, Epoch: 7, Entries: []*pb.EnforcementEntry{
		{Match: "openai/*", Mode: pb.EnforcementMode_ENFORCEMENT_MODE_ENFORCE, Actor: "ann", Reason: "the report", SetAt: timestamppb.New(time.Now().Add(-time.Hour - time.Second))},
		{Match: "tool/*", Mode: pb.EnforcementMode_ENFORCEMENT_MODE_OBSERVE},
	}}
	addr := serveFake(t, func(_ context.Context, _ string, req any) (any, error) {
		asked = req
		switch req.(type) {
		case *pb.SetEnforcementRequest:
			return &pb.SetEnforcementResponse{Enforcement: holds}, nil
		case *pb.GetEnforcementRequest:
			return &pb.GetEnforcementResponse{Enforcement: holds}, nil
		case *pb.SetPassRequest:
			return &pb.SetPassResponse{Enforcement: holds}, nil
		}
		return nil, nil
	})
	want := `what nothing below says is observed: the server was started with --observe; policy epoch 7
TARGETS   RULES    SET     BY   REASON
openai/*  ENFORCE  1h ago  ann  the report
tool/*    OBSERVE
`
	for _, c := range []struct {
		args  []string
		match string
		mode  pb.EnforcementMode
	}{
		{[]string{"enforce", "openai/*", "--reason", "the report"}, "openai/*", pb.EnforcementMode_ENFORCEMENT_MODE_ENFORCE},
		{[]string{"enforce", "--all"}, "*", pb.EnforcementMode_ENFORCEMENT_MODE_ENFORCE},
		{[]string{"observe", "t"}, "t", pb.EnforcementMode_ENFORCEMENT_MODE_OBSERVE},
		{[]string{"observe", "t", "--auto"}, "t", pb.EnforcementMode_ENFORCEMENT_MODE_AUTO},
		{[]string{"enforce", "--all", "--auto"}, "*", pb.EnforcementMode_ENFORCEMENT_MODE_AUTO},
	} {
		code, out, errs := runAt(t, addr, c.args...)
		r, ok := asked.(*pb.SetEnforcementRequest)
		if code != exitOK || out != want || !ok || r.GetMatch() != c.match || r.GetMode() != c.mode || r.GetActor() != "op" || r.GetRequestId() == "" || r.ExpectedEpoch != nil {
			t.Errorf("%q: exit %d, %v\n%s%s", c.args, code, asked, out, errs)
		}
	}
	for _, c := range []struct {
		args []string
		says string
	}{
		{[]string{"enforce"}, "--all"},
		{[]string{"enforce", "t", "--all"}, "leave it out"},
		{[]string{"pass", "--for", "1h"}, "--reason is required"},
		{[]string{"pass", "--for", "1h", "--end"}, "--end to end it"},
		{[]string{"pass", "--for", "0s", "--reason", "r"}, "above 0"},
	} {
		if code, _, errs := runAt(t, addr, c.args...); code != exitUsage || !strings.Contains(errs, c.says) {
			t.Errorf("%q: exit %d, %s", c.args, code, errs)
		}
	}
	if code, out, _ := runAt(t, addr, "pass"); code != exitOK || out != "no pass holds: the rules decide\n" {
		t.Errorf("pass: exit %d, %q", code, out)
	}
	holds.Pass = &pb.Pass{Remaining: durationpb.New(3599 * time.Second), Actor: "ann", Reason: "incident"}
	code, out, _ := runAt(t, addr, "pass", "--for", "1h", "--reason", "incident")
	if r, ok := asked.(*pb.SetPassRequest); code != exitOK || !ok || r.GetLength().AsDuration() != time.Hour || r.GetReason() != "incident" ||
		out != "EVERYTHING PASSES for 59m59s (ann: incident); end it with: resilienced pass --end\n" {
		t.Errorf("exit %d, %v, %q", code, asked, out)
	}
	code, _, _ = runAt(t, addr, "pass", "--end")
	if r, ok := asked.(*pb.SetPassRequest); code != exitOK || !ok || r.Length != nil {
		t.Errorf("end: exit %d, %v", code, asked)
	}
}
