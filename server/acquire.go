// SPDX-License-Identifier: Apache-2.0

package server

import (
	"context"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/resilienced/resilienced/engine"
	pb "github.com/resilienced/resilienced/gen/resilience/v1"
	"github.com/resilienced/resilienced/rules/admit"
	"github.com/resilienced/resilienced/rules/budget"
)

// Acquire asks whether one attempt may be made now.
func (s *permitService) Acquire(ctx context.Context, r *pb.AcquireRequest) (*pb.AcquireResponse, error) {
	inherit(ctx, &r.RunId, keyRun)
	inherit(ctx, &r.TaskId, keyTask)
	inherit(ctx, &r.OperationId, keyOperation)
	var c checker
	namespace := c.namespace(ctx)
	checkAcquire(&c, r)
	if err := c.err(); err != nil {
		return nil, err
	}
	result, err := s.engine.Acquire(ctx, acquireOf(namespace, r))
	if err != nil {
		return nil, err
	}
	return acquired(result), nil
}

func checkAcquire(c *checker, r *pb.AcquireRequest) {
	c.id("request_id", r.GetRequestId(), optional)
	c.id("run_id", r.GetRunId(), optional)
	c.id("task_id", r.GetTaskId(), optional)
	c.id("operation_id", r.GetOperationId(), optional)
	c.name("target", r.GetTarget(), optional)
	c.name("chain", r.GetChain(), optional)
	switch {
	case r.GetTarget() == "" && r.GetChain() == "":
		c.fail("target", "is required, unless chain is set")
	case r.GetTarget() != "" && r.GetChain() != "":
		c.fail("target", "is set together with chain; set one of the two")
	}
	choice(c, "idempotency", r.GetIdempotency(), pb.Idempotency_name, optional)
	c.name("idempotency_key", r.GetIdempotencyKey(), optional)
	if e := r.GetEstimate(); e != nil {
		c.amount("estimate.cost_micros", e.CostMicros)
		c.amount("estimate.input_tokens", e.InputTokens)
		c.amount("estimate.max_output_tokens", e.MaxOutputTokens)
	}
	c.span("deadline", r.GetDeadline(), maxDeadline)
	c.duration("max_wait", r.GetMaxWait(), maxMaxWait)
	c.span("lease", r.GetLease(), maxLease)
	c.handle("replay_of", r.GetReplayOf(), maxDerivedID, optional)
	c.name("credential_ref", r.GetCredentialRef(), optional)
	c.between("pin_level", r.PinLevel, 0, maxLevel)
	if r.MaxAttempts != nil && *r.MaxAttempts < 1 {
		c.fail("max_attempts", "is %d; it must be at least 1, or absent", *r.MaxAttempts)
	}
	c.labels("labels", r.GetLabels())
	c.name("reporter_id", r.GetReporterId(), optional)
	c.name("fingerprint", r.GetFingerprint(), optional)
}

// acquireOf is the command of a request that was checked.
func acquireOf(namespace string, r *pb.AcquireRequest) *engine.AcquireRequest {
	a := &engine.AcquireRequest{
		Namespace: namespace, RequestID: r.GetRequestId(), RunID: r.GetRunId(), TaskID: r.GetTaskId(),
		OperationID: r.GetOperationId(), Target: r.GetTarget(), Chain: r.GetChain(),
		Idempotency: idempotencyOf(r.GetIdempotency()), IdempotencyKey: r.GetIdempotencyKey(),
		Deadline: r.GetDeadline().AsDuration(), ReplayOf: r.GetReplayOf(), Credential: r.GetCredentialRef(),
		DryRun: r.GetDryRun(), Lease: r.GetLease().AsDuration(), MaxAttempts: int(r.GetMaxAttempts()),
		Reporter: r.GetReporterId(), Fingerprint: r.GetFingerprint(),
	}
	if e := r.GetEstimate(); e != nil {
		a.Estimate = budget.Estimate{Cost: e.CostMicros, Input: e.InputTokens, MaxOutput: e.MaxOutputTokens}
	}
	if w := r.GetMaxWait(); w != nil {
		wait := w.AsDuration()
		a.MaxWait = &wait
	}
	if r.PinLevel != nil {
		pin := int(*r.PinLevel)
		a.PinLevel = &pin
	}
	if a.RequestID != "" {
		a.Hash = hashAcquire(r)
	}
	return a
}

// acquired is the answer. A grant is one allocation.
func acquired(a *engine.AcquireResult) *pb.AcquireResponse {
	var resp *pb.AcquireResponse
	if a.Grant != nil {
		resp = granted(a.Grant)
	} else {
		resp = &pb.AcquireResponse{}
	}
	if a.Decision == admit.Denied {
		resp.Action, resp.Next = wireAction(a.Action), wireNext(a.Next)
	}
	resp.Decision = wireOutcome(a.Decision)
	resp.Reason = wireReason(a.Reason)
	resp.Rule = a.Rule
	resp.BlockedBy = a.BlockedBy
	resp.DecisionId = a.DecisionID
	resp.Terminal = a.Terminal
	resp.ResultRef = a.ResultRef
	if a.Delay > 0 {
		resp.Delay = durationpb.New(a.Delay)
		resp.ReadyAt = wireTime(a.Now.Add(a.Delay))
	}
	if a.Run != nil {
		resp.Run = runSummary(a.Run)
	}
	resp.Would = wireWould(a.Would)
	for _, skip := range a.Skipped {
		resp.Skipped = append(resp.Skipped, &pb.SkippedLevel{
			Target: skip.Target, Level: int32(skip.Level), Reason: wireReason(skip.Reason), Delay: wireDelay(skip.Delay),
		})
	}
	return resp
}

// wireWould is what would have been answered; nil: the same.
func wireWould(w *admit.Would) *pb.WouldDecision {
	if w == nil {
		return nil
	}
	return &pb.WouldDecision{Decision: wireOutcome(w.Outcome), Reason: wireReason(w.Reason), Rule: w.Rule}
}

// grantedAnswer lays the parts of a grant's answer side by side.
type grantedAnswer struct {
	response                  pb.AcquireResponse
	permit                    pb.Permit
	lease, heartbeat, timeout durationpb.Duration
	reserved                  pb.Amounts
}

func granted(g *engine.Grant) *pb.AcquireResponse {
	all := &grantedAnswer{}
	p := &all.permit
	p.PermitId, p.Fence = g.PermitID, g.Fence
	p.Target, p.Level, p.LevelKind = g.Target, int32(g.Level), wireKind(g.Kind)
	p.IsProbe, p.BreakerGeneration = g.Probe, g.Generation
	p.Attempt, p.OperationId = int32(g.Attempt), g.Operation
	p.Lease = fillDuration(&all.lease, g.Lease)
	p.HeartbeatEvery = fillDuration(&all.heartbeat, g.HeartbeatEvery)
	p.TimeoutHint = fillDuration(&all.timeout, g.Timeout)
	p.EstimateSource = wireSource(g.Source)
	p.IdempotencyKey, p.Degraded = g.IdempotencyKey, g.Degraded
	if g.Reserved != (budget.Amounts{}) {
		p.Reserved = fillAmounts(&all.reserved, g.Reserved)
	}
	all.response.Permit = p
	return &all.response
}

func fillDuration(to *durationpb.Duration, d time.Duration) *durationpb.Duration {
	to.Seconds, to.Nanos = int64(d/time.Second), int32(d%time.Second)
	return to
}

func fillAmounts(to *pb.Amounts, a budget.Amounts) *pb.Amounts {
	to.CostMicros, to.Tokens, to.Calls = a.Cost, a.Tokens, a.Calls
	return to
}
