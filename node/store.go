// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/resilienced/resilienced/statestore"
	"github.com/resilienced/resilienced/statestore/memory"
	"github.com/resilienced/resilienced/statestore/postgres"
	"github.com/resilienced/resilienced/statestore/sqlite"
)

// The stores.
const (
	storeMemory = "memory"
	storeSQLite = "sqlite"
	// Both begin the DSN of a PostgreSQL database.
	storePostgres   = "postgres"
	storePostgreSQL = "postgresql"
)

// DatabaseFile is the name of the database in its data directory.
const DatabaseFile = "resilienced.db"

// ErrNoSuchStore says which stores there are.
var ErrNoSuchStore = errors.New("use sqlite, sqlite:PATH, postgres://USER@HOST/DATABASE or memory")

// openStore opens the store that the configuration names, and says in words
// which it is.
func openStore(ctx context.Context, cfg Config) (statestore.Store, string, error) {
	kind, path, _ := strings.Cut(cfg.Store, ":")
	codec, err := statestore.NewCodec(storeKinds())
	if err != nil {
		return nil, "", err
	}
	switch {
	case cfg.Store == storeMemory:
		return memory.New(memory.Config{}), storeMemory, nil
	case isPostgres(cfg.Store):
		return openPostgres(ctx, cfg, codec)
	case kind == storeSQLite || cfg.Store == "":
		return openSQLite(ctx, cfg, path, codec)
	default:
		// Behind the colon may be a password.
		return nil, "", fmt.Errorf("there is no store %q: %w", kind, ErrNoSuchStore)
	}
}

func openPostgres(ctx context.Context, cfg Config, codec *statestore.Codec) (statestore.Store, string, error) {
	store, err := postgres.Open(ctx, postgres.Config{
		DSN: cfg.Store, Schema: cfg.Schema, ListenDSN: cfg.ListenDSN, Codec: codec, Logger: cfg.Logger,
	})
	if err != nil {
		return nil, "", fmt.Errorf("open the database: %w", usage(err))
	}
	return store, store.String(), nil
}

// usage says which stores there are, if err is about an address that is none.
func usage(err error) error {
	if errors.Is(err, postgres.ErrDSN) {
		return fmt.Errorf("%w; %w", err, ErrNoSuchStore)
	}
	return err
}

func openSQLite(ctx context.Context, cfg Config, path string, codec *statestore.Codec) (statestore.Store, string, error) {
	path, err := databasePath(path, cfg.DataDir)
	if err != nil {
		return nil, "", err
	}
	store, err := sqlite.Open(ctx, sqlite.Config{Path: path, Codec: codec})
	if err != nil {
		return nil, "", fmt.Errorf("open the database: %w", err)
	}
	return store, storeSQLite + ":" + path, nil
}

// databasePath is the file to open. The folder is made if it is missing, for
// its owner alone.
func databasePath(path, dataDir string) (string, error) {
	file, err := databaseFile(path, dataDir)
	if err != nil || path != "" {
		return file, err
	}
	return file, makeDataDir(filepath.Dir(file))
}

func makeDataDir(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make the data directory (choose another with --data-dir): %w", err)
	}
	return nil
}

// databaseFile is the file that path and dataDir name.
func databaseFile(path, dataDir string) (string, error) {
	if path != "" {
		return path, nil
	}
	if dataDir == "" {
		var err error
		if dataDir, err = DefaultDataDir(); err != nil {
			return "", err
		}
	}
	return filepath.Join(dataDir, DatabaseFile), nil
}

// DefaultDataDir is where this platform keeps the data of its users' programs.
func DefaultDataDir() (string, error) { return dataDirOf(runtime.GOOS, os.Getenv) }

func dataDirOf(goos string, getenv func(string) string) (string, error) {
	const app = "resilienced"
	home := getenv("HOME")
	switch goos {
	case "windows":
		if dir := getenv("LocalAppData"); dir != "" {
			return filepath.Join(dir, app), nil
		}
	case "darwin":
		if home != "" {
			return filepath.Join(home, "Library", "Application Support", app), nil
		}
	default:
		// The specification of XDG ignores a path that is not absolute.
		if dir := getenv("XDG_DATA_HOME"); filepath.IsAbs(dir) {
			return filepath.Join(dir, app), nil
		}
		if home != "" {
			return filepath.Join(home, ".local", "share", app), nil
		}
	}
	return "", errors.New("this user has no home directory to keep the database in; name a folder with --data-dir")
}
