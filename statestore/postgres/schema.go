// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/resilienced/resilienced/statestore"
)

// product marks a schema as ours.
const product = "resilienced"

//go:embed migrations/*.sql
var migrations embed.FS

// Status is what a schema holds.
type Status struct {
	// Version is the number of the last migration; 0: there is none.
	Version int
	// Compat is the oldest version of the schema that a program must know to
	// work with it.
	Compat int
	// Latest is the version that this program knows.
	Latest int
}

// migration is one step of the schema. A program that knows version compat
// and later may run on it.
type migration struct {
	name   string
	sql    string
	compat int
}

// steps returns the migrations in order: number n is at n-1. A file that older
// programs cannot live with says so in a line "-- compat: N".
func steps() ([]migration, error) {
	names, err := fs.Glob(migrations, "migrations/*.sql")
	if err != nil {
		return nil, err
	}
	all := make([]migration, 0, len(names))
	compat := 1
	for _, name := range names {
		text, err := fs.ReadFile(migrations, name)
		if err != nil {
			return nil, err
		}
		if _, after, found := strings.Cut(string(text), "-- compat: "); found {
			if _, err := fmt.Sscan(after, &compat); err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
		}
		all = append(all, migration{name: name, sql: string(text), compat: compat})
	}
	return all, nil
}

// status reads what the schema holds, and refuses one that is not ours or too
// new. latest is what this program knows.
func (s *Store) status(ctx context.Context, tx pgx.Tx, latest int) (Status, error) {
	st := Status{Latest: latest}
	var exists, ours bool
	var others int
	err := tx.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = $1), "+
		"EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname = 'schema_version'), "+
		"(SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1)", s.cfg.Schema).
		Scan(&exists, &ours, &others)
	if err != nil || !exists || others == 0 {
		return st, err
	}
	foreign := fmt.Errorf("%w: the schema %q holds another product's tables; choose another with --schema",
		statestore.ErrNotADatabase, s.cfg.Schema)
	if !ours {
		return st, foreign
	}
	var whose string
	err = tx.QueryRow(ctx, "SELECT product, version, compat FROM "+inSchema(s.cfg.Schema, "schema_version")).
		Scan(&whose, &st.Version, &st.Compat)
	switch {
	case isCode(err, codeUndefinedColumn), errors.Is(err, pgx.ErrNoRows), err == nil && whose != product:
		return st, foreign
	case err != nil:
		return st, err
	case st.Compat > latest:
		return st, fmt.Errorf("%w: it has schema %d, which needs a program that knows %d, and this one knows %d; run the newer version or restore a backup of before",
			statestore.ErrNewerSchema, st.Version, st.Compat, latest)
	default:
		return st, nil
	}
}

// Check reads what the schema of a database holds and changes nothing. Its
// errors are those of Open. cfg needs no Codec.
func Check(ctx context.Context, cfg Config) (Status, error) {
	var st Status
	err := once(ctx, cfg, func(s *Store, conn *pgx.Conn) error {
		all, err := steps()
		if err != nil {
			return err
		}
		return s.inTx(ctx, conn, func(tx pgx.Tx) (err error) {
			st, err = s.status(ctx, tx, len(all))
			return err
		})
	})
	return st, err
}

// Migrate brings the schema of a database to the latest version, as Open does,
// and makes it if there is none. cfg needs no Codec.
func Migrate(ctx context.Context, cfg Config) error {
	return once(ctx, cfg, func(s *Store, conn *pgx.Conn) error { return s.migrate(ctx, conn) })
}

// once runs fn on one connection.
func once(ctx context.Context, cfg Config, fn func(*Store, *pgx.Conn) error) error {
	s, conn, err := prepare(ctx, cfg.withDefaults())
	if err != nil {
		return err
	}
	defer s.hangUp(ctx, conn)
	return s.translate("look at the schema", fn(s, conn))
}

// migrate brings the schema to the latest version, each step in a transaction
// of its own. One process does it at a time; the others then find it done.
func (s *Store) migrate(ctx context.Context, conn *pgx.Conn) error {
	all, err := steps()
	if err != nil {
		return err
	}
	for done := false; !done; {
		err := s.inTx(ctx, conn, func(tx pgx.Tx) error {
			done, err = s.step(ctx, tx, all)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// inTx runs fn in a transaction.
func (s *Store) inTx(ctx context.Context, conn *pgx.Conn, fn func(tx pgx.Tx) error) error {
	return pgx.BeginTxFunc(ctx, conn, pgx.TxOptions{IsoLevel: pgx.ReadCommitted}, fn)
}

// migrationLock is the advisory lock of a schema's migrations.
func migrationLock(schema string) int64 {
	h := fnv.New64a()
	h.Write([]byte(product + "\x00" + schema))
	return int64(h.Sum64())
}

// step does the next migration and reports whether none was left.
func (s *Store) step(ctx context.Context, tx pgx.Tx, all []migration) (done bool, err error) {
	st, err := s.status(ctx, tx, len(all))
	if err != nil || st.Version >= len(all) {
		return true, err
	}
	// Migrations wait for each other and, for a while, for transactions.
	const limits = "SELECT set_config('lock_timeout', '5s', true), set_config('statement_timeout', '60s', true), " +
		"set_config('idle_in_transaction_session_timeout', '5s', true)"
	if _, err := tx.Exec(ctx, limits); err != nil {
		return false, err
	}
	if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock($1)", migrationLock(s.cfg.Schema)); err != nil {
		return false, err
	}
	if st, err = s.status(ctx, tx, len(all)); err != nil || st.Version >= len(all) {
		return true, err
	}
	if st.Version == 0 {
		if err := s.found(ctx, tx); err != nil {
			return false, err
		}
	}
	next := all[st.Version]
	// The text of several statements goes by the simple protocol.
	text := strings.ReplaceAll(next.sql, "{schema}", quote(s.cfg.Schema))
	if _, err := tx.Conn().PgConn().Exec(ctx, text).ReadAll(); err != nil {
		return false, fmt.Errorf("%s: %w", next.name, err)
	}
	_, err = tx.Exec(ctx, "UPDATE "+inSchema(s.cfg.Schema, "schema_version")+
		" SET version = $1, compat = $2, migrated = clock_timestamp()", st.Version+1, next.compat)
	return false, err
}

// found makes the schema, if it is missing, and the table that says whose it
// is.
func (s *Store) found(ctx context.Context, tx pgx.Tx) error {
	var exists bool
	err := tx.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = $1)", s.cfg.Schema).Scan(&exists)
	if err != nil {
		return err
	}
	if !exists {
		if _, err := tx.Exec(ctx, "CREATE SCHEMA "+quote(s.cfg.Schema)); err != nil {
			return err
		}
	}
	table := inSchema(s.cfg.Schema, "schema_version")
	if _, err := tx.Exec(ctx, "CREATE TABLE "+table+" (one boolean PRIMARY KEY DEFAULT true CHECK (one), "+
		"product text NOT NULL, version int NOT NULL, compat int NOT NULL, migrated timestamptz NOT NULL)"); err != nil {
		return err
	}
	_, err = tx.Exec(ctx, "INSERT INTO "+table+" (product, version, compat, migrated) VALUES ($1, 0, 1, clock_timestamp())", product)
	return err
}
