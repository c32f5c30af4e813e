// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/resilienced/resilienced/statestore"
)

// Store is a statestore.Store in a PostgreSQL database. Open makes one.
type Store struct {
	cfg     Config
	codec   *statestore.Codec
	kinds   []int16
	sql     statements
	limits  []any // the arguments of the settings
	conns   *pgx.ConnConfig
	bouncer bool // a pooler stands between, which keeps no state of sessions

	writers, readers *pgxpool.Pool
	gate             gate
	wake             chan struct{} // tells the prober that the gate is shut
	fence            fence
	time             timekeeper
	commits          atomic.Uint64

	mail     *mailbox
	listenAt *pgx.ConnConfig // nil: at conns

	run     context.Context //nolint:containedctx // it ends with the store, and its loops with it
	closing context.CancelFunc
	loops   sync.WaitGroup
	closed  sync.Once
}

var _ statestore.Store = (*Store)(nil)

// Open connects to the database, brings its schema up to date, and makes it if
// there is none. Any number of stores may be open on one schema.
//
// It returns ErrReadOnly for a standby or a server that takes no writes,
// ErrNotADatabase if the schema is another product's or the encoding is not
// UTF-8, ErrNewerSchema if a newer version wrote it, ErrFull if there is no
// room, and ErrUnavailable for the rest: a wrong DSN, a server that cannot be
// reached or trusted, missing rights. The error's text says what to do, and
// never has the password.
func Open(ctx context.Context, cfg Config) (*Store, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if cfg.DSN == "" || cfg.Codec == nil {
		return nil, fmt.Errorf("%w: postgres needs a DSN and a codec", statestore.ErrUnavailable)
	}
	s, first, err := prepare(ctx, cfg.withDefaults())
	if err != nil {
		return nil, err
	}
	err = s.migrate(ctx, first)
	s.hangUp(ctx, first)
	if err == nil {
		err = s.open(ctx)
	}
	if err != nil {
		return nil, errors.Join(s.translate("open", err), s.Close())
	}
	return s, nil
}

// longestDial bounds how long a connection may take to be made, where the DSN
// does not say, also for a store whose statements may take long.
const longestDial = 10 * time.Second

// prepare makes a store that is not open yet, and the first connection.
func prepare(ctx context.Context, cfg Config) (*Store, *pgx.Conn, error) {
	s := &Store{
		cfg: cfg, codec: cfg.Codec, sql: newStatements(cfg.Schema), wake: make(chan struct{}, 1), mail: newMailbox(cfg.Schema),
	}
	if cfg.Codec != nil {
		for _, k := range cfg.Codec.Kinds() {
			s.kinds = append(s.kinds, int16(k))
		}
	}
	for _, d := range []int64{cfg.LockTimeout.Milliseconds(), cfg.StatementTimeout.Milliseconds(), cfg.IdleTimeout.Milliseconds()} {
		s.limits = append(s.limits, strconv.FormatInt(d, 10))
	}
	var err error
	if s.conns, err = parse(cfg.DSN, min(cfg.TripTimeout, longestDial)); err != nil {
		return nil, nil, dsnError(err)
	}
	if cfg.ListenDSN != "" {
		if s.listenAt, err = parse(cfg.ListenDSN, min(cfg.TripTimeout, longestDial)); err != nil {
			return nil, nil, dsnError(err)
		}
	}
	if s.conns.RuntimeParams["application_name"] == applicationName {
		s.conns.RuntimeParams["application_name"] = cmp.Or(cfg.Application, serviceName(cfg.Schema))
	}
	first, err := s.meet(ctx)
	if err != nil {
		return nil, nil, s.translate("connect", err)
	}
	return s, first, nil
}

// meet connects to see what server is there. The connection works through a
// pooler too.
func (s *Store) meet(ctx context.Context) (*pgx.Conn, error) {
	var met identity
	cc := s.connConfig()
	cc.DefaultQueryExecMode = pgx.QueryExecModeExec
	cc.ValidateConnect = func(ctx context.Context, conn *pgconn.PgConn) (err error) {
		if met, err = ask(ctx, conn); err != nil {
			return err
		}
		return met.check()
	}
	conn, err := pgx.ConnectConfig(mayDial(ctx), cc)
	if err != nil {
		return nil, err
	}
	if s.bouncer = met.backend != conn.PgConn().PID(); s.bouncer {
		// The pooler may give each transaction another session.
		s.conns.DefaultQueryExecMode = pgx.QueryExecModeExec
		s.conns.StatementCacheCapacity, s.conns.DescriptionCacheCapacity = 0, 0
	}
	if met.fsync == "off" {
		s.cfg.Logger.WarnContext(ctx, "fsync is off in the database server: what was acknowledged may be lost when the machine stops")
	}
	s.conns.ValidateConnect = s.validate
	return conn, nil
}

func (s *Store) open(ctx context.Context) error {
	var err error
	if s.writers, err = s.pool(ctx, s.cfg.WriteConns); err != nil {
		return err
	}
	if s.readers, err = s.pool(ctx, s.cfg.ReadConns); err != nil {
		return err
	}
	now, err := s.Now(ctx)
	if err != nil {
		return err
	}
	// The first write shows whether the tables can be written at all.
	if err := s.writeFloor(ctx, now, "on"); err != nil {
		return err
	}
	s.run, s.closing = context.WithCancel(context.WithoutCancel(ctx))
	s.loops.Go(func() { s.probe(s.run) })
	s.loops.Go(func() { s.keep(s.run) })
	s.loops.Go(func() { s.post(s.run) })
	return nil
}

// String names the database for people, without a password.
func (s *Store) String() string {
	hosts := []string{net.JoinHostPort(s.conns.Host, strconv.Itoa(int(s.conns.Port)))}
	for _, f := range s.conns.Fallbacks {
		if host := net.JoinHostPort(f.Host, strconv.Itoa(int(f.Port))); !slices.Contains(hosts, host) {
			hosts = append(hosts, host)
		}
	}
	return fmt.Sprintf("postgres://%s/%s, schema %s", strings.Join(hosts, ","), s.conns.Database, s.cfg.Schema)
}

// Lanes implements statestore.Store.
func (s *Store) Lanes() int { return s.cfg.Lanes }

// Commits implements statestore.Store.
func (s *Store) Commits() uint64 { return s.commits.Load() }

// Close waits for the calls under way and closes the connections. A second
// Close does nothing.
func (s *Store) Close() error {
	s.closed.Do(func() {
		if s.closing != nil {
			s.closing()
		}
		// Nobody begins to listen any more.
		s.mail.begin.Do(func() {})
		s.loops.Wait()
		close(s.mail.in)
		s.gate.shutFor(errClosed)
		for _, p := range []*pgxpool.Pool{s.writers, s.readers} {
			if p != nil {
				p.Close()
			}
		}
	})
	return nil
}

// errClosed is why a closed store is of no use.
var errClosed = errors.New("the store was closed")
