// SPDX-License-Identifier: Apache-2.0

// Package rolling restarts replicas one after the other while clients call, and
// counts what they notice: nothing.
//
// The clients are gRPC's own with the service config below: calls go round over
// the replicas, a replica that says NOT_SERVING gets none, and a call that ends
// with UNAVAILABLE is repeated as it was, with the same request_id, after the
// pause that the server asks for. gRPC does that a few times; what is left to
// the client is to go on until its own time is over.
package rolling

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	_ "google.golang.org/grpc/health" // clients ask a replica whether it serves
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/resolver/manual"
	"google.golang.org/grpc/stats"
	"google.golang.org/grpc/status"

	pb "github.com/resilienced/resilienced/gen/resilience/v1"
	"github.com/resilienced/resilienced/test/robustness/cluster"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const serviceConfig = `{
  "loadBalancingConfig": [{"round_robin": {}}],
  "healthCheckConfig": {"serviceName": ""},
  "methodConfig": [{
    "name": [{}],
    "retryPolicy": {
      "maxAttempts": 4, "initialBackoff": "0.05s", "maxBackoff": "1s", "backoffMultiplier": 2,
      "retryableStatusCodes": ["UNAVAILABLE"]
    }
  }]
}`

const (
	price   = 3
	callers = 16
	// patience is how long a client goes on with one call.
	patience = 10 * time.Second
)

func do(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// restarts is how many orderly restarts there are: 9, or RESILIENCED_RESTARTS.
func restarts(t *testing.T) int {
	t.Helper()
	text, set := os.LookupEnv("RESILIENCED_RESTARTS")
	if !set {
		return 9
	}
	n, err := strconv.Atoi(text)
	do(t, err)
	return n
}

func TestRestartsAreNotNoticed(t *testing.T) {
	roll(t, restarts(t), (*cluster.Replica).Term)
}

// Nor is a kill, by clients that repeat what has no answer. That it makes them
// do so shows that the count of repeats, and with it the test above, can fail.
func TestKillsAreNotNoticed(t *testing.T) {
	if repeated := roll(t, 6, (*cluster.Replica).Kill); repeated == 0 {
		t.Error("nothing was repeated: the kills took no effect")
	}
}

// roll ends and starts one replica after the other while clients call. It
// returns how many attempts were repeated by gRPC.
func roll(t *testing.T, times int, end func(*cluster.Replica, context.Context) error) int64 {
	t.Helper()
	dir := t.TempDir()
	binary, err := cluster.Build(t.Context(), cluster.Source{Dir: dir})
	do(t, err)
	c, err := cluster.Start(t.Context(), cluster.Config{Binary: binary, Dir: dir, Policy: "version: 1\n"})
	do(t, err)
	t.Cleanup(func() {
		for _, fault := range c.Faulty() {
			t.Error(fault)
		}
		do(t, c.Close())
	})
	traffic := begin(t, c)
	for n := range times {
		r := c.Replicas()[n%len(c.Replicas())]
		answered := traffic.answered.Load()
		do(t, end(r, t.Context()))
		do(t, r.Start(t.Context()))
		do(t, c.AwaitWhole(t.Context()))
		if traffic.answered.Load() < answered+callers {
			t.Errorf("restart %d: only %d calls were answered meanwhile, too few to notice anything", n, traffic.answered.Load()-answered)
		}
		// The next one goes when clients have found this one again, as a
		// readiness probe with a few seconds' grace has it.
		traffic.awaitReplica(t, r)
	}
	traffic.end(t)
	t.Logf("%d restarts, %d calls answered, %d attempts repeated by gRPC, %d calls by clients: %v",
		times, traffic.answered.Load(), traffic.repeated.Load(), traffic.again.Load(), traffic.reasons)
	return traffic.repeated.Load()
}

// traffic is callers that acquire and report in one capped run.
type traffic struct {
	conn     *grpc.ClientConn
	run      string
	answered atomic.Int64
	reported atomic.Int64
	repeated atomic.Int64 // attempts, by gRPC
	again    atomic.Int64 // calls, by the client, when gRPC gave up
	failed   sync.Map     // by what failed
	stop     context.CancelFunc
	running  sync.WaitGroup

	mu      sync.Mutex
	served  map[string]int // calls by replica's address
	reasons map[string]int // of what was repeated
}

func begin(t *testing.T, c *cluster.Cluster) *traffic {
	t.Helper()
	var addrs []resolver.Address
	for _, addr := range c.Addrs() {
		addrs = append(addrs, resolver.Address{Addr: addr})
	}
	names := manual.NewBuilderWithScheme("fleet")
	names.InitialState(resolver.State{Addresses: addrs})
	tr := &traffic{run: rand.Text(), served: map[string]int{}, reasons: map[string]int{}}
	var err error
	tr.conn, err = grpc.NewClient("fleet:///resilienced", grpc.WithResolvers(names),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultServiceConfig(serviceConfig), grpc.WithStatsHandler(tr))
	do(t, err)
	t.Cleanup(func() { tr.conn.Close() }) //nolint:errcheck // nothing is lost with it
	limit := int64(1 << 40)
	_, err = pb.NewRunServiceClient(tr.conn).StartRun(t.Context(), &pb.StartRunRequest{
		RequestId: rand.Text(), RunId: tr.run, Caps: &pb.Caps{CostMicros: &limit},
	}, grpc.WaitForReady(true))
	do(t, err)
	ctx, stop := context.WithCancel(t.Context())
	tr.stop = stop
	for n := range callers {
		tr.running.Go(func() {
			for ctx.Err() == nil {
				// The end of the traffic does not keep a report back.
				tr.call(context.WithoutCancel(ctx), fmt.Sprintf("tool/%d", n%4))
			}
		})
	}
	t.Cleanup(func() {
		stop()
		tr.running.Wait()
	})
	return tr
}

// call makes one attempt: a permit, and its report.
func (tr *traffic) call(ctx context.Context, target string) {
	permits := pb.NewPermitServiceClient(tr.conn)
	cost := int64(price)
	got, err := patient(ctx, tr, permits.Acquire, &pb.AcquireRequest{
		RequestId: rand.Text(), RunId: tr.run, OperationId: rand.Text(), Target: target,
		Idempotency: pb.Idempotency_IDEMPOTENCY_IDEMPOTENT, Estimate: &pb.Estimate{CostMicros: &cost},
	})
	tr.count("Acquire", err)
	if err != nil {
		return
	}
	grant := got.GetPermit()
	if grant == nil {
		tr.count("Acquire", fmt.Errorf("not granted: %v", got))
		return
	}
	_, err = patient(ctx, tr, permits.Report, &pb.ReportRequest{
		RequestId: rand.Text(), PermitId: grant.GetPermitId(), Fence: grant.GetFence(),
		Outcome: pb.Outcome_OUTCOME_SUCCESS, Usage: &pb.Usage{CostMicros: &cost},
	})
	tr.count("Report", err)
	if err == nil {
		tr.reported.Add(1)
	}
}

// patient makes a call and repeats it while it is UNAVAILABLE and there is time.
func patient[Req, Resp any](ctx context.Context, tr *traffic, method func(context.Context, Req, ...grpc.CallOption) (Resp, error), req Req) (Resp, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		resp, err := method(ctx, req)
		if status.Code(err) != codes.Unavailable || ctx.Err() != nil {
			return resp, err
		}
		tr.again.Add(1)
	}
}

