// SPDX-License-Identifier: Apache-2.0

package client

import (
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"

	pb "github.com/resilienced/resilienced/gen/resilience/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// refusing is a server whose answer is an error.
type refusing struct {
	pb.UnimplementedTargetServiceServer
	err error
	saw metadata.MD
}

func (r *refusing) GetTarget(ctx context.Context, _ *pb.GetTargetRequest) (*pb.GetTargetResponse, error) {
	r.saw, _ = metadata.FromIncomingContext(ctx)
	if r.err == nil {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return nil, r.err
}

func (r *refusing) WatchTargets(_ *pb.WatchTargetsRequest, s grpc.ServerStreamingServer[pb.WatchTargetsResponse]) error {
	if err := s.Send(&pb.WatchTargetsResponse{SnapshotDone: true}); err != nil {
		return err
	}
	return r.err
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func dial(t *testing.T, o Options) *Client {
	t.Helper()
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

func serve(t *testing.T, r *refusing) string {
	t.Helper()
	l := listen(t)
	s := grpc.NewServer()
	pb.RegisterTargetServiceServer(s, r)
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	t.Cleanup(func() {
		s.Stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return l.Addr().String()
}

func refusal(code codes.Code, reason string, details ...protoadapt.MessageV1) error {
	s, err := status.New(code, "said").WithDetails(append(details, &errdetails.ErrorInfo{Reason: reason, Domain: "resilienced"})...)
	if err != nil {
		return err
	}
	return s.Err()
}

func TestErrorsNameTheCure(t *testing.T) {
	violations := &errdetails.BadRequest{FieldViolations: []*errdetails.BadRequest_FieldViolation{
		{Field: "target", Description: "is empty"}, {Field: "reason", Description: "is required"},
	}}
	for _, c := range []struct {
		name string
		err  error
		kind Kind
		says []string
	}{
		{"fields", refusal(codes.InvalidArgument, "INVALID_REQUEST", violations), Usage, []string{"2 things are wrong:\n  target: is empty\n  reason: is required"}},
		{"policy", refusal(codes.InvalidArgument, "POLICY_INVALID"), Invalid, []string{"said"}},
		{"no such run", refusal(codes.NotFound, "RUN_UNKNOWN"), NotFound, []string{"said"}},
		{"overloaded", refusal(codes.ResourceExhausted, "OVERLOADED", &errdetails.RetryInfo{RetryDelay: durationpb.New(time.Second)}), Temporary, []string{"said (after 1s)"}},
		{"quota", refusal(codes.ResourceExhausted, "QUOTA"), Failed, []string{"said"}},
		{"epoch", refusal(codes.Aborted, "EPOCH_CHANGED"), Failed, []string{"said"}},
		{"draining", refusal(codes.Unavailable, "SHUTTING_DOWN"), Temporary, []string{"said"}},
		{"store", refusal(codes.Unavailable, "STORE_UNAVAILABLE"), Unavailable, []string{"said"}},
		{"fault", refusal(codes.Internal, "INTERNAL"), Software, []string{"said"}},
		{"older server", status.Error(codes.Unimplemented, "unknown method"), Unavailable, []string{"GetTarget", "older", "version --server"}},
		{"denied", status.Error(codes.PermissionDenied, "no"), Denied, []string{"PermissionDenied", "no"}},
		{"a proxy's", status.Error(codes.Unknown, "odd"), Software, []string{"Unknown", "odd"}},
		{"a reason of a newer server", refusal(codes.FailedPrecondition, "SOMETHING_NEW"), Failed, []string{"FailedPrecondition", "said"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			client := dial(t, Options{Addr: serve(t, &refusing{err: c.err})})
			_, err := client.Targets.GetTarget(t.Context(), &pb.GetTargetRequest{})
			e, ok := As(err)
			if !ok || e.Kind != c.kind {
				t.Fatalf("error %v of kind %v, want %v", err, e, c.kind)
			}
			for _, text := range c.says {
				if !strings.Contains(e.Text, text) {
					t.Errorf("%q lacks %q", e.Text, text)
				}
			}
			if status.Code(err) != status.Code(c.err) {
				t.Errorf("the code is lost: %v", status.Code(err))
			}
		})
	}
}

func TestNobodyThere(t *testing.T) {
	l := listen(t)
	addr := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	_, err := dial(t, Options{Addr: addr}).Targets.GetTarget(t.Context(), &pb.GetTargetRequest{})
	if e, ok := As(err); !ok || e.Kind != Unavailable || !strings.Contains(e.Text, "resilienced serve") || !strings.Contains(e.Text, addr) || !e.Down() {
		t.Errorf("error %v", err)
	}
	if _, err := New(Options{Addr: "nowhere"}); err == nil || !strings.Contains(err.Error(), "HOST:PORT") {
		t.Errorf("an address without a port: %v", err)
	}
}

func TestNotGRPC(t *testing.T) {
	l := listen(t)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = fmt.Fprint(conn, "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
			_ = conn.Close()
		}
	}()
	_, err := dial(t, Options{Addr: l.Addr().String()}).Targets.GetTarget(t.Context(), &pb.GetTargetRequest{})
	if e, ok := As(err); !ok || e.Kind != Unavailable || !strings.Contains(e.Text, "--addr") {
		t.Errorf("error %v", err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	<-done
}

func TestTimeoutAndNamespace(t *testing.T) {
	r := &refusing{}
	client := dial(t, Options{Addr: serve(t, r), Timeout: 50 * time.Millisecond, Namespace: "team"})
	_, err := client.Targets.GetTarget(t.Context(), &pb.GetTargetRequest{})
	if e, ok := As(err); !ok || e.Kind != Unavailable || !strings.Contains(e.Text, "--rpc-timeout") {
		t.Errorf("error %v", err)
	}
	if got := r.saw.Get("resilience-namespace"); len(got) != 1 || got[0] != "team" {
		t.Errorf("namespace %q", got)
	}
}

func TestStreams(t *testing.T) {
	r := &refusing{err: refusal(codes.Unavailable, "SHUTTING_DOWN")}
	s, err := dial(t, Options{Addr: serve(t, r)}).Targets.WatchTargets(t.Context(), &pb.WatchTargetsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Recv(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Recv(); err == nil {
		t.Error("no error")
	} else if e, ok := As(err); !ok || e.Kind != Temporary {
		t.Errorf("error %v", err)
	}
	if !isEnd(io.EOF) || !isEnd(nil) || isEnd(r.err) {
		t.Error("an end is no error")
	}
}
