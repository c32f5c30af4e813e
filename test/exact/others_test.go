// SPDX-License-Identifier: Apache-2.0

package exact

import (
	"context"
	"math/rand/v2"
	"strconv"
	"time"

	pb "github.com/resilienced/resilienced/gen/resilience/v1"
)

// payer makes calls that must not be made twice.
type payer struct{ payments log[*payment] }

type payment struct {
	name, permit string
	forgotten    bool
	told         bool
}

func (p *payer) work(ctx context.Context, s *service, random *rand.Rand, name string) {
	made := &payment{name: name, forgotten: random.IntN(4) == 0}
	defer p.payments.add(made)
	resp, ok := p.acquire(ctx, s, name, "r-"+name)
	if made.permit = resp.GetPermit().GetPermitId(); !ok || made.permit == "" {
		return
	}
	if pause(ctx, random, 20*time.Millisecond); !made.forgotten {
		p.report(ctx, s, made)
	}
}

func (p *payer) acquire(ctx context.Context, s *service, name, request string) (*pb.AcquireResponse, bool) {
	return call(ctx, s, s.permits.Acquire, &pb.AcquireRequest{
		RequestId: request, OperationId: "o-" + name, Target: "pay/it", Idempotency: pb.Idempotency_IDEMPOTENCY_NON_IDEMPOTENT,
	})
}

func (p *payer) report(ctx context.Context, s *service, made *payment) {
	_, ok := call(ctx, s, s.permits.Report, &pb.ReportRequest{
		PermitId: made.permit, Outcome: pb.Outcome_OUTCOME_SUCCESS, ResultRef: "result of " + made.name,
	})
	made.told = made.told || ok
}

// settle asks for every payment anew: what was paid is not paid again, and
// neither is what may have been (F1).
func (p *payer) settle(ctx context.Context, s *service) {
	for _, made := range p.payments.take() {
		if made.permit == "" {
			if resp, ok := p.acquire(ctx, s, made.name, "r-"+made.name); ok {
				made.permit = resp.GetPermit().GetPermitId()
			}
		} else if !made.forgotten && !made.told {
			p.report(ctx, s, made)
		}
		resp, ok := p.acquire(ctx, s, made.name, "again-"+made.name)
		switch reason := resp.GetReason(); {
		case !ok:
		case resp.GetPermit() != nil && made.permit != "":
			s.broken.add("F1", "payment %s is granted a second time", made.name)
		case made.told && (reason != pb.DecisionReason_DECISION_REASON_OPERATION_ALREADY_SUCCEEDED || resp.GetResultRef() != "result of "+made.name):
			s.broken.add("F1", "payment %s was acknowledged; asked again it is %v with %q", made.name, reason, resp.GetResultRef())
		}
	}
}

// repeater asks for one operation over and over (G7).
type repeater struct {
	operation string
	fence     uint64
	permit    string
	pending   string // the request that was not answered
	granted   int
}

func (r *repeater) work(ctx context.Context, s *service, random *rand.Rand, name string) {
	r.ask(ctx, s, "r-"+name)
	pause(ctx, random, 10*time.Millisecond)
}

func (r *repeater) ask(ctx context.Context, s *service, request string) {
	r.pending = request
	resp, ok := call(ctx, s, s.permits.Acquire, &pb.AcquireRequest{RequestId: request, OperationId: r.operation, Target: "tool/again"})
	if !ok {
		return
	}
	r.pending = ""
	g := resp.GetPermit()
	if g == nil {
		return
	}
	if g.GetFence() <= r.fence {
		s.broken.add("G7", "operation %s: fence %d comes after %d", r.operation, g.GetFence(), r.fence)
	}
	r.fence, r.permit = g.GetFence(), g.GetPermitId()
	r.granted++
	r.release(ctx, s)
}

func (r *repeater) release(ctx context.Context, s *service) {
	if r.permit == "" {
		return
	}
	if _, ok := call(ctx, s, s.permits.Release, &pb.ReleaseRequest{Permit: &pb.ReleaseRequest_PermitId{PermitId: r.permit}}); ok {
		r.permit = ""
	}
}

