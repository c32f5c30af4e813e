// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/resilienced/resilienced/statestore"
)

// errSilent: the server has not answered in time.
var errSilent = errors.New("the server does not answer")

// trip sends a batch and takes its results, within Config.TripTimeout.
func (s *Store) trip(ctx context.Context, conn *pgx.Conn, b *pgx.Batch, take func(pgx.BatchResults) error) error {
	bounded, cancel := context.WithTimeout(ctx, s.cfg.TripTimeout)
	defer cancel()
	br := conn.SendBatch(bounded, b)
	err := take(br)
	err = errors.Join(err, closeBatch(br, err))
	if err == nil || bounded.Err() == nil {
		return err
	}
	// Was it the caller or the server who took too long?
	unknown := errors.As(err, new(commitError))
	if err = ctx.Err(); err == nil {
		err = fmt.Errorf("%w within %v", errSilent, s.cfg.TripTimeout)
	}
	if unknown {
		return commitError{err}
	}
	return err
}

// closeBatch ends a batch. An error that was seen already is not told twice.
func closeBatch(br pgx.BatchResults, seen error) error {
	if err := br.Close(); seen == nil {
		return err
	}
	return nil
}

// commitError is an error after which nobody knows whether the transaction was
// committed.
type commitError struct{ error }

func (e commitError) Unwrap() error { return e.error }

// errNotReplicated: the commit is on the server's disk and no standby has
// confirmed it.
var errNotReplicated = errors.New("the server gave up waiting for its standby")

// tripToCommit sends a batch whose last statement is COMMIT. Once it is sent,
// only an answer of the server says what became of it; so a caller that goes
// away does not end the wait.
func (s *Store) tripToCommit(ctx context.Context, conn *pgx.Conn, b *pgx.Batch) error {
	ctx = context.WithoutCancel(ctx)
	notes := notesOf(conn.PgConn())
	notes.clear()
	committed := false
	err := s.trip(ctx, conn, b, func(br pgx.BatchResults) error {
		for range b.Len() - 1 {
			if _, err := br.Exec(); err != nil {
				return beforeCommit(err)
			}
		}
		tag, err := br.Exec()
		if err != nil {
			return atCommit(err)
		}
		if tag.String() != "COMMIT" {
			return fmt.Errorf("%w: COMMIT was answered by %s", statestore.ErrUnavailable, tag)
		}
		committed = true
		return nil
	})
	switch {
	case committed && notes.unreplicated():
		return commitError{errNotReplicated}
	case committed && err != nil:
		// The connection ended behind the answer, which stands.
		s.cfg.Logger.Debug("a connection ended after its commit", "error", err)
		return nil
	}
	return err
}

// beforeCommit judges an error of a statement before COMMIT. An answer of the
// server comes in order, so nothing was committed; a broken connection says
// nothing, since COMMIT was sent along.
func beforeCommit(err error) error {
	if _, answered := errors.AsType[*pgconn.PgError](err); answered || pgconn.SafeToRetry(err) {
		return err
	}
	return commitError{err}
}

// atCommit judges an error of COMMIT itself: only a plain ERROR says that the
// transaction was rolled back.
func atCommit(err error) error {
	if e, answered := errors.AsType[*pgconn.PgError](err); answered && e.SeverityUnlocalized == "ERROR" {
		return err
	}
	return commitError{err}
}
