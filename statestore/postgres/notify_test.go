// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/resilienced/resilienced/statestore"
	"github.com/resilienced/resilienced/test/pgserver"
)

// hears waits for a message. It returns false when none comes.
func hears(from <-chan string, within time.Duration) (string, bool) {
	timer := time.NewTimer(within)
	defer timer.Stop()
	select {
	case m, open := <-from:
		return m, open
	case <-timer.C:
		return "", false
	}
}

// meet sends from one to the other until it is heard, since listening takes a
// moment to begin, and takes what is left.
func meet(tb testing.TB, from, to *Store) {
	tb.Helper()
	eventually(tb, 10*time.Second, "one hears the other", func() bool {
		from.Notify("hello")
		m, heard := hears(to.Notifications(), 100*time.Millisecond)
		return heard && m == "hello"
	})
	for heard := true; heard; {
		_, heard = hears(to.Notifications(), 300*time.Millisecond)
	}
}

func TestMessagesReachTheOthersAndNotOneself(t *testing.T) {
	cfg := newConfig(t)
	a, b, c := openStore(t, cfg), openStore(t, cfg), openStore(t, newConfig(t))
	meet(t, a, b)
	meet(t, b, a)
	elsewhere := c.Notifications()
	long := strings.Repeat("ä", maxMessage/2)
	for _, m := range []string{"one", "two\nlines", long} {
		a.Notify(m)
		if got, heard := hears(b.Notifications(), 5*time.Second); !heard || got != m {
			t.Fatalf("heard %q, want %q", got, m)
		}
	}
	if m, heard := hears(a.Notifications(), 100*time.Millisecond); heard {
		t.Errorf("a store hears itself: %q", m)
	}
	if m, heard := hears(elsewhere, 0); heard {
		t.Errorf("another schema hears %q", m)
	}
}

func TestWhatCannotBeSentIsAnEmptyMessage(t *testing.T) {
	cfg := newConfig(t)
	a, b := openStore(t, cfg), openStore(t, cfg)
	meet(t, a, b)
	for _, m := range []string{strings.Repeat("x", maxMessage+1), "\xff", "a\x00b"} {
		a.Notify(m)
		if got, heard := hears(b.Notifications(), 5*time.Second); !heard || got != "" {
			t.Fatalf("heard %q, want an empty message", got)
		}
	}
}

// TestMessagesNeverWait: far more than the queues hold, with nobody who takes
// them, hold up neither the sender nor the store.
func TestMessagesNeverWait(t *testing.T) {
	cfg := newConfig(t)
	a, b := openStore(t, cfg), openStore(t, cfg)
	meet(t, a, b)
	for i := range 20 * queued {
		a.Notify(fmt.Sprint("m", i))
	}
	noError(t, put(a, "x", 1))
	// Nothing was heard meanwhile. The last thing to be said is that some are
	// missing, as soon as there is room.
	empty := 0
	eventually(t, 15*time.Second, "an empty message says that some are lost", func() bool {
		m, heard := hears(b.Notifications(), 10*time.Millisecond)
		if heard && m == "" {
			empty++
		}
		return empty > 0
	})
}

// TestAMessageThatFindsTheQueueFullIsMissed, while nothing can be sent.
func TestAMessageThatFindsTheQueueFullIsMissed(t *testing.T) {
	s := &Store{mail: newMailbox("nobody sends")}
	for i := range queued {
		s.Notify(fmt.Sprint("m", i))
	}
	if len(s.mail.missed) != 0 {
		t.Fatal("a message was missed while there was room")
	}
	s.Notify("one more")
	s.Notify("and one more")
	if len(s.mail.missed) != 1 {
		t.Error("a message was dropped and nobody is told")
	}
}

