// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/resilienced/resilienced/statestore"
	"github.com/resilienced/resilienced/test/pgserver"
)

// TestARefusedConnectionLeavesTheOthersAtWork: a server that takes no further
// connection is not gone, and who has a connection goes on.
func TestARefusedConnectionLeavesTheOthersAtWork(t *testing.T) {
	server := start(t, pgserver.Options{Settings: map[string]string{"max_connections": "8", "superuser_reserved_connections": "3", "max_wal_senders": "0"}})
	dsn, err := server.NewDatabase(t.Context())
	noError(t, err)
	s := openStore(t, Config{
		DSN: dsn, Codec: testCodec(t), ReadConns: 1, WriteConns: 4,
		UpdateTimeout: 500 * time.Millisecond, IdleTimeout: time.Minute,
	})
	noError(t, put(s, "a", 1))
	if n := number(t, s, "a"); n != 1 {
		t.Fatalf("N = %d", n)
	}
	// Others take what is left for ordinary users.
	others := 0
	for {
		conn, err := pgx.Connect(t.Context(), dsn)
		if isCode(err, codeTooManyConns) {
			break
		}
		noError(t, err)
		others++
		t.Cleanup(func() { noError(t, conn.Close(t.Context())) })
	}
	if others == 0 {
		t.Fatal("the store has taken all connections")
	}
	inside, leave := make(chan struct{}), make(chan struct{})
	var group sync.WaitGroup
	release := sync.OnceFunc(func() { close(leave); group.Wait() })
	t.Cleanup(release)
	// The store's idle connections are taken, one by one, until it needs one more.
	for n := 0; ; n++ {
		if n >= int(s.writers.Stat().TotalConns()) {
			break
		}
		group.Go(func() { noErrorIn(t, holdInside(s, fmt.Sprint("held", n), inside, leave)) })
		<-inside
	}
	wantError(t, put(s, "b", 1), statestore.ErrUnavailable, "raise max_connections")
	if why := s.gate.shut(); why != nil {
		t.Errorf("the store is shut: %v", why)
	}
	if n := number(t, s, "a"); n != 1 {
		t.Errorf("N = %d", n)
	}
	release()
	noError(t, put(s, "b", 1))
}

// TestAServerThatTakesNoWritesAnyMore is looked for, as one that is gone: with
// several hosts in the DSN another may take them.
func TestAServerThatTakesNoWritesAnyMore(t *testing.T) {
	server := start(t, pgserver.Options{})
	dsn, err := server.NewDatabase(t.Context())
	noError(t, err)
	s := openStore(t, Config{DSN: dsn, Codec: testCodec(t)})
	noError(t, put(s, "a", 1))
	execute(t, server, dsn, "ALTER SYSTEM SET default_transaction_read_only = on")
	execute(t, server, dsn, "SELECT pg_reload_conf()")
	eventually(t, 10*time.Second, "the server takes no writes", func() bool {
		return execute(t, server, dsn, "SHOW default_transaction_read_only") == "on"
	})
	var refused error
	eventually(t, 10*time.Second, "a write is refused", func() bool {
		refused = put(s, "a", 2)
		return refused != nil
	})
	wantError(t, refused, statestore.ErrReadOnly, "name the primary")
	wantError(t, put(s, "a", 2), statestore.ErrUnavailable, "looked for")
	execute(t, server, dsn, "SET default_transaction_read_only = off; ALTER SYSTEM RESET default_transaction_read_only")
	execute(t, server, dsn, "SELECT pg_reload_conf()")
	eventually(t, 30*time.Second, "the store works again", func() bool { return put(s, "a", 3) == nil })
}

func TestServersThatTheStoreCannotWorkWith(t *testing.T) {
	good := identity{encoding: "UTF8", version: oldest}
	noError(t, good.check())
	for what, change := range map[string]func(*identity){
		"an older version": func(i *identity) { i.version = oldest - 1 },
		"a standby":        func(i *identity) { i.standby, i.readOnly = true, true },
		"read-only":        func(i *identity) { i.readOnly = true },
		"LATIN1":           func(i *identity) { i.encoding = "LATIN1" },
	} {
		bad := good
		change(&bad)
		if bad.check() == nil {
			t.Errorf("%s will do", what)
		}
	}
	old := good
	old.version = 120022
	wantError(t, old.check(), statestore.ErrUnavailable, "it is version 12 and 13 is the oldest")
}

func TestDefaultsOfTheConfig(t *testing.T) {
	for name, c := range map[string]struct {
		give                      Config
		lanes, writes, reads, all int
	}{
		"nothing said":          {Config{}, 3, 6, 3, 11},
		"more lanes":            {Config{Lanes: 8}, 8, 11, 3, 16},
		"fewer than lanes":      {Config{Lanes: 8, WriteConns: 2}, 8, 8, 3, 13},
		"each said":             {Config{Lanes: 2, WriteConns: 5, ReadConns: 4}, 2, 5, 4, 11},
		"numbers below nothing": {Config{Lanes: -1, WriteConns: -1, ReadConns: -1}, 3, 3, 1, 6},
	} {
		got := c.give.withDefaults()
		if got.Lanes != c.lanes || got.WriteConns != c.writes || got.ReadConns != c.reads || got.connections() != c.all {
			t.Errorf("%s: %d lanes, %d and %d connections, %d at most", name, got.Lanes, got.WriteConns, got.ReadConns, got.connections())
		}
	}
	got := Config{}.withDefaults()
	limits := []time.Duration{got.LockTimeout, got.StatementTimeout, got.IdleTimeout, got.TripTimeout, got.UpdateTimeout}
	if fmt.Sprint(limits) != "[1s 2s 1s 3s 5s]" || got.Schema != DefaultSchema {
		t.Errorf("limits %v, schema %s", limits, got.Schema)
	}
}
