// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"golang.org/x/net/netutil"
	"google.golang.org/grpc"

	"github.com/resilienced/resilienced/engine"
	"github.com/resilienced/resilienced/server"
	"github.com/resilienced/resilienced/statestore"
)

// DefaultListen is where a node listens when nobody says otherwise.
const DefaultListen = "127.0.0.1:7070"

const (
	// defaultShutdownTimeout is how long calls under way have to finish.
	defaultShutdownTimeout = 20 * time.Second
	// closeTimeout is how long the engine then has for its own last commits.
	closeTimeout = 10 * time.Second
	// maxConnections bounds the open connections of all clients together.
	maxConnections = 10_000
)

// Config says what a node is made of. The zero Config is a node on
// DefaultListen with a SQLite database in the platform's data directory.
type Config struct {
	// Listen is the address of the gRPC port; empty: DefaultListen.
	Listen string
	// InsecureListenAny allows clear text beyond this machine.
	InsecureListenAny bool
	// Store is "sqlite", "sqlite:PATH" or "memory"; empty: sqlite.
	Store string
	// DataDir is the folder of the database; empty: the platform's.
	DataDir string
	// PolicyFile is applied when it is not the file that was applied last, at
	// the start and whenever it changes; empty: what the store has. Only at the
	// start is a fault in it fatal.
	PolicyFile string
	// AllowDrills admits drill namespaces.
	AllowDrills bool
	// Observe: rules are computed and counted, and refuse nothing but where an
	// operator's entry enforces them. Drill namespaces are left out.
	Observe bool
	// NoReflection leaves out gRPC reflection.
	NoReflection bool
	// DrainDelay is how long the node still takes calls after health says
	// NOT_SERVING, so that balancers notice.
	DrainDelay time.Duration
	// ShutdownTimeout is how long Serve lets calls under way finish; 0: 20 s.
	ShutdownTimeout time.Duration
	// Logger may be nil: nothing is logged.
	Logger *slog.Logger
	// Meter counts calls; nil: nothing is counted.
	Meter server.Meter
	// OnEvent is the engine's; nil: nobody listens.
	OnEvent func(engine.Event)
}

// Node is one replica. Make it with New, and call Serve, ServeListener or
// Shutdown to the end of it: each releases everything.
type Node struct {
	cfg    Config
	log    *slog.Logger
	store  statestore.Store
	where  string // the store, for people
	engine *engine.Engine
	policy *policyFile
	server *server.Server
	grpc   *grpc.Server

	mu   sync.Mutex
	addr net.Addr

	stopLoops context.CancelFunc
	loops     sync.WaitGroup

	ending sync.Once
	ended  error
}

// New opens everything that a node needs but its port.
func New(ctx context.Context, cfg Config) (*Node, error) {
	n := &Node{cfg: cfg, log: cfg.Logger}
	if n.log == nil {
		n.log = slog.New(slog.DiscardHandler)
	}
	if n.cfg.Listen == "" {
		n.cfg.Listen = DefaultListen
	}
	if n.cfg.ShutdownTimeout <= 0 {
		n.cfg.ShutdownTimeout = defaultShutdownTimeout
	}
	var err error
	if n.store, n.where, err = openStore(ctx, cfg); err != nil {
		return nil, err
	}
	if err := n.start(ctx); err != nil {
		return nil, errors.Join(err, n.store.Close())
	}
	return n, nil
}

// start makes the engine and the server over an open store.
func (n *Node) start(ctx context.Context) error {
	var err error
	n.engine, err = engine.New(ctx, engine.Config{
		Store: n.store, Logger: n.log, AllowDrills: n.cfg.AllowDrills, Observe: n.cfg.Observe, OnEvent: n.cfg.OnEvent,
	})
	if err != nil {
		return fmt.Errorf("start the engine: %w", err)
	}
	n.policy = newPolicyFile(n.cfg.PolicyFile, n.engine, n.log)
	watch, err := n.policy.start(ctx)
	if err != nil {
		return errors.Join(err, n.engine.Close(ctx))
	}
	n.server = server.New(server.Deps{
		Engine: n.engine, Logger: n.log, Meter: n.cfg.Meter, NoReflection: n.cfg.NoReflection,
	})
	n.grpc = grpc.NewServer(n.server.Options()...)
	n.server.Register(n.grpc)
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	n.stopLoops = stop
	if watch {
		n.loops.Go(func() { n.policy.watch(background) })
	}
	return nil
}

