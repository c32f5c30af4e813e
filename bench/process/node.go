// SPDX-License-Identifier: Apache-2.0

package process

import (
	"context"
	"time"

	"github.com/resilienced/resilienced/node"
)

// loopback is any free port of this machine.
const loopback = "127.0.0.1:0"

// openNode serves a node as `resilienced serve` does, with every interceptor.
func openNode(ctx context.Context, s Spec) (*service, error) {
	store := string(s.Kind)
	if s.Kind == Postgres {
		store = s.DSN
	}
	n, err := node.New(ctx, node.Config{
		Listen: loopback, HTTPListen: node.Off, Store: store, DataDir: s.DataDir, PolicyFile: s.PolicyFile,
		ShutdownTimeout: time.Second,
	})
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(ctx)
	served := make(chan error, 1)
	go func() { served <- n.Serve(ctx) }()
	for n.Addr() == nil {
		select {
		case err := <-served:
			stop()
			return nil, err
		case <-time.After(time.Millisecond):
		}
	}
	return &service{
		address: n.Addr().String(),
		commits: n.Store().Commits,
		stop: func(context.Context) error {
			stop()
			return <-served
		},
	}, nil
}
