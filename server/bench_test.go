// SPDX-License-Identifier: Apache-2.0

package server

import (
	"context"
	"errors"
	"net"
	"slices"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/resilienced/resilienced/engine"
	pb "github.com/resilienced/resilienced/gen/resilience/v1"
	"github.com/resilienced/resilienced/rules/budget"
	"github.com/resilienced/resilienced/statestore/memory"
)

// echo answers without asking anybody: what an RPC costs by itself.
type echo struct {
	pb.UnimplementedPermitServiceServer
	answer *pb.AcquireResponse
}

func (e *echo) Acquire(context.Context, *pb.AcquireRequest) (*pb.AcquireResponse, error) {
	return e.answer, nil
}

func request() *pb.AcquireRequest {
	return &pb.AcquireRequest{
		RequestId: "0190c5a2-7b1f-7c3e-9d4a-5f6b7c8d9e0f", Target: "openai/gpt-x", ReporterId: "worker-1",
		Idempotency: pb.Idempotency_IDEMPOTENCY_IDEMPOTENT,
	}
}

// BenchmarkAcquire is a call over loopback: with the options alone, with the
// interceptors, and with the engine behind them. The second must stay within a
// tenth of the first.
func BenchmarkAcquire(b *testing.B) {
	store := memory.New(memory.Config{})
	e, err := engine.New(b.Context(), engine.Config{Store: store})
	if err != nil {
		b.Fatal(err)
	}
	defer func() {
		if err := errors.Join(e.Close(context.Background()), store.Close()); err != nil {
			b.Error(err)
		}
	}()
	s := New(Deps{Engine: e})
	answer := &pb.AcquireResponse{Decision: 1, Permit: granted(someGrant()).GetPermit(), DecisionId: long(40)}
	bare := append(Hardening(), Fast()...)
	cases := []struct {
		name     string
		options  []grpc.ServerOption
		register func(*grpc.Server)
	}{
		{"plain echo", nil, func(g *grpc.Server) { pb.RegisterPermitServiceServer(g, &echo{answer: answer}) }},
		{"echo", bare, func(g *grpc.Server) { pb.RegisterPermitServiceServer(g, &echo{answer: answer}) }},
		{"echo and interceptors", s.Options(), func(g *grpc.Server) { pb.RegisterPermitServiceServer(g, &echo{answer: answer}) }},
		{"engine", s.Options(), func(g *grpc.Server) { s.Register(g) }},
	}
	for _, c := range cases {
		b.Run(c.name, func(b *testing.B) { benchmarkServer(b, c.options, c.register) })
	}
}

func benchmarkServer(b *testing.B, options []grpc.ServerOption, register func(*grpc.Server)) {
	b.Helper()
	g := grpc.NewServer(options...)
	register(g)
	listener, err := (&net.ListenConfig{}).Listen(b.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	go func() { _ = g.Serve(listener) }()
	defer g.Stop()
	conn, err := grpc.NewClient(listener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close() //nolint:errcheck // nothing is lost with it
	client := pb.NewPermitServiceClient(conn)
	b.ReportAllocs()
	b.SetParallelism(16)
	b.RunParallel(func(p *testing.PB) {
		r := request()
		r.RequestId = ""
		for p.Next() {
			if _, err := client.Acquire(context.Background(), r); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

// BenchmarkEdge is what the server itself does for a call, without gRPC and
// engine: interceptors, check, command, hash and answer.
func BenchmarkEdge(b *testing.B) {
	s := New(Deps{})
	r := request()
	r.Deadline = durationpb.New(0)
	result := &engine.AcquireResult{Decision: 1, Grant: someGrant()}
	result.Grant.Reserved = budget.Amounts{Calls: 1}
	handler := grpc.UnaryHandler(func(ctx context.Context, _ any) (any, error) {
		var c checker
		namespace := c.namespace(ctx)
		checkAcquire(&c, r)
		acquireOf(namespace, r)
		return acquired(result), nil
	})
	info := &grpc.UnaryServerInfo{FullMethod: pb.PermitService_Acquire_FullMethodName}
	links := s.chain()
	for _, l := range slices.Backward(links) {
		next := handler
		handler = func(ctx context.Context, req any) (any, error) { return l.unary(ctx, req, info, next) }
	}
	r.Deadline = nil
	b.ReportAllocs()
	for b.Loop() {
		if _, err := handler(b.Context(), r); err != nil {
			b.Fatal(err)
		}
	}
}
