// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/resilienced/resilienced/statestore"
	"github.com/resilienced/resilienced/statestore/postgres"
	"github.com/resilienced/resilienced/statestore/sqlite"
	"github.com/resilienced/resilienced/statestore/transfer"
)

// StoreReport is what a check of a store found.
type StoreReport struct {
	// Where is the store, for people.
	Where string
	// Schema is the version of what the records lie in, Latest the one that
	// this program reads. Where they differ no record was read.
	Schema, Latest int
	Facts          []Fact
	*transfer.Report
}

// CheckStore reads every record of a store and changes nothing in it. The error
// says that it cannot be read at all; what is wrong with it is in the report.
func CheckStore(ctx context.Context, cfg StoreConfig, tell func(transfer.Progress)) (_ *StoreReport, err error) {
	v, err := openView(ctx, cfg)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, v.close()) }()
	r := &StoreReport{Where: v.where, Schema: v.schema, Latest: v.latest, Facts: v.facts, Report: &transfer.Report{}}
	if v.current() != nil {
		return r, nil
	}
	lines, err := v.damage(ctx)
	if err != nil {
		return nil, err
	}
	o := transfer.CheckOptions{Codec: v.codec, Progress: tell}
	if v.sessions != nil {
		n, err := v.sessions(ctx)
		if err != nil {
			return nil, err
		}
		if o.Served = n > 0; o.Served {
			r.Facts = append(r.Facts, Fact{"in use", fmt.Sprintf("by %d connections; each checksum is of its moment", n)})
		}
	}
	if r.Report, err = transfer.Check(ctx, v.Source, o); err != nil {
		return nil, err
	}
	for _, line := range lines {
		r.Problems = append(r.Problems, fmt.Errorf("%w: %s; keep a copy of it and restore a backup", statestore.ErrNotADatabase, line))
	}
	return r, nil
}

// Migration is what MigrateStore did, or would do.
type Migration struct {
	Where string `json:"store"`
	// From is the schema's version that was found; 0: there was none.
	From int `json:"from"`
	// To is the version that this program reads and writes.
	To int `json:"to"`
}

// MigrateStore brings a store's schema up to the version of this program, and
// makes the store if there is none. With dryRun it changes nothing.
func MigrateStore(ctx context.Context, cfg StoreConfig, dryRun bool) (*Migration, error) {
	m, err := schemaOf(ctx, cfg)
	if err != nil || dryRun || m.From >= m.To {
		return m, err
	}
	if isPostgres(cfg.Store) {
		return m, postgres.Migrate(ctx, patient(cfg, nil))
	}
	store, _, err := openTarget(ctx, cfg, 0)
	if err != nil {
		return nil, err
	}
	return m, store.Close()
}

// schemaOf finds the version of a store's schema.
func schemaOf(ctx context.Context, cfg StoreConfig) (*Migration, error) {
	v, err := openView(ctx, cfg)
	if errors.Is(err, fs.ErrNotExist) {
		path, err := cfg.file()
		return &Migration{Where: storeSQLite + ":" + path, To: sqlite.LatestSchema()}, err
	}
	if err != nil {
		return nil, err
	}
	return &Migration{Where: v.where, From: v.schema, To: v.latest}, v.close()
}
