// SPDX-License-Identifier: Apache-2.0

package direct

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/resilienced/resilienced/bench/load"
)

// Rows is a table in PostgreSQL that callers update without our store: the
// limit that the store is held against. Close it.
type Rows struct {
	conns  []*pgx.Conn // one for each caller
	update string
}

// spreadRows is how many rows there are beside the hot one.
const spreadRows = 10_000

// OpenRows makes the table in a database, and a connection for each caller. The
// rows have room on their page, so that an update touches no index.
func OpenRows(ctx context.Context, dsn, table string, callers int) (*Rows, error) {
	r := &Rows{update: fmt.Sprintf("UPDATE %s SET spent = spent + $1, body = $2 WHERE id = $3 AND spent + $1 <= $4", table)}
	for range callers {
		conn, err := pgx.Connect(ctx, dsn)
		if err != nil {
			return nil, errors.Join(err, r.Close(ctx))
		}
		r.conns = append(r.conns, conn)
	}
	for _, text := range []string{
		fmt.Sprintf("CREATE TABLE %s (id integer PRIMARY KEY, spent bigint NOT NULL, body bytea NOT NULL) WITH (fillfactor = 40)", table),
		fmt.Sprintf("INSERT INTO %s SELECT id, 0, '' FROM generate_series(0, %d) AS id", table, spreadRows),
	} {
		if _, err := r.conns[0].Exec(ctx, text); err != nil {
			return nil, errors.Join(err, r.Close(ctx))
		}
	}
	return r, nil
}

// Close closes the connections.
func (r *Rows) Close(ctx context.Context) error {
	var errs []error
	for _, conn := range r.conns {
		errs = append(errs, conn.Close(ctx))
	}
	return errors.Join(errs...)
}

// Hot are callers that each update the one hot row, durably, one transaction
// and one round trip an update.
func (r *Rows) Hot(caller int) load.Op {
	return r.op(caller, func() int { return 0 })
}

// Spread are callers that update rows of their own in turn.
func (r *Rows) Spread(caller int) load.Op {
	const step = 61
	at := caller
	return r.op(caller, func() int {
		at += step
		return 1 + at%spreadRows
	})
}

func (r *Rows) op(caller int, next func() int) load.Op {
	conn, body := r.conns[caller], bytes.Repeat([]byte{'x'}, rowSize)
	return func(ctx context.Context, laps *load.Laps) error {
		tag, err := conn.Exec(ctx, r.update, Cost, body, next(), Cap)
		laps.Lap()
		if err != nil {
			return err
		}
		if tag.RowsAffected() != 1 {
			return fmt.Errorf("direct: the update changed %d rows", tag.RowsAffected())
		}
		return nil
	}
}
