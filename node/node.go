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
	"time"

	"google.golang.org/grpc"

	"github.com/resilienced/resilienced/engine"
	"github.com/resilienced/resilienced/server"
	"github.com/resilienced/resilienced/server/jsonport"
	"github.com/resilienced/resilienced/statestore"
	"github.com/resilienced/resilienced/statestore/transfer"
	"github.com/resilienced/resilienced/telemetry"
)

// Where a node listens when nobody says otherwise.
const (
	DefaultListen     = "127.0.0.1:7070"
	DefaultHTTPListen = "127.0.0.1:7071"
)

// Off in place of an address leaves a port out.
const Off = "off"

const (
	// defaultShutdownTimeout is how long calls under way have to finish.
	defaultShutdownTimeout = 20 * time.Second
	// closeTimeout is how long the engine then has for its own last commits.
	closeTimeout = 10 * time.Second
)

// Config says what a node is made of. The zero Config is a node on
// DefaultListen with a SQLite database in the platform's data directory.
type Config struct {
	// Listen is the address of the gRPC port; empty: DefaultListen.
	Listen string
	// HTTPListen is the address of the JSON port, or Off; empty:
	// DefaultHTTPListen.
	HTTPListen string
	// InsecureListenAny allows clear text beyond this machine, and any Host in
	// requests to the JSON port.
	InsecureListenAny bool
	// Store is "sqlite", "sqlite:PATH", the DSN of a PostgreSQL database, which
	// begins with "postgres://" or "postgresql://", or "memory"; empty: sqlite.
	Store string
	// Schema is the schema in a PostgreSQL database; empty: "resilienced".
	Schema string
	// ListenDSN is where to listen for other replicas if Store leads to a
	// connection pooler; empty: at Store.
	ListenDSN string
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
	// NoRecording keeps no calls for simulations.
	NoRecording bool
	// DrainDelay is how long the node still takes calls after health says
	// NOT_SERVING, so that balancers notice.
	DrainDelay time.Duration
	// ShutdownTimeout is how long Serve lets calls under way finish; 0: 20 s.
	ShutdownTimeout time.Duration
	// Logger may be nil: nothing is logged.
	Logger *slog.Logger
	// OnEvent is the engine's; nil: nobody listens.
	OnEvent func(engine.Event)
	// Version is the build's, for metrics and traces; empty: the linker's.
	Version string
	// OTLPEndpoint is where traces go, as a URL such as http://127.0.0.1:4317;
	// empty: there are none.
	OTLPEndpoint string
}

// Node is one replica. Make it with New, and call Serve, ServeListeners or
// Shutdown to the end of it: each releases everything.
type Node struct {
	cfg    Config
	log    *slog.Logger
	store  statestore.Store
	watch  *watched // the store, as the engine has it
	where  string   // the store, for people
	engine *engine.Engine
	policy *policyFile
	server *server.Server
	grpc   *grpc.Server
	port   *jsonport.Port
	http   *http.Server

	metrics *telemetry.Metrics
	tracer  *telemetry.Tracer // nil: no traces

	mu             sync.Mutex
	addr, httpAddr net.Addr

	stopLoops context.CancelFunc
	loops     sync.WaitGroup

	ending sync.Once
	ended  error
}

// New opens everything that a node needs but its ports.
func New(ctx context.Context, cfg Config) (*Node, error) {
	n := &Node{cfg: cfg, log: cfg.Logger}
	if n.log == nil {
		n.log = slog.New(slog.DiscardHandler)
	}
	if n.cfg.Listen == "" {
		n.cfg.Listen = DefaultListen
	}
	if n.cfg.HTTPListen == "" {
		n.cfg.HTTPListen = DefaultHTTPListen
	}
	if n.cfg.ShutdownTimeout <= 0 {
		n.cfg.ShutdownTimeout = defaultShutdownTimeout
	}
	var err error
	if n.store, n.where, err = openStore(ctx, cfg); err != nil {
		return nil, err
	}
	if err := transfer.Unfinished(ctx, n.store); err != nil {
		return nil, errors.Join(err, n.store.Close())
	}
	if err := n.start(ctx); err != nil {
		return nil, errors.Join(err, n.store.Close())
	}
	return n, nil
}

// start makes the engine and the server over an open store.
func (n *Node) start(ctx context.Context) error {
	if err := n.openTelemetry(ctx); err != nil {
		return err
	}
	var err error
	var store statestore.Store
	store, n.watch = watchStore(n.store, n.log)
	n.engine, err = engine.New(ctx, engine.Config{
		Store: store, Logger: n.log, AllowDrills: n.cfg.AllowDrills, Observe: n.cfg.Observe, NoRecording: n.cfg.NoRecording,
		OnEvent: n.event, Observer: n.metrics,
	})
	if err != nil {
		n.endTracing(ctx)
		return fmt.Errorf("start the engine: %w", err)
	}
	n.policy = newPolicyFile(n.cfg.PolicyFile, n.engine, n.log)
	watch, err := n.policy.start(ctx)
	if err != nil {
		n.endTracing(ctx)
		return errors.Join(err, n.engine.Close(ctx))
	}
	n.policy.warn(ctx)
	n.metrics.Watch(n.engine)
	deps := server.Deps{
		Engine: n.engine, Logger: n.log, Meter: meter{n.metrics}, NoReflection: n.cfg.NoReflection,
	}
	if n.tracer != nil {
		deps.TraceUnary, deps.TraceStream = n.tracer.Unary, n.tracer.Stream
	}
	n.server = server.New(deps)
	n.grpc = grpc.NewServer(n.server.Options()...)
	n.server.Register(n.grpc)
	n.port = jsonport.New(jsonport.Deps{
		Server: n.server, Ready: n.ready, Metrics: n.metrics.Handler(), Version: ReadBuild(),
		AnyHost: n.cfg.InsecureListenAny, Logger: n.log,
	})
	n.http = jsonport.NewServer(n.port)
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
	n.metrics.Close()
	n.endTracing(ctx)
	var failed error
	if err := n.engine.Close(closing); err != nil {
		failed = fmt.Errorf("close the engine: %w", err)
	}
	if err := n.store.Close(); err != nil {
		failed = errors.Join(failed, fmt.Errorf("close the store: %w", err))
	}
	return errors.Join(cut, failed)
}
