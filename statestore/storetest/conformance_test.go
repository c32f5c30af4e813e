// SPDX-License-Identifier: Apache-2.0

package storetest_test

import (
	"context"
	"flag"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/resilienced/resilienced/statestore"
	"github.com/resilienced/resilienced/statestore/memory"
	"github.com/resilienced/resilienced/statestore/sqlite"
	"github.com/resilienced/resilienced/statestore/storetest"
	"github.com/resilienced/resilienced/test/pgserver"
)

func TestMain(m *testing.M) {
	storetest.Child("sqlite", openSQLite)
	storetest.Child("postgres", openPostgres)
	storetest.Child("postgres through PgBouncer", openPostgres)
	goleak.VerifyTestMain(m)
}

func openSQLite(ctx context.Context, place string) (statestore.Store, error) {
	codec, err := storetest.Codec()
	if err != nil {
		return nil, err
	}
	// A small cache, so that records are also read from the file.
	s, err := sqlite.Open(ctx, sqlite.Config{Path: place, Codec: codec, CacheRecords: 64})
	if err != nil {
		return nil, err // and no Store that holds a nil pointer
	}
	return s, nil
}

func memoryHarness() storetest.Harness {
	return storetest.Harness{
		Name: "memory",
		Open: func(*testing.T) statestore.Store { return memory.New(memory.Config{}) },
	}
}

// sqliteHarness opens stores in files of their own.
func sqliteHarness() storetest.Harness {
	return lasting("sqlite", openSQLite, func(t *testing.T) string {
		t.Helper()
		return filepath.Join(t.TempDir(), "records.db")
	})
}

// lasting is the harness of a store that outlives its process. It remembers
// where each store is.
func lasting(name string, openAt storetest.OpenFunc, newPlace func(t *testing.T) string) storetest.Harness {
	var places sync.Map
	open := func(t *testing.T, place string) statestore.Store {
		t.Helper()
		s, err := openAt(t.Context(), place)
		if err != nil {
			t.Fatal(err)
		}
		places.Store(s, place)
		return s
	}
	return storetest.Harness{
		Name: name,
		Open: func(t *testing.T) statestore.Store {
			t.Helper()
			return open(t, newPlace(t))
		},
		Reopen: func(t *testing.T, s statestore.Store) statestore.Store {
			t.Helper()
			place, _ := places.LoadAndDelete(s)
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			return open(t, place.(string))
		},
		Crash: &storetest.Crash{Place: newPlace, Open: openAt},
	}
}

// TestConformance runs the suite over every store and wants each to pass
// through the same number of tests.
func TestConformance(t *testing.T) {
	server := startPostgres(t, pgserver.Options{})
	harnesses := []storetest.Harness{
		memoryHarness(), sqliteHarness(),
		postgresHarness("postgres", newDatabase(t, server)),
		postgresHarness("postgres through PgBouncer", throughBouncer(t, server, newDatabase(t, server))),
	}
	ran := make([]int, len(harnesses))
	t.Cleanup(func() { // when all have ended
		if picked := flag.Lookup("test.run").Value.String(); strings.Contains(picked, "/") {
			return // only some of the tests were asked for
		}
		for i, h := range harnesses {
			if ran[i] != ran[0] || ran[i] == 0 {
				t.Errorf("%s ran %d tests, %s %d", h.Name, ran[i], harnesses[0].Name, ran[0])
			}
		}
	})
	for i, h := range harnesses {
		t.Run(h.Name, func(t *testing.T) {
			t.Parallel()
			ran[i] = storetest.Run(t, h)
		})
	}
}
