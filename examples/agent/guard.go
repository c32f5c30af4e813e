// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/rand"
	"time"

	pb "github.com/resilienced/resilienced/gen/resilience/v1"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/resilienced/resilienced/examples/agent/signals"
)

// guard stands before every call of one run: it asks, lets the call be made,
// reports, and does what it is told. It is the whole of what an agent needs.
type guard struct {
	permits  pb.PermitServiceClient
	run      string
	reporter string
	log      *transcript
}

// operation is one logical call, over all its attempts and levels.
type operation struct {
	id          string
	task        string
	chain       string // a chain or a target, not both
	target      string
	fingerprint string // of what is called with what; empty: repeats are not looked for
	estimate    *pb.Estimate
	envelope    *pb.DeadLetterEnvelope // what is needed to take it up again
}

// attempt makes one call to the permit's target.
type attempt func(ctx context.Context, p *pb.Permit) signals.Answer

// do carries an operation out and says how it ended: CONTINUE with a result,
// anything else without one.
func (g *guard) do(ctx context.Context, op *operation, try attempt) (pb.Action, error) {
	for {
		permit, err := g.acquire(ctx, op)
		if permit == nil || err != nil {
			return pb.Action_ACTION_UNSPECIFIED, err
		}
		began := time.Now()
		answer := try(ctx, permit)
		told, err := g.report(ctx, op, permit, answer, time.Since(began))
		if err != nil {
			return pb.Action_ACTION_UNSPECIFIED, err
		}
		switch told.GetAction() {
		case pb.Action_ACTION_RETRY:
			if err := pause(ctx, told.GetDelay()); err != nil {
				return pb.Action_ACTION_UNSPECIFIED, err
			}
		case pb.Action_ACTION_FALLBACK:
			// Asking again is enough: the server knows to which level.
		default:
			return told.GetAction(), nil
		}
	}
}

// acquire asks until the answer is yes or no. It returns nil for a no, which is
// an answer and not an error.
func (g *guard) acquire(ctx context.Context, op *operation) (*pb.Permit, error) {
	for {
		answer, err := g.permits.Acquire(ctx, &pb.AcquireRequest{
			RequestId: rand.Text(), RunId: g.run, TaskId: op.task, OperationId: op.id, Target: op.target, Chain: op.chain,
			Estimate: op.estimate, ReporterId: g.reporter, Fingerprint: op.fingerprint,
		})
		if err != nil {
			return nil, err
		}
		g.log.asked(answer)
		switch answer.GetDecision() {
		case pb.Decision_DECISION_GRANTED:
			return answer.GetPermit(), nil
		case pb.Decision_DECISION_WAIT:
			if err := pause(ctx, answer.GetDelay()); err != nil {
				return nil, err
			}
		default:
			return nil, nil
		}
	}
}

// report tells how the call went. It does so too when the caller has given up:
// what was spent is spent.
func (g *guard) report(ctx context.Context, op *operation, p *pb.Permit, a signals.Answer, took time.Duration) (*pb.ReportResponse, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	told, err := g.permits.Report(ctx, &pb.ReportRequest{
		PermitId: p.GetPermitId(), Fence: p.GetFence(), Outcome: a.Outcome, Duration: durationpb.New(took),
		Signal: a.Signal, Quality: a.Quality, Usage: a.Usage, DeadLetter: op.envelope,
	})
	if err != nil {
		return nil, err
	}
	g.log.called(p, a, told)
	return told, nil
}

// hair is added to every wait: two clocks never agree on the last microsecond,
// and an Acquire that comes too early is only sent back.
const hair = 2 * time.Millisecond

// pause waits as long as the server said.
func pause(ctx context.Context, d *durationpb.Duration) error {
	timer := time.NewTimer(d.AsDuration() + hair)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
