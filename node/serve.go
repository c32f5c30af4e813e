// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"

	"golang.org/x/net/netutil"
	"google.golang.org/grpc"
)

// maxConnections bounds the open connections of all clients of one port
// together.
const maxConnections = 10_000

// Listeners are the ports of a node.
type Listeners struct {
	GRPC net.Listener // required
	HTTP net.Listener // nil: there is no JSON port
}

// Serve listens as the configuration says and serves until ctx ends, then
// drains. It returns nil after a drain in which nothing was cut off. The node
// is over when it returns.
func (n *Node) Serve(ctx context.Context) error {
	var on Listeners
	var err error
	insecure := n.cfg.InsecureListenAny
	if on.GRPC, err = listen(ctx, endpoint{n.cfg.Listen, DefaultListen, "--listen"}, insecure); err != nil {
		return errors.Join(err, n.Shutdown(ctx))
	}
	on.GRPC = netutil.LimitListener(on.GRPC, maxConnections)
	if n.cfg.HTTPListen != Off {
		on.HTTP, err = listen(ctx, endpoint{n.cfg.HTTPListen, DefaultHTTPListen, "--http-listen"}, insecure)
		if err != nil {
			return errors.Join(err, on.GRPC.Close(), n.Shutdown(ctx))
		}
		on.HTTP = netutil.LimitListener(on.HTTP, maxConnections)
	}
	return n.ServeListeners(ctx, on)
}

// ServeListener is Serve with gRPC alone, on a listener that the caller made,
// whatever its address.
func (n *Node) ServeListener(ctx context.Context, listener net.Listener) error {
	return n.ServeListeners(ctx, Listeners{GRPC: listener})
}

// ServeListeners is Serve on listeners that the caller made, whatever their
// addresses. It closes them.
func (n *Node) ServeListeners(ctx context.Context, on Listeners) error {
	n.announce(ctx, on)
	served := make(chan error, 2)
	ports := 1
	go func() { served <- n.grpc.Serve(on.GRPC) }()
	if on.HTTP != nil {
		ports++
		go func() { served <- n.http.Serve(on.HTTP) }()
	}
	var failed []error
	select {
	case err := <-served:
		failed, ports = append(failed, err), ports-1
	case <-ctx.Done():
		n.log.LogAttrs(ctx, slog.LevelInfo, "draining", slog.Duration("timeout", n.cfg.ShutdownTimeout))
	}
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), n.cfg.ShutdownTimeout)
	defer cancel()
	down := n.Shutdown(bounded)
	for range ports {
		failed = append(failed, <-served)
	}
	var err error
	for _, f := range failed {
		if f != nil && !errors.Is(f, grpc.ErrServerStopped) && !errors.Is(f, http.ErrServerClosed) {
			err = errors.Join(err, fmt.Errorf("serve: %w", f))
		}
	}
	n.log.LogAttrs(ctx, slog.LevelInfo, "stopped")
	return errors.Join(err, down)
}

// announce tells who asks, and the log, where the node listens.
func (n *Node) announce(ctx context.Context, on Listeners) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.addr = on.GRPC.Addr()
	json := Off
	if on.HTTP != nil {
		n.httpAddr = on.HTTP.Addr()
		json = n.httpAddr.String()
	}
	n.log.LogAttrs(ctx, slog.LevelInfo, "serving",
		slog.String("address", n.addr.String()), slog.String("http", json), slog.String("store", n.where),
		slog.Uint64("policy_epoch", n.engine.PolicyState().Epoch), slog.Bool("drills", n.cfg.AllowDrills),
		slog.Bool("observe", n.cfg.Observe))
}

// Addr is where the node listens for gRPC; nil before it does.
func (n *Node) Addr() net.Addr {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.addr
}

// HTTPAddr is where the node listens for HTTP; nil before it does, and if it
// does not.
func (n *Node) HTTPAddr() net.Addr {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.httpAddr
}

// stopServing lets the calls under way on both ports finish, or cuts them off
// when ctx ends. No handler runs when it returns.
func (n *Node) stopServing(ctx context.Context) error {
	var wg sync.WaitGroup
	var cut [2]bool
	wg.Go(func() { cut[0] = n.stopGRPC(ctx) })
	wg.Go(func() { cut[1] = n.stopHTTP(ctx) })
	wg.Wait()
	if cut[0] || cut[1] {
		return ErrCutOff
	}
	return nil
}

func (n *Node) stopGRPC(ctx context.Context) (cut bool) {
	done := make(chan struct{})
	go func() {
		n.grpc.GracefulStop()
		close(done)
	}()
	select {
	case <-done:
		return false
	case <-ctx.Done():
	}
	n.grpc.Stop()
	<-done
	return true
}

func (n *Node) stopHTTP(ctx context.Context) (cut bool) {
	if err := n.http.Shutdown(ctx); err != nil {
		// Connections without a request are cut off too, and nobody minds.
		cut = n.port.Busy() > 0
		// What it cannot close was closed before.
		_ = n.http.Close()
	}
	n.port.Close()
	return cut
}
