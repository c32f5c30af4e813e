// SPDX-License-Identifier: Apache-2.0

package server

import (
	"context"
	"strings"

	"github.com/resilienced/resilienced/engine"
	pb "github.com/resilienced/resilienced/gen/resilience/v1"
	"github.com/resilienced/resilienced/rules/admit"
)

// decisionService answers "why".
type decisionService struct {
	pb.UnimplementedDecisionServiceServer
	*Server
}

// ExplainDecision tells what is known about one decision.
func (s *decisionService) ExplainDecision(ctx context.Context, r *pb.ExplainDecisionRequest) (*pb.ExplainDecisionResponse, error) {
	var c checker
	namespace := c.namespace(ctx)
	if r.GetDecisionId() == "" && r.GetPermitId() == "" {
		c.fail("decision_id", "is required, unless permit_id is set")
	}
	c.handle("decision_id", r.GetDecisionId(), maxDecisionID, optional)
	c.handle("permit_id", r.GetPermitId(), maxPermitID, optional)
	if err := c.err(); err != nil {
		return nil, err
	}
	if id := r.GetPermitId(); id != "" {
		view, err := s.engine.ExplainPermit(ctx, namespace, id)
		if err != nil {
			return nil, err
		}
		resp := explained(view, pb.ExplanationSource_EXPLANATION_SOURCE_OPERATION)
		resp.Record.PermitId = id
		return resp, nil
	}
	view, err := s.engine.ExplainDecision(ctx, namespace, r.GetDecisionId())
	if err != nil {
		return nil, err
	}
	source := pb.ExplanationSource_EXPLANATION_SOURCE_DECISION_ID
	if view.Logged {
		source = pb.ExplanationSource_EXPLANATION_SOURCE_LOG
	}
	return explained(view, source), nil
}

func explained(v *engine.DecisionView, source pb.ExplanationSource) *pb.ExplainDecisionResponse {
	return &pb.ExplainDecisionResponse{Record: wireDecision(v), Source: source, Text: sentence(v)}
}

// ListDecisions reads the log, newest first.
func (s *decisionService) ListDecisions(ctx context.Context, r *pb.ListDecisionsRequest) (*pb.ListDecisionsResponse, error) {
	var c checker
	namespace := c.namespace(ctx)
	c.page(r.GetPageSize(), r.GetPageToken())
	c.id("run_id", r.GetRunId(), optional)
	c.id("operation_id", r.GetOperationId(), optional)
	c.name("target", r.GetTarget(), optional)
	choices(&c, "reasons", r.GetReasons(), pb.DecisionReason_name)
	choices(&c, "actions", r.GetActions(), pb.Action_name)
	c.instant("since", r.GetSince())
	c.instant("until", r.GetUntil())
	if err := c.err(); err != nil {
		return nil, err
	}
	page, err := collect(asked{r.GetPageSize(), r.GetPageToken()}, func(size int, token string) (engine.Page[*engine.DecisionView], error) {
		return s.engine.ListDecisions(ctx, &engine.ListQuery{
			Namespace: namespace, Target: r.GetTarget(), Run: r.GetRunId(), PageSize: size, PageToken: token,
		})
	}, func(v *engine.DecisionView) bool {
		d := wireDecision(v)
		return (r.GetOperationId() == "" || r.GetOperationId() == v.Operation) && among(r.GetReasons(), d.GetReason()) &&
			among(r.GetActions(), d.GetAction()) && within(v.At, r.GetSince(), r.GetUntil())
	})
	if err != nil {
		return nil, err
	}
	resp := &pb.ListDecisionsResponse{NextPageToken: page.Next}
	for _, v := range page.Items {
		resp.Decisions = append(resp.Decisions, wireDecision(v))
	}
	return resp, nil
}

// The methods that decisions name.
const (
	methodAcquire = "Acquire"
	methodReport  = "Report"
)

func wireDecision(v *engine.DecisionView) *pb.DecisionRecord {
	d := &pb.DecisionRecord{
		DecisionId: v.ID, At: wireTime(v.At), Rule: v.Rule, BlockedBy: v.BlockedBy, Delay: wireDelay(v.Delay),
		PolicyEpoch: int64(v.Epoch), RunId: v.Run, OperationId: v.Operation, Target: v.Target,
		Would: wireWould(v.Would),
	}
	switch v.Method {
	case methodAcquire:
		d.Kind = pb.DecisionKind_DECISION_KIND_ACQUIRE
		d.Decision = byName[pb.Decision](pb.Decision_value, "DECISION_", v.Outcome)
		d.Reason = wireReason(admit.Reason(v.Reason))
	case methodReport:
		d.Kind = pb.DecisionKind_DECISION_KIND_REPORT
		d.Action = byName[pb.Action](pb.Action_value, "ACTION_", v.Outcome)
		d.SignalReason = v.Reason
	}
	return d
}

// sentence tells a decision to people.
func sentence(v *engine.DecisionView) string {
	var b strings.Builder
	b.WriteString(v.Method + " answered " + v.Outcome)
	for _, part := range [...]struct{ before, text string }{
		{" for target ", v.Target},
		{" because of ", v.Reason},
		{" by rule ", v.Rule},
		{", blocked by ", v.BlockedBy},
		{": ", v.Detail},
	} {
		if part.text != "" {
			b.WriteString(part.before + part.text)
		}
	}
	if v.Delay > 0 {
		b.WriteString("; the delay was " + v.Delay.String())
	}
	if w := v.Would; w != nil {
		b.WriteString("; enforced, the answer would have been " + w.Outcome.String() + " because of " + string(w.Reason) + " by rule " + w.Rule)
	}
	return b.String() + "."
}
