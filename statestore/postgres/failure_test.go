// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/resilienced/resilienced/rules"
	"github.com/resilienced/resilienced/statestore"
	"github.com/resilienced/resilienced/test/pgserver"
)

// behind returns a config whose server is reached through a proxy.
func behind(t *testing.T) (Config, *proxy) {
	t.Helper()
	p := newProxy(t, shared.Addr())
	cfg := newConfig(t)
	cfg.DSN = strings.Replace(cfg.DSN, shared.Addr(), p.addr, 1)
	return cfg, p
}

// TestALostAnswerToCommitIsUnknown, whether the server got the COMMIT or not.
func TestALostAnswerToCommitIsUnknown(t *testing.T) {
	for what, want := range map[int32]int64{swallowed: 1, answered: 2} {
		cfg, p := behind(t)
		s := openStore(t, cfg)
		// The second one prepares what the third one sends.
		noError(t, put(s, "a", 0))
		noError(t, put(s, "a", 1))
		e, calls := writing("a"), 0
		err := s.Update(t.Context(), []*statestore.Entry{e}, func(rules.Instant) (statestore.Durability, error) {
			calls++
			p.next.Store(what)
			e.Put(&note{N: 2})
			return statestore.Durable, nil
		})
		wantError(t, err, statestore.ErrUnknownOutcome, "")
		if calls != 1 {
			t.Errorf("fn was called %d times", calls)
		}
		eventually(t, 10*time.Second, fmt.Sprintf("the record is %d", want), func() bool { return number(t, s, "a") == want })
		noError(t, put(s, "a", 3))
	}
}

// TestALostAnswerBeforeCommitIsRunAgain.
func TestALostAnswerBeforeCommitIsRunAgain(t *testing.T) {
	cfg, p := behind(t)
	s := openStore(t, cfg)
	for n := range int64(6) {
		noError(t, put(s, "a", n))
		p.next.Store([]int32{swallowed, answered}[n%2])
		noError(t, put(s, "a", n+100))
		p.next.Store([]int32{answered, swallowed}[n%2])
		if got := number(t, s, "a"); got != n+100 {
			t.Fatalf("N = %d, want %d", got, n+100)
		}
	}
}

// TestAServerThatIsGone: calls fail at once, one prober looks for it, and the
// store goes on by itself when it is back.
func TestAServerThatIsGone(t *testing.T) {
	server := start(t, pgserver.Options{})
	dsn, err := server.NewDatabase(t.Context())
	noError(t, err)
	p := newProxy(t, server.Addr())
	s := openStore(t, Config{DSN: strings.Replace(dsn, server.Addr(), p.addr, 1), Codec: testCodec(t)})
	noError(t, put(s, "a", 1))
	for round, mode := range []string{"immediate", "fast"} {
		noError(t, server.Stop(t.Context(), mode))
		wantError(t, put(s, "a", 2), statestore.ErrUnavailable, "looked for")
		dialed, begun := p.dials.Load(), time.Now()
		var group sync.WaitGroup
		for range 32 {
			group.Go(func() {
				for range 50 {
					if err := put(s, "a", 2); !errors.Is(err, statestore.ErrUnavailable) {
						t.Errorf("error = %v", err)
					}
					if _, _, err := s.Get(t.Context(), noteKey("a")); !errors.Is(err, statestore.ErrUnavailable) {
						t.Errorf("error = %v", err)
					}
				}
			})
		}
		group.Wait()
		took, tried := time.Since(begun), p.dials.Load()-dialed
		t.Logf("round %d: 3200 calls failed in %v, %d connections were tried", round, took, tried)
		// The prober pauses for 25 ms at least; the calls themselves try none.
		if most := int32(took/(25*time.Millisecond)) + 3; tried > most {
			t.Errorf("%d connections were tried in %v", tried, took)
		}
		noError(t, server.Restart(t.Context()))
		back := time.Now()
		eventually(t, 30*time.Second, "the store works again", func() bool { return put(s, "a", 3) == nil })
		t.Logf("round %d: it worked again %v after the server", round, time.Since(back))
		if n := number(t, s, "a"); n != 3 {
			t.Errorf("N = %d", n)
		}
	}
}

