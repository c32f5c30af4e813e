// SPDX-License-Identifier: Apache-2.0

package direct

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
)

// Waits says what the processes of a PostgreSQL server were seen at: how often
// by what they waited for. Work on a processor is "CPU", or waits for one.
type Waits struct {
	Looks int
	Seen  map[string]int
}

// waitsEvery is how often the processes are looked at.
const waitsEvery = 2 * time.Millisecond

// WatchWaits looks at the sessions of a database again and again until the
// context ends.
func WatchWaits(ctx context.Context, adminDSN, database string) (w *Waits, err error) {
	conn, err := pgx.Connect(ctx, adminDSN)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, conn.Close(context.WithoutCancel(ctx))) }()
	w = &Waits{Seen: map[string]int{}}
	tick := time.NewTicker(waitsEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return w, nil
		case <-tick.C:
		}
		if err := w.look(context.WithoutCancel(ctx), conn, database); err != nil {
			return nil, err
		}
	}
}

func (w *Waits) look(ctx context.Context, conn *pgx.Conn, database string) error {
	rows, err := conn.Query(ctx, "SELECT CASE WHEN state = 'idle in transaction' THEN 'between the two trips' "+
		"WHEN wait_event IS NULL THEN 'CPU' ELSE wait_event_type || ': ' || wait_event END "+
		"FROM pg_stat_activity WHERE datname = $1 AND backend_type = 'client backend' AND state <> 'idle' AND pid <> pg_backend_pid()", database)
	if err != nil {
		return err
	}
	var what string
	_, err = pgx.ForEachRow(rows, []any{&what}, func() error {
		w.Seen[what]++
		return nil
	})
	w.Looks++
	return err
}

// Statement is what a statement has cost the server.
type Statement struct {
	Text       string
	Calls      int64
	Mean       time.Duration
	Total, WAL float64 // seconds, bytes
}

// Statements are the dearest ones of a database, by pg_stat_statements, which
// must be installed.
func Statements(ctx context.Context, adminDSN, database string, limit int) (all []Statement, err error) {
	conn, err := pgx.Connect(ctx, adminDSN)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, conn.Close(ctx)) }()
	if _, err := conn.Exec(ctx, "CREATE EXTENSION IF NOT EXISTS pg_stat_statements"); err != nil {
		return nil, err
	}
	rows, err := conn.Query(ctx, "SELECT query, calls, mean_exec_time, total_exec_time, wal_bytes::float8 FROM pg_stat_statements s "+
		"JOIN pg_database d ON d.oid = s.dbid WHERE d.datname = $1 ORDER BY total_exec_time DESC LIMIT $2", database, limit)
	if err != nil {
		return nil, err
	}
	var s Statement
	var mean, total float64
	_, err = pgx.ForEachRow(rows, []any{&s.Text, &s.Calls, &mean, &total, &s.WAL}, func() error {
		s.Mean, s.Total = time.Duration(mean*float64(time.Millisecond)), total/1e3
		all = append(all, s)
		return nil
	})
	return all, err
}
