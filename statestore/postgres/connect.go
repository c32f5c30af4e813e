// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgconn/ctxwatch"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/resilienced/resilienced/statestore"
)

// applicationName is how our connections show in pg_stat_activity, unless the
// DSN says otherwise.
const applicationName = "resilienced"

// oldest is the oldest PostgreSQL that the statements are written for, as
// server_version_num.
const oldest = 130000

// dialKey marks contexts that may open a connection to the server.
type dialKey struct{}

// mayDial allows connections to be made under ctx. The driver would otherwise
// also connect to send a CancelRequest when it gives a statement up. Such a
// request ends a COMMIT's wait for the standby, and PostgreSQL then calls it
// committed.
func mayDial(ctx context.Context) context.Context { return context.WithValue(ctx, dialKey{}, true) }

var errNoCancel = errors.New("statements are not cancelled over a second connection")

// notes are what the server remarked on a connection's commit.
type notes struct{ found atomic.Bool }

func (n *notes) clear()             { n.found.Store(false) }
func (n *notes) unreplicated() bool { return n.found.Load() }

// notesKey is where a connection has its notes.
const notesKey = "notes"

func notesOf(conn *pgconn.PgConn) *notes {
	n, ok := conn.CustomData()[notesKey].(*notes)
	if !ok {
		n = &notes{}
		conn.CustomData()[notesKey] = n
	}
	return n
}

// parse reads a DSN. The error names no password.
func parse(dsn string, timeout time.Duration) (*pgx.ConnConfig, error) {
	cc, err := pgx.ParseConfig(dsn)
	if err != nil {
		return nil, err
	}
	if cc.ConnectTimeout == 0 {
		cc.ConnectTimeout = timeout
	}
	if cc.RuntimeParams["application_name"] == "" {
		cc.RuntimeParams["application_name"] = applicationName
	}
	cc.RuntimeParams["client_encoding"] = "UTF8"
	dial := (&net.Dialer{KeepAlive: 5 * time.Second, Timeout: cc.ConnectTimeout}).DialContext
	cc.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
		if ctx.Value(dialKey{}) == nil {
			return nil, errNoCancel
		}
		return dial(ctx, network, addr)
	}
	cc.BuildContextWatcherHandler = func(conn *pgconn.PgConn) ctxwatch.Handler {
		return &pgconn.DeadlineContextWatcherHandler{Conn: conn.Conn()}
	}
	cc.OnNotice = func(conn *pgconn.PgConn, n *pgconn.Notice) {
		// "canceling wait for synchronous replication", and the same when the
		// server shuts down.
		if n.SeverityUnlocalized == "WARNING" && (n.Code == codeWarning || n.Code == codeAdminShutdown) {
			notesOf(conn).found.Store(true)
		}
	}
	return cc, nil
}

// connConfig is how this store connects.
func (s *Store) connConfig() *pgx.ConnConfig { return s.conns.Copy() }

// pool makes a pool of up to n connections. It connects when it is asked for
// one.
func (s *Store) pool(ctx context.Context, n int) (*pgxpool.Pool, error) {
	pc, err := pgxpool.ParseConfig("")
	if err != nil {
		return nil, err
	}
	pc.ConnConfig = s.connConfig()
	pc.MaxConns = int32(n)
	pc.MaxConnLifetime = time.Hour
	pc.MaxConnLifetimeJitter = 10 * time.Minute
	// A dead connection shows at the first round trip, which is then repeated.
	pc.ShouldPing = func(context.Context, pgxpool.ShouldPingParams) bool { return false }
	return pgxpool.NewWithConfig(mayDial(ctx), pc)
}

// identity is what a server says of itself at the start of a connection.
type identity struct {
	standby, readOnly bool
	encoding          string
	backend           uint32
	version           int
	timeline          string
	system            string
	fsync             string
}

const identify = `SELECT pg_is_in_recovery(), current_setting('transaction_read_only') = 'on',
	current_setting('server_encoding'), pg_backend_pid(), current_setting('server_version_num'),
	CASE WHEN pg_is_in_recovery() THEN '' ELSE substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8) END,
	(SELECT system_identifier FROM pg_control_system()), current_setting('fsync')`

// ask reads the identity of the server behind a new connection.
func ask(ctx context.Context, conn *pgconn.PgConn) (identity, error) {
	res := conn.ExecParams(ctx, identify, nil, nil, nil, nil).Read()
	if res.Err != nil {
		return identity{}, res.Err
	}
	row := res.Rows[0]
	is := func(i int) bool { return string(row[i]) == "t" }
	backend, err := strconv.ParseUint(string(row[3]), 10, 32)
	if err != nil {
		return identity{}, err
	}
	version, err := strconv.Atoi(string(row[4]))
	return identity{
		standby: is(0), readOnly: is(1), encoding: string(row[2]), backend: uint32(backend), version: version,
		timeline: string(row[5]), system: string(row[6]), fsync: string(row[7]),
	}, err
}

// check refuses a server that this store cannot work with.
func (i identity) check() error {
	switch {
	case i.standby:
		return fmt.Errorf("%w: it is a standby; name the primary in the DSN, or all hosts: the one that takes writes is used", statestore.ErrReadOnly)
	case i.readOnly:
		return fmt.Errorf("%w: default_transaction_read_only is on for this user, database or server; set it to off", statestore.ErrReadOnly)
	case i.encoding != "UTF8":
		return fmt.Errorf("%w: its encoding is %s; make a database WITH ENCODING 'UTF8'", statestore.ErrNotADatabase, i.encoding)
	case i.version < oldest:
		return fmt.Errorf("%w: it is version %d and 13 is the oldest that works; upgrade it", statestore.ErrUnavailable, i.version/10000)
	default:
		return nil
	}
}

// validate is called with every new connection before it is used.
func (s *Store) validate(ctx context.Context, conn *pgconn.PgConn) error {
	id, err := ask(ctx, conn)
	if err != nil {
		return err
	}
	if err := id.check(); err != nil {
		return err
	}
	if id.backend != conn.PID() && !s.bouncer {
		return fmt.Errorf("%w: a pooler has come between; start the service again", statestore.ErrUnavailable)
	}
	if err := s.fence.pass(id.system, id.timeline); err != nil || s.bouncer {
		return err
	}
	// Behind a pooler each transaction sets them for itself.
	_, err = conn.Exec(ctx, s.sql.session).ReadAll()
	return err
}
