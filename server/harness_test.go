// SPDX-License-Identifier: Apache-2.0

package server

import (
	"context"
	"net"
	"testing"

	"go.uber.org/goleak"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	"github.com/resilienced/resilienced/engine"
	pb "github.com/resilienced/resilienced/gen/resilience/v1"
	"github.com/resilienced/resilienced/statestore/memory"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// harness is a server over a memory store, and a connection to it.
type harness struct {
	server  *Server
	grpc    *grpc.Server
	conn    *grpc.ClientConn
	permits pb.PermitServiceClient
	runs    pb.RunServiceClient
	targets pb.TargetServiceClient
}

// newHarness starts a server; change may change what it is made of.
func newHarness(tb testing.TB, change func(*Deps)) *harness {
	tb.Helper()
	store := memory.New(memory.Config{})
	e, err := engine.New(tb.Context(), engine.Config{Store: store, AllowDrills: true})
	if err != nil {
		tb.Fatal(err)
	}
	deps := Deps{Engine: e}
	if change != nil {
		change(&deps)
	}
	h := &harness{server: New(deps)}
	h.grpc = grpc.NewServer(h.server.Options()...)
	h.server.Register(h.grpc)
	listener := bufconn.Listen(1 << 20)
	served := make(chan error, 1)
	go func() { served <- h.grpc.Serve(listener) }()
	h.conn, err = grpc.NewClient("passthrough:///bufconn", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }))
	if err != nil {
		tb.Fatal(err)
	}
	h.permits, h.runs, h.targets = pb.NewPermitServiceClient(h.conn), pb.NewRunServiceClient(h.conn), pb.NewTargetServiceClient(h.conn)
	tb.Cleanup(func() {
		if err := h.conn.Close(); err != nil {
			tb.Error(err)
		}
		h.grpc.Stop()
		if err := <-served; err != nil {
			tb.Error(err)
		}
		if err := e.Close(context.Background()); err != nil {
			tb.Error(err)
		}
		if err := store.Close(); err != nil {
			tb.Error(err)
		}
	})
	return h
}

// in is a context with metadata.
func in(ctx context.Context, pairs ...string) context.Context {
	return metadata.AppendToOutgoingContext(ctx, pairs...)
}

// grant acquires a target and fails the test unless it is granted.
func (h *harness) grant(ctx context.Context, tb testing.TB, r *pb.AcquireRequest) *pb.Permit {
	tb.Helper()
	resp, err := h.permits.Acquire(ctx, r)
	if err != nil {
		tb.Fatal(err)
	}
	if resp.GetDecision() != pb.Decision_DECISION_GRANTED {
		tb.Fatalf("decision %v, reason %v; want a grant", resp.GetDecision(), resp.GetReason())
	}
	return resp.GetPermit()
}

// wantError checks code, reason and, unless it is empty, the first field of an
// error, and that it has a text.
func wantError(tb testing.TB, err error, code codes.Code, reason, field string) {
	tb.Helper()
	st, _ := status.FromError(err)
	if st.Code() != code || reasonIn(st) != reason {
		tb.Fatalf("error %v with reason %q; want %v with %q", err, reasonIn(st), code, reason)
	}
	if len(st.Message()) < 10 {
		tb.Errorf("the error's text %q says too little", st.Message())
	}
	if fields := fieldsIn(st); field != "" && (len(fields) == 0 || fields[0] != field) {
		tb.Errorf("fields %q; want %q first", fields, field)
	}
}

func reasonIn(st *status.Status) string {
	for _, d := range st.Details() {
		if info, ok := d.(*errdetails.ErrorInfo); ok && info.GetDomain() == domain {
			return info.GetReason()
		}
	}
	return ""
}

func fieldsIn(st *status.Status) []string {
	var fields []string
	for _, d := range st.Details() {
		if bad, ok := d.(*errdetails.BadRequest); ok {
			for _, v := range bad.GetFieldViolations() {
				fields = append(fields, v.GetField())
			}
		}
	}
	return fields
}
