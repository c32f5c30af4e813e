// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/resilienced/resilienced/statestore"
	"github.com/resilienced/resilienced/test/pgserver"
)

// changed returns a DSN with another part.
func changed(tb testing.TB, dsn string, change func(*url.URL)) string {
	tb.Helper()
	u, err := url.Parse(dsn)
	noError(tb, err)
	change(u)
	return u.String()
}

func password(tb testing.TB, dsn string) string {
	tb.Helper()
	u, err := url.Parse(dsn)
	noError(tb, err)
	word, _ := u.User.Password()
	return word
}

// freePort is a port that nobody listens on.
func freePort(tb testing.TB) string {
	tb.Helper()
	l, err := (&net.ListenConfig{}).Listen(tb.Context(), "tcp", "127.0.0.1:0")
	noError(tb, err)
	noError(tb, l.Close())
	return l.Addr().String()
}

// TestOpenSaysWhatToDo: each way in which a database cannot be used has an
// error with its cure, and none tells the password.
func TestOpenSaysWhatToDo(t *testing.T) {
	latin, _, _ := strings.Cut(sharedDSN, "?")
	latin = latin[:strings.LastIndexByte(latin, '/')] + "/latin"
	// The server outlives a test that is run twice.
	execute(t, shared, sharedDSN, "DROP DATABASE IF EXISTS latin")
	execute(t, shared, sharedDSN, "DROP SCHEMA IF EXISTS other, impostor, sealed CASCADE; DROP ROLE IF EXISTS limited, fixed")
	execute(t, shared, sharedDSN, "CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0 OWNER resilienced")
	execute(t, shared, sharedDSN, "CREATE SCHEMA other; CREATE TABLE other.things (n int); GRANT ALL ON SCHEMA other TO resilienced; "+
		"CREATE SCHEMA impostor; CREATE TABLE impostor.schema_version (n int); GRANT ALL ON SCHEMA impostor TO resilienced; GRANT ALL ON ALL TABLES IN SCHEMA impostor TO resilienced; "+
		"CREATE SCHEMA sealed; CREATE ROLE limited LOGIN PASSWORD 'limited-password'; CREATE ROLE fixed LOGIN PASSWORD 'fixed-password'; "+
		"ALTER ROLE fixed SET default_transaction_read_only = on")
	as := func(user, word string) string {
		return changed(t, sharedDSN, func(u *url.URL) { u.User = url.UserPassword(user, word) })
	}
	for name, c := range map[string]struct {
		dsn, schema string
		kind        error
		says        string
	}{
		"no URL":                {"postgres://u:s%zz@h/d", "", statestore.ErrUnavailable, "must look like"},
		"bad port":              {"postgres://u:secret@127.0.0.1:port/d", "", statestore.ErrUnavailable, "must look like"},
		"bad sslmode":           {"postgres://u:secret@127.0.0.1/d?sslmode=maybe", "", statestore.ErrUnavailable, "verify-full"},
		"no CA file":            {"postgres://u:secret@127.0.0.1/d?sslmode=verify-full&sslrootcert=/nowhere/ca.pem", "", statestore.ErrUnavailable, "/nowhere/ca.pem"},
		"unknown host":          {changed(t, sharedDSN, func(u *url.URL) { u.Host = "nobody.invalid:5432" }), "", statestore.ErrUnavailable, "check the host"},
		"refused":               {changed(t, sharedDSN, func(u *url.URL) { u.Host = freePort(t) }), "", statestore.ErrUnavailable, "start the database server"},
		"wrong password":        {as("resilienced", "wrong-password"), "", statestore.ErrUnavailable, "check the user and password"},
		"no such database":      {changed(t, sharedDSN, func(u *url.URL) { u.Path = "/nothing" }), "", statestore.ErrUnavailable, "make the database"},
		"no TLS":                {changed(t, sharedDSN, func(u *url.URL) { u.RawQuery = "sslmode=require" }), "", statestore.ErrUnavailable, "turn TLS on"},
		"encoding":              {latin, "", statestore.ErrNotADatabase, "ENCODING 'UTF8'"},
		"another product":       {sharedDSN, "other", statestore.ErrNotADatabase, "choose another with --schema"},
		"a table of our name":   {sharedDSN, "impostor", statestore.ErrNotADatabase, "choose another with --schema"},
		"may not make a schema": {as("limited", "limited-password"), "own", statestore.ErrUnavailable, `GRANT CREATE ON DATABASE`},
		"may not use a schema":  {as("limited", "limited-password"), "sealed", statestore.ErrUnavailable, `GRANT ALL ON SCHEMA "sealed" TO "limited"`},
		"read-only":             {as("fixed", "fixed-password"), "", statestore.ErrReadOnly, "default_transaction_read_only"},
	} {
		s, err := Open(t.Context(), Config{DSN: c.dsn, Schema: c.schema, Codec: testCodec(t)})
		if err == nil {
			noError(t, s.Close())
		}
		t.Run(name, func(t *testing.T) {
			wantError(t, err, c.kind, c.says)
			for _, word := range []string{"secret", "-password", password(t, sharedDSN)} {
				if strings.Contains(err.Error(), word) {
					t.Errorf("the error tells a password: %v", err)
				}
			}
		})
	}
	if left := execute(t, shared, sharedDSN, "SELECT count(*) FROM pg_class WHERE relnamespace = 'other'::regnamespace"); left != "1" {
		t.Errorf("another product's schema has %s relations now", left)
	}
}

func TestOpenOnAnEndedContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := Open(ctx, newConfig(t))
	wantError(t, err, context.Canceled, "")
	_, err = Open(t.Context(), Config{DSN: sharedDSN})
	wantError(t, err, statestore.ErrUnavailable, "codec")
}

func TestTooManyConnections(t *testing.T) {
	server := start(t, pgserver.Options{Settings: map[string]string{"max_connections": "8", "superuser_reserved_connections": "3", "max_wal_senders": "0"}})
	dsn, err := server.NewDatabase(t.Context())
	noError(t, err)
	first := openStore(t, Config{DSN: dsn, Codec: testCodec(t), WriteConns: 3, ReadConns: 2})
	// Transactions side by side take all connections that there are.
	hold := func(n int) (release func()) {
		inside, leave := make(chan struct{}), make(chan struct{})
		var group sync.WaitGroup
		for i := range n {
			group.Go(func() { noErrorIn(t, holdInside(first, fmt.Sprint("held", i), inside, leave)) })
		}
		for range n {
			<-inside
		}
		return func() { close(leave); group.Wait() }
	}
	release := hold(3)
	_, _, err = first.Get(t.Context(), noteKey("x"))
	noError(t, err)
	second, err := Open(t.Context(), Config{DSN: dsn, Codec: testCodec(t)})
	if err == nil {
		noError(t, second.Close())
	}
	wantError(t, err, statestore.ErrUnavailable, "raise max_connections")
	release()
	// The first goes on with what it has.
	noError(t, put(first, "a", 1))
}

func TestNothingOutsideTheSchemaIsTouched(t *testing.T) {
	dsn, err := shared.NewDatabase(t.Context())
	noError(t, err)
	s := openStore(t, Config{DSN: dsn, Schema: `a "team's" schema`, Codec: testCodec(t)})
	noError(t, put(s, "a", 1))
	if n := number(t, s, "a"); n != 1 {
		t.Fatalf("N = %d", n)
	}
	outside := execute(t, shared, dsn, `SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast', 'a "team''s" schema')`)
	if outside != "0" {
		t.Errorf("%s relations lie outside the schema", outside)
	}
	if name := s.String(); !strings.HasSuffix(name, `, schema a "team's" schema`) || strings.Contains(name, password(t, dsn)) {
		t.Errorf("the store is called %s", name)
	}
}

