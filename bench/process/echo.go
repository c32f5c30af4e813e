// SPDX-License-Identifier: Apache-2.0

package process

import (
	"context"
	"fmt"
	"net"

	"google.golang.org/grpc"

	pb "github.com/resilienced/resilienced/gen/resilience/v1"
	"github.com/resilienced/resilienced/server"
)

// echo answers Acquire and Report without a thought. Requests are decoded and
// answers encoded as those of a node are, so what is left out is the work.
type echo struct {
	pb.UnimplementedPermitServiceServer
	acquire *pb.AcquireResponse
	report  *pb.ReportResponse
}

// Acquire returns the canned grant.
func (e *echo) Acquire(context.Context, *pb.AcquireRequest) (*pb.AcquireResponse, error) {
	return e.acquire, nil
}

// Report returns the canned directive.
func (e *echo) Report(context.Context, *pb.ReportRequest) (*pb.ReportResponse, error) {
	return e.report, nil
}

func openEcho(ctx context.Context, s Spec) (*service, error) {
	e := &echo{acquire: &pb.AcquireResponse{}, report: &pb.ReportResponse{}}
	if err := e.acquire.UnmarshalVT(s.Acquire); err != nil {
		return nil, fmt.Errorf("the canned answer to Acquire: %w", err)
	}
	if err := e.report.UnmarshalVT(s.Report); err != nil {
		return nil, fmt.Errorf("the canned answer to Report: %w", err)
	}
	var options []grpc.ServerOption
	if s.Kind == Echo {
		options = append(server.Hardening(), server.Fast()...)
	}
	g := grpc.NewServer(options...)
	pb.RegisterPermitServiceServer(g, e)
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", loopback)
	if err != nil {
		return nil, err
	}
	served := make(chan error, 1)
	go func() { served <- g.Serve(listener) }()
	return &service{
		address: listener.Addr().String(),
		commits: func() uint64 { return 0 },
		stop: func(context.Context) error {
			g.Stop()
			return <-served
		},
	}, nil
}
