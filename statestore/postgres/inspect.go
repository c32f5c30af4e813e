// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
)

// Inspection is what a look at a database server found, for whoever operates
// it.
type Inspection struct {
	// Name names the database and the schema without user and password.
	Name string
	// Schema is what the schema holds.
	Schema Status
	// Server is its version, such as "16.4".
	Server string
	// User is the role that the service connects as.
	User string
	// Latency is the median time of an empty statement.
	Latency time.Duration
	// ClockAhead is by how much the server's clock is ahead of this machine's,
	// give or take half the latency.
	ClockAhead time.Duration
	// Pooler: PgBouncer in transaction mode, or the like, stands between.
	Pooler bool
	// Encrypted: the connection is, as far as the pooler or else the server.
	Encrypted bool
	// Remote: the server, or the pooler, is on another machine.
	Remote bool
	// SynchronousCommit and StandbyNames are the settings of those names.
	SynchronousCommit, StandbyNames string
	// Fsync and FullPageWrites are the settings of those names.
	Fsync, FullPageWrites string
	// Limit is how many connections this user may have, by the lowest of the
	// server's, the database's and the user's own limit. Used counts against it.
	Limit, Used int
	// Needed is how many connections one replica takes at most.
	Needed int
	// Sessions is how many connections of services there are on this schema.
	Sessions int
	// Missing are the rights that the user lacks, as GRANT names them.
	Missing []string
	// Bytes is the size of the schema's tables and indexes.
	Bytes int64
}

// pings is how many empty statements are timed.
const pings = 9

// Inspect connects to the database as Open would, changes nothing, and says
// what is there. It returns the errors of Open, but for those of the schema's
// version.
func Inspect(ctx context.Context, cfg Config) (_ *Inspection, err error) {
	s, conn, err := prepare(ctx, cfg.withDefaults())
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	defer s.hangUp(ctx, conn)
	_, encrypted := conn.PgConn().Conn().(*tls.Conn)
	addr, _ := conn.PgConn().Conn().RemoteAddr().(*net.TCPAddr)
	i := &Inspection{Name: s.String(), Pooler: s.bouncer, Encrypted: encrypted, Remote: addr != nil && !addr.IP.IsLoopback(), Needed: s.cfg.connections()}
	all, err := steps()
	if err == nil {
		err = s.inTx(ctx, conn, func(tx pgx.Tx) error {
			i.Schema, err = s.status(ctx, tx, len(all))
			return err
		})
	}
	for _, look := range []func(context.Context, *Store, *pgx.Conn) error{i.time, i.settings, i.connections, i.rights} {
		if err == nil {
			err = look(ctx, s, conn)
		}
	}
	if err != nil {
		return nil, s.translate("inspect", err)
	}
	return i, nil
}

// time measures the way to the server and the difference of the clocks.
func (i *Inspection) time(ctx context.Context, _ *Store, conn *pgx.Conn) error {
	type ping struct{ latency, ahead time.Duration }
	all := make([]ping, pings)
	for n := range all {
		var there time.Time
		sent := time.Now()
		if err := conn.QueryRow(ctx, "SELECT clock_timestamp()").Scan(&there); err != nil {
			return err
		}
		took := time.Since(sent)
		all[n] = ping{took, there.Sub(sent.Add(took / 2))}
	}
	// The quickest answer tells most about the clock.
	slices.SortFunc(all, func(a, b ping) int { return int(a.latency - b.latency) })
	i.Latency, i.ClockAhead = all[len(all)/2].latency, all[0].ahead
	return nil
}

func (i *Inspection) settings(ctx context.Context, s *Store, conn *pgx.Conn) error {
	return conn.QueryRow(ctx, "SELECT current_setting('server_version'), current_user, current_setting('synchronous_commit'), "+
		"current_setting('synchronous_standby_names'), current_setting('fsync'), current_setting('full_page_writes'), "+
		"(SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0)::bigint FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "+
		"WHERE n.nspname = $1 AND c.relkind = 'r')", s.cfg.Schema).
		Scan(&i.Server, &i.User, &i.SynchronousCommit, &i.StandbyNames, &i.Fsync, &i.FullPageWrites, &i.Bytes)
}