func (r *repeater) settle(ctx context.Context, s *service) {
	if r.release(ctx, s); r.pending != "" {
		r.ask(ctx, s, r.pending)
	}
}

// operator starts runs, raises the cap of their root, and holds a breaker.
type operator struct {
	crowd   *crowd
	started int
	// raise is the request to raise the cap that was not answered, hold the
	// last one about the breaker.
	raise string
	hold  *pb.SetBreakerRequest
	held  bool // it was answered
	marks *generations
}

const (
	raiseBy  = 50_000
	forced   = "tool/forced"
	runLimit = 80_000
)

func (o *operator) work(ctx context.Context, s *service, random *rand.Rand, name string) {
	if pause(ctx, random, 100*time.Millisecond); ctx.Err() != nil {
		return
	}
	if random.IntN(2) == 0 {
		o.raise = "raise-" + name
		o.crowd.books.raising("root", raiseBy)
		o.adjust(ctx, s)
		return
	}
	mode := pb.BreakerMode_BREAKER_MODE_AUTO
	if random.IntN(2) == 0 {
		mode = pb.BreakerMode_BREAKER_MODE_FORCED_OPEN
	}
	o.hold, o.held = &pb.SetBreakerRequest{RequestId: "hold-" + name, Target: forced, Mode: mode, Reason: "test"}, false
	o.force(ctx, s)
}

func (o *operator) adjust(ctx context.Context, s *service) {
	_, ok := call(ctx, s, s.runs.AdjustRun, &pb.AdjustRunRequest{
		RequestId: o.raise, RunId: "root", Reason: "test", Change: &pb.AdjustRunRequest_Delta{Delta: &pb.Amounts{CostMicros: raiseBy}},
	})
	if ok {
		o.raise = ""
		o.crowd.books.raised("root")
	}
}

func (o *operator) force(ctx context.Context, s *service) {
	before := o.marks.before()
	resp, ok := call(ctx, s, s.targets.SetBreaker, o.hold)
	if o.held = o.held || ok; ok {
		o.marks.saw(before, resp.GetTarget().GetGeneration(), resp.GetTarget().GetEffectiveState())
	}
}

// settle looks for every run and cap, and for the breaker (F1), and starts the
// run of the next round.
func (o *operator) settle(ctx context.Context, s *service) {
	if o.raise != "" {
		o.adjust(ctx, s)
	}
	for name, limit := range o.crowd.books.limits() {
		resp, ok := call(ctx, s, s.runs.GetRun, &pb.GetRunRequest{RunId: name})
		if got := resp.GetRun().GetCaps().GetCostMicros(); ok && got != limit {
			s.broken.add("F1", "run %s has a cap of %d, acknowledged was %d", name, got, limit)
		}
	}
	if o.hold != nil {
		o.checkBreaker(ctx, s)
	}
	name := "run-" + strconv.Itoa(o.started)
	o.started++
	if err := o.crowd.system.start(ctx, name, "root", runLimit); err != nil {
		s.broken.add("E", "StartRun failed: %v", err)
	}
	o.crowd.books.add(name, "root", runLimit)
	o.crowd.leaves = append(o.crowd.leaves, name)
	o.crowd.leaves = o.crowd.leaves[max(len(o.crowd.leaves)-3, 0):]
}

func (o *operator) checkBreaker(ctx context.Context, s *service) {
	if !o.held {
		o.force(ctx, s)
	}
	want := pb.BreakerState_BREAKER_STATE_CLOSED
	if o.hold.GetMode() == pb.BreakerMode_BREAKER_MODE_FORCED_OPEN {
		want = pb.BreakerState_BREAKER_STATE_FORCED_OPEN
	}
	before := o.marks.before()
	resp, ok := call(ctx, s, s.targets.GetTarget, &pb.GetTargetRequest{Target: forced})
	if got := resp.GetTarget().GetEffectiveState(); ok && got != want {
		s.broken.add("F1", "the breaker is %v, acknowledged was %v", got, want)
	} else if ok {
		o.marks.saw(before, resp.GetTarget().GetGeneration(), got)
	}
}
