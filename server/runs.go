// SPDX-License-Identifier: Apache-2.0

package server

import (
	"context"
	"slices"

	"github.com/resilienced/resilienced/engine"
	pb "github.com/resilienced/resilienced/gen/resilience/v1"
	"github.com/resilienced/resilienced/rules/budget"
)

// runService keeps runs and their budgets.
type runService struct {
	pb.UnimplementedRunServiceServer
	*Server
}

// StartRun makes a run.
func (s *runService) StartRun(ctx context.Context, r *pb.StartRunRequest) (*pb.StartRunResponse, error) {
	var c checker
	namespace := c.namespace(ctx)
	checkStartRun(&c, r)
	if err := c.err(); err != nil {
		return nil, err
	}
	var d digest
	d.begin("start run")
	d.text(r.GetRunId())
	d.text(r.GetParentRunId())
	d.caps(r.GetCaps())
	d.text(r.GetCurrency())
	d.small(r.SoftPercent)
	d.entries(r.GetLabels())
	d.flag(r.GetUnlimited())
	view, err := s.engine.StartRun(ctx, &engine.StartRunRequest{
		Namespace: namespace, RequestID: r.GetRequestId(), RunID: r.GetRunId(), Parent: r.GetParentRunId(),
		Caps: capsOf(r.GetCaps()), Unlimited: r.GetUnlimited(), SoftPercent: int(r.GetSoftPercent()),
		Currency: r.GetCurrency(), Labels: r.GetLabels(), Hash: d.value(),
	})
	if err != nil {
		return nil, err
	}
	return &pb.StartRunResponse{Run: wireRun(view)}, nil
}

func checkStartRun(c *checker, r *pb.StartRunRequest) {
	c.id("request_id", r.GetRequestId(), required)
	c.id("run_id", r.GetRunId(), optional)
	c.id("parent_run_id", r.GetParentRunId(), optional)
	if r.GetRunId() != "" && r.GetRunId() == r.GetParentRunId() {
		c.fail("parent_run_id", "is the run itself; name another run, or none for a root")
	}
	checkCaps(c, "caps", r.GetCaps())
	if code := r.GetCurrency(); code != "" && !currency(code) {
		c.fail("currency", "must be an ISO 4217 code of three capital letters, such as USD")
	}
	c.between("soft_percent", r.SoftPercent, 1, 100)
	c.labels("labels", r.GetLabels())
}

func checkCaps(c *checker, field string, caps *pb.Caps) {
	if caps == nil {
		return
	}
	c.amount(field+".cost_micros", caps.CostMicros)
	c.amount(field+".tokens", caps.Tokens)
	c.amount(field+".calls", caps.Calls)
	c.amount(field+".wall_ms", caps.WallMs)
}

func currency(code string) bool {
	if len(code) != 3 {
		return false
	}
	for i := range len(code) {
		if code[i] < 'A' || code[i] > 'Z' {
			return false
		}
	}
	return true
}

// GetRun reads one run.
func (s *runService) GetRun(ctx context.Context, r *pb.GetRunRequest) (*pb.GetRunResponse, error) {
	var c checker
	namespace := c.namespace(ctx)
	c.id("run_id", r.GetRunId(), required)
	if err := c.err(); err != nil {
		return nil, err
	}
	view, err := s.engine.GetRun(ctx, namespace, r.GetRunId())
	if err != nil {
		return nil, err
	}
	return &pb.GetRunResponse{Run: wireRun(view)}, nil
}

// ListRuns reads runs, newest first.
func (s *runService) ListRuns(ctx context.Context, r *pb.ListRunsRequest) (*pb.ListRunsResponse, error) {
	var c checker
	namespace := c.namespace(ctx)
	c.page(r.GetPageSize(), r.GetPageToken())
	choices(&c, "states", r.GetStates(), pb.RunState_name)
	c.id("parent_run_id", r.GetParentRunId(), optional)
	c.labels("labels", r.GetLabels())
	if err := c.err(); err != nil {
		return nil, err
	}
	page, err := collect(asked{r.GetPageSize(), r.GetPageToken()}, func(size int, token string) (engine.Page[*engine.RunView], error) {
		return s.engine.ListRuns(ctx, &engine.ListRunsQuery{
			Namespace: namespace, Parent: r.GetParentRunId(), PageSize: size, PageToken: token,
		})
	}, func(v *engine.RunView) bool {
		return among(r.GetStates(), wireRunState(v.State)) && carries(v.Run.Labels, r.GetLabels())
	})
	if err != nil {
		return nil, err
	}
	resp := &pb.ListRunsResponse{NextPageToken: page.Next}
	for _, v := range page.Items {
		resp.Runs = append(resp.Runs, wireRun(v))
	}
	return resp, nil
}

// AdjustRun changes a run's caps.
func (s *runService) AdjustRun(ctx context.Context, r *pb.AdjustRunRequest) (*pb.AdjustRunResponse, error) {
	var c checker
	namespace := c.namespace(ctx)
	checkAdjustRun(&c, r)
	if err := c.err(); err != nil {
		return nil, err
	}
	var d digest
	d.begin("adjust run")
	d.text(r.GetRunId())
	d.amounts(r.GetDelta())
	d.caps(r.GetCaps())
	d.text(r.GetReason())
	d.text(r.GetActor())
	adjust := &engine.AdjustRunRequest{
		Namespace: namespace, RequestID: r.GetRequestId(), RunID: r.GetRunId(), Delta: amountsOf(r.GetDelta()),
		Actor: actorOf(ctx, r.GetActor()), Reason: r.GetReason(), Hash: d.value(),
	}
	if caps := r.GetCaps(); caps != nil {
		replaced := capsOf(caps)
		adjust.Caps = &replaced
	}
	view, err := s.engine.AdjustRun(ctx, adjust)
	if err != nil {
		return nil, err
	}
	return &pb.AdjustRunResponse{Run: wireRun(view)}, nil
}

