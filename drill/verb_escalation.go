// SPDX-License-Identifier: Apache-2.0

package drill

import (
	"context"

	"github.com/resilienced/resilienced/drill/enum"
	pb "github.com/resilienced/resilienced/gen/resilience/v1"
)

// escalationPrefix begins the name of an escalation that a report raised:
// esc:o1 is that of operation o1. It is the escalation's dedupe key as well.
const escalationPrefix = "esc:"

// escalationVerbs are the verbs of EscalationService.
func escalationVerbs() []verb {
	id := required("id", argText)
	fields := append(texts("state", "decision", "by"), numbers("late", "occ")...)
	return []verb{
		{
			name: "esc_create", rpc: "EscalationService.CreateEscalation",
			params: []param{required("key", argText), may("type", argText), may("reversible", argFlag), may("default", argText)},
			fields: append(texts("state"), millis("deadline_ms")...),
		},
		{name: "esc_ack", rpc: "EscalationService.AcknowledgeEscalation", params: []param{id}, fields: fields},
		{
			name: "esc_decide", rpc: "EscalationService.DecideEscalation", fields: fields,
			params: []param{id, required("option", argText)},
		},
		{name: "esc_wait", rpc: "EscalationService.WaitDecision", params: []param{id}, fields: fields, do: doEscalationWait},
		{name: "esc_consume", rpc: "EscalationService.ConsumeDecision", params: []param{id}, fields: fields},
	}
}

func doEscalationWait(ctx context.Context, s *session, a args) (answer, error) {
	req := &pb.WaitDecisionRequest{Key: &pb.WaitDecisionRequest_DedupeKey{DedupeKey: a.text("id")}}
	if id := s.escalated[a.text("id")]; id != "" {
		req.Key = &pb.WaitDecisionRequest_EscalationId{EscalationId: id}
	}
	resp, err := pb.NewEscalationServiceClient(s.conn).WaitDecision(ctx, req)
	if err != nil {
		return nil, err
	}
	return escalationAnswer(resp.GetEscalation()), nil
}

func escalationAnswer(e *pb.Escalation) answer {
	return answer{
		"state":    enum.Word(e.GetState()),
		"decision": decided(e.GetDecision()),
		"by":       e.GetDecision().GetDecidedBy(),
		"late":     int64(len(e.GetLateDecisions())),
		"occ":      int64(e.GetOccurrences()),
	}
}

// decided is the option that was taken, or the default's own name.
func decided(d *pb.EscalationDecision) string {
	switch d.GetDefaultAction() {
	case pb.DefaultAction_DEFAULT_ACTION_DO_NOTHING, pb.DefaultAction_DEFAULT_ACTION_PROCEED:
		return enum.Word(d.GetDefaultAction())
	case pb.DefaultAction_DEFAULT_ACTION_UNSPECIFIED, pb.DefaultAction_DEFAULT_ACTION_OPTION:
	}
	return d.GetOptionId()
}
