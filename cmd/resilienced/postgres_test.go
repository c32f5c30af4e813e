// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"net/url"
	"testing"

	"github.com/resilienced/resilienced/test/pgserver"
)

// startDatabase starts a real PostgreSQL for one test and returns the address of an
// empty database in it.
func startDatabase(t *testing.T, o pgserver.Options) (server *pgserver.Server, dsn string) {
	t.Helper()
	server, err := pgserver.Start(t.Context(), o)
	if errors.Is(err, pgserver.ErrNotInstalled) {
		t.Fatalf("%v; let root run .ci/postgres", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	if dsn, err = server.NewDatabase(t.Context()); err != nil {
		t.Fatal(err)
	}
	return server, dsn
}

// password is the one in an address, which nothing may tell.
func password(t *testing.T, dsn string) string {
	t.Helper()
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	text, set := u.User.Password()
	if !set || text == "" {
		t.Fatal("the address has no password")
	}
	return text
}
