// SPDX-License-Identifier: Apache-2.0

package failures

import (
	"fmt"
	"strconv"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/resilienced/resilienced/drill/enum"
	pb "github.com/resilienced/resilienced/gen/resilience/v1"
)

// maxOperations is how many operations may fail before a scene says that no
// breaker opens.
const maxOperations = 20

func status200() outcome {
	return outcome{"200", func(r *pb.ReportRequest) {
		r.Outcome, r.Signal = pb.Outcome_OUTCOME_SUCCESS, &pb.Signal{HttpStatus: new(int32(200))}
	}}
}

func failure(code int32) outcome {
	return outcome{strconv.Itoa(int(code)), func(r *pb.ReportRequest) {
		r.Outcome, r.Signal = pb.Outcome_OUTCOME_FAILURE, &pb.Signal{HttpStatus: &code}
	}}
}

func verdict(v pb.QualityVerdict) outcome {
	return outcome{"200, " + enum.Word(v), func(r *pb.ReportRequest) {
		status200().report(r)
		r.Quality = &pb.Quality{Verdict: v}
	}}
}

func throttled(after time.Duration) outcome {
	return outcome{fmt.Sprintf("429, Retry-After %v", after), func(r *pb.ReportRequest) {
		r.Outcome = pb.Outcome_OUTCOME_FAILURE
		r.Signal = &pb.Signal{HttpStatus: new(int32(429)), RetryAfter: durationpb.New(after)}
	}}
}

func quotaGone() outcome {
	return outcome{"429 insufficient_quota", func(r *pb.ReportRequest) {
		r.Outcome = pb.Outcome_OUTCOME_FAILURE
		r.Signal = &pb.Signal{HttpStatus: new(int32(429)), BodyCode: "insufficient_quota"}
	}}
}

func timeout() outcome {
	return outcome{"nothing, a timeout after sending", func(r *pb.ReportRequest) {
		r.Outcome = pb.Outcome_OUTCOME_FAILURE
		r.Signal = &pb.Signal{Exception: "timeout", Phase: pb.CallPhase_CALL_PHASE_BODY_SENT}
	}}
}

// first fails the scene's first target as how says; others work. The target
// that the first call goes to is the one that is down.
func (s *stage) first(how func(call int) outcome) answers {
	return func(target string, call int) outcome {
		if s.down == "" {
			s.down = target
		}
		if target != s.down {
			return status200()
		}
		return how(call)
	}
}

func transient(s *stage) error {
	_, err := s.operation("o1", nil, s.first(func(call int) outcome {
		if call <= 2 {
			return failure(503)
		}
		return status200()
	}))
	return err
}

func persistent(s *stage) error {
	return s.outage(func(int) outcome { return failure(500) })
}

func quality(s *stage) error {
	return s.outage(func(int) outcome { return verdict(pb.QualityVerdict_QUALITY_VERDICT_SCHEMA_VIOLATION) })
}

// outage lets operations fail until the breaker opens, shows one more, repairs
// the target, and shows how it comes back.
func (s *stage) outage(how func(int) outcome) error {
	n, calls, opened := 0, 0, false
	for n < maxOperations && !opened {
		n++
		end, err := s.operation(fmt.Sprintf("o%d", n), nil, s.first(how))
		if err != nil {
			return err
		}
		calls += end.calls
		t, err := s.breaker(s.down)
		if err != nil {
			return err
		}
		opened = t.GetEffectiveState() == pb.BreakerState_BREAKER_STATE_OPEN
		if !opened {
			if err := s.advance(betweenCalls); err != nil {
				return err
			}
		}
	}
	if !opened {
		s.scene.remark("the breaker of %s did not open: %d operations in a row made %d calls", s.down, n, calls)
		return nil
	}
	if _, err := s.operation(fmt.Sprintf("o%d", n+1), nil, s.first(how)); err != nil {
		return err
	}
	return s.recovery(n + 2)
}

// recovery repairs the target, lets its cooldown pass, and shows the probe.
func (s *stage) recovery(n int) error {
	t, err := s.breaker(s.down)
	if err != nil {
		return err
	}
	s.say("%s is repaired", s.down)
	if t.GetEffectiveState() == pb.BreakerState_BREAKER_STATE_OPEN {
		if err := s.advance(t.GetOpenFor().AsDuration()); err != nil {
			return err
		}
		s.say("%s is half open", s.down)
	}
	_, err = s.operation(fmt.Sprintf("o%d", n), nil, func(string, int) outcome { return status200() })
	return err
}

func partial(s *stage) error {
	s.scene.Missing = "this version has no batches"
	return nil
}

func unrecoverable(s *stage) error {
	for _, c := range []struct {
		op  string
		how outcome
	}{{"o1", timeout()}, {"o2", verdict(pb.QualityVerdict_QUALITY_VERDICT_NEEDS_AUTHORITY)}} {
		end, err := s.operation(c.op, nil, func(string, int) outcome { return c.how })
		if err != nil {
			return err
		}
		if end.escalation == "" {
			continue
		}
		if err := s.untilDefault(end.escalation); err != nil {
			return err
		}
		if err := s.again(c.op); err != nil {
			return err
		}
	}
	return nil
}

// untilDefault lets an escalation come to its deadline unanswered.
func (s *stage) untilDefault(id string) error {
	read := func() (*pb.Escalation, error) {
		resp, err := s.people.GetEscalation(s.ctx, &pb.GetEscalationRequest{Key: &pb.GetEscalationRequest_EscalationId{EscalationId: id}})
		if err != nil {
			return nil, fmt.Errorf("read the escalation: %w", err)
		}
		return resp.GetEscalation(), nil
	}
	e, err := read()
	if err != nil {
		return err
	}
	s.say("a person is asked (%s), nobody answers", e.GetType())
	if err := s.advance(e.GetDeadline().AsDuration()); err != nil {
		return err
	}
	if e, err = read(); err != nil {
		return err
	}
	s.say("the deadline: %s, %s", enum.Word(e.GetState()), enum.Word(e.GetDefaultAction()))
	s.fire("the default at the deadline")
	return nil
}

// again asks once more for an operation, without making the call.
func (s *stage) again(op string) error {
	resp, err := s.permits.Acquire(s.ctx, &pb.AcquireRequest{OperationId: op, Target: s.in.Target, Chain: s.in.Chain, DryRun: true})
	if err != nil {
		return fmt.Errorf("acquire %s again: %w", op, err)
	}
	s.line(op, "Acquire once more", acquired(resp))
	return nil
}
