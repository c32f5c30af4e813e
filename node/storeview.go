// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"strings"
	"time"

	"github.com/resilienced/resilienced/engine"
	"github.com/resilienced/resilienced/rules"
	"github.com/resilienced/resilienced/statestore"
	"github.com/resilienced/resilienced/statestore/sqlite"
	"github.com/resilienced/resilienced/statestore/transfer"
)

// StoreConfig names a store, in the words of the configuration of a node.
type StoreConfig struct {
	// Store is "sqlite" or "sqlite:PATH"; empty: sqlite.
	Store string
	// DataDir is the folder of the database; empty: the platform's.
	DataDir string
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
	close  func() error
}

// current refuses to read a store of another schema.
func (v *storeView) current() error {
	if v.schema == v.latest {
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

// split returns the kind of store and what follows its colon.
func (c StoreConfig) split() (kind, rest string, err error) {
	kind, rest, _ = strings.Cut(c.Store, ":")
	switch {
	case c.Store == storeMemory:
		return "", "", ErrMemoryStore
	case kind == storeSQLite || c.Store == "":
		return storeSQLite, rest, nil
	default:
		return "", "", fmt.Errorf("there is no store %q: %w", c.Store, ErrNoSuchStore)
	}
}

// openView opens a store to be read.
func openView(ctx context.Context, cfg StoreConfig) (*storeView, error) {
	_, path, err := cfg.split()
	if err != nil {
		return nil, err
	}
	codec, err := statestore.NewStrictCodec(storeKinds())
	if err != nil {
		return nil, err
	}
	if path, err = databaseFile(path, cfg.DataDir); err != nil {
		return nil, err
	}
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

// whereFile names the file of a store, for people.
func whereFile(cfg StoreConfig) (string, error) {
	_, path, err := cfg.split()
	if err != nil {
		return "", err
	}
	path, err = databaseFile(path, cfg.DataDir)
	return storeSQLite + ":" + path, err
}

// openTarget opens a store to be written, and makes it if there is none. Its
// time begins no earlier than notBefore, where the store's time is the
// process's own.
func openTarget(ctx context.Context, cfg StoreConfig, notBefore rules.Instant) (statestore.Store, string, error) {
	_, path, err := cfg.split()
	if err != nil {
		return nil, "", err
	}
	codec, err := statestore.NewStrictCodec(storeKinds())
	if err != nil {
		return nil, "", err
	}
	if path, err = databasePath(path, cfg.DataDir); err != nil {
		return nil, "", err
	}
	// Reading the file through is the check's; a copy reads every record anyway.
	store, err := sqlite.Open(ctx, sqlite.Config{Path: path, Codec: codec, CheckBytes: -1, NotBefore: notBefore})
	if err != nil {
		return nil, "", fmt.Errorf("open the database: %w", err)
	}
	return store, storeSQLite + ":" + path, nil
}

// clockWait is how long a copy waits for the target's clock.
const clockWait = 10 * time.Second
