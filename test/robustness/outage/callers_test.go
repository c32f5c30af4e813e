// SPDX-License-Identifier: Apache-2.0

package outage

import (
	"context"
	"crypto/rand"
	"fmt"
	mrand "math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	pb "github.com/resilienced/resilienced/gen/resilience/v1"
	"github.com/resilienced/resilienced/test/robustness/cluster"
)

const (
	price = 3
	// pace is the pause between an agent's calls, so that a thousand of them are
	// a load that a small machine carries while all is well.
	pace = 2 * time.Second
	// patience is far more than an Acquire may take, so that one that hangs
	// shows as DEADLINE_EXCEEDED.
	patience = 3 * time.Second
)

// callers acquire and report in one capped run, each on one replica, and never
// repeat an Acquire: what it may have been granted in vain is nobody's.
type callers struct {
	conns   []*grpc.ClientConn
	run     string
	stop    context.CancelFunc
	running sync.WaitGroup

	granted, reported atomic.Int64
	byReplica         []atomic.Int64 // granted

	mu    sync.Mutex
	took  []time.Duration // by each Acquire since it was emptied
	codes map[codes.Code]int
	wrong map[string]int
}

// call starts n callers, who end with the test.
func call(t *testing.T, c *cluster.Cluster, n int) *callers {
	t.Helper()
	all := &callers{
		run: rand.Text(), byReplica: make([]atomic.Int64, len(c.Replicas())),
		codes: map[codes.Code]int{}, wrong: map[string]int{},
	}
	for _, r := range c.Replicas() {
		conn, err := grpc.NewClient("passthrough:///"+r.Addr(), grpc.WithTransportCredentials(insecure.NewCredentials()),
			grpc.WithConnectParams(grpc.ConnectParams{
				Backoff: backoff.Config{BaseDelay: 20 * time.Millisecond, Multiplier: 1, MaxDelay: 20 * time.Millisecond}, MinConnectTimeout: time.Second,
			}))
		do(t, err)
		t.Cleanup(func() { conn.Close() }) //nolint:errcheck // nothing is lost with it
		all.conns = append(all.conns, conn)
	}
	limit := int64(1 << 40)
	_, err := pb.NewRunServiceClient(all.conns[0]).StartRun(t.Context(), &pb.StartRunRequest{
		RequestId: rand.Text(), RunId: all.run, Caps: &pb.Caps{CostMicros: &limit},
	}, grpc.WaitForReady(true))
	do(t, err)
	ctx, stop := context.WithCancel(t.Context())
	all.stop = stop
	for i := range n {
		all.running.Go(func() {
			for ctx.Err() == nil {
				pause := all.once(context.WithoutCancel(ctx), i%len(all.conns))
				sleep(ctx, pause)
			}
		})
	}
	t.Cleanup(all.end)
	return all
}

// end has the callers finish what they are at.
func (c *callers) end() {
	c.stop()
	c.running.Wait()
}

func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// once makes one attempt and returns how long to wait before the next.
func (c *callers) once(ctx context.Context, replica int) time.Duration {
	permits := pb.NewPermitServiceClient(c.conns[replica])
	cost := int64(price)
	var trailer metadata.MD
	asking, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	began := time.Now()
	got, err := permits.Acquire(asking, &pb.AcquireRequest{
		RequestId: rand.Text(), RunId: c.run, OperationId: rand.Text(), Target: "tool/x",
		Idempotency: pb.Idempotency_IDEMPOTENCY_IDEMPOTENT, Estimate: &pb.Estimate{CostMicros: &cost},
	}, grpc.Trailer(&trailer))
	c.record(time.Since(began), err, trailer)
	if err != nil {
		return delay(err)
	}
	permit := got.GetPermit()
	if permit == nil {
		c.say(fmt.Sprintf("refused: %v", got))
		return time.Second
	}
	c.granted.Add(1)
	c.byReplica[replica].Add(1)
	c.report(ctx, replica, &pb.ReportRequest{
		RequestId: rand.Text(), PermitId: permit.GetPermitId(), Fence: permit.GetFence(),
		Outcome: pb.Outcome_OUTCOME_SUCCESS, Usage: &pb.Usage{CostMicros: &cost},
	})
	return pace/2 + mrand.N(pace)
}

// report reports until it is answered.
func (c *callers) report(ctx context.Context, replica int, req *pb.ReportRequest) {
	for n := range 60 {
		asking, cancel := context.WithTimeout(ctx, patience)
		_, err := pb.NewPermitServiceClient(c.conns[(replica+n)%len(c.conns)]).Report(asking, req)
		cancel()
		if err == nil {
			c.reported.Add(1)
			return
		}
		time.Sleep(delay(err))
	}
	c.say("a report was not taken in 60 attempts")
}

// delay returns the pause that an error asks for.
func delay(err error) time.Duration {
	for _, d := range status.Convert(err).Details() {
		if info, ok := d.(*errdetails.RetryInfo); ok {
			return info.GetRetryDelay().AsDuration()
		}
	}
	return 50 * time.Millisecond
}

// record takes down an Acquire. While the database is gone the only errors are
// those that tell a caller to come again, and when.
func (c *callers) record(took time.Duration, err error, trailer metadata.MD) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.took = append(c.took, took)
	if err == nil {
		return
	}
	code := status.Code(err)
	c.codes[code]++
	told := len(trailer.Get("grpc-retry-pushback-ms")) == 1
	if code != codes.Unavailable && code != codes.ResourceExhausted || !told {
		c.wrong[fmt.Sprintf("Acquire: %v (says when to come again: %v)", err, told)]++
	}
}

func (c *callers) say(what string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wrong[what]++
}

// slice empties what was recorded and returns it in words.
func (c *callers) slice() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	slices.Sort(c.took)
	at := func(part float64) time.Duration {
		if len(c.took) == 0 {
			return 0
		}
		return c.took[int(part*float64(len(c.took)-1))].Round(time.Millisecond)
	}
	text := fmt.Sprintf("%d Acquires, p50 %v, p99 %v, longest %v, errors %v", len(c.took), at(0.5), at(0.99), at(1), c.codes)
	c.took, c.codes = nil, map[codes.Code]int{}
	return text
}

// balance returns what the run has by the service's books.
func (c *callers) balance(ctx context.Context) (spent, reserved, assumed int64, err error) {
	got, err := pb.NewRunServiceClient(c.conns[0]).GetRun(ctx, &pb.GetRunRequest{RunId: c.run}, grpc.WaitForReady(true))
	run := got.GetRun()
	return run.GetSpent().GetCostMicros(), run.GetReserved().GetCostMicros(), run.GetAssumed().GetCostMicros(), err
}
