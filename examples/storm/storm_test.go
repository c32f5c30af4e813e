// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/resilienced/resilienced/examples/storm/upstream"
)

// memory is a network without a wire. In a bubble, whatever is sent arrives at
// the same instant, and time passes only while everybody waits: nothing here
// depends on how fast the machine is.
func memory(context.Context) (net.Listener, dialer, error) {
	p := &pipes{conns: make(chan net.Conn), closed: make(chan struct{})}
	return p, p.dial, nil
}

// pipes is a listener whose connections are net.Pipes. (grpc's bufconn loses a
// deadline that is taken back at once, as net/http does after each request.)
type pipes struct {
	conns  chan net.Conn
	once   sync.Once
	closed chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipes", Net: "pipe"} }

func (p *pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	here, there := net.Pipe()
	select {
	case p.conns <- there:
		return here, nil
	case <-p.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func quiet(*upstream.Server) func() { return func() {} }

// play runs one arm in a bubble: the whole storm, in the time that its
// computing takes.
func play(t *testing.T, sc scenario, guarded bool, through network) outcome {
	t.Helper()
	var o outcome
	synctest.Test(t, func(t *testing.T) {
		var err error
		if o, err = runArm(t.Context(), sc, guarded, through, quiet); err != nil {
			t.Error(err)
		}
	})
	return o
}

// unpaced is the policy without the provider's rates.
func unpaced(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("unpaced.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestStorm holds what README.md says of the two arms, in the whole storm.
func TestStorm(t *testing.T) {
	for name, policy := range map[string]string{"own policy": ownPolicy, "no rate in the policy": unpaced(t)} {
		for _, keep := range []bool{false, true} {
			for seed := range uint64(5) {
				t.Run(fmt.Sprintf("%s/keep %t/seed %d", name, keep, seed), func(t *testing.T) {
					sc := standard()
					sc.policy, sc.keep, sc.upstream.Seed = policy, keep, seed
					compare(t, sc, play(t, sc, false, memory), play(t, sc, true, memory))
				})
			}
		}
	}
}

func compare(t *testing.T, sc scenario, bare, guarded outcome) {
	t.Helper()
	if err := printTable(t.Output(), sc, []outcome{bare, guarded}); err != nil {
		t.Fatal(err)
	}
	if bare.Model.Trouble == 0 || bare.Sandbox.Trouble == 0 || bare.Model.Limited == 0 || bare.Model.Early == 0 {
		t.Fatal("there was no storm to be guarded against")
	}
	if n := guarded.Model.Early + guarded.Sandbox.Early; n != 0 {
		t.Errorf("guarded: %d calls came earlier than a Retry-After allowed, besides those on the way", n)
	}
	if guarded.Model.Trouble >= bare.Model.Trouble || guarded.Sandbox.Trouble >= bare.Sandbox.Trouble {
		t.Errorf("calls in the outage and the hiccup: guarded %d and %d, bare %d and %d; want fewer",
			guarded.Model.Trouble, guarded.Sandbox.Trouble, bare.Model.Trouble, bare.Sandbox.Trouble)
	}
	if guarded.CostMicros > bare.CostMicros {
		t.Errorf("guarded paid %s, bare %s", dollars(guarded.CostMicros), dollars(bare.CostMicros))
	}
	if guarded.OverCap != 0 {
		t.Errorf("guarded: %d tasks cost more than their cap", guarded.OverCap)
	}
	if bare.Done != sc.tasks {
		t.Errorf("bare: %d of %d tasks done: %v", bare.Done, sc.tasks, bare.GaveUp)
	}
	stopped(t, sc, guarded)
}

// stopped: every task is done, or was stopped by its cap.
func stopped(t *testing.T, sc scenario, o outcome) {
	t.Helper()
	if o.Done+len(o.GaveUp) != sc.tasks {
		t.Errorf("%s: %d tasks done and %d given up of %d", o.Arm, o.Done, len(o.GaveUp), sc.tasks)
	}
	for _, why := range o.GaveUp {
		if !strings.Contains(why, "RUN_BUDGET") && !strings.Contains(why, "RUN_EXHAUSTED") {
			t.Errorf("%s gave up %s", o.Arm, why)
		}
	}
}

// TestCap: with caps that not every task fits under, the guard stops those and
// no other, and none costs more than its cap.
func TestCap(t *testing.T) {
	sc := standard()
	sc.upstream.Cap = 12_000
	bare, guarded := play(t, sc, false, memory), play(t, sc, true, memory)
	if bare.OverCap == 0 || bare.Done != sc.tasks {
		t.Errorf("bare: %d tasks over their cap and %d done; want some and all", bare.OverCap, bare.Done)
	}
	if guarded.OverCap != 0 || len(guarded.GaveUp) == 0 || guarded.Done == 0 {
		t.Errorf("guarded: %d tasks over their cap, %d given up, %d done; want none, some and some",
			guarded.OverCap, len(guarded.GaveUp), guarded.Done)
	}
	stopped(t, sc, guarded)
}

// TestOneDifference: where nothing fails and nothing is limited, the two arms
// send the upstream the same, byte for byte.
func TestOneDifference(t *testing.T) {
	sc := standard()
	sc.agents, sc.tasks = 1, 6
	sc.upstream.Rate, sc.upstream.Flake = 1000, 0
	sc.upstream.Outage, sc.upstream.Hiccup = upstream.Window{}, upstream.Window{}
	bare, guarded := &tap{}, &tap{}
	play(t, sc, false, bare.network)
	play(t, sc, true, guarded.network)
	if bare.sent.Len() == 0 || !bytes.Equal(bare.sent.Bytes(), guarded.sent.Bytes()) {
		t.Errorf("the arms differ:\n%s\n--- and\n%s", bare.sent.String(), guarded.sent.String())
	}
}

// tap is a network that keeps what was sent to its last listener, the
// upstream's.
type tap struct {
	mu   sync.Mutex
	sent bytes.Buffer
}

func (n *tap) network(ctx context.Context) (net.Listener, dialer, error) {
	l, dial, err := memory(ctx)
	n.sent.Reset()
	return l, func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dial(ctx, network, addr)
		if network == "" { // gRPC to the server
			return conn, err
		}
		return &tapped{conn, n}, err
	}, err
}

type tapped struct {
	net.Conn

	tap *tap
}

func (c *tapped) Write(b []byte) (int, error) {
	c.tap.mu.Lock()
	c.tap.sent.Write(b)
	c.tap.mu.Unlock()
	return c.Conn.Write(b)
}