// TestAServerThatStandsStill does not hold up callers for ever, and the calls
// of those who come later not at all.
func TestAServerThatStandsStill(t *testing.T) {
	server := start(t, pgserver.Options{})
	dsn, err := server.NewDatabase(t.Context())
	noError(t, err)
	s := openStore(t, Config{DSN: dsn, Codec: testCodec(t), TripTimeout: 300 * time.Millisecond})
	noError(t, put(s, "a", 1))
	before := reader(t, s)
	noError(t, server.Pause())
	wantError(t, put(s, "a", 2), statestore.ErrUnavailable, "stands still")
	wantError(t, put(s, "a", 2), statestore.ErrUnavailable, "looked for")
	_, err = s.Now(t.Context())
	wantError(t, err, statestore.ErrUnavailable, "looked for")
	noError(t, server.Resume())
	eventually(t, 30*time.Second, "the store works again", func() bool { return put(s, "a", 3) == nil })
	// A connection of before may be one that nothing comes through any more.
	if reader(t, s) == before {
		t.Error("a connection of before is used still")
	}
}

// reader is the server's process behind the store's connection for reads.
func reader(t *testing.T, s *Store) (pid uint32) {
	t.Helper()
	pooled, err := s.take(t.Context(), s.readers)
	noError(t, err)
	defer pooled.Release()
	return pooled.Conn().PgConn().PID()
}

// TestReadsAndTransactionsDoNotStarveEachOther: while transactions hold all
// their connections, reads go on.
func TestReadsAndTransactionsDoNotStarveEachOther(t *testing.T) {
	cfg := newConfig(t)
	cfg.Lanes, cfg.WriteConns, cfg.TripTimeout, cfg.IdleTimeout = 1, 1, 200*time.Millisecond, time.Minute
	s := openStore(t, cfg)
	noError(t, put(s, "a", 1))
	inside, leave := make(chan struct{}), make(chan struct{})
	var group sync.WaitGroup
	group.Go(func() { noErrorIn(t, holdInside(s, "b", inside, leave)) })
	<-inside
	if n := number(t, s, "a"); n != 1 {
		t.Errorf("N = %d", n)
	}
	wantError(t, put(s, "c", 1), statestore.ErrUnavailable, "in use")
	if why := s.gate.shut(); why != nil {
		t.Errorf("the store is shut: %v", why)
	}
	close(leave)
	group.Wait()
	noError(t, put(s, "c", 1))
}

