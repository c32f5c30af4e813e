// SPDX-License-Identifier: Apache-2.0

package failures

import (
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/resilienced/resilienced/drill/enum"
	pb "github.com/resilienced/resilienced/gen/resilience/v1"
)

// What the scene of limits and money is played with.
const (
	shortWait = 5 * time.Second
	longWait  = 90 * time.Second
	// callsToCap is how many calls come to a run's cap.
	callsToCap = 12
	// standInCap is a run's cap where the policy sets none: a dollar.
	standInCap = 1_000_000
)

func rateAndCost(s *stage) error {
	for _, part := range []func() error{s.shortThrottle, s.longThrottle, s.cap, s.quotaEnds} {
		if err := part(); err != nil {
			return err
		}
		if err := s.advance(2 * longWait); err != nil { // nothing of one part is left in the next
			return err
		}
	}
	return nil
}

// shortThrottle: one caller is told to wait, and another one asks meanwhile.
func (s *stage) shortThrottle() error {
	s.say("the target asks for a short wait")
	told := false
	how := func(string, int) outcome {
		if told {
			return status200()
		}
		told = true
		return throttled(shortWait)
	}
	granted, err := s.permits.Acquire(s.ctx, &pb.AcquireRequest{
		RequestId: uuid.NewString(), OperationId: "r1", Target: s.in.Target, Chain: s.in.Chain,
	})
	if err != nil {
		return fmt.Errorf("acquire r1: %w", err)
	}
	s.line("r1", "Acquire", acquired(granted))
	s.noteAcquire(granted)
	if granted.GetPermit() == nil {
		return nil
	}
	over, wait, err := s.attempt("r1", granted.GetPermit(), how, &ending{})
	if err != nil {
		return err
	}
	began := s.now
	if _, err := s.operation("r2", nil, how); err != nil || over {
		return err
	}
	if err := s.advance(wait - (s.now - began)); err != nil { // what r1 has left of its own wait
		return err
	}
	_, err = s.operation("r1", nil, how)
	return err
}

func (s *stage) longThrottle() error {
	s.say("the target asks for a long wait")
	told := ""
	_, err := s.operation("r3", nil, func(target string, _ int) outcome {
		if told == "" || told == target {
			first := told == ""
			told = target
			if first {
				return throttled(longWait)
			}
		}
		return status200()
	})
	return err
}

func (s *stage) quotaEnds() error {
	s.say("the provider's quota ends")
	broke := ""
	for _, op := range []string{"q1", "q2"} {
		_, err := s.operation(op, nil, func(target string, _ int) outcome {
			if broke == "" || broke == target {
				broke = target
				return quotaGone()
			}
			return status200()
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// cap lets a run spend until it is stopped.
func (s *stage) cap() error {
	limit, err := s.startRun()
	if err != nil {
		return err
	}
	defer func() { s.run = "" }()
	each := max(limit/callsToCap, 1)
	var estimate *pb.Estimate
	for n := 1; n <= 3*callsToCap; n++ {
		end, err := s.operation(fmt.Sprintf("c%d", n), estimate, func(string, int) outcome {
			return outcome{"200, cost " + dollars(each), func(r *pb.ReportRequest) {
				status200().report(r)
				r.Usage = &pb.Usage{CostMicros: &each}
			}}
		})
		if err != nil {
			return err
		}
		denied := end.denied
		switch {
		case denied == nil:
		case denied.GetReason() == pb.DecisionReason_DECISION_REASON_PRICE_UNKNOWN && estimate == nil:
			s.scene.remark("the target has no price: calls in a capped run need one, or an estimate of their own; played on with %s a call", dollars(each))
			estimate = &pb.Estimate{CostMicros: &each}
		default:
			return s.settled()
		}
	}
	s.scene.remark("nothing stopped the run after %d calls of %s", 3*callsToCap, dollars(each))
	return s.settled()
}

// startRun starts a run with what the policy gives every run.
func (s *stage) startRun() (int64, error) {
	s.run = "run-1"
	resp, err := s.runs.StartRun(s.ctx, &pb.StartRunRequest{RequestId: uuid.NewString(), RunId: s.run})
	if err != nil {
		return 0, fmt.Errorf("start a run: %w", err)
	}
	if caps := resp.GetRun().GetCaps(); caps != nil && caps.CostMicros != nil {
		s.say("a run begins, capped at %s by the policy", dollars(caps.GetCostMicros()))
		return caps.GetCostMicros(), nil
	}
	s.scene.remark("the policy caps no run by cost: played with a cap of %s of the run's own", dollars(standInCap))
	s.run = "run-2"
	_, err = s.runs.StartRun(s.ctx, &pb.StartRunRequest{
		RequestId: uuid.NewString(), RunId: s.run, Caps: &pb.Caps{CostMicros: new(int64(standInCap))},
	})
	if err != nil {
		return 0, fmt.Errorf("start a capped run: %w", err)
	}
	s.say("a run begins, capped at %s", dollars(standInCap))
	return standInCap, nil
}

// settled says what the run has spent in the end.
func (s *stage) settled() error {
	resp, err := s.runs.GetRun(s.ctx, &pb.GetRunRequest{RunId: s.run})
	if err != nil {
		return fmt.Errorf("read the run: %w", err)
	}
	r := resp.GetRun()
	s.say("the run: %s, spent %s of %s, overrun %s", enum.Word(r.GetState()),
		dollars(r.GetSpent().GetCostMicros()), dollars(r.GetCaps().GetCostMicros()), dollars(r.GetOverrunMicros()))
	return nil
}
