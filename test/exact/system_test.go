// SPDX-License-Identifier: Apache-2.0

package exact

import (
	"context"
	"fmt"
	"hash/fnv"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/resilienced/resilienced/engine"
	pb "github.com/resilienced/resilienced/gen/resilience/v1"
	"github.com/resilienced/resilienced/rules/budget"
	"github.com/resilienced/resilienced/rules/classify"
	"github.com/resilienced/resilienced/rules/operation"
)

// system is the service as a caller of capped runs sees it: the engine itself,
// or a server that has it.
type system interface {
	start(ctx context.Context, run, parent string, limit int64) error
	acquire(ctx context.Context, a ask) (*reply, error)
	// report returns the gist of the answer.
	report(ctx context.Context, permit string, t tell) (string, error)
	balance(ctx context.Context, run string) (sums, error)
}

const (
	namespace = "default"
	target    = "tool/money"
)

// direct is the engine without a wire.
type direct struct{ engine *engine.Engine }

// hashOf stands for what the server makes of a request's content.
func hashOf(v any) uint64 {
	h := fnv.New64a()
	h.Write(fmt.Appendf(nil, "%+v", v))
	return h.Sum64()
}

func (d direct) start(ctx context.Context, run, parent string, limit int64) error {
	_, err := d.engine.StartRun(ctx, &engine.StartRunRequest{
		Namespace: namespace, RequestID: "start-" + run, RunID: run, Parent: parent, Caps: budget.Caps{Cost: &limit}, Hash: hashOf(limit),
	})
	return err
}

func (d direct) acquire(ctx context.Context, a ask) (*reply, error) {
	got, err := d.engine.Acquire(ctx, &engine.AcquireRequest{
		Namespace: namespace, RequestID: a.request, OperationID: a.operation, RunID: a.run, Target: target, Hash: hashOf(a),
		Idempotency: operation.Idempotent, Estimate: budget.Estimate{Cost: &a.estimate}, Lease: a.lease,
	})
	if err != nil {
		return nil, err
	}
	r := &reply{reason: string(got.Reason), blocker: got.BlockedBy, sums: balanceOf(got.Run.Run), remaining: *got.Run.Remaining.Cost}
	if g := got.Grant; g != nil {
		r.permit, r.fence, r.reserved = g.PermitID, g.Fence, g.Reserved.Cost
	}
	return r, nil
}

func (d direct) report(ctx context.Context, permit string, t tell) (string, error) {
	req := &engine.ReportRequest{
		Namespace: namespace, PermitID: permit, Hash: hashOf(t),
		Signal: classify.Signal{Outcome: classify.OutcomeSuccess, Duration: time.Millisecond},
	}
	switch t.use {
	case priced:
		req.Usage.Cost = &t.cost
	case unused:
		req.Signal.Outcome = classify.OutcomeReleased
	case unpriced, untold:
	}
	got, err := d.engine.Report(ctx, req)
	if err != nil {
		return "", err
	}
	return fmt.Sprint(got.Answer.Action, got.Answer.Class, got.Answer.Rule), nil
}

func (d direct) balance(ctx context.Context, run string) (sums, error) {
	v, err := d.engine.GetRun(ctx, namespace, run)
	if err != nil {
		return sums{}, err
	}
	return balanceOf(v.Run), nil
}

func balanceOf(r *budget.Run) sums {
	return sums{r.Spent.Cost, r.Reserved.Cost, r.Assumed.Cost, r.Spent.Calls + r.Reserved.Calls + r.Assumed.Calls}
}

// remote is a server.
type remote struct {
	permits pb.PermitServiceClient
	runs    pb.RunServiceClient
}

func newRemote(conn *grpc.ClientConn) remote {
	return remote{pb.NewPermitServiceClient(conn), pb.NewRunServiceClient(conn)}
}

func (r remote) start(ctx context.Context, run, parent string, limit int64) error {
	_, err := r.runs.StartRun(ctx, &pb.StartRunRequest{
		RequestId: "start-" + run, RunId: run, ParentRunId: parent, Caps: &pb.Caps{CostMicros: &limit},
	})
	return err
}

func (r remote) acquire(ctx context.Context, a ask) (*reply, error) {
	got, err := r.permits.Acquire(ctx, &pb.AcquireRequest{
		RequestId: a.request, OperationId: a.operation, RunId: a.run, Target: target, Idempotency: pb.Idempotency_IDEMPOTENCY_IDEMPOTENT,
		Estimate: &pb.Estimate{CostMicros: &a.estimate}, Lease: durationpb.New(a.lease),
	})
	if err != nil {
		return nil, err
	}
	run := got.GetRun()
	return &reply{
		permit: got.GetPermit().GetPermitId(), fence: got.GetPermit().GetFence(), reserved: got.GetPermit().GetReserved().GetCostMicros(),
		reason: nameOf(got.GetReason()), blocker: got.GetBlockedBy(), remaining: run.GetRemaining().GetCostMicros(),
		sums: wireBalance(run.GetSpent(), run.GetReserved(), run.GetAssumed()),
	}, nil
}

// nameOf is a reason without its prefix.
func nameOf(r pb.DecisionReason) string { return r.String()[len("DECISION_REASON_"):] }

func (r remote) report(ctx context.Context, permit string, t tell) (string, error) {
	req := &pb.ReportRequest{PermitId: permit, Outcome: pb.Outcome_OUTCOME_SUCCESS}
	switch t.use {
	case priced:
		req.Usage = &pb.Usage{CostMicros: &t.cost}
	case unused:
		req.Outcome = pb.Outcome_OUTCOME_RELEASED
	case unpriced, untold:
	}
	got, err := r.permits.Report(ctx, req)
	if err != nil {
		return "", err
	}
	return fmt.Sprint(got.GetAction(), got.GetClass(), got.GetRule()), nil
}

func (r remote) balance(ctx context.Context, run string) (sums, error) {
	got, err := r.runs.GetRun(ctx, &pb.GetRunRequest{RunId: run})
	if err != nil {
		return sums{}, err
	}
	return wireBalance(got.GetRun().GetSpent(), got.GetRun().GetReserved(), got.GetRun().GetAssumed()), nil
}

func wireBalance(spent, reserved, assumed *pb.Amounts) sums {
	return sums{
		spent.GetCostMicros(), reserved.GetCostMicros(), assumed.GetCostMicros(),
		spent.GetCalls() + reserved.GetCalls() + assumed.GetCalls(),
	}
}
