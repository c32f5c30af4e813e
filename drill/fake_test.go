// SPDX-License-Identifier: Apache-2.0

package drill

import (
	"context"
	"strconv"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	pb "github.com/resilienced/resilienced/gen/resilience/v1"
)

// fakeConn answers RPCs from a table, by names such as RunService.GetRun, and
// keeps what it was asked. StartDrill, EndDrill, ApplyPolicy, StartRun and
// AdvanceClock succeed unless the table says otherwise; the rest does not
// exist.
type fakeConn struct {
	answers map[string]func(in proto.Message) (proto.Message, error)
	calls   []fakeCall
	drills  int
}

type fakeCall struct {
	rpc       string
	namespace []string
	deadline  bool
	in        proto.Message
}

func (f *fakeConn) Invoke(ctx context.Context, method string, in, out any, _ ...grpc.CallOption) error {
	md, _ := metadata.FromOutgoingContext(ctx)
	_, deadline := ctx.Deadline()
	rpc, request := rpcName(method), in.(proto.Message)
	f.calls = append(f.calls, fakeCall{rpc, md.Get(namespaceKey), deadline, proto.Clone(request)})
	if err := ctx.Err(); err != nil {
		return status.FromContextError(err).Err()
	}
	answer, ok := f.answers[rpc]
	if !ok {
		answer = f.standard(rpc)
	}
	resp, err := answer(request)
	if err == nil {
		proto.Merge(out.(proto.Message), resp)
	}
	return err
}

func (f *fakeConn) NewStream(context.Context, *grpc.StreamDesc, string, ...grpc.CallOption) (grpc.ClientStream, error) {
	return nil, status.Error(codes.Unimplemented, "no streams here")
}

func (f *fakeConn) standard(rpc string) func(proto.Message) (proto.Message, error) {
	return func(proto.Message) (proto.Message, error) {
		switch rpc {
		case "DrillService.StartDrill":
			f.drills++
			return &pb.StartDrillResponse{Namespace: "drill-" + strconv.Itoa(f.drills)}, nil
		case "DrillService.EndDrill":
			return &pb.EndDrillResponse{}, nil
		case "DrillService.AdvanceClock":
			return &pb.AdvanceClockResponse{}, nil
		case "PolicyService.ApplyPolicy":
			return &pb.ApplyPolicyResponse{}, nil
		case "RunService.StartRun":
			return &pb.StartRunResponse{}, nil
		}
		return nil, status.Error(codes.Unimplemented, "unknown method")
	}
}

// on makes the answer to an RPC.
func on[In, Out proto.Message](f *fakeConn, rpc string, answer func(In) (Out, error)) {
	if f.answers == nil {
		f.answers = make(map[string]func(proto.Message) (proto.Message, error))
	}
	f.answers[rpc] = func(in proto.Message) (proto.Message, error) { return answer(in.(In)) }
}

// made returns the requests of one RPC.
func made[In proto.Message](f *fakeConn, rpc string) []In {
	var all []In
	for _, c := range f.calls {
		if c.rpc == rpc {
			all = append(all, c.in.(In))
		}
	}
	return all
}

// rpcs returns the names of the calls in order.
func (f *fakeConn) rpcs() []string {
	var all []string
	for _, c := range f.calls {
		all = append(all, c.rpc)
	}
	return all
}

// refusal is an RPC error with a reason.
func refusal(code codes.Code, reason string) error {
	s, err := status.New(code, "no").WithDetails(&errdetails.ErrorInfo{Reason: reason})
	if err != nil {
		panic(err)
	}
	return s.Err()
}

// granting makes every acquire granted, permits in order p1, p2, …, and every
// report answered by f.
func granting(f *fakeConn, report func(*pb.ReportRequest) (*pb.ReportResponse, error)) {
	n := 0
	on(f, "PermitService.Acquire", func(in *pb.AcquireRequest) (*pb.AcquireResponse, error) {
		n++
		return &pb.AcquireResponse{
			Decision: pb.Decision_DECISION_GRANTED,
			Permit: &pb.Permit{
				PermitId: "p" + strconv.Itoa(n), Fence: uint64(n), OperationId: in.GetOperationId(),
				Target: in.GetTarget(), Attempt: int32(n),
			},
		}, nil
	})
	on(f, "PermitService.Report", report)
}

// retries answers 503 with RETRY and everything else with CONTINUE.
func retries(in *pb.ReportRequest) (*pb.ReportResponse, error) {
	if in.GetSignal().GetHttpStatus() == 503 {
		return &pb.ReportResponse{
			Class: pb.Class_CLASS_TRANSIENT, Action: pb.Action_ACTION_RETRY, Delay: durationpb.New(time.Second),
		}, nil
	}
	return &pb.ReportResponse{Class: pb.Class_CLASS_OK, Action: pb.Action_ACTION_CONTINUE, Counted: true}, nil
}

// runText runs one scenario given as YAML.
func runText(t *testing.T, conn grpc.ClientConnInterface, text string) Result {
	t.Helper()
	report := runAll(t, conn, text)
	return report.Results[0]
}

func runAll(t *testing.T, conn grpc.ClientConnInterface, texts ...string) Report {
	t.Helper()
	var scenarios []Scenario
	for i, text := range texts {
		scenarios = append(scenarios, named(parse("x"+strconv.Itoa(i)+".yaml", []byte(text))))
	}
	return Run(t.Context(), conn, scenarios, Options{})
}
