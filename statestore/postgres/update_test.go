// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/resilienced/resilienced/rules"
	"github.com/resilienced/resilienced/statestore"
)

// holdInside runs a transaction that makes or replaces a note and stays inside
// its function until leave is closed.
func holdInside(s *Store, name string, inside chan<- struct{}, leave <-chan struct{}) error {
	e := writing(name)
	return s.Update(context.Background(), []*statestore.Entry{e}, func(rules.Instant) (statestore.Durability, error) {
		inside <- struct{}{}
		<-leave
		e.Put(&note{N: 7})
		return statestore.Durable, nil
	})
}

// lockWaits reports whether one transaction of the shared server waits for a
// lock.
func lockWaits(tb testing.TB) bool {
	tb.Helper()
	return execute(tb, shared, sharedDSN, "SELECT count(*) FROM pg_stat_activity "+
		"WHERE application_name LIKE 'resilienced%' AND wait_event_type = 'Lock'") == "1"
}

// TestAbsentKeysExcludeEachOther: two transactions that hold two absent keys,
// and each make one of them because the other is absent, are not both carried
// out, though neither writes what the other writes.
func TestAbsentKeysExcludeEachOther(t *testing.T) {
	s := newStore(t)
	for round := range 30 {
		names := []string{fmt.Sprint("a", round), fmt.Sprint("b", round)}
		var group, inside sync.WaitGroup
		inside.Add(2)
		for i := range names {
			group.Go(func() {
				mine, other := writing(names[i]), writing(names[1-i])
				first := true
				noErrorIn(t, s.Update(t.Context(), []*statestore.Entry{mine, other}, func(rules.Instant) (statestore.Durability, error) {
					if first {
						first = false
						inside.Done()
						inside.Wait() // both have seen that neither record is there
					}
					if other.Record() == nil {
						mine.Put(&note{N: 1})
					}
					return statestore.Durable, nil
				}))
			})
		}
		group.Wait()
		if x, y := number(t, s, names[0]), number(t, s, names[1]); x == y {
			t.Fatalf("round %d: both or none were made: %d, %d", round, x, y)
		}
	}
}

// TestGuardsGoByTheOrderOfTheLocks: rows and guards of two transactions that
// were made in different orders would wait for each other.
func TestGuardsGoByTheOrderOfTheLocks(t *testing.T) {
	var rows rowArrays
	var guards keyArrays
	for i := range 9 {
		kind := []statestore.Kind{statestore.KindRun, statestore.KindOperation}[i%2]
		k := statestore.Key{Kind: kind, Name: strconv.Itoa(i)}
		switch {
		case i < 2 || i == 7 || i == 4:
			guards.add(i, k)
		case kind == statestore.KindOperation:
			rows.addRow(i, k, statestore.Columns{Body: []byte(k.Name)}, rules.Facts{State: k.Name})
		}
	}
	all := merged(&rows, &guards, ofOthers)
	if fmt.Sprint(all.from, all.names) != "[1 3 5 7] [1 3 5 7]" {
		t.Errorf("rows %v with the names %v", all.from, all.names)
	}
	for i, name := range all.names {
		switch guard := i == 0 || i == 3; {
		case guard && len(all.bodies[i]) > 0, guard && all.states[i] != nil:
			t.Errorf("guard %s has the body %q", name, all.bodies[i])
		case !guard && (string(all.bodies[i]) != name || *all.states[i] != name):
			t.Errorf("row %s has the body %q and the state %s", name, all.bodies[i], *all.states[i])
		}
	}
}

// TestAKeyMadeWhileALockIsWaitedForIsSeen: who only looks, and waits for a lock,
// decides by what the one who held it has made, not by what was there before.
func TestAKeyMadeWhileALockIsWaitedForIsSeen(t *testing.T) {
	s := newStore(t)
	noError(t, put(s, "held", 1))
	inside, leave := make(chan struct{}), make(chan struct{})
	var group sync.WaitGroup
	group.Go(func() {
		held, made := writing("held"), writing("made")
		noErrorIn(t, s.Update(t.Context(), []*statestore.Entry{held, made}, func(rules.Instant) (statestore.Durability, error) {
			close(inside)
			<-leave
			held.Put(&note{N: 2})
			made.Put(&note{N: 3})
			return statestore.Durable, nil
		}))
	})
	<-inside
	held, made := writing("held"), writing("made")
	var seen []string
	group.Go(func() {
		noErrorIn(t, s.Update(t.Context(), []*statestore.Entry{held, made}, func(rules.Instant) (statestore.Durability, error) {
			seen = append(seen, fmt.Sprint(held.Record() != nil, made.Record() != nil))
			return statestore.Rebuildable, nil
		}))
	})
	eventually(t, 5*time.Second, "somebody waits for the lock", func() bool { return lockWaits(t) })
	close(leave)
	group.Wait()
	if last := seen[len(seen)-1]; last != "true true" {
		t.Fatalf("it decided by %q: whether the record that was held, and the one that was made, are there", last)
	}
}

