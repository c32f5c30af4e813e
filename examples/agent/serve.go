// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/rand"
	_ "embed"
	"errors"
	"fmt"
	"net"

	pb "github.com/resilienced/resilienced/gen/resilience/v1"
	"github.com/resilienced/resilienced/node"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

//go:embed policy.yaml
var policyText string

// ownServer is a resilienced in this process, for as long as the example runs.
type ownServer struct {
	addr   string
	cancel context.CancelFunc
	ended  chan error
}

// serve starts it on a free port and gives it the example's policy. Its records
// are in memory and gone at the end.
func serve(ctx context.Context) (*ownServer, error) {
	n, err := node.New(ctx, node.Config{Store: "memory"})
	if err != nil {
		return nil, fmt.Errorf("start a server: %w", err)
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	serving, cancel := context.WithCancel(context.WithoutCancel(ctx))
	s := &ownServer{addr: listener.Addr().String(), cancel: cancel, ended: make(chan error, 1)}
	go func() { s.ended <- n.ServeListener(serving, listener) }()
	if err := applyPolicy(ctx, s.addr); err != nil {
		return nil, errors.Join(err, s.stop())
	}
	return s, nil
}

// stop waits until the server is down.
func (s *ownServer) stop() error {
	s.cancel()
	return <-s.ended
}

func applyPolicy(ctx context.Context, addr string) error {
	conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	_, err = pb.NewPolicyServiceClient(conn).ApplyPolicy(ctx, &pb.ApplyPolicyRequest{
		RequestId: rand.Text(), Yaml: policyText, Reason: "the example's numbers",
	})
	if err != nil {
		return fmt.Errorf("apply the example's policy: %w", err)
	}
	return nil
}
