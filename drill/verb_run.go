// SPDX-License-Identifier: Apache-2.0

package drill

import (
	"context"
	"slices"

	"github.com/resilienced/resilienced/drill/enum"
	pb "github.com/resilienced/resilienced/gen/resilience/v1"
)

// runVerbs are the verbs of RunService.
func runVerbs() []verb {
	id := required("id", argText)
	fields := slices.Concat(texts("state"), numbers("spent", "reserved", "assumed", "overrun"))
	return []verb{
		{name: "run", rpc: "RunService.GetRun", params: []param{id}, fields: fields, do: doRun},
		{
			name: "run_adjust", rpc: "RunService.AdjustRun", fields: fields, do: doRunAdjust, read: doRun,
			params: []param{id, required("delta", argNumber)},
		},
		{name: "run_stop", rpc: "RunService.StopRun", params: []param{id}, fields: fields, do: doRunStop, read: doRun},
	}
}

func doRun(ctx context.Context, s *session, a args) (answer, error) {
	resp, err := pb.NewRunServiceClient(s.conn).GetRun(ctx, &pb.GetRunRequest{RunId: a.text("id")})
	if err != nil {
		return nil, err
	}
	return runAnswer(resp.GetRun()), nil
}

func doRunAdjust(ctx context.Context, s *session, a args) (answer, error) {
	resp, err := pb.NewRunServiceClient(s.conn).AdjustRun(ctx, &pb.AdjustRunRequest{
		RequestId: s.requestID(""),
		RunId:     a.text("id"),
		Change:    &pb.AdjustRunRequest_Delta{Delta: &pb.Amounts{CostMicros: a.number("delta")}},
		Reason:    auditReason,
	})
	if err != nil {
		return nil, err
	}
	return runAnswer(resp.GetRun()), nil
}

func doRunStop(ctx context.Context, s *session, a args) (answer, error) {
	resp, err := pb.NewRunServiceClient(s.conn).StopRun(ctx, &pb.StopRunRequest{
		RequestId: s.requestID(""), RunId: a.text("id"), Reason: auditReason,
	})
	if err != nil {
		return nil, err
	}
	return runAnswer(resp.GetRun()), nil
}

func runAnswer(r *pb.Run) answer {
	return answer{
		"state":    enum.Word(r.GetState()),
		"spent":    r.GetSpent().GetCostMicros(),
		"reserved": r.GetReserved().GetCostMicros(),
		"assumed":  r.GetAssumed().GetCostMicros(),
		"overrun":  r.GetOverrunMicros(),
	}
}
