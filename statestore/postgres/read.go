// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/resilienced/resilienced/rules"
	"github.com/resilienced/resilienced/statestore"
)

// look runs one statement in a read-only transaction, in one round trip, and
// returns the store's time, which is read after it.
func (s *Store) look(ctx context.Context, sql string, args []any, take func(pgx.Rows) error) (rules.Instant, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	var now rules.Instant
	var err error
	for turn := range 3 {
		now, err = s.lookOnce(ctx, sql, args, take)
		if err == nil || turn == 2 || !again(err) || s.gate.shut() != nil {
			break
		}
	}
	return now, s.translate("read", err)
}

func (s *Store) lookOnce(ctx context.Context, sql string, args []any, take func(pgx.Rows) error) (rules.Instant, error) {
	pooled, err := s.take(ctx, s.readers)
	if err != nil {
		return 0, err
	}
	defer pooled.Release()
	conn := pooled.Conn()
	defer s.rollback(ctx, conn)
	b := &pgx.Batch{}
	s.opens(b, s.sql.look)
	if sql != "" {
		b.Queue(sql, args...)
	}
	b.Queue(s.sql.clock)
	b.Queue(s.sql.commit)
	var r reading
	err = s.trip(ctx, conn, b, func(br pgx.BatchResults) error {
		for range 2 {
			if _, err := br.Exec(); err != nil {
				return err
			}
		}
		if sql != "" {
			rows, err := br.Query()
			if err != nil {
				return err
			}
			if err := take(rows); err != nil {
				return err
			}
		}
		return r.scan(br.QueryRow())
	})
	if err != nil {
		return 0, s.noticed(err)
	}
	now, err := s.believe(ctx, r)
	return now, s.noticed(err)
}

// Now implements statestore.Store.
func (s *Store) Now(ctx context.Context) (rules.Instant, error) {
	return s.look(ctx, "", nil, nil)
}

// Get implements statestore.Store.
func (s *Store) Get(ctx context.Context, key statestore.Key) (statestore.Record, rules.Instant, error) {
	if !storable(key) {
		now, err := s.Now(ctx)
		return nil, now, err
	}
	var found statestore.Record
	now, err := s.look(ctx, s.sql.get, []any{int16(key.Kind), key.Namespace, key.Name}, func(rows pgx.Rows) error {
		var row rawRow
		found = nil
		_, err := pgx.ForEachRow(rows, []any{&row.ord, &row.due, &row.body}, func() (err error) {
			found, err = row.record(s.codec, key)
			return err
		})
		return err
	})
	if err != nil {
		return nil, 0, err
	}
	return found, now, nil
}

// Count implements statestore.Store. It counts one by one, in the index.
func (s *Store) Count(ctx context.Context, kind statestore.Kind, namespace string) (int, error) {
	if !storableText(namespace) {
		return 0, ctx.Err()
	}
	var n int64
	_, err := s.look(ctx, s.sql.count, []any{int16(kind), namespace}, func(rows pgx.Rows) error {
		_, err := pgx.ForEachRow(rows, []any{&n}, func() error { return nil })
		return err
	})
	return int(n), err
}

// Namespaces implements statestore.Store.
func (s *Store) Namespaces(ctx context.Context) ([]string, error) {
	var all []string
	_, err := s.look(ctx, s.sql.namespaces, []any{s.kinds}, func(rows pgx.Rows) (err error) {
		all, err = pgx.CollectRows(rows, pgx.RowTo[string])
		return err
	})
	if err != nil {
		return nil, err
	}
	return all, nil
}

// Due implements statestore.Store. For one namespace it reads that through, so
// it is meant for small ones: those of drills.
func (s *Store) Due(ctx context.Context, q statestore.DueQuery) ([]statestore.DueKey, error) {
	sql, args := s.sql.due, []any{int64(q.Until), max(q.Limit, 1)}
	switch {
	case !storableText(q.Namespace) || !storableText(q.Except):
		return nil, ctx.Err()
	case q.Namespace != "":
		sql, args = s.sql.dueWithin, append(args, s.kinds, q.Namespace)
	case q.Except != "":
		sql, args = s.sql.dueExcept, append(args, q.Except)
	}
	var keys []statestore.DueKey
	_, err := s.look(ctx, sql, args, func(rows pgx.Rows) error {
		keys = nil
		var kind int16
		var k statestore.DueKey
		var due int64
		_, err := pgx.ForEachRow(rows, []any{&kind, &k.Key.Namespace, &k.Key.Name, &due}, func() error {
			k.Key.Kind, k.Due = statestore.Kind(kind), rules.Instant(due)
			keys = append(keys, k)
			return nil
		})
		return err
	})
	if err != nil {
		return nil, err
	}
	return keys, nil
}
