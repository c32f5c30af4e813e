// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/resilienced/resilienced/test/pgserver"
)

// CrashPrimary ends every process of the primary by SIGKILL; End starts it
// again where it was. Nothing is promoted.
func CrashPrimary() Fault {
	return primaryEnds("primary killed", func(ctx context.Context, s *pgserver.Server) error { return s.Kill(ctx) })
}

// StopPrimary ends the primary by `pg_ctl stop -m immediate`; End starts it
// again where it was.
func StopPrimary() Fault {
	return primaryEnds("primary stopped immediately", func(ctx context.Context, s *pgserver.Server) error {
		return s.Stop(ctx, "immediate")
	})
}

func primaryEnds(kind string, end func(context.Context, *pgserver.Server) error) Fault {
	p := &downProof{}
	return &fault{
		kind: kind,
		begin: func(ctx context.Context, c *Cluster) error {
			return errors.Join(end(ctx, c.Primary()), p.begin(ctx, c.Primary()))
		},
		end: func(ctx context.Context, c *Cluster) error {
			p.end()
			return c.Primary().Restart(ctx)
		},
		proof: p.proof,
	}
}

// downProof proves that a server took no connection for a while.
type downProof struct {
	since  time.Time
	lasted time.Duration
	answer string
}

func (p *downProof) begin(ctx context.Context, s *pgserver.Server) error {
	_, err := s.Exec(ctx, "postgres", "SELECT 1")
	if err == nil {
		return fmt.Errorf("%w: the server answers", errNoEffect)
	}
	p.since, p.answer = time.Now(), lastLine(err.Error())
	return nil
}

func (p *downProof) end() {
	if !p.since.IsZero() {
		p.lasted = time.Since(p.since)
	}
}

func (p *downProof) proof() (string, error) {
	if p.lasted == 0 {
		return "", fmt.Errorf("%w: the server was not down", errNoEffect)
	}
	return fmt.Sprintf("down for %v: %s", p.lasted.Round(time.Millisecond), p.answer), nil
}

func lastLine(text string) string {
	text = strings.TrimSpace(text)
	return strings.TrimSpace(text[strings.LastIndex(text, "\n")+1:])
}

// Failover kills the primary and promotes the standby. End makes a standby of
// the new primary where the old one was. With oldReturns the old primary is
// started again first, as one that nobody fenced would be.
func Failover(oldReturns bool) Fault {
	kind := "failover"
	if oldReturns {
		kind = "failover, and the old primary returns"
	}
	var took time.Duration
	var before, after string
	return &fault{
		kind: kind,
		begin: func(ctx context.Context, c *Cluster) error {
			old := c.Primary()
			began := time.Now()
			if err := old.Kill(ctx); err != nil {
				return err
			}
			before = old.Addr()
			if err := c.database.promote(ctx); err != nil {
				return err
			}
			took, after = time.Since(began), c.Primary().Addr()
			if oldReturns {
				return old.Restart(ctx)
			}
			return nil
		},
		end: func(ctx context.Context, c *Cluster) error {
			if took == 0 {
				return c.Primary().Restart(ctx) // Begin did not come to promote
			}
			if oldReturns {
				if err := c.Standby().Kill(ctx); err != nil {
					return err
				}
			}
			return c.database.rejoin(ctx)
		},
		proof: func() (string, error) {
			if took == 0 {
				return "", fmt.Errorf("%w: nothing was promoted", errNoEffect)
			}
			return fmt.Sprintf("%s instead of %s after %v", after, before, took.Round(time.Millisecond)), nil
		},
	}
}

// PausePrimary stops every process of the primary (SIGSTOP); End lets them go
// on.
func PausePrimary() Fault {
	var paused *pgserver.Server
	var silent time.Duration
	return &fault{
		kind: "primary paused",
		begin: func(ctx context.Context, c *Cluster) error {
			paused = c.Primary()
			if err := paused.Pause(); err != nil {
				return err
			}
			began := time.Now()
			ask, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
			defer cancel()
			if conn, err := pgx.Connect(ask, paused.AdminDSN("postgres")); err == nil {
				return errors.Join(errNoEffect, conn.Close(ctx))
			}
			silent = time.Since(began)
			return nil
		},
		end: func(context.Context, *Cluster) error {
			if paused == nil {
				return nil
			}
			return paused.Resume()
		},
		proof: func() (string, error) {
			return counted(int(silent.Milliseconds()), "ms without an answer to a connection")
		},
	}
}

// PauseStandby stops every process of the synchronous standby, for which
// commits then wait.
func PauseStandby() Fault {
	w := noWatch()
	var paused *pgserver.Server
	return &fault{
		kind: "standby paused",
		begin: func(ctx context.Context, c *Cluster) error {
			started, err := watchPrimary(ctx, c, "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'")
			if err != nil {
				return err
			}
			w = started
			paused = c.Standby()
			return paused.Pause()
		},
		end: func(context.Context, *Cluster) error {
			err := w.end()
			if paused != nil {
				err = errors.Join(err, paused.Resume())
			}
			return err
		},
		proof: func() (string, error) { return counted(w.most, "commits waited for the standby at once") },
	}
}

