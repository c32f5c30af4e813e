// SPDX-License-Identifier: Apache-2.0

package client

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"

	pb "github.com/resilienced/resilienced/gen/resilience/v1"
)

const (
	// DefaultAddr is where `resilienced serve` listens.
	DefaultAddr = "127.0.0.1:7070"
	// DefaultTimeout bounds one call that is no stream.
	DefaultTimeout = 10 * time.Second
	// namespaceKey is the metadata key of the namespace.
	namespaceKey = "resilience-namespace"
	// largest is the largest answer that is taken.
	largest = 32 << 20
)

// Options says which server, and as whom.
type Options struct {
	// Addr is HOST:PORT of the gRPC port; empty: DefaultAddr.
	Addr string
	// Namespace is sent with every call; empty: none, which is the server's
	// default.
	Namespace string
	// Timeout bounds each call that is no stream; 0: DefaultTimeout.
	Timeout time.Duration
}

// Client has a stub for each service. It is safe for many goroutines. Close it
// at the end.
type Client struct {
	Permits   pb.PermitServiceClient
	Runs      pb.RunServiceClient
	Targets   pb.TargetServiceClient
	Policies  pb.PolicyServiceClient
	Decisions pb.DecisionServiceClient
	Health    healthpb.HealthClient

	addr string
	conn *grpc.ClientConn
}

// New returns a client. It connects with the first call, so a server that is
// not there is that call's error.
func New(o Options) (*Client, error) {
	if o.Addr == "" {
		o.Addr = DefaultAddr
	}
	if o.Timeout <= 0 {
		o.Timeout = DefaultTimeout
	}
	if _, _, err := net.SplitHostPort(o.Addr); err != nil {
		return nil, &Error{Kind: Usage, Text: fmt.Sprintf("the address %q is not HOST:PORT, such as %s", o.Addr, DefaultAddr), err: err}
	}
	conn, err := grpc.NewClient(o.Addr,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(largest)),
		grpc.WithUnaryInterceptor(o.unary), grpc.WithStreamInterceptor(o.stream),
		grpc.WithUserAgent("resilienced-cli"))
	if err != nil {
		return nil, &Error{Kind: Usage, Text: fmt.Sprintf("the address %q cannot be used: %v", o.Addr, err), err: err}
	}
	return &Client{
		Permits: pb.NewPermitServiceClient(conn), Runs: pb.NewRunServiceClient(conn), Targets: pb.NewTargetServiceClient(conn),
		Policies: pb.NewPolicyServiceClient(conn), Decisions: pb.NewDecisionServiceClient(conn), Health: healthpb.NewHealthClient(conn),
		addr: o.Addr, conn: conn,
	}, nil
}

// Addr is the server's address.
func (c *Client) Addr() string { return c.addr }

// Close ends the connection.
func (c *Client) Close() error {
	if err := c.conn.Close(); err != nil {
		return fmt.Errorf("close the connection to %s: %w", c.addr, err)
	}
	return nil
}

// Every call goes through one of these two: the namespace goes out, errors
// come back as *Error.
func (o Options) unary(ctx context.Context, method string, req, reply any, conn *grpc.ClientConn, call grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	bounded, cancel := context.WithTimeout(o.outgoing(ctx), o.Timeout)
	defer cancel()
	return explain(call(bounded, method, req, reply, conn, opts...), o.Addr, method)
}

func (o Options) stream(ctx context.Context, d *grpc.StreamDesc, conn *grpc.ClientConn, method string, open grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	s, err := open(o.outgoing(ctx), d, conn, method, opts...)
	if err != nil {
		return nil, explain(err, o.Addr, method)
	}
	return &stream{ClientStream: s, addr: o.Addr, method: method}, nil
}

func (o Options) outgoing(ctx context.Context) context.Context {
	if o.Namespace == "" {
		return ctx
	}
	return metadata.AppendToOutgoingContext(ctx, namespaceKey, o.Namespace)
}

// stream explains the errors of a stream.
type stream struct {
	grpc.ClientStream
	addr, method string
}

// RecvMsg receives one message.
func (s *stream) RecvMsg(m any) error {
	err := s.ClientStream.RecvMsg(m)
	if isEnd(err) {
		return err
	}
	return explain(err, s.addr, s.method)
}

// As returns the Error in err, if there is one.
func As(err error) (*Error, bool) { return errors.AsType[*Error](err) }
