// SPDX-License-Identifier: Apache-2.0

package traffic

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	pb "github.com/resilienced/resilienced/gen/resilience/v1"
	"github.com/resilienced/resilienced/test/robustness/history"
)

// entry is one Acquire and what its client knows of it.
type entry struct {
	want   history.Event // what is asked
	mode   pb.Idempotency
	by     string     // the reporter
	permit *pb.Permit // nil: not granted, or nobody knows
	lost   bool       // a call of it had no answer
	tell   *telling
}

// telling is a Report.
type telling struct {
	want   history.Event
	req    *pb.ReportRequest
	letter string
	told   bool
}

// acquire asks for the entry's permit until it is answered.
func (c *caller) acquire(ctx context.Context, e *entry) history.Event {
	got, lost := c.repeated(ctx, e.want, c.asking(e))
	e.lost = e.lost || lost
	return got
}

func (c *caller) asking(e *entry) ask {
	req := &pb.AcquireRequest{
		RequestId: e.want.Request, OperationId: e.want.Operation, Target: e.want.Target,
		Idempotency: e.mode, Lease: durationpb.New(e.want.Lease), ReporterId: e.by,
	}
	if len(e.want.Runs) > 0 {
		req.RunId, req.Estimate = e.want.Runs[0], &pb.Estimate{CostMicros: &e.want.Amount}
	}
	return func(ctx context.Context, w *wire, got *history.Event) error {
		resp, err := w.permits.Acquire(ctx, req)
		if err != nil {
			return err
		}
		got.Result, got.Sums = resp.GetResultRef(), sumsOf(resp.GetRun())
		p := resp.GetPermit()
		if p == nil {
			got.Outcome, got.Reason = history.Denied, strings.TrimPrefix(resp.GetReason().String(), "DECISION_REASON_")
			return nil
		}
		got.Permit, got.Fence, got.Generation, got.Probe = p.GetPermitId(), p.GetFence(), p.GetBreakerGeneration(), p.GetIsProbe()
		got.Lease = p.GetLease().AsDuration()
		e.permit = p
		return nil
	}
}

func sumsOf(r *pb.RunSummary) *history.Sums {
	if r == nil {
		return nil
	}
	return sums(r.GetSpent(), r.GetReserved(), r.GetAssumed())
}

func sums(spent, reserved, assumed *pb.Amounts) *history.Sums {
	return &history.Sums{
		Spent: spent.GetCostMicros(), Reserved: reserved.GetCostMicros(), Assumed: assumed.GetCostMicros(),
		Calls: spent.GetCalls() + reserved.GetCalls() + assumed.GetCalls(),
	}
}

// use says how the permit was used; what follows reports it.
func (e *entry) use(use history.Use, cost int64) *telling {
	t := &telling{want: e.want, req: &pb.ReportRequest{PermitId: e.permit.GetPermitId(), Fence: e.permit.GetFence(), Outcome: pb.Outcome_OUTCOME_SUCCESS}}
	t.want.RPC, t.want.Use, t.want.Cost = history.Report, use, cost
	t.want.Lease, t.want.Amount = 0, 0
	t.want.Permit, t.want.Granted = e.permit.GetPermitId(), e.permit.GetBreakerGeneration()
	switch use {
	case history.Priced:
		t.req.Usage = &pb.Usage{CostMicros: &cost}
	case history.Unused:
		t.req.Outcome = pb.Outcome_OUTCOME_RELEASED
	case history.Broken:
		zero := int64(0)
		t.req.Outcome, t.req.Signal = pb.Outcome_OUTCOME_FAILURE, &pb.Signal{HttpStatus: proto.Int32(500)}
		t.req.Usage = &pb.Usage{CostMicros: &zero}
	case history.Unpriced:
	}
	e.tell = t
	return t
}

// report sends the entry's report until it is answered.
func (c *caller) report(ctx context.Context, e *entry) history.Event {
	got, _ := c.repeated(ctx, e.tell.want, e.tell.reporting())
	e.tell.told = e.tell.told || got.Outcome == history.OK
	return got
}

func (t *telling) reporting() ask {
	return func(ctx context.Context, w *wire, got *history.Event) error {
		resp, err := w.permits.Report(ctx, t.req)
		if err != nil {
			return err
		}
		b := resp.GetBreaker()
		got.Generation, got.State = b.GetGeneration(), strings.TrimPrefix(b.GetState().String(), "BREAKER_STATE_")
		got.Opened, got.Counted, got.Letter = b.GetOpenedNow(), resp.GetCounted(), resp.GetDeadLetterId()
		got.Gist = fmt.Sprint(resp.GetAction(), resp.GetClass(), resp.GetRule(), resp.GetDeadLetterId())
		got.Sums = sumsOf(resp.GetRun())
		t.letter = resp.GetDeadLetterId()
		return nil
	}
}

// beat renews the permit's lease once.
func (c *caller) beat(ctx context.Context, e *entry) history.Event {
	want := e.want
	want.RPC, want.Permit = history.Heartbeat, e.permit.GetPermitId()
	got, _ := c.once(ctx, want, func(ctx context.Context, w *wire, got *history.Event) error {
		resp, err := w.permits.Heartbeat(ctx, &pb.HeartbeatRequest{PermitId: e.permit.GetPermitId(), Fence: e.permit.GetFence()})
		if err == nil {
			got.Lease = resp.GetLease().AsDuration()
		}
		return err
	})
	return got
}

// hold keeps the permit for a while and renews its lease, until that is lost.
func (c *caller) hold(ctx context.Context, e *entry, d time.Duration) {
	for until := time.Now().Add(d); ; {
		c.pause(ctx, min(time.Until(until), e.permit.GetLease().AsDuration()/3))
		if left := time.Until(until); left <= 0 || ctx.Err() != nil {
			return
		}
		switch got := c.beat(ctx, e); got.Outcome {
		case history.Denied:
			return
		case history.Unknown, history.Refused:
			c.at = (c.at + 1) % len(c.wires)
		default:
		}
	}
}

// book is what is to be looked at again when there is no load, from many
// goroutines.
type book struct {
	mu      sync.Mutex
	entries []*entry
}

func (b *book) add(e *entry) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.entries = append(b.entries, e)
}

// take returns all and forgets them.
func (b *book) take() []*entry {
	b.mu.Lock()
	defer b.mu.Unlock()
	all := b.entries
	b.entries = nil
	return all
}

// open reports whether it is not known what became of the entry. A call that
// the service says to have had no effect needs no second one.
func (e *entry) open() bool { return e.permit == nil && e.lost || e.tell != nil && !e.tell.told }

// twice does something two times at once.
func twice(first, second func()) {
	var other sync.WaitGroup
	other.Go(second)
	first()
	other.Wait()
}
