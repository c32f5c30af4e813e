// SPDX-License-Identifier: Apache-2.0

package exact

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"net"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"

	"github.com/resilienced/resilienced/engine"
	"github.com/resilienced/resilienced/server"
	"github.com/resilienced/resilienced/statestore"
	"github.com/resilienced/resilienced/statestore/memory"
	"github.com/resilienced/resilienced/statestore/sqlite"
)

const (
	callers = 256
	calls   = 100
	// commandsPerCommit is how many commands share a commit at least, when
	// every caller asks again as soon as it has its answer.
	commandsPerCommit = 20
)

// TestExact lets 256 callers make 100 calls each on one tree of capped runs.
// On the memory store time is virtual, so that permits are lost and reported
// late; on SQLite the callers press as hard as they can, and commits are
// counted.
func TestExact(t *testing.T) {
	chance := seed(t)
	all, few := calls, calls/5
	if testing.Short() {
		all = few
	}
	t.Run("memory/engine", inBubble(trial{pace: leisurely(), seed: chance, calls: all}, inMemory))
	t.Run("memory/engine/overruns", inBubble(trial{pace: leisurely(), seed: chance, calls: all, overruns: true}, inMemory))
	t.Run("memory/engine/pressed", func(t *testing.T) { exactly(t, trial{pace: pressing(), seed: chance, calls: all}, inMemory(t)) })
	t.Run("replicas/engine", inBubble(trial{pace: leisurely(), seed: chance, calls: few}, onReplicas))
	t.Run("replicas/engine/overruns", inBubble(trial{pace: leisurely(), seed: chance, calls: few, overruns: true}, onReplicas))
	t.Run("memory/server", inBubble(trial{pace: leisurely(), seed: chance, calls: few}, servedFromMemory))
	t.Run("sqlite/engine", func(t *testing.T) {
		exactly(t, trial{pace: pressing(), seed: chance, calls: all, grouped: true}, newEngine(t, openSQLite(t)))
	})
	t.Run("sqlite/engine/overruns", func(t *testing.T) {
		exactly(t, trial{pace: pressing(), seed: chance, calls: all, grouped: true, overruns: true}, newEngine(t, openSQLite(t)))
	})
	t.Run("sqlite/server", func(t *testing.T) {
		listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		exactly(t, trial{pace: pressing(), seed: chance, calls: all}, newServer(t, openSQLite(t), listener))
	})
}

// inBubble runs a trial in virtual time.
func inBubble(c trial, open func(t *testing.T) *place) func(*testing.T) {
	body := func(t *testing.T) {
		t.Helper()
		exactly(t, c, open(t))
	}
	return func(t *testing.T) {
		t.Helper()
		synctest.Test(t, body)
	}
}

// trial is one case of the test.
type trial struct {
	pace     pace
	seed     uint64
	calls    int // of each caller
	overruns bool
	// grouped: commits are counted. Before a server whose disk costs nothing,
	// too few commands wait for one another to tell.
	grouped bool
}

// pace is how callers use their permits.
type pace struct {
	lease, hold func(*rand.Rand) time.Duration
	busy        bool // nobody ever pauses
}

// leisurely callers pause for whole tenths of a second, so that many come back
// at once, and often for longer than their lease.
func leisurely() pace {
	tenths := func(least, most int) func(*rand.Rand) time.Duration {
		return func(r *rand.Rand) time.Duration {
			return time.Duration(least+r.IntN(most-least)) * 100 * time.Millisecond
		}
	}
	return pace{lease: tenths(2, 12), hold: tenths(0, 8)}
}

// pressing callers do not pause, and few of their leases end before a report.
func pressing() pace {
	return pace{
		lease: func(r *rand.Rand) time.Duration { return time.Duration(50+r.IntN(200)) * time.Millisecond },
		hold:  func(*rand.Rand) time.Duration { return 0 },
		busy:  true,
	}
}