func (tr *traffic) count(method string, err error) {
	if err == nil {
		tr.answered.Add(1)
		return
	}
	tr.failed.LoadOrStore(method+": "+err.Error(), true)
}

// end ends the traffic and looks at what the clients saw, and at the run, whose
// balance must be what they were told.
func (tr *traffic) end(t *testing.T) {
	t.Helper()
	tr.stop()
	tr.running.Wait()
	tr.failed.Range(func(what, _ any) bool {
		t.Errorf("a client saw %s", what)
		return true
	})
	got, err := pb.NewRunServiceClient(tr.conn).GetRun(t.Context(), &pb.GetRunRequest{RunId: tr.run})
	do(t, err)
	run, spent := got.GetRun(), price*tr.reported.Load()
	if run.GetSpent().GetCostMicros() != spent || run.GetReserved().GetCostMicros() != 0 {
		t.Errorf("spent %d and reserved %d, want %d and 0", run.GetSpent().GetCostMicros(), run.GetReserved().GetCostMicros(), spent)
	}
}

// awaitReplica waits until calls are answered by a replica.
func (tr *traffic) awaitReplica(t *testing.T, r *cluster.Replica) {
	t.Helper()
	count := func() int {
		tr.mu.Lock()
		defer tr.mu.Unlock()
		return tr.served[r.Addr()]
	}
	before := count()
	for end := time.Now().Add(30 * time.Second); count() == before; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("no call went to %s after its restart", r.Addr())
		}
	}
}

type remoteKey struct{}

// TagRPC implements stats.Handler.
func (tr *traffic) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context {
	return context.WithValue(ctx, remoteKey{}, new(string))
}

// HandleRPC implements stats.Handler. It sees every attempt.
func (tr *traffic) HandleRPC(ctx context.Context, s stats.RPCStats) {
	remote, _ := ctx.Value(remoteKey{}).(*string)
	switch s := s.(type) {
	case *stats.OutHeader:
		*remote = s.RemoteAddr.String()
	case *stats.End:
		if status.Code(s.Error) == codes.Unavailable {
			tr.repeated.Add(1)
			tr.mu.Lock()
			tr.reasons[reason(s.Error)]++
			tr.mu.Unlock()
		}
		if s.Error == nil {
			tr.mu.Lock()
			tr.served[*remote]++
			tr.mu.Unlock()
		}
	}
}

// reason is the service's word for an error, or gRPC's own.
func reason(err error) string {
	st := status.Convert(err)
	for _, d := range st.Details() {
		if info, ok := d.(*errdetails.ErrorInfo); ok {
			return info.GetReason()
		}
	}
	return st.Message()[:min(len(st.Message()), 40)]
}

// TagConn implements stats.Handler.
func (tr *traffic) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }

// HandleConn implements stats.Handler.
func (tr *traffic) HandleConn(context.Context, stats.ConnStats) {}