// connections finds which limit is met first.
func (i *Inspection) connections(ctx context.Context, s *Store, conn *pgx.Conn) error {
	var limits, used [3]int
	err := conn.QueryRow(ctx, "SELECT current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int, "+
		"(SELECT datconnlimit FROM pg_database WHERE datname = current_database()), "+
		"(SELECT rolconnlimit FROM pg_roles WHERE rolname = current_user), "+
		"count(*), count(*) FILTER (WHERE datname = current_database()), count(*) FILTER (WHERE usename = current_user), "+
		"count(*) FILTER (WHERE datname = current_database() AND application_name = $1) "+
		"FROM pg_stat_activity WHERE backend_type = 'client backend'", serviceName(s.cfg.Schema)).
		Scan(&limits[0], &limits[1], &limits[2], &used[0], &used[1], &used[2], &i.Sessions)
	if err != nil {
		return err
	}
	i.Limit, i.Used = limits[0], used[0]
	for n, limit := range limits {
		if limit >= 0 && limit-used[n] < i.Limit-i.Used { // below 0: there is none
			i.Limit, i.Used = limit, used[n]
		}
	}
	return nil
}

// rights finds what the user may not do and the service needs.
func (i *Inspection) rights(ctx context.Context, s *Store, conn *pgx.Conn) error {
	schema, user := pgx.Identifier{s.cfg.Schema}.Sanitize(), pgx.Identifier{i.User}.Sanitize()
	if i.Schema.Version == 0 {
		return i.mayBegin(ctx, s, conn, schema, user)
	}
	var usage bool
	if err := conn.QueryRow(ctx, "SELECT has_schema_privilege($1, 'USAGE')", s.cfg.Schema).Scan(&usage); err != nil {
		return err
	}
	if !usage {
		i.Missing = append(i.Missing, "GRANT USAGE ON SCHEMA "+schema+" TO "+user)
	}
	var lacking int
	err := conn.QueryRow(ctx, "SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "+
		"WHERE n.nspname = $1 AND c.relkind IN ('r', 'p') AND NOT (has_table_privilege(c.oid, 'SELECT') AND has_table_privilege(c.oid, 'INSERT') "+
		"AND has_table_privilege(c.oid, 'UPDATE') AND has_table_privilege(c.oid, 'DELETE'))", s.cfg.Schema).Scan(&lacking)
	if err == nil && lacking > 0 {
		i.Missing = append(i.Missing, "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA "+schema+" TO "+user)
	}
	return err
}

// mayBegin finds whether the user may make the schema, or its tables where it
// is there and empty.
func (i *Inspection) mayBegin(ctx context.Context, s *Store, conn *pgx.Conn, schema, user string) error {
	var exists, createIn, createNew bool
	err := conn.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = $1), "+
		"has_database_privilege(current_database(), 'CREATE'), "+
		"coalesce((SELECT has_schema_privilege(oid, 'CREATE') FROM pg_namespace WHERE nspname = $1), false)", s.cfg.Schema).
		Scan(&exists, &createNew, &createIn)
	switch {
	case err != nil:
		return err
	case exists && !createIn:
		i.Missing = append(i.Missing, "GRANT USAGE, CREATE ON SCHEMA "+schema+" TO "+user)
	case !exists && !createNew:
		i.Missing = append(i.Missing, "CREATE SCHEMA "+schema+" AUTHORIZATION "+user)
	}
	return nil
}

// serviceName is how the connections of a service on a schema show in
// pg_stat_activity, unless the DSN says otherwise.
func serviceName(schema string) string {
	if schema == DefaultSchema {
		return applicationName
	}
	return applicationName + " " + schema
}

// connections is how many connections a store takes at most: besides those of
// its pools one to listen, and one to look at the server from outside of them.
func (c Config) connections() int { return c.WriteConns + c.ReadConns + 2 }
