// SPDX-License-Identifier: Apache-2.0

package exact

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	pb "github.com/resilienced/resilienced/gen/resilience/v1"
)

// service is one life of the service as callers reach it.
type service struct {
	broken  *broken
	process *process
	permits pb.PermitServiceClient
	runs    pb.RunServiceClient
	targets pb.TargetServiceClient
	letters pb.DeadLetterServiceClient
}

func newService(b *broken, p *process) *service {
	return &service{b, p, pb.NewPermitServiceClient(p.conn), pb.NewRunServiceClient(p.conn), pb.NewTargetServiceClient(p.conn), pb.NewDeadLetterServiceClient(p.conn)}
}

// call makes a call and reports whether it was answered. Before the process is
// killed every call must be.
func call[Req, Resp any](ctx context.Context, s *service, method func(context.Context, Req, ...grpc.CallOption) (Resp, error), req Req) (Resp, bool) {
	resp, err := method(ctx, req)
	if err != nil && !s.process.killed.Load() {
		s.broken.add("E", "%T failed: %v", req, err)
	}
	return resp, err == nil
}

// actor is one kind of caller. It works while the service lives, and after a
// restart, when nobody else is at work, it settles: it asks again for what was
// not answered, and looks whether everything that was is still so.
type actor interface {
	work(ctx context.Context, s *service, random *rand.Rand, name string)
	settle(ctx context.Context, s *service)
}

// pause waits for a random while, at most.
func pause(ctx context.Context, random *rand.Rand, most time.Duration) {
	timer := time.NewTimer(time.Duration(random.Int64N(int64(most))))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// log is what an actor has to look at again, from many goroutines.
type log[T any] struct {
	mu    sync.Mutex
	items []T
}

func (l *log[T]) add(item T) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.items = append(l.items, item)
}

// take returns all and forgets them.
func (l *log[T]) take() []T {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := l.items
	l.items = nil
	return all
}

// holder calls one target that has few slots, or whose breaker trips.
type holder struct {
	books *permits
	marks *generations
	probe bool // only probes count, and other calls fail
	open  log[*permit]
}

// holderLease outlasts a restart.
const holderLease = 800 * time.Millisecond

func (h *holder) work(ctx context.Context, s *service, random *rand.Rand, name string) {
	p := &permit{request: "r-" + name, operation: "o-" + name, length: holderLease}
	defer h.open.add(p)
	h.acquire(ctx, s, p)
	pause(ctx, random, 20*time.Millisecond)
	if p.id == "" || random.IntN(6) == 0 {
		return // refused, or it forgets the permit
	}
	h.report(ctx, s, p, !h.probe || p.probe && random.IntN(2) == 0)
}

func (h *holder) acquire(ctx context.Context, s *service, p *permit) {
	again, before := !p.first.IsZero(), h.marks.before()
	others, added := h.books.asking(p)
	resp, ok := call(ctx, s, s.permits.Acquire, &pb.AcquireRequest{
		RequestId: p.request, OperationId: p.operation, Target: h.books.target,
		Idempotency: pb.Idempotency_IDEMPOTENCY_IDEMPOTENT, Lease: durationpb.New(p.length),
	})
	if !ok {
		return
	}
	switch g := resp.GetPermit(); {
	case g == nil:
		if p.id != "" {
			s.broken.add("E3", "%s: a request was granted and its repeat refused: %v", h.books.target, resp.GetReason())
		}
		h.books.refused(p, others, added, resp.GetReason() == pb.DecisionReason_DECISION_REASON_CONCURRENCY)
	case p.id == "":
		h.books.grant(p, g, !h.probe || g.GetIsProbe())
		h.marks.sawGrant(p.fence)
		if !again && p.generation < before {
			s.broken.add("B3", "%s: a grant of generation %d after %d", h.books.target, p.generation, before)
		}
	case p.id != g.GetPermitId() || p.fence != g.GetFence():
		s.broken.add("E3", "%s: a request got a second permit", h.books.target)
	}
}