// TestASchemaOfAnotherName: the table that says whose the schema is has our
// columns, and names another product or none.
func TestASchemaOfAnotherName(t *testing.T) {
	for what, sql := range map[string]string{"another": "UPDATE %s SET product = 'another'", "none": "DELETE FROM %s"} {
		cfg := newConfig(t)
		noError(t, Migrate(t.Context(), cfg))
		execute(t, shared, sharedDSN, fmt.Sprintf(sql, inSchema(cfg.Schema, "schema_version")))
		s, err := Open(t.Context(), cfg)
		if err == nil {
			noError(t, s.Close())
			t.Errorf("a schema that names %s is taken", what)
			continue
		}
		wantError(t, err, statestore.ErrNotADatabase, "choose another with --schema")
		_, err = Check(t.Context(), cfg)
		wantError(t, err, statestore.ErrNotADatabase, "choose another with --schema")
	}
}

// TestASchemaThatIsThereAndEmpty is taken, also by a user who may make none.
func TestASchemaThatIsThereAndEmpty(t *testing.T) {
	execute(t, shared, sharedDSN, "DROP SCHEMA IF EXISTS given CASCADE; DROP ROLE IF EXISTS guest; "+
		"CREATE ROLE guest LOGIN PASSWORD 'guest-password'; CREATE SCHEMA given AUTHORIZATION guest")
	cfg := newConfig(t)
	cfg.Schema = "given"
	cfg.DSN = changed(t, sharedDSN, func(u *url.URL) { u.User = url.UserPassword("guest", "guest-password") })
	s := openStore(t, cfg)
	noError(t, put(s, "a", 1))
	if n := number(t, s, "a"); n != 1 {
		t.Errorf("N = %d", n)
	}
}

func TestManyOpenOneNewSchemaAtOnce(t *testing.T) {
	cfg := newConfig(t)
	var group sync.WaitGroup
	for i := range 8 {
		group.Go(func() {
			s, err := Open(t.Context(), cfg)
			if err != nil {
				t.Error(err)
				return
			}
			noErrorIn(t, put(s, fmt.Sprint("n", i), int64(i)))
			noErrorIn(t, s.Close())
		})
	}
	group.Wait()
	n, err := openStore(t, cfg).Count(t.Context(), statestore.KindOperation, "acme")
	if err != nil || n != 8 {
		t.Errorf("Count = %d, %v", n, err)
	}
}

// TestAReplicaOfThePreviousVersionRunsOn: a newer schema that says so is used;
// one that asks for a newer program is refused.
func TestAReplicaOfThePreviousVersionRunsOn(t *testing.T) {
	cfg := newConfig(t)
	s := openStore(t, cfg)
	set := func(compat int) {
		execute(t, shared, sharedDSN, fmt.Sprintf("UPDATE %s SET version = 1000, compat = %d", inSchema(cfg.Schema, "schema_version"), compat))
	}
	all, err := steps()
	noError(t, err)
	set(len(all))
	execute(t, shared, sharedDSN, "ALTER TABLE "+inSchema(cfg.Schema, "records")+" ADD COLUMN later text")
	noError(t, put(s, "a", 1))
	noError(t, put(openStore(t, cfg), "a", 2))
	if n := number(t, s, "a"); n != 2 {
		t.Errorf("N = %d", n)
	}
	st, err := Check(t.Context(), cfg)
	if err != nil || st != (Status{Version: 1000, Compat: len(all), Latest: len(all)}) {
		t.Errorf("Check = %+v, %v", st, err)
	}
	set(len(all) + 1)
	_, err = Open(t.Context(), cfg)
	wantError(t, err, statestore.ErrNewerSchema, "run the newer version")
	_, err = Check(t.Context(), cfg)
	wantError(t, err, statestore.ErrNewerSchema, "run the newer version")
}

func TestCheckAndMigrate(t *testing.T) {
	cfg := newConfig(t)
	cfg.Codec = nil
	st, err := Check(t.Context(), cfg)
	if err != nil || st.Version != 0 || st.Latest == 0 {
		t.Fatalf("Check = %+v, %v before there is a schema", st, err)
	}
	noError(t, Migrate(t.Context(), cfg))
	noError(t, Migrate(t.Context(), cfg))
	// Each migration so far leaves a program that knows the first one at work.
	if st, err = Check(t.Context(), cfg); err != nil || st.Version != st.Latest || st.Compat != 1 {
		t.Fatalf("Check = %+v, %v", st, err)
	}
}

// noErrorIn is noError for a goroutine.
func noErrorIn(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Error(err)
	}
}
