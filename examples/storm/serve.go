// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"

	pb "github.com/resilienced/resilienced/gen/resilience/v1"
	"github.com/resilienced/resilienced/node"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// ownServer is a resilienced in this process, and a connection to it. It is the
// same server as the command's, with its records in memory.
type ownServer struct {
	conn   *grpc.ClientConn
	cancel context.CancelFunc
	ended  chan error
}

// serve starts it and gives it a policy.
func serve(ctx context.Context, through network, policy string) (*ownServer, error) {
	n, err := node.New(ctx, node.Config{Store: "memory"})
	if err != nil {
		return nil, fmt.Errorf("start a server: %w", err)
	}
	listener, dial, err := through(ctx)
	if err != nil {
		return nil, errors.Join(err, n.Shutdown(ctx))
	}
	serving, cancel := context.WithCancel(context.WithoutCancel(ctx))
	s := &ownServer{cancel: cancel, ended: make(chan error, 1)}
	go func() { s.ended <- n.ServeListener(serving, listener) }()
	s.conn, err = grpc.NewClient("passthrough:///resilienced", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return dial(ctx, "", "") }))
	if err == nil {
		_, err = pb.NewPolicyServiceClient(s.conn).ApplyPolicy(ctx, &pb.ApplyPolicyRequest{
			RequestId: rand.Text(), Yaml: policy, Reason: "the storm's numbers",
		})
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("apply the policy: %w", err), s.stop())
	}
	return s, nil
}

// stop waits until the server is down.
func (s *ownServer) stop() error {
	var closed error
	if s.conn != nil {
		closed = s.conn.Close()
	}
	s.cancel()
	return errors.Join(closed, <-s.ended)
}

// newGuard makes the guard of one agent, which stands for a process of its own.
func (s *ownServer) newGuard() *guard {
	return &guard{permits: pb.NewPermitServiceClient(s.conn), runs: pb.NewRunServiceClient(s.conn), reporter: rand.Text()}
}
