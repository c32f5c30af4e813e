// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/resilienced/resilienced/engine"
	"github.com/resilienced/resilienced/rules"
	"github.com/resilienced/resilienced/statestore"
	"github.com/resilienced/resilienced/statestore/postgres"
	"github.com/resilienced/resilienced/statestore/sqlite"
	"github.com/resilienced/resilienced/statestore/transfer"
)

// StoreConfig names a store, in the words of the configuration of a node.
type StoreConfig struct {
	// Store is "sqlite", "sqlite:PATH" or the address of a PostgreSQL database,
	// postgres://…; empty: sqlite.
	Store string
	// DataDir is the folder of the SQLite database; empty: the platform's.
	DataDir string
	// Schema is where a PostgreSQL database keeps the records; empty:
	// resilienced.
	Schema string
	// AllowServed lets a copy begin although connections of a service are open.
	AllowServed bool
}

// ErrMemoryStore is returned for a store that only its own process can reach.
var ErrMemoryStore = errors.New("a store in memory lives in its server alone, and another process cannot reach it; use sqlite:PATH")

// Fact is something to know about a store, for people.
type Fact struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// storeView is a store that is opened to be read, and not changed by it.
type storeView struct {
	transfer.Source
	where string
	codec *statestore.Codec
	// schema is the version that the store has, latest the one read.
	schema, latest int
	facts          []Fact
	// damage looks for what reading records does not show.
	damage func(ctx context.Context) ([]string, error)
	// sessions counts the connections of services; nil: there can be none.
	sessions func(ctx context.Context) (int, error)
	close    func() error
}

// current refuses to read a store of another schema.
func (v *storeView) current() error {
	if v.schema >= v.latest { // a newer one that this version can read
		return nil
	}
	return fmt.Errorf("%s has schema %d and this version reads %d; bring it up with: resilienced store migrate", v.where, v.schema, v.latest)
}

// storeKinds are the kinds of records that a store may hold.
func storeKinds() map[statestore.Kind]func() statestore.Record {
	kinds := engine.Kinds()
	maps.Copy(kinds, transfer.Kinds())
	return kinds
}

// isPostgres reports whether a store is the address of a PostgreSQL database.
func isPostgres(store string) bool {
	kind, _, found := strings.Cut(store, ":")
	return found && (kind == storePostgres || kind == storePostgreSQL)
}

// file returns the path of a store in a file, or "" for one in PostgreSQL.
func (c StoreConfig) file() (string, error) {
	kind, path, _ := strings.Cut(c.Store, ":")
	switch {
	case isPostgres(c.Store):
		return "", nil
	case c.Store == storeMemory:
		return "", ErrMemoryStore
	case kind == storeSQLite || c.Store == "":
		return databaseFile(path, c.DataDir)
	default:
		// Behind the colon may be a password.
		return "", fmt.Errorf("there is no store %q: %w", kind, ErrNoSuchStore)
	}
}

// openView opens a store to be read.
func openView(ctx context.Context, cfg StoreConfig) (*storeView, error) {
	path, err := cfg.file()
	if err != nil {
		return nil, err
	}
	codec, err := statestore.NewStrictCodec(storeKinds())
	if err != nil {
		return nil, err
	}
	if path == "" {
		return viewPostgres(ctx, cfg, codec)
	}
	return viewSQLite(ctx, path, codec)
}

func viewSQLite(ctx context.Context, path string, codec *statestore.Codec) (*storeView, error) {
	view, err := sqlite.OpenView(ctx, sqlite.Config{Path: path, Codec: codec})
	if errors.Is(err, statestore.ErrInUse) {
		return nil, fmt.Errorf("%w; or look at a copy of it, which the running service does not mind: sqlite3 %s \"VACUUM INTO 'copy.db'\"", err, path)
	}
	if err != nil {
		return nil, err
	}
	v := &storeView{
		Source: view, where: storeSQLite + ":" + view.Path(), codec: codec, facts: sizeOf(view.Path()),
		damage: view.Damage, close: view.Close,
	}
	v.schema, v.latest = view.Schema()
	return v, nil
}

func viewPostgres(ctx context.Context, cfg StoreConfig, codec *statestore.Codec) (*storeView, error) {
	view, err := postgres.OpenView(ctx, patient(cfg, codec))
	if err != nil {
		return nil, usage(err)
	}
	st := view.Status()
	return &storeView{
		Source: view, where: view.String(), codec: codec, schema: st.Version, latest: st.Latest,
		damage:   func(context.Context) ([]string, error) { return nil, nil }, // the server keeps checksums itself
		sessions: view.Sessions, close: view.Close,
	}, nil
}

// patient is the configuration of a PostgreSQL store for work that no caller
// waits for: counting millions of rows takes longer than a decision may.
func patient(cfg StoreConfig, codec *statestore.Codec) postgres.Config {
	return postgres.Config{
		DSN: cfg.Store, Schema: cfg.Schema, Codec: codec, Application: "resilienced store",
		StatementTimeout: 5 * time.Minute, TripTimeout: 6 * time.Minute, UpdateTimeout: 10 * time.Minute, LockTimeout: 10 * time.Second,
	}
}

// sizeOf says how large a file and its log are.
func sizeOf(path string) []Fact {
	var facts []Fact
	for _, file := range []struct{ name, path string }{{"size", path}, {"log", path + "-wal"}} {
		if info, err := os.Stat(file.path); err == nil && info.Size() > 0 {
			facts = append(facts, Fact{file.name, fmt.Sprintf("%.1f MiB", float64(info.Size())/(1<<20))})
		}
	}
	return facts
}

// openTarget opens a store to be written, and makes it if there is none. Its
// time begins no earlier than notBefore, where the store's time is the
// process's own.
func openTarget(ctx context.Context, cfg StoreConfig, notBefore rules.Instant) (statestore.Store, string, error) {
	path, err := cfg.file()
	if err != nil {
		return nil, "", err
	}
	codec, err := statestore.NewStrictCodec(storeKinds())
	if err != nil {
		return nil, "", err
	}
	if path == "" {
		store, err := postgres.Open(ctx, patient(cfg, codec))
		if err != nil {
			return nil, "", usage(err)
		}
		return store, store.String(), nil
	}
	if _, given, _ := strings.Cut(cfg.Store, ":"); given == "" {
		if err := makeDataDir(filepath.Dir(path)); err != nil {
			return nil, "", err
		}
	}
	// Reading the file through is the check's; a copy reads every record anyway.
	store, err := sqlite.Open(ctx, sqlite.Config{Path: path, Codec: codec, CheckBytes: -1, NotBefore: notBefore})
	if err != nil {
		return nil, "", err
	}
	return store, storeSQLite + ":" + path, nil
}

// clockWait is how long a copy waits for the target's clock.
const clockWait = 10 * time.Second