func checkAdjustRun(c *checker, r *pb.AdjustRunRequest) {
	checkChange(c, r)
	if r.GetChange() == nil {
		c.fail("change", "is required: delta, or caps")
	}
	if d := r.GetDelta(); d != nil {
		c.change("delta.cost_micros", d.GetCostMicros())
		c.change("delta.tokens", d.GetTokens())
		c.change("delta.calls", d.GetCalls())
		if d.GetWallMs() != 0 {
			c.fail("delta.wall_ms", "is not 0; time is capped by caps, not by a delta")
		}
	}
	checkCaps(c, "caps", r.GetCaps())
}

// change is what every operator's request about a run says.
type change interface {
	GetRequestId() string
	GetRunId() string
	GetReason() string
	GetActor() string
}

func checkChange(c *checker, r change) {
	c.id("request_id", r.GetRequestId(), required)
	c.id("run_id", r.GetRunId(), required)
	c.text("reason", r.GetReason(), maxNote, required)
	c.name("actor", r.GetActor(), optional)
}

// StopRun refuses all further calls of a run.
func (s *runService) StopRun(ctx context.Context, r *pb.StopRunRequest) (*pb.StopRunResponse, error) {
	var c checker
	namespace := c.namespace(ctx)
	checkChange(&c, r)
	if err := c.err(); err != nil {
		return nil, err
	}
	var d digest
	d.begin("stop run")
	d.text(r.GetRunId())
	d.text(r.GetReason())
	d.text(r.GetActor())
	view, err := s.engine.StopRun(ctx, &engine.EndRunRequest{
		Namespace: namespace, RequestID: r.GetRequestId(), RunID: r.GetRunId(),
		Actor: actorOf(ctx, r.GetActor()), Reason: r.GetReason(), Hash: d.value(),
	})
	if err != nil {
		return nil, err
	}
	return &pb.StopRunResponse{Run: wireRun(view)}, nil
}

// FinishRun ends a run.
func (s *runService) FinishRun(ctx context.Context, r *pb.FinishRunRequest) (*pb.FinishRunResponse, error) {
	var c checker
	namespace := c.namespace(ctx)
	c.id("request_id", r.GetRequestId(), required)
	c.id("run_id", r.GetRunId(), required)
	if err := c.err(); err != nil {
		return nil, err
	}
	var d digest
	d.begin("finish run")
	d.text(r.GetRunId())
	view, err := s.engine.FinishRun(ctx, &engine.EndRunRequest{
		Namespace: namespace, RequestID: r.GetRequestId(), RunID: r.GetRunId(), Actor: actorOf(ctx, ""), Hash: d.value(),
	})
	if err != nil {
		return nil, err
	}
	return &pb.FinishRunResponse{Run: wireRun(view)}, nil
}

// ReconcileRun replaces assumed amounts by what was charged.
func (s *runService) ReconcileRun(ctx context.Context, r *pb.ReconcileRunRequest) (*pb.ReconcileRunResponse, error) {
	var c checker
	namespace := c.namespace(ctx)
	checkReconcileRun(&c, r)
	if err := c.err(); err != nil {
		return nil, err
	}
	var d digest
	d.begin("reconcile run")
	d.text(r.GetRunId())
	d.amounts(r.GetReplaces())
	d.amounts(r.GetActual())
	d.text(r.GetReason())
	d.text(r.GetActor())
	reconcile := &engine.ReconcileRunRequest{
		Namespace: namespace, RequestID: r.GetRequestId(), RunID: r.GetRunId(),
		Replaces: amountsOf(r.GetReplaces()), Actual: amountsOf(r.GetActual()),
		Actor: actorOf(ctx, r.GetActor()), Reason: r.GetReason(), Hash: d.value(),
	}
	if r.GetReplaces() == nil {
		run, err := s.engine.GetRun(ctx, namespace, r.GetRunId())
		if err != nil {
			return nil, err
		}
		reconcile.Replaces = run.Run.Assumed
	}
	view, err := s.engine.ReconcileRun(ctx, reconcile)
	if err != nil {
		return nil, err
	}
	return &pb.ReconcileRunResponse{Run: wireRun(view)}, nil
}

func checkReconcileRun(c *checker, r *pb.ReconcileRunRequest) {
	checkChange(c, r)
	checkAmounts(c, "replaces", r.GetReplaces())
	if r.GetActual() == nil {
		c.fail("actual", "is required: what the assumed calls really cost")
	}
	checkAmounts(c, "actual", r.GetActual())
}

func checkAmounts(c *checker, field string, a *pb.Amounts) {
	c.quantity(field+".cost_micros", a.GetCostMicros())
	c.quantity(field+".tokens", a.GetTokens())
	c.quantity(field+".calls", a.GetCalls())
	if a.GetWallMs() != 0 {
		c.fail(field+".wall_ms", "is not 0; time is never assumed")
	}
}

func capsOf(caps *pb.Caps) budget.Caps {
	if caps == nil {
		return budget.Caps{}
	}
	return budget.Caps{Cost: caps.CostMicros, Tokens: caps.Tokens, Calls: caps.Calls, WallMS: caps.WallMs}
}

func amountsOf(a *pb.Amounts) budget.Amounts {
	return budget.Amounts{Cost: a.GetCostMicros(), Tokens: a.GetTokens(), Calls: a.GetCalls()}
}

// among reports whether a value is among the wanted, or none is wanted.
func among[E comparable](wanted []E, value E) bool {
	return len(wanted) == 0 || slices.Contains(wanted, value)
}
