// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/resilienced/resilienced/rules"
	"github.com/resilienced/resilienced/statestore"
	"github.com/resilienced/resilienced/test/pgserver"
)

// shared is the server of the tests that leave their server alone, and a
// database in it.
var (
	shared    *pgserver.Server
	sharedDSN string
	schemas   atomic.Int64
)

func TestMain(m *testing.M) {
	code, err := withServer(m)
	if err == nil {
		err = goleak.Find()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func withServer(m *testing.M) (code int, err error) {
	ctx := context.Background()
	if shared, err = pgserver.Start(ctx, pgserver.Options{}); err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, shared.Close()) }()
	if sharedDSN, err = shared.NewDatabase(ctx); err != nil {
		return 1, err
	}
	return m.Run(), nil
}

// start starts a server for one test.
func start(t *testing.T, o pgserver.Options) *pgserver.Server {
	t.Helper()
	server, err := pgserver.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { noError(t, server.Close()) })
	return server
}

// note is the record of these tests.
type note struct {
	N    int64         `json:"n"`
	Text string        `json:"text,omitempty"`
	Due  rules.Instant `json:"due,omitempty"`
}

func (n *note) DueAt() rules.Instant { return n.Due }

func testCodec(tb testing.TB) *statestore.Codec {
	tb.Helper()
	empty := func() statestore.Record { return new(note) }
	codec, err := statestore.NewCodec(map[statestore.Kind]func() statestore.Record{
		statestore.KindRun: empty, statestore.KindOperation: empty, statestore.KindFold: empty,
	})
	if err != nil {
		tb.Fatal(err)
	}
	return codec
}

// newConfig is a store in a schema of its own on the shared server.
func newConfig(tb testing.TB) Config {
	tb.Helper()
	return Config{DSN: sharedDSN, Schema: fmt.Sprintf("s%d", schemas.Add(1)), Codec: testCodec(tb)}
}

func openStore(tb testing.TB, cfg Config) *Store {
	tb.Helper()
	s, err := Open(tb.Context(), cfg)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { noError(tb, s.Close()) })
	return s
}

func newStore(tb testing.TB) *Store {
	tb.Helper()
	return openStore(tb, newConfig(tb))
}

func noteKey(name string) statestore.Key {
	return statestore.Key{Kind: statestore.KindOperation, Namespace: "acme", Name: name}
}

func writing(name string) *statestore.Entry {
	return &statestore.Entry{Key: noteKey(name), Mode: statestore.Write}
}

// put writes a note, durably.
func put(s *Store, name string, n int64) error {
	e := writing(name)
	return s.Update(context.Background(), []*statestore.Entry{e}, func(rules.Instant) (statestore.Durability, error) {
		e.Put(&note{N: n})
		return statestore.Durable, nil
	})
}

// number returns the number of a note, or -1 if there is none.
func number(tb testing.TB, s *Store, name string) int64 {
	tb.Helper()
	r, _, err := s.Get(tb.Context(), noteKey(name))
	noError(tb, err)
	if n, ok := r.(*note); ok {
		return n.N
	}
	return -1
}

func noError(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

// wantError ends the test unless err is the sentinel and says what to do.
func wantError(tb testing.TB, err, sentinel error, advice string) {
	tb.Helper()
	if !errors.Is(err, sentinel) || !strings.Contains(err.Error(), advice) {
		tb.Fatalf("error = %v, want %q with %q", err, sentinel, advice)
	}
}

// execute runs SQL as the superuser and returns what it prints.
func execute(tb testing.TB, server *pgserver.Server, dsn, sql string) string {
	tb.Helper()
	_, database, _ := strings.Cut(strings.TrimPrefix(dsn, "postgres://"), "/")
	database, _, _ = strings.Cut(database, "?")
	out, err := server.Exec(tb.Context(), database, sql)
	noError(tb, err)
	return out
}

// eventually waits until something is so.
func eventually(tb testing.TB, within time.Duration, what string, so func() bool) {
	tb.Helper()
	for end := time.Now().Add(within); !so(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			tb.Fatalf("after %v it is not so that %s", within, what)
		}
	}
}