func TestATerminatedConnectionIsNotNoticed(t *testing.T) {
	s := newStore(t)
	noError(t, put(s, "a", 0))
	for n := range int64(20) {
		if n%2 == 0 {
			execute(t, shared, sharedDSN, "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name LIKE 'resilienced%'")
		}
		noError(t, put(s, "a", n))
		if got := number(t, s, "a"); got != n {
			t.Fatalf("N = %d, want %d", got, n)
		}
	}
}

func TestAConnectionTerminatedInsideIsRunAgain(t *testing.T) {
	s := newStore(t)
	e, calls := writing("a"), 0
	noError(t, s.Update(t.Context(), []*statestore.Entry{e}, func(rules.Instant) (statestore.Durability, error) {
		if calls++; calls == 1 {
			execute(t, shared, sharedDSN, "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "+
				"WHERE application_name LIKE 'resilienced%' AND state = 'idle in transaction'")
		}
		e.Put(&note{N: int64(calls)})
		return statestore.Durable, nil
	}))
	if n := number(t, s, "a"); calls != 2 || n != 2 {
		t.Fatalf("%d calls, N = %d", calls, n)
	}
}

// TestAProcessThatStandsStill is held up inside fn: the server ends its
// transaction, others go on, and the process does it again.
func TestAProcessThatStandsStill(t *testing.T) {
	cfg := newConfig(t)
	cfg.IdleTimeout = 200 * time.Millisecond
	slow, other := openStore(t, cfg), openStore(t, cfg)
	noError(t, put(other, "a", 1))
	e, calls := writing("a"), 0
	noError(t, slow.Update(t.Context(), []*statestore.Entry{e}, func(rules.Instant) (statestore.Durability, error) {
		if calls++; calls == 1 {
			begun := time.Now()
			noError(t, put(other, "a", 2))
			if waited := time.Since(begun); waited > 5*time.Second {
				t.Errorf("the other waited for %v", waited)
			}
		}
		e.Put(&note{N: e.Record().(*note).N + 10})
		return statestore.Durable, nil
	}))
	if n := number(t, other, "a"); calls != 2 || n != 12 {
		t.Fatalf("%d calls, N = %d", calls, n)
	}
}

// TestALockHeldFromOutside ends in an error after a while and not in a wait for
// ever; and the store works again when it is free.
func TestALockHeldFromOutside(t *testing.T) {
	cfg := newConfig(t)
	cfg.LockTimeout, cfg.UpdateTimeout = 50*time.Millisecond, 300*time.Millisecond
	s := openStore(t, cfg)
	noError(t, put(s, "a", 1))
	patient := cfg
	patient.IdleTimeout = time.Minute
	holder := openStore(t, patient)
	inside, leave := make(chan struct{}), make(chan struct{})
	var group sync.WaitGroup
	group.Go(func() { noErrorIn(t, holdInside(holder, "a", inside, leave)) })
	<-inside
	wantError(t, put(s, "a", 2), statestore.ErrUnavailable, "pg_stat_activity")
	noError(t, put(s, "b", 2)) // others are not in the way
	close(leave)
	group.Wait()
	if n := number(t, s, "a"); n != 7 {
		t.Fatalf("N = %d", n)
	}
	noError(t, put(s, "a", 3))
}

// TestDurabilityIsThatOfTheServerOrMore watches the setting that each commit
// has.
func TestDurabilityIsThatOfTheServerOrMore(t *testing.T) {
	for server, want := range map[string]string{"on": "", "remote_apply": "", "off": "on", "local": "on", "remote_write": "on"} {
		tx := &txn{weakSync: server == "off" || server == "local" || server == "remote_write"}
		if got := tx.syncLevel(statestore.Durable); got != want {
			t.Errorf("durable with %s: %q, want %q", server, got, want)
		}
		if got := tx.syncLevel(statestore.Rebuildable); got != "off" {
			t.Errorf("rebuildable with %s: %q", server, got)
		}
		cfg := newConfig(t)
		cfg.DSN += "&synchronous_commit=" + server
		s := openStore(t, cfg)
		r := readClock(t, s)
		if r.weakSync != tx.weakSync {
			t.Errorf("synchronous_commit = %s is called weak: %v", server, r.weakSync)
		}
	}
}

func readClock(tb testing.TB, s *Store) reading {
	tb.Helper()
	conn, err := s.take(tb.Context(), s.readers)
	noError(tb, err)
	defer conn.Release()
	var r reading
	noError(tb, r.scan(conn.QueryRow(tb.Context(), s.sql.clock)))
	return r
}

