// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/resilienced/resilienced/statestore"
)

// Update implements statestore.Store, in two round trips: one that locks and
// reads, and one that writes and commits. fn is called again when another
// process was quicker, or when the connection broke before anything was
// committed, for as long as Config.UpdateTimeout.
func (s *Store) Update(ctx context.Context, entries []*statestore.Entry, fn statestore.Func) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	sorted := slices.Clone(entries)
	statestore.Sort(sorted)
	until := time.Now().Add(s.cfg.UpdateTimeout)
	for turn := 1; ; turn++ {
		err := s.attempt(ctx, sorted, fn)
		var mine fnError
		switch {
		case err == nil:
			return nil
		case errors.As(err, &mine):
			return mine.error
		case !again(err) || time.Now().After(until) || s.gate.shut() != nil:
			return s.translate("update", err)
		}
		if err := pause(ctx, turn); err != nil {
			return err
		}
	}
}

// fnError is an error of fn, which is returned as it is.
type fnError struct{ error }

// pause waits a little longer from turn to turn, each process at its own pace.
func pause(ctx context.Context, turn int) error {
	if turn == 1 {
		return nil
	}
	most := min(time.Duration(turn)*time.Millisecond, 50*time.Millisecond)
	timer := time.NewTimer(rand.N(most))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// attempt runs the transaction once.
func (s *Store) attempt(ctx context.Context, entries []*statestore.Entry, fn statestore.Func) error {
	pooled, err := s.take(ctx, s.writers)
	if err != nil {
		return err
	}
	defer pooled.Release()
	t := &txn{store: s, conn: pooled.Conn(), entries: entries}
	ended := false
	// A panic of fn passes through here too.
	defer func() {
		if !ended {
			s.rollback(ctx, t.conn)
		}
	}()
	if err := t.begin(ctx); err != nil {
		return s.noticed(err)
	}
	durability, err := fn(t.now)
	if err != nil {
		return fnError{err}
	}
	c, err := t.changes()
	if err != nil {
		return err
	}
	if c.none() {
		return s.noticed(t.confirm(ctx, &c.guards))
	}
	err = t.commit(ctx, c, durability)
	if err != nil {
		return s.noticed(err)
	}
	ended = true
	s.commits.Add(1)
	return nil
}

// rollback ends the transaction, if the connection still has one. One that
// fails is closed when it is given back.
func (s *Store) rollback(ctx context.Context, conn *pgx.Conn) {
	if conn.IsClosed() || conn.PgConn().TxStatus() == txIdle {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.cfg.TripTimeout)
	defer cancel()
	if _, err := conn.Exec(ctx, s.sql.rollback); err != nil {
		s.cfg.Logger.Debug("a rollback failed; the connection is closed", "error", err)
	}
}

// txIdle is the state of a connection without a transaction.
const txIdle = 'I'

// unavailable makes an error that says that nothing was changed and why.
func unavailable(why string, err error) error {
	return fmt.Errorf("%w: %s: %w", statestore.ErrUnavailable, why, err)
}
