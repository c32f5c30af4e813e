// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/rand"
	"net/http"
	"time"

	"github.com/openai/openai-go/v3/option"
	pb "github.com/resilienced/resilienced/gen/resilience/v1"
	"google.golang.org/protobuf/types/known/durationpb"
)

// guard asks a resilienced before each HTTP call, reports after it, and does
// what it is told. A nil guard changes nothing: that is the bare arm.
type guard struct {
	permits  pb.PermitServiceClient
	runs     pb.RunServiceClient
	reporter string // a process of its own, for the server
}

// model is what the OpenAI SDK is made with: the guard around each of its
// attempts, and its own retries off, because the server decides on those.
func (g *guard) model() []option.RequestOption {
	if g == nil {
		return nil
	}
	return []option.RequestOption{option.WithMaxRetries(0), option.WithMiddleware(
		func(req *http.Request, next option.MiddlewareNext) (*http.Response, error) {
			target, estimate := modelCall(req)
			return g.do(req, target, estimate, next)
		})}
}

// tool guards a tool's HTTP calls under one target's name.
func (g *guard) tool(target string, base http.RoundTripper) http.RoundTripper {
	if g == nil {
		return base
	}
	return roundTrip(func(req *http.Request) (*http.Response, error) { return g.do(req, target, nil, base.RoundTrip) })
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// patience is how long an agent rather waits for its turn than to be refused.
// These have nothing else to do.
const patience = time.Minute

// do carries one logical call out, over all its attempts. Who calls sees the
// last answer, or a denial in the form of one.
func (g *guard) do(req *http.Request, target string, estimate *pb.Estimate, next option.MiddlewareNext) (*http.Response, error) {
	run, _ := req.Context().Value(runKey{}).(string)
	operation := rand.Text()
	for {
		attempt, err := again(req)
		if err != nil {
			return nil, err
		}
		may, err := g.acquire(req.Context(), &pb.AcquireRequest{
			RequestId: rand.Text(), RunId: run, TaskId: run, OperationId: operation,
			Target: target, Estimate: estimate, ReporterId: g.reporter, MaxWait: durationpb.New(patience),
		})
		if err != nil {
			return nil, err
		}
		if may.GetDecision() != pb.Decision_DECISION_GRANTED {
			return denial(req, may), nil
		}
		began := time.Now()
		resp, failed := next(attempt)
		report := reportOf(resp, failed)
		report.PermitId, report.Fence = may.GetPermit().GetPermitId(), may.GetPermit().GetFence()
		report.Duration = durationpb.New(time.Since(began))
		told, err := g.report(req.Context(), report)
		if err != nil || told.GetAction() != pb.Action_ACTION_RETRY {
			// An answer is the caller's, also where it could not be reported:
			// the server then books the estimate when the permit's lease ends.
			return final(resp), failed
		}
		if err := pause(req.Context(), told.GetDelay().AsDuration()); err != nil {
			return nil, err
		}
	}
}

// acquire asks until the answer is yes or no.
func (g *guard) acquire(ctx context.Context, ask *pb.AcquireRequest) (*pb.AcquireResponse, error) {
	for {
		may, err := g.permits.Acquire(ctx, ask)
		if err != nil || may.GetDecision() != pb.Decision_DECISION_WAIT {
			return may, err
		}
		if err := pause(ctx, may.GetDelay().AsDuration()); err != nil {
			return nil, err
		}
	}
}

// report tells how the call went, also when the caller has left meanwhile: what
// was spent is spent.
func (g *guard) report(ctx context.Context, r *pb.ReportRequest) (*pb.ReportResponse, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	return g.permits.Report(ctx, r)
}

type runKey struct{}

// run opens a run with a cap. Calls made with its context are paid from it. The
// returned function ends it.
func (g *guard) run(ctx context.Context, id string, capMicros int64) (context.Context, func(), error) {
	if g == nil {
		return ctx, func() {}, nil
	}
	_, err := g.runs.StartRun(ctx, &pb.StartRunRequest{RequestId: rand.Text(), RunId: id, Caps: &pb.Caps{CostMicros: &capMicros}})
	if err != nil {
		return nil, nil, err
	}
	return context.WithValue(ctx, runKey{}, id), func() {
		// A run that nobody finishes is only untidy.
		_, _ = g.runs.FinishRun(context.WithoutCancel(ctx), &pb.FinishRunRequest{RequestId: rand.Text(), RunId: id})
	}, nil
}

// pause waits, and a hair longer: two clocks never agree on the last
// microsecond, and who asks too early is only sent back.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d + time.Millisecond)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
