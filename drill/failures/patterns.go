// SPDX-License-Identifier: Apache-2.0

package failures

import (
	"github.com/resilienced/resilienced/drill/enum"
	pb "github.com/resilienced/resilienced/gen/resilience/v1"
)

// noteAcquire notes what an answer to Acquire shows.
func (s *stage) noteAcquire(r *pb.AcquireResponse) {
	reason := enum.Word(r.GetReason())
	if w := r.GetWould(); w != nil {
		s.fire("observed only: " + enum.Word(w.GetReason()))
	}
	switch {
	case r.GetReason() == pb.DecisionReason_DECISION_REASON_UNSPECIFIED:
	case r.GetReason() == pb.DecisionReason_DECISION_REASON_BACKOFF:
		// The caller was early for its own RETRY, which has been noted.
	case r.GetDecision() == pb.Decision_DECISION_GRANTED:
		s.fire("served by " + r.GetPermit().GetTarget() + " instead (" + reason + ")")
	case r.GetDecision() == pb.Decision_DECISION_WAIT:
		s.fire("the fleet waits (" + reason + ")")
	default:
		s.fire("refused at once (" + reason + ")")
	}
	if r.GetPermit().GetIsProbe() {
		s.fire("one probe")
	}
}

// noteReport notes what a directive shows.
func (s *stage) noteReport(r *pb.ReportResponse, end *ending) {
	if r.GetBreaker().GetOpenedNow() {
		s.fire("breaker opened")
	}
	switch r.GetAction() {
	case pb.Action_ACTION_RETRY:
		if r.GetClass() == pb.Class_CLASS_PRESSURE {
			s.fire("RETRY after the wait that was asked for")
		} else {
			s.fire("RETRY with backoff")
		}
	case pb.Action_ACTION_FALLBACK:
		s.fire("FALLBACK to " + r.GetNext().GetTarget())
	case pb.Action_ACTION_DEAD_LETTER:
		s.fire("dead letter")
	case pb.Action_ACTION_ESCALATE:
		s.fire("a person is asked")
	case pb.Action_ACTION_STOP:
		s.fire("STOP")
	case pb.Action_ACTION_CONTINUE:
		if end.calls > 1 {
			s.fire("success after retries")
		}
		if end.probe && r.GetBreaker().GetState() == pb.BreakerState_BREAKER_STATE_CLOSED {
			s.fire("breaker closed by the probe")
		}
	default:
	}
}
