// SPDX-License-Identifier: Apache-2.0

package direct

import (
	"context"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"

	"github.com/resilienced/resilienced/engine"
	"github.com/resilienced/resilienced/statestore"
	"github.com/resilienced/resilienced/statestore/memory"
	"github.com/resilienced/resilienced/statestore/postgres"
	"github.com/resilienced/resilienced/statestore/sqlite"
)

// Kind is a kind of store.
type Kind string

// The kinds of store.
const (
	Memory   Kind = "memory"
	SQLite   Kind = "sqlite"
	Postgres Kind = "postgres"
)

// Schema is where the tables are in PostgreSQL.
const Schema = postgres.DefaultSchema

// Place says where an engine's records are.
type Place struct {
	Kind Kind
	// Folder is of SQLite.
	Folder string
	// DSN is of PostgreSQL.
	DSN string
	// Replica names the stripe of one of several engines; empty: the only one.
	Replica string
}

// Store opens the store of a place. The caller closes it.
func (p Place) Store(ctx context.Context) (statestore.Store, error) {
	if p.Kind == Memory {
		return memory.New(memory.Config{}), nil
	}
	codec, err := statestore.NewCodec(engine.Kinds())
	if err != nil {
		return nil, err
	}
	switch p.Kind {
	case SQLite:
		return sqlite.Open(ctx, sqlite.Config{Path: filepath.Join(p.Folder, "engine.db"), Codec: codec})
	case Postgres:
		return postgres.Open(ctx, postgres.Config{DSN: p.DSN, Codec: codec})
	default:
		return nil, fmt.Errorf("direct: there is no store of kind %q", p.Kind)
	}
}

// Database is the name of a place's database in PostgreSQL.
func (p Place) Database() string {
	u, err := url.Parse(p.DSN)
	if err != nil {
		return ""
	}
	return strings.TrimPrefix(u.Path, "/")
}
