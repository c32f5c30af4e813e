// SPDX-License-Identifier: Apache-2.0

package storetest_test

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/resilienced/resilienced/statestore"
	"github.com/resilienced/resilienced/statestore/postgres"
	"github.com/resilienced/resilienced/statestore/storetest"
	"github.com/resilienced/resilienced/test/pgserver"
)

// openPostgres opens the store at a place: a DSN and, behind a space, the name
// of a schema.
func openPostgres(ctx context.Context, place string) (statestore.Store, error) {
	codec, err := storetest.Codec()
	if err != nil {
		return nil, err
	}
	dsn, schema, _ := strings.Cut(place, " ")
	s, err := postgres.Open(ctx, postgres.Config{DSN: dsn, Schema: schema, Codec: codec})
	if err != nil {
		return nil, err // and no Store that holds a nil pointer
	}
	return s, nil
}

// startPostgres starts a server that ends with the test.
func startPostgres(tb testing.TB, o pgserver.Options) *pgserver.Server {
	tb.Helper()
	server, err := pgserver.Start(tb.Context(), o)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := server.Close(); err != nil {
			tb.Error(err)
		}
	})
	return server
}

// newDatabase makes an empty database and returns its DSN.
func newDatabase(tb testing.TB, server *pgserver.Server) string {
	tb.Helper()
	dsn, err := server.NewDatabase(tb.Context())
	if err != nil {
		tb.Fatal(err)
	}
	return dsn
}

// throughBouncer returns the DSN of the same database behind a PgBouncer in
// transaction mode.
func throughBouncer(tb testing.TB, server *pgserver.Server, dsn string) string {
	tb.Helper()
	bouncer, err := pgserver.StartBouncer(tb.Context(), server)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := bouncer.Close(); err != nil {
			tb.Error(err)
		}
	})
	return strings.Replace(dsn, server.Addr(), bouncer.Addr(), 1)
}

// postgresHarness gives each store a schema of its own in one database.
func postgresHarness(name, dsn string) storetest.Harness {
	var made atomic.Int64
	h := lasting(name, openPostgres, func(*testing.T) string { return fmt.Sprintf("%s test %d", dsn, made.Add(1)) })
	h.Concurrent = true
	return h
}

// TestDefaultIsolationDoesNotMatter runs the topics in which transactions meet
// in a database whose transactions are SERIALIZABLE unless they say otherwise.
func TestDefaultIsolationDoesNotMatter(t *testing.T) {
	server := startPostgres(t, pgserver.Options{Settings: map[string]string{"default_transaction_isolation": "serializable"}})
	h := postgresHarness("postgres, serializable", newDatabase(t, server))
	storetest.Run(t, h, "isolation", "absent", "lost updates", "try")
}

// TestPlansDoNotMatter runs the topics that ask for an order in a database that
// scans no index in its order, as it may choose to: what comes sorted only by
// the way of an index is then not sorted.
func TestPlansDoNotMatter(t *testing.T) {
	server := startPostgres(t, pgserver.Options{Settings: map[string]string{"enable_indexscan": "off", "enable_indexonlyscan": "off"}})
	h := postgresHarness("postgres, other plans", newDatabase(t, server))
	storetest.Run(t, h, "paging", "due", "namespaces")
}
