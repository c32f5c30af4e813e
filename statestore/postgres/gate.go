// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/resilienced/resilienced/statestore"
)

const (
	// The pause between two looks for a server that is gone, without jitter.
	firstPause = 50 * time.Millisecond
	lastPause  = time.Second
)

// gate is shut while the server is gone: every call fails at once, and one
// prober looks for it. So a server that comes back meets one connection and
// not a storm.
type gate struct {
	mu  sync.Mutex
	why error // nil: open
}

// shut returns why the gate is shut, or nil.
func (g *gate) shut() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.why
}

// shutFor shuts the gate and reports whether it was open.
func (g *gate) shutFor(why error) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	was := g.why == nil
	g.why = why
	return was
}

func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.why = nil
}

// take returns a connection of a pool, or ErrUnavailable at once while the
// gate is shut.
func (s *Store) take(ctx context.Context, pool *pgxpool.Pool) (*pgxpool.Conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if why := s.gate.shut(); why != nil {
		return nil, fmt.Errorf("%w: the database is looked for: %s", statestore.ErrUnavailable, why.Error())
	}
	waiting, cancel := context.WithTimeout(mayDial(ctx), s.cfg.TripTimeout)
	defer cancel()
	conn, err := pool.Acquire(waiting)
	switch {
	case err == nil:
		return conn, nil
	case ctx.Err() != nil:
		return nil, ctx.Err()
	}
	refused := codeOf(err)
	switch stat := pool.Stat(); {
	case refused != "" && refused != codeCannotConnect && stat.TotalConns() > 0:
		// The server lives and takes no further connection. Those that there
		// are go on.
		return nil, err
	case errors.As(err, new(*pgconn.ConnectError)), stat.ConstructingConns() > 0:
		s.lost(err)
		return nil, err
	default:
		return nil, unavailable("all connections are in use", err)
	}
}

// noticed looks at an error of a round trip. A server that does not answer in
// time, or takes no writes any more, is taken for gone.
func (s *Store) noticed(err error) error {
	switch {
	case err == nil:
	case errors.Is(err, errSilent), errors.Is(err, errFenced), codeOf(err) == codeReadOnly:
		s.lost(err)
	}
	return err
}

// lost shuts the gate and lets the prober look for the server.
func (s *Store) lost(why error) {
	if !s.gate.shutFor(why) {
		return
	}
	s.cfg.Logger.Warn("the database cannot be reached; looking for it", "error", s.translate("connect", why))
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// probe looks for the server whenever the gate is shut, until ctx ends.
func (s *Store) probe(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.wake:
		}
		if s.search(ctx) {
			s.writers.Reset()
			s.readers.Reset()
			s.gate.open()
			s.cfg.Logger.InfoContext(ctx, "the database is back")
		}
	}
}

// search tries to connect until it succeeds or ctx ends.
func (s *Store) search(ctx context.Context) bool {
	for wait := firstPause; ; wait = min(2*wait, lastPause) {
		pause := time.NewTimer(wait/2 + rand.N(wait))
		select {
		case <-ctx.Done():
			pause.Stop()
			return false
		case <-pause.C:
		}
		err := s.knock(ctx)
		if err == nil {
			return true
		}
		s.gate.shutFor(err)
		s.cfg.Logger.DebugContext(ctx, "the database is still gone", "error", s.translate("connect", err))
	}
}

// errStuck: commits of this service wait for a standby that does not answer.
var errStuck = errors.New("commits wait for a standby that does not answer")

// knock makes a connection of its own and asks whether commits end. Without
// that, each lane would leave one more commit behind that hangs in the server.
func (s *Store) knock(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(mayDial(ctx), s.cfg.TripTimeout)
	defer cancel()
	conn, err := pgx.ConnectConfig(ctx, s.connConfig())
	if err != nil {
		return err
	}
	defer s.hangUp(ctx, conn)
	var stuck bool
	if err := conn.QueryRow(ctx, s.sql.stuck, s.conns.RuntimeParams["application_name"]).Scan(&stuck); err != nil {
		return err
	}
	if stuck {
		return errStuck
	}
	return nil
}

// hangUp closes a connection that is in no pool.
func (s *Store) hangUp(ctx context.Context, conn *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.cfg.TripTimeout)
	defer cancel()
	if err := conn.Close(ctx); err != nil {
		s.cfg.Logger.Debug("closing a connection failed", "error", err)
	}
}
