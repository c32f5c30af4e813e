// SPDX-License-Identifier: Apache-2.0

package node

import (
	"bytes"
	"errors"
	"log/slog"
	"net/url"
	"strings"
	"testing"

	"github.com/resilienced/resilienced/statestore"
	"github.com/resilienced/resilienced/test/pgserver"
)

// TestReplicasOnPostgres: two nodes share a schema, and neither they nor their
// logs tell the password.
func TestReplicasOnPostgres(t *testing.T) {
	server, err := pgserver.Start(t.Context(), pgserver.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	dsn, err := server.NewDatabase(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	address, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	password, _ := address.User.Password()
	var logged bytes.Buffer
	cfg := Config{Store: dsn, Schema: "team", Logger: slog.New(slog.NewTextHandler(&logged, &slog.HandlerOptions{Level: slog.LevelDebug}))}
	want := "postgres://" + server.Addr() + address.Path + ", schema team"
	for _, scheme := range []string{"postgres://", "postgresql://"} {
		cfg.Store = scheme + strings.TrimPrefix(dsn, "postgres://")
		n, err := New(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := n.Shutdown(t.Context()); err != nil {
				t.Error(err)
			}
		}()
		if n.where != want {
			t.Errorf("the store is called %q, want %q", n.where, want)
		}
	}
	if password == "" || strings.Contains(logged.String(), password) {
		t.Errorf("the log tells the password: %s", logged.String())
	}
}

// TestABadStoreIsNotQuoted: what stands behind the scheme may be a password.
func TestABadStoreIsNotQuoted(t *testing.T) {
	for _, store := range []string{
		"postgress://joe:secret@db/app", "joe:secret@db", "postgres://joe:secret@db:port/app", "postgres:secret", "mysql://joe:secret@db/app",
	} {
		_, err := New(t.Context(), Config{Store: store})
		if err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", store, err)
		}
		if !errors.Is(err, ErrNoSuchStore) {
			t.Errorf("%s: %v, want it to say which stores there are", store, err)
		}
	}
	_, err := New(t.Context(), Config{Store: "postgres://joe:secret@127.0.0.1:1/app"})
	if !errors.Is(err, statestore.ErrUnavailable) || errors.Is(err, ErrNoSuchStore) || strings.Contains(err.Error(), "secret") {
		t.Errorf("nobody listens: %v", err)
	}
}
