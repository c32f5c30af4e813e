// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/resilienced/resilienced/rules"
)

// believe turns a reading into the store's time, unless the server that gave
// it must not be used.
func (s *Store) believe(ctx context.Context, r reading) (rules.Instant, error) {
	if r.standby {
		return 0, fmt.Errorf("%w: it is a standby", errFenced)
	}
	if err := s.fence.pass("", r.timeline); err != nil {
		return 0, err
	}
	now, ok := s.time.tell(r)
	if ok {
		return now, nil
	}
	if err := s.confirm(ctx, r); err != nil {
		return 0, err
	}
	s.cfg.Logger.WarnContext(ctx, "the database server's clock leapt ahead, and a second connection says the same", "now", now.Time())
	s.time.accept(r)
	now, _ = s.time.tell(r)
	return now, nil
}

// confirm asks over a connection of its own whether the time of a reading is
// true.
func (s *Store) confirm(ctx context.Context, r reading) error {
	ctx, cancel := context.WithTimeout(mayDial(ctx), s.cfg.TripTimeout)
	defer cancel()
	conn, err := pgx.ConnectConfig(ctx, s.connConfig())
	if err != nil {
		return err
	}
	defer s.hangUp(ctx, conn)
	var second reading
	if err := second.scan(conn.QueryRow(ctx, s.sql.clock)); err != nil {
		return err
	}
	apart := time.Duration(second.clock-r.clock) * time.Microsecond
	if second.standby || apart.Abs() > leap {
		return fmt.Errorf("%w, and a second connection is %v from it", errLeap, apart)
	}
	return nil
}
