// SPDX-License-Identifier: Apache-2.0

package suite

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/resilienced/resilienced/bench/direct"
	"github.com/resilienced/resilienced/bench/load"
	pb "github.com/resilienced/resilienced/gen/resilience/v1"
)

// callersPerConnection is how many callers share a connection: an agent
// process with many workers has one.
const callersPerConnection = 32

// client is the client's side of a server: plain gRPC with default options,
// the same for every server.
type client struct {
	conns  []*grpc.ClientConn
	agents atomic.Int64 // made so far: no two use the same request ids
}

// dial connects to one server, or to several that callers are spread over.
func dial(callers int, addresses ...string) (*client, error) {
	c := &client{}
	for i := range max(callers/callersPerConnection, len(addresses)) {
		conn, err := grpc.NewClient("passthrough:///"+addresses[i%len(addresses)], grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			return nil, errors.Join(err, c.close())
		}
		c.conns = append(c.conns, conn)
	}
	return c, nil
}

func (c *client) close() error {
	var errs []error
	for _, conn := range c.conns {
		errs = append(errs, conn.Close())
	}
	return errors.Join(errs...)
}

func (c *client) startRun(ctx context.Context, id string) error {
	limit := direct.Cap
	_, err := pb.NewRunServiceClient(c.conns[0]).StartRun(ctx, &pb.StartRunRequest{RequestId: "start-" + id, RunId: id, Caps: &pb.Caps{CostMicros: &limit}})
	return err
}

// agent is one caller: what an agent sends for a call that goes well. It
// writes its requests anew into the same two messages.
type agent struct {
	permits pb.PermitServiceClient
	number  int64
	sent    int64
	acquire *pb.AcquireRequest
	report  *pb.ReportRequest
}

func (c *client) agent(caller int, ask direct.Ask) *agent {
	return newAgent(pb.NewPermitServiceClient(c.conns[caller%len(c.conns)]), c.agents.Add(1), ask)
}

func newAgent(permits pb.PermitServiceClient, number int64, ask direct.Ask) *agent {
	status, cost, input, output := int32(200), direct.Cost, int64(900), int64(120)
	a := &agent{
		permits: permits, number: number,
		acquire: &pb.AcquireRequest{
			Target: ask.Target, RunId: ask.Run, Idempotency: pb.Idempotency_IDEMPOTENCY_IDEMPOTENT, ReporterId: "agent-7",
		},
		report: &pb.ReportRequest{
			Outcome: pb.Outcome_OUTCOME_SUCCESS, Duration: durationpb.New(850 * time.Millisecond),
			Signal: &pb.Signal{HttpStatus: &status},
		},
	}
	if ask.Run != "" {
		estimate := direct.Estimate
		a.acquire.Estimate = &pb.Estimate{CostMicros: &estimate}
		a.report.Usage = &pb.Usage{CostMicros: &cost, InputTokens: &input, OutputTokens: &output}
	}
	return a
}

// requestID is a new one, as long as a UUID.
func (a *agent) requestID() string {
	a.sent++
	const length = 36
	id := make([]byte, 0, length)
	id = strconv.AppendInt(id, a.number+1_000_000, 10)
	id = append(id, "-0000-4000-8000-"...)
	id = strconv.AppendInt(id, a.sent+1_000_000_000_000, 10)
	return string(id)
}

// next is the next request to acquire.
func (a *agent) next() *pb.AcquireRequest {
	a.acquire.RequestId = a.requestID()
	return a.acquire
}

func (a *agent) ask(ctx context.Context) (*pb.AcquireResponse, error) {
	resp, err := a.permits.Acquire(ctx, a.next())
	if err != nil {
		return nil, err
	}
	if resp.GetDecision() != pb.Decision_DECISION_GRANTED {
		return nil, fmt.Errorf("an Acquire is answered with %s, %s", resp.GetDecision(), resp.GetReason())
	}
	return resp, nil
}

func (a *agent) tell(ctx context.Context, p *pb.Permit) (*pb.ReportResponse, error) {
	a.report.PermitId, a.report.Fence = p.GetPermitId(), p.GetFence()
	resp, err := a.permits.Report(ctx, a.report)
	if err != nil {
		return nil, err
	}
	if resp.GetAction() != pb.Action_ACTION_CONTINUE {
		return nil, fmt.Errorf("a Report of a success is answered with %s", resp.GetAction())
	}
	return resp, nil
}

// acquires are callers that only acquire, without a run.
func (c *client) acquires() load.Callers {
	return func(caller int) load.Op {
		a := c.agent(caller, direct.Ask{Target: direct.Target})
		return func(ctx context.Context, laps *load.Laps) error {
			_, err := a.ask(ctx)
			laps.Lap()
			return err
		}
	}
}

// pairs are callers that acquire and report, on a run or on none.
func (c *client) pairs(run string) load.Callers {
	return c.pairsOf(direct.Ask{Run: run, Target: direct.Target})
}

func (c *client) pairsOf(ask direct.Ask) load.Callers {
	return func(caller int) load.Op {
		a := c.agent(caller, ask)
		return func(ctx context.Context, laps *load.Laps) error {
			var resp *pb.AcquireResponse
			err := laps.Insist(ctx, passes, func(ctx context.Context) (err error) {
				resp, err = a.ask(ctx)
				return err
			})
			if err != nil {
				return err
			}
			return laps.Insist(ctx, passes, func(ctx context.Context) error {
				_, err := a.tell(ctx, resp.GetPermit())
				return err
			})
		}
	}
}

// passes reports whether an error says that the store did not answer in time.
func passes(err error) bool {
	code := status.Code(err)
	return code == codes.Unavailable || code == codes.ResourceExhausted
}
