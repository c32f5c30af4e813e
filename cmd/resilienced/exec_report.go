// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"sync"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/resilienced/resilienced/cmd/resilienced/child"
	"github.com/resilienced/resilienced/cmd/resilienced/client"
	"github.com/resilienced/resilienced/drill/enum"
	pb "github.com/resilienced/resilienced/gen/resilience/v1"
)

// reportTries is how often a report is sent while the service is down.
const reportTries = 3

// report tells how an attempt went. Nil: the service could not be told.
func (g *guarded) report(ctx context.Context, p *pb.Permit, r child.Result) *pb.ReportResponse {
	req := &pb.ReportRequest{
		RequestId: newRequestID(), PermitId: p.GetPermitId(), Fence: p.GetFence(), Duration: durationpb.New(r.Duration),
		Outcome: pb.Outcome_OUTCOME_SUCCESS,
	}
	if g.flags.cost.number != nil {
		req.Usage = &pb.Usage{CostMicros: g.flags.cost.number}
	}
	switch {
	case r.Code == exitOK:
	case r.Interrupted || r.Stopped:
		req.Outcome = pb.Outcome_OUTCOME_CANCELLED
	default:
		req.Outcome, req.Signal = pb.Outcome_OUTCOME_FAILURE, g.flags.means.signal(r)
	}
	var err error
	for try := range reportTries {
		var got *pb.ReportResponse
		if got, err = g.Permits.Report(context.WithoutCancel(ctx), req); err == nil {
			return got
		}
		if e, ok := client.As(err); !ok || !e.Down() {
			break
		}
		if try < reportTries-1 {
			time.Sleep(time.Duration(try+1) * 200 * time.Millisecond)
		}
	}
	g.say("the service was not told how the command ended, and books what it may have cost: %v", err)
	return nil
}

// heartbeat keeps a permit alive while its command runs.
type heartbeat struct {
	stop   chan struct{} // closed: the command is to end
	done   chan struct{} // closed: the command has ended
	ending sync.Once
	wg     sync.WaitGroup
}

// end waits for the last heartbeat.
func (h *heartbeat) end() {
	h.ending.Do(func() { close(h.done) })
	h.wg.Wait()
}

// leastBeat keeps heartbeats from becoming the load.
const leastBeat = 10 * time.Millisecond

// beat starts the heartbeats of a permit. Its caller ends them.
func (g *guarded) beat(ctx context.Context, p *pb.Permit) *heartbeat {
	h := &heartbeat{stop: make(chan struct{}), done: make(chan struct{})}
	every, lease := p.GetHeartbeatEvery().AsDuration(), p.GetLease().AsDuration()
	if every <= 0 {
		every = lease / 3
	}
	bounded, cancel := context.WithCancel(ctx)
	h.wg.Add(2)
	go func() { // a heartbeat under way must not hold the exit up
		defer h.wg.Done()
		<-h.done
		cancel()
	}()
	go func() {
		defer h.wg.Done()
		g.beats(bounded, h, p, max(every, leastBeat), time.Now().Add(lease))
	}()
	return h
}

// beats sends heartbeats until the command has ended or must end.
func (g *guarded) beats(ctx context.Context, h *heartbeat, p *pb.Permit, every time.Duration, until time.Time) {
	unguarded := false
	for {
		timer := time.NewTimer(every)
		select {
		case <-h.done:
			timer.Stop()
			return
		case <-timer.C:
		}
		got, err := g.Permits.Heartbeat(ctx, &pb.HeartbeatRequest{PermitId: p.GetPermitId(), Fence: p.GetFence()})
		if ctx.Err() != nil {
			return
		}
		e, _ := client.As(err)
		switch {
		case err == nil && got.GetCancelRequested():
			g.say("ending the command: the service asks for it (%s)", dash(enum.Word(got.GetCancelReason())))
			close(h.stop)
			return
		case err == nil:
			until, unguarded = time.Now().Add(got.GetLease().AsDuration()), false
			every = max(min(every, got.GetHeartbeatEvery().AsDuration()), leastBeat)
		case e == nil || !e.Down():
			g.say("ending the command: %v", err)
			close(h.stop)
			return
		case time.Now().Before(until) || unguarded:
		case g.open:
			unguarded = true
			g.say("the service cannot be reached and the lease is over; the command goes on unguarded: %v", err)
		default:
			g.say("ending the command: the service cannot be reached and the lease is over: %v", err)
			close(h.stop)
			return
		}
	}
}
