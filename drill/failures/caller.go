// SPDX-License-Identifier: Apache-2.0

package failures

import (
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/resilienced/resilienced/drill/enum"
	pb "github.com/resilienced/resilienced/gen/resilience/v1"
)

// maxSteps bounds the asks of one operation: more than any policy gives it.
const maxSteps = 60

// maxPatience is the longest wait that the caller obeys; then it gives up.
const maxPatience = 15 * time.Minute

// outcome is how a call goes on a target.
type outcome struct {
	text   string
	report func(*pb.ReportRequest)
}

// answers makes what a call gets, by the target and the number of calls that
// the operation has made.
type answers func(target string, call int) outcome

// ending is how an operation ended.
type ending struct {
	calls      int
	probe      bool                // the last call was one
	denied     *pb.AcquireResponse // the refusal that ended it; nil: none did
	escalation string              // the id of the one that the last report raised
}

// operation plays one operation to its end, as a caller does that follows
// every answer.
func (s *stage) operation(name string, estimate *pb.Estimate, how answers) (*ending, error) {
	end := &ending{}
	for range maxSteps {
		resp, err := s.permits.Acquire(s.ctx, &pb.AcquireRequest{
			RequestId: uuid.NewString(), OperationId: name, Target: s.in.Target, Chain: s.in.Chain, RunId: s.run, Estimate: estimate,
		})
		if err != nil {
			return end, fmt.Errorf("acquire %s: %w", name, err)
		}
		s.line(name, "Acquire", acquired(resp))
		s.noteAcquire(resp)
		switch resp.GetDecision() {
		case pb.Decision_DECISION_GRANTED:
			over, wait, err := s.attempt(name, resp.GetPermit(), how, end)
			if over || err != nil {
				return end, err
			}
			if err := s.advance(wait); err != nil {
				return end, err
			}
		case pb.Decision_DECISION_WAIT:
			if err := s.advance(resp.GetDelay().AsDuration()); err != nil {
				return end, err
			}
		default:
			end.denied = resp
			return end, nil
		}
	}
	s.scene.remark("operation %s was given up after %d answers", name, maxSteps)
	return end, nil
}

// attempt makes one call and reports it. It returns whether the operation is
// over, and else how long to wait before the next one.
func (s *stage) attempt(name string, p *pb.Permit, how answers, end *ending) (over bool, wait time.Duration, err error) {
	end.calls++
	end.probe = p.GetIsProbe()
	out := how(p.GetTarget(), end.calls)
	if err := s.advance(callTook); err != nil {
		return true, 0, err
	}
	req := &pb.ReportRequest{
		RequestId: uuid.NewString(), PermitId: p.GetPermitId(), Fence: p.GetFence(), Duration: durationpb.New(callTook),
		DeadLetter: &pb.DeadLetterEnvelope{Context: []byte("{}")},
	}
	out.report(req)
	resp, err := s.permits.Report(s.ctx, req)
	if err != nil {
		return true, 0, fmt.Errorf("report %s: %w", name, err)
	}
	s.line(name, p.GetTarget()+" answers: "+out.text, reported(resp))
	end.escalation = resp.GetEscalationId()
	s.noteReport(resp, end)
	switch resp.GetAction() {
	case pb.Action_ACTION_RETRY, pb.Action_ACTION_FALLBACK:
		if wait = resp.GetDelay().AsDuration(); wait > maxPatience {
			s.scene.remark("a directive asked to wait %v; the caller gave up", wait)
			return true, 0, nil
		}
		return false, wait, nil
	default:
		return true, 0, nil
	}
}

// acquired is an answer to Acquire in one line.
func acquired(r *pb.AcquireResponse) string {
	var b strings.Builder
	b.WriteString(enum.Word(r.GetDecision()))
	if p := r.GetPermit(); p != nil {
		fmt.Fprintf(&b, " %s, attempt %d", p.GetTarget(), p.GetAttempt())
		if p.GetIsProbe() {
			b.WriteString(", probe")
		}
		if p.GetDegraded() {
			b.WriteString(", degraded")
		}
		if cost := p.GetReserved().GetCostMicros(); cost > 0 {
			fmt.Fprintf(&b, ", %s reserved", dollars(cost))
		}
	}
	if r.GetReason() != pb.DecisionReason_DECISION_REASON_UNSPECIFIED {
		fmt.Fprintf(&b, ", %s", enum.Word(r.GetReason()))
	}
	if r.GetRule() != "" {
		fmt.Fprintf(&b, " by %s", r.GetRule())
	}
	if w := r.GetWould(); w != nil {
		fmt.Fprintf(&b, ", observed: would be %s %s", enum.Word(w.GetDecision()), enum.Word(w.GetReason()))
	}
	if d := r.GetDelay().AsDuration(); d > 0 {
		fmt.Fprintf(&b, ", for %v", d)
	}
	return b.String()
}

// reported is an answer to Report in one line.
func reported(r *pb.ReportResponse) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s (%s): %s", r.GetReason(), r.GetRule(), enum.Word(r.GetAction()))
	if d := r.GetDelay().AsDuration(); d > 0 {
		fmt.Fprintf(&b, " in %v", d)
	}
	if n := r.GetNext(); n != nil && r.GetAction() == pb.Action_ACTION_FALLBACK {
		fmt.Fprintf(&b, " to %s", n.GetTarget())
	}
	if d := r.GetRetryDenied(); d != pb.DecisionReason_DECISION_REASON_UNSPECIFIED {
		fmt.Fprintf(&b, ", no retry: %s", enum.Word(d))
	}
	if r.GetBreaker().GetOpenedNow() {
		b.WriteString("; the breaker OPENS")
	}
	if r.GetDeadLetterId() != "" {
		b.WriteString("; dead letter")
	}
	if r.GetEscalationId() != "" {
		b.WriteString("; escalation")
	}
	return b.String()
}

// dollars writes micro-USD exactly.
func dollars(micros int64) string {
	sign := ""
	if micros < 0 {
		sign, micros = "-", -micros
	}
	text := fmt.Sprintf("%06d", micros%1_000_000)
	for len(text) > 2 && strings.HasSuffix(text, "0") {
		text = text[:len(text)-1]
	}
	return fmt.Sprintf("%s$%d.%s", sign, micros/1_000_000, text)
}
