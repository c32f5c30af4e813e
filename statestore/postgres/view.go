// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/resilienced/resilienced/rules"
	"github.com/resilienced/resilienced/statestore"
)

// View is a schema that is only read. It makes nothing and changes nothing, not
// even the floor of time. Unlike a Store it does not look for a server that is
// gone. All methods may be called from many goroutines.
type View struct {
	store  *Store
	status Status
}

// OpenView connects to the database. It returns the errors of Open. A schema
// that is missing or older is no error: Status says so, and reading it fails.
func OpenView(ctx context.Context, cfg Config) (*View, error) {
	s, first, err := prepare(ctx, cfg.withDefaults())
	if err != nil {
		return nil, err
	}
	v := &View{store: s}
	err = v.open(ctx, first)
	s.hangUp(ctx, first)
	if err != nil {
		return nil, errors.Join(s.translate("open", err), s.Close())
	}
	return v, nil
}

func (v *View) open(ctx context.Context, first *pgx.Conn) error {
	all, err := steps()
	if err != nil {
		return err
	}
	err = v.store.inTx(ctx, first, func(tx pgx.Tx) error {
		v.status, err = v.store.status(ctx, tx, len(all))
		return err
	})
	if err != nil || v.status.Version < v.status.Latest {
		return err
	}
	v.store.readers, err = v.store.pool(ctx, v.store.cfg.ReadConns)
	return err
}

// Status returns what the schema holds.
func (v *View) Status() Status { return v.status }

// String names the database for people, without a password.
func (v *View) String() string { return v.store.String() }

// readable returns why there is nothing to read.
func (v *View) readable() error {
	if v.store.readers == nil {
		return fmt.Errorf("%w: it has schema %d and this version reads %d; bring it up with: resilienced store migrate",
			statestore.ErrUnavailable, v.status.Version, v.status.Latest)
	}
	return nil
}

// Get returns the record of a key, or nil, and the store's time.
func (v *View) Get(ctx context.Context, key statestore.Key) (statestore.Record, rules.Instant, error) {
	if err := v.readable(); err != nil {
		return nil, 0, err
	}
	return v.store.Get(ctx, key)
}

// List returns a page of records, as statestore.Store does.
func (v *View) List(ctx context.Context, q statestore.Query) (statestore.Page, error) {
	if err := v.readable(); err != nil {
		return statestore.Page{}, err
	}
	return v.store.List(ctx, q)
}

// Count returns how many records of a kind a namespace has.
func (v *View) Count(ctx context.Context, kind statestore.Kind, namespace string) (int, error) {
	if err := v.readable(); err != nil {
		return 0, err
	}
	return v.store.Count(ctx, kind, namespace)
}

// Namespaces returns the names of all namespaces that have a record, sorted.
func (v *View) Namespaces(ctx context.Context) ([]string, error) {
	if err := v.readable(); err != nil {
		return nil, err
	}
	return v.store.Namespaces(ctx)
}

// Families gives yield the number of records of each kind in each namespace,
// also of kinds that the codec does not know.
func (v *View) Families(ctx context.Context, yield func(kind statestore.Kind, namespace string, records int)) error {
	if err := v.readable(); err != nil {
		return err
	}
	return v.store.Families(ctx, yield)
}

// Families gives yield the number of records of each kind in each namespace,
// also of kinds that the codec does not know. It reads all keys.
func (s *Store) Families(ctx context.Context, yield func(kind statestore.Kind, namespace string, records int)) error {
	type family struct {
		kind      int16
		namespace string
		records   int64
	}
	var all []family
	_, err := s.look(ctx, s.sql.families, nil, func(rows pgx.Rows) error {
		all = nil // it may be asked again
		var f family
		_, err := pgx.ForEachRow(rows, []any{&f.kind, &f.namespace, &f.records}, func() error {
			all = append(all, f)
			return nil
		})
		return err
	})
	for _, f := range all {
		yield(statestore.Kind(f.kind), f.namespace, int(f.records))
	}
	return err
}

// Now returns the store's time.
func (v *View) Now(ctx context.Context) (rules.Instant, error) {
	if err := v.readable(); err != nil {
		return 0, err
	}
	return v.store.Now(ctx)
}

// Sessions returns how many connections of services there are on the schema.
func (v *View) Sessions(ctx context.Context) (int, error) {
	var n int
	_, err := v.store.look(ctx, "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = $1",
		[]any{serviceName(v.store.cfg.Schema)}, func(rows pgx.Rows) error {
			_, err := pgx.ForEachRow(rows, []any{&n}, func() error { return nil })
			return err
		})
	return n, err
}

// Close closes the connections.
func (v *View) Close() error { return v.store.Close() }