// TestACommitThatNoStandbyConfirms is unknown, and is not called committed by a
// timeout or a cancelled wait. While commits hang, no further one is sent.
func TestACommitThatNoStandbyConfirms(t *testing.T) {
	server := start(t, pgserver.Options{})
	dsn, err := server.NewDatabase(t.Context())
	noError(t, err)
	cfg := Config{DSN: dsn, Codec: testCodec(t), TripTimeout: 2500 * time.Millisecond, StatementTimeout: 500 * time.Millisecond}
	s := openStore(t, cfg)
	noError(t, put(s, "a", 1))
	execute(t, server, dsn, "ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
	execute(t, server, dsn, "SELECT pg_reload_conf()")
	eventually(t, 10*time.Second, "the server waits for a standby", func() bool {
		return execute(t, server, dsn, "SHOW synchronous_standby_names") == "nobody"
	})
	wantError(t, put(s, "a", 2), statestore.ErrUnknownOutcome, "does not answer")
	waiting := func() string {
		return execute(t, server, dsn, "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'")
	}
	if n := waiting(); n != "1" {
		t.Errorf("%s commits wait, want 1: giving up a wait must not cancel it", n)
	}
	time.Sleep(3 * time.Second)
	wantError(t, put(s, "a", 3), statestore.ErrUnavailable, "standby")
	if n := waiting(); n != "1" {
		t.Errorf("%s commits wait, want no further one", n)
	}
	execute(t, server, dsn, "ALTER SYSTEM RESET synchronous_standby_names")
	execute(t, server, dsn, "SELECT pg_reload_conf()")
	eventually(t, 30*time.Second, "the store works again", func() bool { return put(s, "a", 4) == nil })
}

// TestACancelledWaitForTheStandbyIsUnknown: PostgreSQL answers COMMIT and only
// warns that no standby has it.
func TestACancelledWaitForTheStandbyIsUnknown(t *testing.T) {
	server := start(t, pgserver.Options{})
	dsn, err := server.NewDatabase(t.Context())
	noError(t, err)
	s := openStore(t, Config{DSN: dsn, Codec: testCodec(t), TripTimeout: 20 * time.Second, Lanes: 1, WriteConns: 1})
	noError(t, put(s, "a", 1))
	execute(t, server, dsn, "ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
	execute(t, server, dsn, "SELECT pg_reload_conf()")
	eventually(t, 10*time.Second, "the server waits for a standby", func() bool {
		return execute(t, server, dsn, "SHOW synchronous_standby_names") == "nobody"
	})
	done := make(chan error)
	go func() { done <- put(s, "a", 2) }()
	eventually(t, 15*time.Second, "the wait was cancelled", func() bool {
		return execute(t, server, dsn, "SELECT count(pg_cancel_backend(pid)) FROM pg_stat_activity WHERE wait_event = 'SyncRep'") == "1"
	})
	wantError(t, <-done, statestore.ErrUnknownOutcome, "standby")
	execute(t, server, dsn, "ALTER SYSTEM RESET synchronous_standby_names")
	execute(t, server, dsn, "SELECT pg_reload_conf()")
	eventually(t, 10*time.Second, "the server waits for nobody", func() bool {
		return execute(t, server, dsn, "SHOW synchronous_standby_names") == ""
	})
	// It was said of that commit, and not of those that follow on its connection.
	noError(t, put(s, "a", 3))
}

// TestFailover: the standby takes over with everything that was acknowledged,
// and the old primary, when it comes back, is not used.
func TestFailover(t *testing.T) {
	primary := start(t, pgserver.Options{})
	standby, err := primary.Standby(t.Context(), true)
	noError(t, err)
	t.Cleanup(func() { noError(t, standby.Close()) })
	dsn, err := primary.NewDatabase(t.Context())
	noError(t, err)
	both := strings.Replace(dsn, primary.Addr(), primary.Addr()+","+standby.Addr(), 1)
	eventually(t, 10*time.Second, "the standby has the database and is refused", func() bool {
		_, err := Open(t.Context(), Config{DSN: strings.Replace(dsn, primary.Addr(), standby.Addr(), 1), Codec: testCodec(t)})
		return errors.Is(err, statestore.ErrReadOnly) && strings.Contains(err.Error(), "name the primary")
	})
	s := openStore(t, Config{DSN: both, Codec: testCodec(t)})
	acked := int64(0)
	for n := range int64(50) {
		noError(t, put(s, "a", n))
		acked = n
	}
	noError(t, primary.Kill(t.Context()))
	noError(t, standby.Promote(t.Context()))
	eventually(t, 30*time.Second, "the standby is used", func() bool { return put(s, "b", 1) == nil })
	if n := number(t, s, "a"); n != acked {
		t.Errorf("N = %d, acknowledged was %d", n, acked)
	}
	// The old primary stands first in the DSN and takes writes, if asked.
	noError(t, primary.Restart(t.Context()))
	execute(t, primary, dsn, "ALTER SYSTEM SET synchronous_standby_names = ''")
	execute(t, primary, dsn, "SELECT pg_reload_conf()")
	noError(t, standby.Stop(t.Context(), "immediate"))
	eventually(t, 10*time.Second, "the new primary is missed", func() bool { return put(s, "c", 1) != nil })
	for range 20 {
		wantError(t, put(s, "c", 1), statestore.ErrUnavailable, "")
		time.Sleep(50 * time.Millisecond)
	}
	if why := s.gate.shut(); !errors.Is(why, errFenced) {
		t.Errorf("the store is shut because of %v, want the fence", why)
	}
	noError(t, standby.Restart(t.Context()))
	eventually(t, 30*time.Second, "the new primary is used", func() bool { return put(s, "c", 2) == nil })
	if n := number(t, s, "b"); n != 1 {
		t.Errorf("N = %d", n)
	}
}

func TestTheFence(t *testing.T) {
	var f fence
	for i, c := range []struct {
		system, line string
		ok           bool
	}{
		{"1", "00000001", true},
		{"", "00000001", true},
		{"1", "00000003", true},
		{"", "00000002", false},
		{"1", "00000001", false},
		{"", "0000000A", true},
		{"1", "00000009", false},
		{"2", "00000001", true},
		{"", "00000001", true},
	} {
		if err := f.pass(c.system, c.line); (err == nil) != c.ok || err != nil && !errors.Is(err, errFenced) {
			t.Errorf("%d: %v", i, err)
		}
	}
}

func TestAClosedStore(t *testing.T) {
	s, err := Open(t.Context(), newConfig(t))
	noError(t, err)
	messages := s.Notifications()
	noError(t, s.Close())
	noError(t, s.Close())
	wantError(t, put(s, "a", 1), statestore.ErrUnavailable, "closed")
	_, err = s.Now(context.Background())
	wantError(t, err, statestore.ErrUnavailable, "closed")
	if m, open := <-messages; open {
		t.Errorf("heard %q after Close", m)
	}
	s.Notify("nobody hears it")
}
