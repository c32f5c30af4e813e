// SPDX-License-Identifier: Apache-2.0

package direct

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/resilienced/resilienced/bench/load"
)

// Bell rings through PostgreSQL's NOTIFY, on one connection, and hears it on
// another: the limit for news between replicas. Close it.
type Bell struct {
	ring, hear *pgx.Conn
	rung       int
}

// OpenBell connects twice.
func OpenBell(ctx context.Context, dsn string) (*Bell, error) {
	ring, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return nil, err
	}
	b := &Bell{ring: ring}
	if b.hear, err = pgx.Connect(ctx, dsn); err != nil {
		return nil, errors.Join(err, b.Close(ctx))
	}
	if _, err := b.hear.Exec(ctx, "LISTEN bell"); err != nil {
		return nil, errors.Join(err, b.Close(ctx))
	}
	return b, nil
}

// Close closes the connections.
func (b *Bell) Close(ctx context.Context) error {
	err := b.ring.Close(ctx)
	if b.hear != nil {
		err = errors.Join(err, b.hear.Close(ctx))
	}
	return err
}

// Slice rings one time after the other. The latency is from before the NOTIFY
// until it is heard.
func (b *Bell) Slice(ctx context.Context, times int) (*load.Result, error) {
	return load.Each(ctx, times, func(ctx context.Context) (time.Duration, error) {
		b.rung++
		want := strconv.Itoa(b.rung)
		begun := time.Now()
		heard := make(chan error, 1)
		go func() {
			n, err := b.hear.WaitForNotification(ctx)
			if err == nil && n.Payload != want {
				err = errors.New("direct: another bell is heard: " + n.Payload)
			}
			heard <- err
		}()
		_, err := b.ring.Exec(ctx, "SELECT pg_notify('bell', $1)", want)
		err = errors.Join(err, <-heard)
		return time.Since(begun), err
	})
}
