// SPDX-License-Identifier: Apache-2.0

package traffic

import (
	"context"
	"math/rand/v2"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	pb "github.com/resilienced/resilienced/gen/resilience/v1"
	"github.com/resilienced/resilienced/test/robustness/history"
)

const (
	// callTime is how long a client waits for one answer.
	callTime = time.Second
	// patience is how long it goes on repeating.
	patience = 6 * time.Second
	// mostDelay bounds the wait before a repeat.
	mostDelay = time.Second
)

// wire is one replica as clients reach it.
type wire struct {
	conn     *grpc.ClientConn
	permits  pb.PermitServiceClient
	runs     pb.RunServiceClient
	targets  pb.TargetServiceClient
	letters  pb.DeadLetterServiceClient
	policies pb.PolicyServiceClient
}

// keyNamespace is the metadata that names a call's tenant.
const keyNamespace = "resilience-namespace"

// dial connects to a replica. All calls are made for one tenant, so that a
// trial meets nothing that others left in the store.
func dial(address, namespace string) (*wire, error) {
	conn, err := grpc.NewClient("passthrough:///"+address,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithUnaryInterceptor(func(ctx context.Context, method string, req, resp any, conn *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
			return invoke(metadata.AppendToOutgoingContext(ctx, keyNamespace, namespace), method, req, resp, conn, opts...)
		}),
		grpc.WithStreamInterceptor(func(ctx context.Context, desc *grpc.StreamDesc, conn *grpc.ClientConn, method string, open grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
			return open(metadata.AppendToOutgoingContext(ctx, keyNamespace, namespace), desc, conn, method, opts...)
		}),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 50 * time.Millisecond, Multiplier: 1.5, Jitter: 0.2, MaxDelay: 500 * time.Millisecond},
			MinConnectTimeout: time.Second,
		}))
	if err != nil {
		return nil, err
	}
	return &wire{
		conn, pb.NewPermitServiceClient(conn), pb.NewRunServiceClient(conn), pb.NewTargetServiceClient(conn),
		pb.NewDeadLetterServiceClient(conn), pb.NewPolicyServiceClient(conn),
	}, nil
}

// caller is one client. It is used by one goroutine.
type caller struct {
	*Traffic
	id     int
	random *rand.Rand
	at     int // the replica that it talks to
}

func (t *Traffic) caller(id int) *caller {
	random := rand.New(rand.NewPCG(t.cfg.Seed, uint64(id)))
	return &caller{t, id, random, random.IntN(len(t.wires))}
}

// ask is what makes a call: it fills in what was answered, and the outcome
// unless that is OK.
type ask func(ctx context.Context, w *wire, e *history.Event) error

// once makes a call and takes it down.
func (c *caller) once(ctx context.Context, e history.Event, do ask) (history.Event, time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	e.Client, e.Replica, e.Call = c.id, c.at, c.cfg.Recorder.Now()
	err := do(ctx, c.wires[c.at], &e)
	e.Return = c.cfg.Recorder.Now()
	delay := time.Duration(0)
	switch {
	case err != nil:
		delay = explain(err, &e)
	case e.Outcome == "":
		e.Outcome = history.OK
	}
	c.cfg.Recorder.Add(e)
	return e, delay
}

// repeated makes a call and repeats it with the same content, as a client does
// that follows the protocol: after the wait that it was told, and on another
// replica. It reports whether one of the calls had no answer.
func (c *caller) repeated(ctx context.Context, e history.Event, do ask) (history.Event, bool) {
	begin, lost := time.Now(), false
	for n := 0; ; n++ {
		got, delay := c.once(ctx, e, do)
		lost = lost || got.Outcome == history.Unknown
		if got.Outcome != history.Refused && got.Outcome != history.Unknown {
			return got, lost
		}
		if time.Since(begin) > patience || ctx.Err() != nil {
			return got, lost
		}
		c.at = (c.at + 1) % len(c.wires)
		if delay == 0 {
			delay = 20 * time.Millisecond << min(n, 4)
		}
		c.pause(ctx, delay/2+c.upTo(min(delay, mostDelay)))
	}
}

// explain says what an error lets its caller know, and the wait that it asks
// for. An error that names none of the service's reasons comes from the way
// there, and then nobody knows.
func explain(err error, e *history.Event) time.Duration {
	st := status.Convert(err)
	e.Reason, e.Text = st.Code().String(), st.Message()
	delay := time.Duration(0)
	ours := false
	for _, d := range st.Details() {
		switch d := d.(type) {
		case *errdetails.ErrorInfo:
			e.Reason, ours = d.GetReason(), true
		case *errdetails.RetryInfo:
			delay = d.GetRetryDelay().AsDuration()
		}
	}
	e.Outcome = outcomeOf(e.Reason)
	if !ours {
		switch st.Code() {
		case codes.Unavailable, codes.DeadlineExceeded, codes.Canceled:
			e.Outcome = history.Unknown
		default:
			e.Outcome = history.Failed
		}
	}
	return delay
}

// outcomeOf is what the service promises with a reason.
func outcomeOf(reason string) history.Outcome {
	switch reason {
	case "OUTCOME_UNKNOWN", "DEADLINE", "CANCELLED":
		return history.Unknown
	case "STORE_UNAVAILABLE", "STORE_FULL", "SHUTTING_DOWN", "OVERLOADED", "QUOTA":
		return history.Refused
	case "LEASE_LOST", "NOT_FOUND":
		return history.Denied
	default:
		return history.Failed
	}
}

// pause waits for a while, or until ctx ends.
func (c *caller) pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// upTo is a random while.
func (c *caller) upTo(most time.Duration) time.Duration {
	return time.Duration(c.random.Int64N(int64(max(most, 1))))
}

// chance is true so many times in a hundred.
func (c *caller) chance(percent int) bool { return c.random.IntN(100) < percent }

// impatient returns a context that ends at a random moment soon.
func (c *caller) impatient(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, c.upTo(4*time.Millisecond))
}