func TestABadRecordIsAtFaultAndNotTheStore(t *testing.T) {
	s := newStore(t)
	noError(t, put(s, "good", 1))
	for name, key := range map[string]statestore.Key{
		"NUL in the name":   noteKey("a\x00b"),
		"not UTF-8":         noteKey("a\xff"),
		"in the namespace":  {Kind: statestore.KindRun, Namespace: "\x00", Name: "a"},
		"longer than a key": noteKey(incompressible(5000)),
	} {
		e := &statestore.Entry{Key: key, Mode: statestore.Write}
		err := s.Update(t.Context(), []*statestore.Entry{e}, func(rules.Instant) (statestore.Durability, error) {
			if e.Record() != nil || !e.Held() {
				t.Errorf("%s: record %v, held %v", name, e.Record(), e.Held())
			}
			e.Put(&note{N: 1})
			return statestore.Durable, nil
		})
		wantError(t, err, statestore.ErrRejected, "")
		r, now, err := s.Get(t.Context(), key)
		if r != nil || now == 0 || err != nil {
			t.Errorf("%s: Get = %v, %v, %v", name, r, now, err)
		}
	}
	for _, q := range []statestore.Query{{Kind: statestore.KindRun, Namespace: "\x00"}, {Kind: statestore.KindRun, Prefix: "\xff"}} {
		if page, err := s.List(t.Context(), q); err != nil || len(page.Rows) > 0 || page.Now == 0 {
			t.Errorf("List = %+v, %v", page, err)
		}
	}
	if n, err := s.Count(t.Context(), statestore.KindRun, "\x00"); n != 0 || err != nil {
		t.Errorf("Count = %d, %v", n, err)
	}
	if keys, err := s.Due(t.Context(), statestore.DueQuery{Namespace: "\xff", Until: 1 << 60}); len(keys) != 0 || err != nil {
		t.Errorf("Due = %v, %v", keys, err)
	}
}

// incompressible is a text that PostgreSQL cannot press into an index entry.
func incompressible(n int) string {
	var b strings.Builder
	for i := uint64(1); b.Len() < n; i++ {
		b.WriteString(strconv.FormatUint(i*0x9e3779b97f4a7c15, 36))
	}
	return b.String()
}

func TestADamagedRowIsAnErrorAndNeverAWrongRecord(t *testing.T) {
	cfg := newConfig(t)
	s := openStore(t, cfg)
	noError(t, put(s, "a", 1))
	execute(t, shared, sharedDSN, "UPDATE "+inSchema(cfg.Schema, "records")+" SET body = set_byte(body, 3, get_byte(body, 3) # 1)")
	_, _, err := s.Get(t.Context(), noteKey("a"))
	wantError(t, err, statestore.ErrNotADatabase, "restore a backup")
	wantError(t, put(s, "a", 2), statestore.ErrNotADatabase, "restore a backup")
	_, err = s.List(t.Context(), statestore.Query{Kind: statestore.KindOperation, Namespace: "acme", Limit: 5})
	wantError(t, err, statestore.ErrNotADatabase, "restore a backup")
}

// TestARowThatVanishesUnderTheLockEndsTheTransaction: the statement that finds
// fewer rows than it should fails before COMMIT.
func TestARowThatVanishesUnderTheLockEndsTheTransaction(t *testing.T) {
	cfg := newConfig(t)
	cfg.UpdateTimeout = 100 * time.Millisecond
	s := openStore(t, cfg)
	noError(t, put(s, "a", 1))
	// A rule of the database's stands for a row that the UPDATE does not find.
	execute(t, shared, sharedDSN, fmt.Sprintf("CREATE FUNCTION %s() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'; "+
		"CREATE TRIGGER vanish BEFORE UPDATE OR DELETE ON %s FOR EACH ROW EXECUTE FUNCTION %[1]s()",
		inSchema(cfg.Schema, "vanish"), inSchema(cfg.Schema, "records_operations")))
	e, b := writing("a"), writing("b")
	for _, r := range []statestore.Record{&note{N: 2}, nil} {
		err := s.Update(t.Context(), []*statestore.Entry{e, b}, func(rules.Instant) (statestore.Durability, error) {
			e.Put(r)
			b.Put(&note{N: 5})
			return statestore.Durable, nil
		})
		wantError(t, err, statestore.ErrUnavailable, "something else writes")
	}
	if a, b := number(t, s, "a"), number(t, s, "b"); a != 1 || b != -1 {
		t.Errorf("a = %d, b = %d", a, b)
	}
}

func TestACallerThatGoesAwayDoesNotShutTheStore(t *testing.T) {
	s := newStore(t)
	noError(t, put(s, "a", 1))
	inside, leave := make(chan struct{}), make(chan struct{})
	var group sync.WaitGroup
	group.Go(func() { noErrorIn(t, holdInside(s, "a", inside, leave)) })
	<-inside
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	e := writing("a")
	err := s.Update(ctx, []*statestore.Entry{e}, func(rules.Instant) (statestore.Durability, error) {
		t.Error("two transactions hold one key")
		return statestore.Durable, nil
	})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error = %v, want that of the context", err)
	}
	if why := s.gate.shut(); why != nil {
		t.Errorf("the store is shut: %v", why)
	}
	close(leave)
	group.Wait()
	noError(t, put(s, "a", 2))
}
