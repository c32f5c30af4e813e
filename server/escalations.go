// SPDX-License-Identifier: Apache-2.0

package server

import (
	"context"
	"errors"

	"github.com/resilienced/resilienced/engine"
	pb "github.com/resilienced/resilienced/gen/resilience/v1"
	"github.com/resilienced/resilienced/rules/escalation"
)

// escalationService shows what people have to decide. An escalation's id is
// its dedupe key.
type escalationService struct {
	pb.UnimplementedEscalationServiceServer
	*Server
}

// oneEscalation is how a request names one.
type oneEscalation interface {
	GetEscalationId() string
	GetDedupeKey() string
}

func (c *checker) escalation(r oneEscalation) string {
	if r.GetEscalationId() == "" && r.GetDedupeKey() == "" {
		c.fail("escalation_id", "is required, unless dedupe_key is set")
	}
	c.handle("escalation_id", r.GetEscalationId(), maxDerivedID, optional)
	c.handle("dedupe_key", r.GetDedupeKey(), maxDerivedID, optional)
	if id := r.GetEscalationId(); id != "" {
		return id
	}
	return r.GetDedupeKey()
}

// GetEscalation reads one escalation in full.
func (s *escalationService) GetEscalation(ctx context.Context, r *pb.GetEscalationRequest) (*pb.GetEscalationResponse, error) {
	var c checker
	namespace := c.namespace(ctx)
	key := c.escalation(r)
	if err := c.err(); err != nil {
		return nil, err
	}
	view, err := s.engine.GetEscalation(ctx, namespace, key)
	if err != nil {
		return nil, err
	}
	return &pb.GetEscalationResponse{Escalation: wireEscalation(view, true)}, nil
}

// WaitDecision answers when the escalation is final, or as it then is.
func (s *escalationService) WaitDecision(ctx context.Context, r *pb.WaitDecisionRequest) (*pb.WaitDecisionResponse, error) {
	var c checker
	namespace := c.namespace(ctx)
	key := c.escalation(r)
	c.duration("timeout", r.GetTimeout(), maxPoll)
	if err := c.err(); err != nil {
		return nil, err
	}
	waiting, cancel := s.untilDrain(ctx)
	defer cancel()
	view, err := s.engine.WaitDecision(waiting, namespace, key, r.GetTimeout().AsDuration())
	if err != nil && errors.Is(context.Cause(waiting), errDraining) {
		return nil, errDraining
	}
	if err != nil {
		return nil, err
	}
	return &pb.WaitDecisionResponse{Escalation: wireEscalation(view, true), Final: view.Escalation.Final()}, nil
}

// ListEscalations reads escalations, newest first.
func (s *escalationService) ListEscalations(ctx context.Context, r *pb.ListEscalationsRequest) (*pb.ListEscalationsResponse, error) {
	var c checker
	namespace := c.namespace(ctx)
	c.page(r.GetPageSize(), r.GetPageToken())
	choices(&c, "states", r.GetStates(), pb.EscalationState_name)
	c.handle("type", r.GetType(), maxCode, optional)
	c.id("run_id", r.GetRunId(), optional)
	if r.GetGroupId() != "" {
		c.fail("group_id", "is not kept yet; leave it out")
	}
	c.instant("due_before", r.GetDueBefore())
	if err := c.err(); err != nil {
		return nil, err
	}
	page, err := collect(asked{r.GetPageSize(), r.GetPageToken()}, func(size int, token string) (engine.Page[*engine.EscalationView], error) {
		return s.engine.ListEscalations(ctx, &engine.ListQuery{
			Namespace: namespace, Type: r.GetType(), Run: r.GetRunId(), PageSize: size, PageToken: token,
		})
	}, func(v *engine.EscalationView) bool {
		return among(r.GetStates(), wireEscalationState(v.Escalation.State)) && within(v.Escalation.Deadline, nil, r.GetDueBefore())
	})
	if err != nil {
		return nil, err
	}
	resp := &pb.ListEscalationsResponse{NextPageToken: page.Next}
	for _, v := range page.Items {
		resp.Escalations = append(resp.Escalations, wireEscalation(v, false))
	}
	return resp, nil
}

// byService is who asks when a Report raised the escalation.
const byService = "resilienced"

func wireEscalation(v *engine.EscalationView, full bool) *pb.Escalation {
	e := v.Escalation
	w := &pb.Escalation{
		EscalationId: e.Key, DedupeKey: e.Key, Type: string(e.Type), State: wireEscalationState(e.State), Question: e.Question,
		Reversible: e.Reversible, DefaultAction: wireDefault(e.Default), DeadlineAt: wireTime(e.Deadline), RunId: e.Run,
		OperationId: e.Operation, Target: e.Target, RequestedBy: byService, Occurrences: int32(e.Occurrences),
		CreatedAt: wireTime(e.CreatedAt), Decision: wireEscalationDecision(e.Decision),
	}
	if !e.Final() {
		w.Deadline = wireRemaining(e.Deadline, v.Now)
	}
	if e.Recommended != "" {
		w.Recommendation = &pb.EscalationRecommendation{OptionId: e.Recommended}
	}
	for _, o := range e.Options {
		w.Options = append(w.Options, &pb.EscalationOption{Id: o.ID, Label: o.Label, Effect: o.Effect, Reversible: o.Reversible})
	}
	for i := 0; full && i < len(e.Evidence); i++ {
		w.Evidence = append(w.Evidence, &pb.EscalationEvidence{
			Kind: e.Evidence[i].Kind, Title: e.Evidence[i].Title, Body: e.Evidence[i].Body,
		})
	}
	return w
}

// wireEscalationDecision tells an option that a person took from the default
// that the deadline took.
func wireEscalationDecision(d *escalation.Decision) *pb.EscalationDecision {
	if d == nil {
		return nil
	}
	w := &pb.EscalationDecision{DecidedBy: d.By, At: wireTime(d.At), TimedOut: d.TimedOut}
	if d.TimedOut {
		w.DefaultAction = byName[pb.DefaultAction](pb.DefaultAction_value, "DEFAULT_ACTION_", d.Option)
	} else {
		w.OptionId = d.Option
	}
	return w
}