func exactly(t *testing.T, c trial, at *place) {
	t.Helper()
	ctx := t.Context()
	bad := &broken{}
	crowd := &crowd{
		books: newPurses(bad), system: at.system, seed: c.seed, lease: c.pace.lease, hold: c.pace.hold, overruns: c.overruns,
	}
	// About what is under way at once, and what all calls leave behind.
	if err := crowd.grow(ctx, int64(callers*(mostEstimate/4+c.calls*3))); err != nil {
		t.Fatal(err)
	}
	before := at.store.Commits()
	load, done := context.WithCancel(ctx)
	var watching sync.WaitGroup
	watching.Go(func() { crowd.watch(load) })
	crowd.run(ctx, callers, c.calls)
	done()
	watching.Wait()
	commits, commands := at.store.Commits()-before, uint64(crowd.commands.Load())
	crowd.system = at.quiet(t)
	crowd.resolve(ctx)
	crowd.check(ctx)
	t.Logf("%+v, %d late, %d commands in %d commits, root %+v",
		crowd.books.seen, crowd.late.Load(), commands, commits, crowd.balance(ctx, "root"))
	for _, b := range bad.found() {
		t.Error(b)
	}
	if c.grouped && commits > commands/commandsPerCommit {
		t.Errorf("%d commits for %d commands are more than one for %d", commits, commands, commandsPerCommit)
	}
	seen, least := crowd.books.seen, callers*c.calls/100
	if seen.granted < 25*least || seen.overBudget+seen.exhausted < least || seen.repeats < least || seen.unknown < least/10 ||
		!c.pace.busy && int(crowd.late.Load()) < least {
		t.Error("void: too little of what this test is about has happened")
	}
}

// place is a system under test.
type place struct {
	system system
	store  statestore.Store
	// quiet waits for what is still under way there and returns the system to
	// go on with.
	quiet func(t *testing.T) system
}

func inMemory(t *testing.T) *place {
	t.Helper()
	return newEngine(t, memory.New(memory.Config{}))
}

func servedFromMemory(t *testing.T) *place {
	t.Helper()
	return newServer(t, memory.New(memory.Config{}), bufconn.Listen(1<<20))
}

func openSQLite(t *testing.T) statestore.Store {
	t.Helper()
	codec, err := statestore.NewCodec(engine.Kinds())
	if err != nil {
		t.Fatal(err)
	}
	store, err := sqlite.Open(t.Context(), sqlite.Config{Path: filepath.Join(t.TempDir(), "exact.db"), Codec: codec})
	if err != nil {
		t.Fatal(err)
	}
	return store
}

// newEngine makes an engine over a store and closes both at the end.
func newEngine(t *testing.T, store statestore.Store) *place {
	t.Helper()
	e, err := engine.New(t.Context(), engine.Config{Store: store, Logger: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelError}))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(context.Background()); err != nil {
			t.Error(err)
		}
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	d := direct{e}
	return &place{system: d, store: store, quiet: func(*testing.T) system { return d }}
}

// dialer is a listener within this process.
type dialer interface {
	DialContext(ctx context.Context) (net.Conn, error)
}

// newServer puts a server with everything on before an engine.
func newServer(t *testing.T, store statestore.Store, listener net.Listener) *place {
	t.Helper()
	at := newEngine(t, store)
	d := at.system.(direct)
	first, stop := serve(t, d.engine, listener)
	at.system = first
	at.quiet = func(t *testing.T) system {
		t.Helper()
		stop()
		again, stop := serve(t, d.engine, bufconn.Listen(1<<20))
		t.Cleanup(stop)
		return again
	}
	return at
}

// serve returns a client of a new server, and what ends both once the calls
// under way have ended.
func serve(t *testing.T, e *engine.Engine, listener net.Listener) (system, func()) {
	t.Helper()
	s := server.New(server.Deps{Engine: e})
	g := grpc.NewServer(s.Options()...)
	s.Register(g)
	served := make(chan error, 1)
	go func() { served <- g.Serve(listener) }()
	conn, err := grpc.NewClient("passthrough:///"+listener.Addr().String(),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) {
			if in, ok := listener.(dialer); ok {
				return in.DialContext(ctx)
			}
			return (&net.Dialer{}).DialContext(ctx, "tcp", address)
		}))
	if err != nil {
		t.Fatal(err)
	}
	return newRemote(conn), sync.OnceFunc(func() {
		g.GracefulStop()
		if err := <-served; err != nil {
			t.Error(err)
		}
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	})
}
