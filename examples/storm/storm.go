// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/resilienced/resilienced/examples/storm/upstream"
)

// scenario is what both arms go through.
type scenario struct {
	agents, tasks int
	limit         time.Duration // an arm is ended then, done or not
	keep          bool          // a task that is done again goes on where it was, in both arms
	policy        string        // the guarded arm's
	upstream      upstream.Config
}

// outcome is what became of one arm. The figures are the upstream's.
type outcome struct {
	Arm   string `json:"arm"`
	Tasks int    `json:"tasks"`
	upstream.Figures
	GaveUp []string `json:"gave_up"` // why, in the agents' words
}

// A network makes a listener and what reaches it.
type network func(context.Context) (net.Listener, dialer, error)

type dialer = func(ctx context.Context, network, addr string) (net.Conn, error)

// loopback is the machine's own.
func loopback(ctx context.Context) (net.Listener, dialer, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, nil, fmt.Errorf("listen: %w", err)
	}
	return l, func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "tcp", l.Addr().String())
	}, nil
}

// runArm sends the agents off, with a guard or without one, against an upstream
// of their own, and returns what the upstream counted. watch is called with it.
func runArm(ctx context.Context, sc scenario, guarded bool, through network, watch func(*upstream.Server) func()) (out outcome, failed error) {
	out = outcome{Arm: "bare", Tasks: sc.tasks}
	newGuard := func() *guard { return nil }
	if guarded {
		out.Arm = "guarded"
		own, err := serve(ctx, through, sc.policy)
		if err != nil {
			return out, err
		}
		defer func() { failed = errors.Join(failed, own.stop()) }()
		newGuard = own.newGuard
	}
	listener, dial, err := through(ctx)
	if err != nil {
		return out, err
	}
	transport := &http.Transport{DialContext: dial, MaxIdleConnsPerHost: sc.agents}
	defer transport.CloseIdleConnections()
	provider := upstream.Start(listener, sc.upstream)
	defer func() { failed = errors.Join(failed, provider.Close()) }()
	defer watch(provider)()

	ctx, cancel := context.WithTimeout(ctx, sc.limit)
	defer cancel()
	todo := make(chan int, sc.tasks)
	for n := range sc.tasks {
		todo <- n + 1
	}
	close(todo)
	var all sync.WaitGroup
	var mu sync.Mutex
	for range sc.agents {
		a := newAgent(newGuard(), "http://upstream", transport, sc)
		all.Go(func() {
			for n := range todo {
				if err := a.work(ctx, n); err != nil {
					mu.Lock()
					out.GaveUp = append(out.GaveUp, fmt.Sprintf("task %d: %v", n, err))
					mu.Unlock()
				}
			}
		})
	}
	all.Wait()
	out.Figures = provider.Figures()
	return out, nil
}