// TerminateBackends ends the service's connections by pg_terminate_backend,
// again and again.
func TerminateBackends() Fault {
	w := noWatch()
	return &fault{
		kind: "backends terminated",
		begin: func(ctx context.Context, c *Cluster) error {
			started, err := watchPrimary(ctx, c, `SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
				WHERE usename <> current_user AND datname = current_database()`)
			if err == nil {
				w = started
			}
			return err
		},
		end:   func(context.Context, *Cluster) error { return w.end() },
		proof: func() (string, error) { return counted(w.total, "backends terminated") },
	}
}

// HoldLock locks, from outside, the table of the service's schema that it has
// written most. It is one table, since more could deadlock with the service,
// which takes them in an order of its own.
func HoldLock(schema string) Fault {
	var conn *pgx.Conn
	var table string
	w := noWatch()
	return &fault{
		kind: "lock held",
		begin: func(ctx context.Context, c *Cluster) (err error) {
			if conn, err = pgx.Connect(ctx, c.Primary().AdminDSN(c.Database())); err != nil {
				return err
			}
			err = conn.QueryRow(ctx, `SELECT format('%I.%I', schemaname, relname) FROM pg_stat_user_tables
				WHERE schemaname = $1 ORDER BY n_tup_ins + n_tup_upd + n_tup_del DESC LIMIT 1`, schema).Scan(&table)
			if errors.Is(err, pgx.ErrNoRows) {
				return fmt.Errorf("the schema %q has no tables", schema)
			}
			if err != nil {
				return err
			}
			started, err := watchPrimary(ctx, c, "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND usename <> current_user")
			if err != nil {
				return err
			}
			w = started
			_, err = conn.Exec(ctx, "BEGIN; LOCK TABLE "+table+" IN ACCESS EXCLUSIVE MODE")
			return err
		},
		end: func(ctx context.Context, _ *Cluster) error {
			err := w.end()
			if conn != nil {
				err = errors.Join(err, conn.Close(ctx)) // which rolls back
			}
			return err
		},
		proof: func() (string, error) { return counted(w.most, "backends waited at once for "+table) },
	}
}

// tooMany is what PostgreSQL logs for a role that has its connections.
const tooMany = "too many connections for role"

// ExhaustConnections allows the service's role no connection and ends those it
// has.
func ExhaustConnections() Fault {
	var limited *pgserver.Server
	var role string
	var before, refused int
	return &fault{
		kind: "no connection left",
		begin: func(ctx context.Context, c *Cluster) (err error) {
			limited = c.Primary()
			config, err := pgconn.ParseConfig(limited.DSN(c.Database()))
			if err != nil {
				return err
			}
			role = pgx.Identifier{config.User}.Sanitize()
			if before, err = limited.LogCount(tooMany); err != nil {
				return err
			}
			_, err = limited.Exec(ctx, c.Database(), "ALTER ROLE "+role+` CONNECTION LIMIT 0;
				SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '`+config.User+"'")
			return err
		},
		end: func(ctx context.Context, c *Cluster) error {
			if limited == nil {
				return nil
			}
			after, err := limited.LogCount(tooMany)
			refused = after - before
			_, sql := limited.Exec(ctx, c.Database(), "ALTER ROLE "+role+" CONNECTION LIMIT -1")
			return errors.Join(err, sql)
		},
		proof: func() (string, error) { return counted(refused, "connections refused for want of room") },
	}
}

// SkewDatabase moves the clocks of both servers of the database while they
// run; End moves them back. It wants Config.Faketime.
func SkewDatabase(by time.Duration) Fault {
	var seen time.Duration
	set := func(c *Cluster, offset time.Duration) error {
		text := fmt.Sprintf("%+ds", int(offset/time.Second))
		return errors.Join(c.Primary().SetFaketime(text), c.Standby().SetFaketime(text))
	}
	return &fault{
		kind: "database's clock skewed", about: by.String(),
		begin: func(ctx context.Context, c *Cluster) error {
			if err := set(c, by); err != nil {
				return err
			}
			text, err := c.SQL(ctx, "SELECT extract(epoch FROM clock_timestamp())")
			if err != nil {
				return err
			}
			seconds, err := strconv.ParseFloat(text, 64)
			seen = time.Until(time.UnixMicro(int64(seconds * 1e6)))
			return err
		},
		end: func(_ context.Context, c *Cluster) error { return set(c, 0) },
		proof: func() (string, error) {
			if by == 0 || (seen-by).Abs() > by.Abs()/2 {
				return "", fmt.Errorf("%w: the clock is off by %v, not %v", errNoEffect, seen, by)
			}
			return fmt.Sprintf("clock_timestamp() is off by %v", seen.Round(time.Second)), nil
		},
	}
}