func (h *holder) report(ctx context.Context, s *service, p *permit, healthy bool) {
	again, before := p.telling, h.marks.before()
	h.books.telling(p, healthy)
	req := &pb.ReportRequest{PermitId: p.id, Outcome: pb.Outcome_OUTCOME_SUCCESS}
	if !healthy {
		req.Outcome, req.Signal = pb.Outcome_OUTCOME_FAILURE, &pb.Signal{HttpStatus: proto.Int32(500)}
	}
	resp, ok := call(ctx, s, s.permits.Report, req)
	if !ok {
		return
	}
	h.books.told(p, fmt.Sprint(resp.GetAction(), resp.GetClass(), resp.GetRule(), resp.GetCounted()))
	b := resp.GetBreaker()
	h.marks.saw(before, b.GetGeneration(), b.GetState())
	if again {
		return
	}
	if b.GetOpenedNow() {
		h.marks.sawOpening(b.GetGeneration())
	}
	if resp.GetCounted() && p.generation < before {
		s.broken.add("B3", "%s: a report of generation %d voted after %d", h.books.target, p.generation, before)
	}
}

func (h *holder) settle(ctx context.Context, s *service) {
	for _, p := range h.open.take() {
		if p.telling {
			h.report(ctx, s, p, p.healthy)
		} else if p.id != "" || h.books.unknown(p) {
			h.acquire(ctx, s, p)
		}
	}
	before := h.marks.before()
	resp, ok := call(ctx, s, s.targets.GetTarget, &pb.GetTargetRequest{Target: h.books.target})
	if ok {
		h.marks.saw(before, resp.GetTarget().GetGeneration(), resp.GetTarget().GetEffectiveState())
	}
}

// writer makes dead letters: it reports a failure that nothing is left to do
// about.
type writer struct {
	letters log[*letter]
	kept    []*letter // that were found once
	random  *rand.Rand
}

type letter struct {
	request, permit string
	id              string
	payload         []byte
}

func (w *writer) work(ctx context.Context, s *service, random *rand.Rand, name string) {
	l := &letter{request: name, payload: make([]byte, random.IntN(2000))}
	for i := range l.payload {
		l.payload[i] = byte(random.Uint32())
	}
	resp, ok := call(ctx, s, s.permits.Acquire, &pb.AcquireRequest{RequestId: "r-" + name, OperationId: "o-" + name, Target: "tool/letter"})
	if !ok || resp.GetPermit() == nil {
		return
	}
	l.permit = resp.GetPermit().GetPermitId()
	w.letters.add(l)
	w.report(ctx, s, l)
	pause(ctx, random, 20*time.Millisecond)
}

func (w *writer) report(ctx context.Context, s *service, l *letter) {
	resp, ok := call(ctx, s, s.permits.Report, &pb.ReportRequest{
		PermitId: l.permit, Outcome: pb.Outcome_OUTCOME_FAILURE, Signal: &pb.Signal{HttpStatus: proto.Int32(500)},
		DeadLetter: &pb.DeadLetterEnvelope{Payload: l.payload},
	})
	if ok && resp.GetDeadLetterId() == "" {
		s.broken.add("F1", "a failure for good made no dead letter: %v", resp)
	}
	if ok && l.id != "" && l.id != resp.GetDeadLetterId() {
		s.broken.add("E1", "a report made dead letter %s and then %s", l.id, resp.GetDeadLetterId())
	}
	if ok {
		l.id = resp.GetDeadLetterId()
	}
}

// settle makes the letters that were not acknowledged, and looks for the
// others, and for some older ones (F1).
func (w *writer) settle(ctx context.Context, s *service) {
	all := w.letters.take()
	for _, l := range all {
		w.find(ctx, s, l)
		w.report(ctx, s, l)
	}
	for range min(samples/10, len(w.kept)) {
		w.find(ctx, s, w.kept[w.random.IntN(len(w.kept))])
	}
	w.kept = append(w.kept, all...)
}

func (w *writer) find(ctx context.Context, s *service, l *letter) {
	if l.id == "" {
		return
	}
	resp, err := s.letters.GetDeadLetter(ctx, &pb.GetDeadLetterRequest{Key: &pb.GetDeadLetterRequest_DeadLetterId{DeadLetterId: l.id}})
	if err != nil || !bytes.Equal(resp.GetDeadLetter().GetEnvelope().GetPayload(), l.payload) {
		s.broken.add("F1", "dead letter %s is not what was acknowledged: %v", l.id, err)
	}
}