// Engine is the node's engine, for who runs in the same process.
func (n *Node) Engine() *engine.Engine { return n.engine }

// Store is the node's store, for its counters.
func (n *Node) Store() statestore.Store { return n.store }

// Addr is where the node listens; nil before it does.
func (n *Node) Addr() net.Addr {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.addr
}

// Serve listens and serves until ctx ends, then drains. It returns nil after a
// drain in which nothing was cut off. The node is over when it returns.
func (n *Node) Serve(ctx context.Context) error {
	listener, err := listen(ctx, n.cfg.Listen, n.cfg.InsecureListenAny)
	if err != nil {
		return errors.Join(err, n.Shutdown(ctx))
	}
	return n.ServeListener(ctx, netutil.LimitListener(listener, maxConnections))
}

// ServeListener is Serve on a listener that the caller made, whatever its
// address.
func (n *Node) ServeListener(ctx context.Context, listener net.Listener) error {
	n.mu.Lock()
	n.addr = listener.Addr()
	n.mu.Unlock()
	n.log.LogAttrs(ctx, slog.LevelInfo, "serving",
		slog.String("address", listener.Addr().String()), slog.String("store", n.where),
		slog.Uint64("policy_epoch", n.engine.PolicyState().Epoch), slog.Bool("drills", n.cfg.AllowDrills),
		slog.Bool("observe", n.cfg.Observe))
	served := make(chan error, 1)
	go func() { served <- n.grpc.Serve(listener) }()
	var err error
	select {
	case err = <-served:
		served <- nil
	case <-ctx.Done():
		n.log.LogAttrs(ctx, slog.LevelInfo, "draining", slog.Duration("timeout", n.cfg.ShutdownTimeout))
	}
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), n.cfg.ShutdownTimeout)
	defer cancel()
	down := n.Shutdown(bounded)
	if later := <-served; err == nil {
		err = later
	}
	if errors.Is(err, grpc.ErrServerStopped) {
		err = nil
	}
	if err != nil {
		err = fmt.Errorf("serve: %w", err)
	}
	n.log.LogAttrs(ctx, slog.LevelInfo, "stopped")
	return errors.Join(err, down)
}

// ErrCutOff says that calls were still under way when the time to drain was
// over. Their callers got an error and nothing that was answered is lost.
var ErrCutOff = errors.New("calls were cut off: they did not finish in the time for shutting down")

// Shutdown drains and releases everything: no new calls, the ones under way
// finish until ctx ends and are cut off then, last commits, store. A second
// call waits for the first and returns its answer.
func (n *Node) Shutdown(ctx context.Context) error {
	n.ending.Do(func() { n.ended = n.shutdown(ctx) })
	return n.ended
}

func (n *Node) shutdown(ctx context.Context) error {
	n.server.NotServing()
	n.stopLoops()
	n.loops.Wait()
	if n.cfg.DrainDelay > 0 && n.Addr() != nil {
		pause := time.NewTimer(n.cfg.DrainDelay)
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
		}
	}
	n.server.Drain()
	cut := n.stopServing(ctx)
	// What is committed already must reach the disk however late it is.
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancel()
	var failed error
	if err := n.engine.Close(closing); err != nil {
		failed = fmt.Errorf("close the engine: %w", err)
	}
	if err := n.store.Close(); err != nil {
		failed = errors.Join(failed, fmt.Errorf("close the store: %w", err))
	}
	return errors.Join(cut, failed)
}

// stopServing lets the calls under way finish, or cuts them off when ctx ends.
func (n *Node) stopServing(ctx context.Context) error {
	done := make(chan struct{})
	go func() {
		n.grpc.GracefulStop()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
	}
	n.grpc.Stop()
	<-done
	return ErrCutOff
}
