// SPDX-License-Identifier: Apache-2.0

package server

import (
	"context"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/resilienced/resilienced/engine"
	pb "github.com/resilienced/resilienced/gen/resilience/v1"
)

// GetEnforcement reads which rules refuse and which are only observed.
func (s *policyService) GetEnforcement(ctx context.Context, _ *pb.GetEnforcementRequest) (*pb.GetEnforcementResponse, error) {
	var c checker
	namespace := c.namespace(ctx)
	if err := c.err(); err != nil {
		return nil, err
	}
	view, err := s.engine.GetEnforcement(ctx, namespace)
	if err != nil {
		return nil, err
	}
	return &pb.GetEnforcementResponse{Enforcement: wireEnforcement(view)}, nil
}

// SetEnforcement switches targets between observing and refusing.
func (s *policyService) SetEnforcement(ctx context.Context, r *pb.SetEnforcementRequest) (*pb.SetEnforcementResponse, error) {
	var c checker
	namespace := c.namespace(ctx)
	c.id("request_id", r.GetRequestId(), required)
	c.name("match", r.GetMatch(), required)
	choice(&c, "mode", r.GetMode(), pb.EnforcementMode_name, required)
	if n := r.ExpectedEpoch; n != nil && *n < 0 {
		c.fail("expected_epoch", "is %d; it must not be negative", *n)
	}
	c.text("reason", r.GetReason(), maxNote, optional)
	c.name("actor", r.GetActor(), optional)
	if err := c.err(); err != nil {
		return nil, err
	}
	var d digest
	d.begin("set enforcement")
	d.text(r.GetMatch())
	d.number(int64(r.GetMode()))
	d.amount(r.ExpectedEpoch)
	d.text(r.GetReason())
	d.text(r.GetActor())
	set := &engine.SetEnforcementRequest{
		Namespace: namespace, RequestID: r.GetRequestId(), Match: r.GetMatch(), Mode: enforcementOf(r.GetMode()),
		Actor: actorOf(ctx, r.GetActor()), Reason: r.GetReason(), Hash: d.value(),
	}
	if r.ExpectedEpoch != nil {
		epoch := uint64(*r.ExpectedEpoch)
		set.ExpectedEpoch = &epoch
	}
	view, err := s.engine.SetEnforcement(ctx, set)
	if err != nil {
		return nil, err
	}
	return &pb.SetEnforcementResponse{Enforcement: wireEnforcement(view)}, nil
}

// SetPass lets everything pass for a while, or ends that.
func (s *policyService) SetPass(ctx context.Context, r *pb.SetPassRequest) (*pb.SetPassResponse, error) {
	var c checker
	namespace := c.namespace(ctx)
	c.id("request_id", r.GetRequestId(), required)
	c.duration("length", r.GetLength(), engine.MaxPass)
	reason := optional
	if r.GetLength().AsDuration() > 0 {
		reason = required
	}
	c.text("reason", r.GetReason(), maxNote, reason)
	c.name("actor", r.GetActor(), optional)
	if err := c.err(); err != nil {
		return nil, err
	}
	var d digest
	d.begin("set pass")
	d.duration(r.GetLength())
	d.text(r.GetReason())
	d.text(r.GetActor())
	view, err := s.engine.SetPass(ctx, &engine.SetPassRequest{
		Namespace: namespace, RequestID: r.GetRequestId(), Length: r.GetLength().AsDuration(),
		Actor: actorOf(ctx, r.GetActor()), Reason: r.GetReason(), Hash: d.value(),
	})
	if err != nil {
		return nil, err
	}
	return &pb.SetPassResponse{Enforcement: wireEnforcement(view)}, nil
}

func enforcementOf(m pb.EnforcementMode) engine.EnforcementMode {
	switch m {
	case pb.EnforcementMode_ENFORCEMENT_MODE_ENFORCE:
		return engine.Enforce
	case pb.EnforcementMode_ENFORCEMENT_MODE_OBSERVE:
		return engine.Observe
	case pb.EnforcementMode_ENFORCEMENT_MODE_AUTO, pb.EnforcementMode_ENFORCEMENT_MODE_UNSPECIFIED:
	}
	return engine.Auto
}

func wireEnforcement(v *engine.EnforcementView) *pb.Enforcement {
	w := &pb.Enforcement{ServerObserves: v.ServerObserves, Epoch: int64(v.Epoch)}
	for _, entry := range v.Entries {
		mode := pb.EnforcementMode_ENFORCEMENT_MODE_OBSERVE
		if entry.Enforce {
			mode = pb.EnforcementMode_ENFORCEMENT_MODE_ENFORCE
		}
		w.Entries = append(w.Entries, &pb.EnforcementEntry{
			Match: entry.Match, Mode: mode, Actor: entry.Actor, Reason: entry.Reason, SetAt: wireTime(entry.At),
		})
	}
	if p := v.Pass; p != nil {
		w.Pass = &pb.Pass{
			Remaining: durationpb.New(p.Until.Until(v.Now)), Until: wireTime(p.Until), Actor: p.Actor, Reason: p.Reason,
		}
	}
	return w
}

// defaultSummary is how far SummarizeCalls looks back when nobody says so.
const defaultSummary = time.Hour

// SummarizeCalls counts what was asked, granted, refused and would have been.
func (s *decisionService) SummarizeCalls(ctx context.Context, r *pb.SummarizeCallsRequest) (*pb.SummarizeCallsResponse, error) {
	var c checker
	namespace := c.namespace(ctx)
	c.span("since", r.GetSince(), engine.ObservationRetention)
	c.name("name_glob", r.GetNameGlob(), optional)
	if err := c.err(); err != nil {
		return nil, err
	}
	since := defaultSummary
	if r.GetSince() != nil {
		since = r.GetSince().AsDuration()
	}
	sums, err := s.engine.SummarizeCalls(ctx, namespace, since, r.GetNameGlob())
	if err != nil {
		return nil, err
	}
	resp := &pb.SummarizeCallsResponse{
		From: wireTime(sums.From), Until: wireTime(sums.Until), Totals: wireSummary(&sums.Totals),
	}
	for i := range sums.Targets {
		resp.Targets = append(resp.Targets, wireSummary(&sums.Targets[i]))
	}
	return resp, nil
}

func wireSummary(s *engine.CallSummary) *pb.CallSummary {
	return &pb.CallSummary{
		Target: s.Target, Acquires: s.Acquires, Granted: s.Granted, Reports: s.Reports, Failures: s.Failures,
		CostMicros: s.Cost, Refused: wireCounts(s.Refused), WouldRefuse: wireCounts(s.Would), Early: s.Early,
		Opened: s.Opened, Unpriced: s.Unpriced, Observed: s.Observed,
	}
}

func wireCounts(counts []engine.ReasonCount) []*pb.RefusalCount {
	var list []*pb.RefusalCount
	for _, r := range counts {
		list = append(list, &pb.RefusalCount{Reason: wireReason(r.Reason), Calls: r.Calls, CostMicros: r.Cost, Tokens: r.Tokens})
	}
	return list
}