func TestABrokenConnectionForMessagesIsMadeAgain(t *testing.T) {
	cfg := newConfig(t)
	cfg.DSN += "&application_name=broken"
	a, b := openStore(t, cfg), openStore(t, cfg)
	meet(t, a, b)
	execute(t, shared, sharedDSN, "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'broken'")
	if m, heard := hears(b.Notifications(), 10*time.Second); !heard || m != "" {
		t.Fatalf("heard %q, %v; want an empty message after a new connection", m, heard)
	}
	meet(t, a, b)
}

// TestASilentConnectionForMessagesIsAskedWhetherItLives: where nobody says
// anything, a dead connection would otherwise be waited on for ever.
func TestASilentConnectionForMessagesIsAskedWhetherItLives(t *testing.T) {
	cfg := newConfig(t)
	a := openStore(t, cfg)
	p := newProxy(t, shared.Addr())
	cfg.ListenDSN = strings.Replace(cfg.DSN, shared.Addr(), p.addr, 1)
	b := openStore(t, cfg)
	b.mail.check = 20 * time.Millisecond // nobody listens yet
	meet(t, a, b)
	p.next.Store(swallowed)
	if m, heard := hears(b.Notifications(), 10*time.Second); !heard || m != "" {
		t.Fatalf("heard %q, %v; want an empty message after a new connection", m, heard)
	}
	meet(t, a, b)
}

// logged is a log that tells of one message.
type logged struct {
	slog.Handler
	message string
	found   chan struct{}
}

func (l *logged) Enabled(context.Context, slog.Level) bool { return true }

func (l *logged) Handle(_ context.Context, r slog.Record) error {
	if r.Message == l.message {
		select {
		case l.found <- struct{}{}:
		default:
		}
	}
	return nil
}

// TestAMessageThatCouldNotBeSentIsMissed: the others hear, when the server is
// back, that there was something.
func TestAMessageThatCouldNotBeSentIsMissed(t *testing.T) {
	log := &logged{Handler: slog.DiscardHandler, message: "messages to other replicas were not sent", found: make(chan struct{}, 1)}
	cfg := newConfig(t)
	b := openStore(t, cfg)
	cfg.Logger = slog.New(log)
	a := openStore(t, cfg)
	meet(t, a, b)
	a.gate.shutFor(errors.New("it is gone"))
	a.Notify("lost")
	<-log.found
	a.gate.open()
	if m, heard := hears(b.Notifications(), 10*time.Second); !heard || m != "" {
		t.Fatalf("heard %q, %v; want an empty message", m, heard)
	}
}

func TestThroughAPooler(t *testing.T) {
	dsn, err := shared.NewDatabase(t.Context())
	noError(t, err)
	pooler, err := pgserver.StartBouncer(t.Context(), shared)
	noError(t, err)
	t.Cleanup(func() { noError(t, pooler.Close()) })
	cfg := newConfig(t)
	cfg.DSN = strings.Replace(dsn, shared.Addr(), pooler.Addr(), 1)
	deaf := openStore(t, cfg)
	if !deaf.bouncer {
		t.Fatal("the pooler was not noticed")
	}
	if m, heard := hears(deaf.Notifications(), 100*time.Millisecond); heard {
		t.Errorf("heard %q through a pooler", m)
	}
	cfg.ListenDSN = dsn
	listener := openStore(t, cfg)
	meet(t, deaf, listener)
	direct := cfg
	direct.DSN, direct.ListenDSN = dsn, ""
	s := openStore(t, direct)
	if s.bouncer {
		t.Error("a direct connection is taken for a pooler")
	}
	// A store that has found none does not go on when one comes between.
	conn, err := pgconn.Connect(t.Context(), cfg.DSN)
	noError(t, err)
	t.Cleanup(func() { noError(t, conn.Close(context.Background())) })
	wantError(t, s.validate(t.Context(), conn), statestore.ErrUnavailable, "a pooler has come between")
	noError(t, put(listener, "a", 3))
	if n := number(t, deaf, "a"); n != 3 {
		t.Errorf("N = %d", n)
	}
}
