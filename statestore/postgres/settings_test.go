// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/resilienced/resilienced/rules"
	"github.com/resilienced/resilienced/statestore"
	"github.com/resilienced/resilienced/test/pgserver"
)

// watched are the settings that watch writes down.
var watched = []string{"synchronous_commit", "lock_timeout", "statement_timeout", "idle_in_transaction_session_timeout"}

// watch has the database write down, whenever an operation is written and again
// at COMMIT, which settings are in force.
func watch(t *testing.T, s *Store) {
	t.Helper()
	fill := strings.NewReplacer("{seen}", inSchema(s.cfg.Schema, "seen"), "{see}", inSchema(s.cfg.Schema, "see"),
		"{operations}", inSchema(s.cfg.Schema, "records_operations"))
	execute(t, shared, sharedDSN, fill.Replace(`CREATE TABLE {seen} (n serial, moment text, settings text);
		CREATE FUNCTION {see}() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS 'BEGIN
			INSERT INTO {seen} (moment, settings) VALUES (TG_NAME, concat_ws('' '', current_setting(''`+
		strings.Join(watched, "''), current_setting(''")+`'')));
			RETURN NULL; END';
		CREATE TRIGGER written AFTER INSERT OR UPDATE ON {operations} FOR EACH ROW EXECUTE FUNCTION {see}();
		CREATE CONSTRAINT TRIGGER committed AFTER INSERT OR UPDATE ON {operations} DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION {see}()`))
}

// lastSeen returns the settings of the last such moment.
func lastSeen(t *testing.T, s *Store, moment string) []string {
	t.Helper()
	return strings.Fields(execute(t, shared, sharedDSN, "SELECT settings FROM "+inSchema(s.cfg.Schema, "seen")+
		" WHERE moment = '"+moment+"' ORDER BY n DESC LIMIT 1"))
}

// leftOver returns the settings of the store's one connection for transactions,
// outside of them.
func leftOver(t *testing.T, s *Store) []string {
	t.Helper()
	pooled, err := s.take(t.Context(), s.writers)
	noError(t, err)
	defer pooled.Release()
	all := make([]string, len(watched))
	for i, name := range watched {
		noError(t, pooled.QueryRow(t.Context(), "SELECT current_setting($1)", name).Scan(&all[i]))
	}
	return all
}

func wantSettings(t *testing.T, when string, got []string, want ...string) {
	t.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%s: %v = %v, want %v", when, watched, got, want)
	}
}

// onOneConnection is a config whose transactions all take the same connection.
func onOneConnection(t *testing.T) Config {
	t.Helper()
	cfg := newConfig(t)
	cfg.Lanes, cfg.WriteConns = 1, 1
	return cfg
}

// TestEachCommitHasTheDurabilityThatItAsksFor, whatever the server's own is and
// whatever went over the same connection before.
func TestEachCommitHasTheDurabilityThatItAsksFor(t *testing.T) {
	for server, durable := range map[string]string{"on": "on", "remote_apply": "remote_apply", "off": "on", "local": "on", "remote_write": "on"} {
		cfg := onOneConnection(t)
		cfg.DSN += "&synchronous_commit=" + server
		s := openStore(t, cfg)
		watch(t, s)
		for n, want := range []string{durable, "off", durable, durable, "off", "off", durable} {
			e := writing("a")
			noError(t, s.Update(t.Context(), []*statestore.Entry{e}, func(rules.Instant) (statestore.Durability, error) {
				e.Put(&note{N: int64(n)})
				if want == "off" {
					return statestore.Rebuildable, nil
				}
				return statestore.Durable, nil
			}))
			if got := lastSeen(t, s, "committed")[0]; got != want {
				t.Errorf("commit %d on a server with %s: %s, want %s", n, server, got, want)
			}
			if left := leftOver(t, s)[0]; left != server {
				t.Errorf("commit %d leaves %s behind on the connection, want the server's %s", n, left, server)
			}
		}
	}
}

// TestEachTransactionHasItsLimits, each under its own name, and leaves none
// behind on its connection, which through a pooler is that of others too. A
// COMMIT is cut short by none.
func TestEachTransactionHasItsLimits(t *testing.T) {
	direct := onOneConnection(t)
	direct.LockTimeout, direct.StatementTimeout, direct.IdleTimeout = 1100*time.Millisecond, 2200*time.Millisecond, 3300*time.Millisecond
	pooler, err := pgserver.StartBouncer(t.Context(), shared)
	noError(t, err)
	t.Cleanup(func() { noError(t, pooler.Close()) })
	pooled := direct
	pooled.Schema = newConfig(t).Schema
	pooled.DSN = strings.Replace(sharedDSN, shared.Addr(), pooler.Addr(), 1)
	for _, cfg := range []Config{direct, pooled} {
		s := openStore(t, cfg)
		watch(t, s)
		noError(t, put(s, "a", 1))
		when := fmt.Sprintf("through a pooler %v, ", s.bouncer)
		wantSettings(t, when+"at a write", lastSeen(t, s, "written"), "on", "1100ms", "2200ms", "3300ms")
		wantSettings(t, when+"at COMMIT", lastSeen(t, s, "committed"), "on", "1100ms", "0", "3300ms")
		wantSettings(t, when+"behind it", leftOver(t, s), "on", "0", "0", "0")
	}
}

// TestATransactionThatIsNotCommittedKeepsItsConnection: it is rolled back, and
// not left to the end of its connection, of which each costs a new one.
func TestATransactionThatIsNotCommittedKeepsItsConnection(t *testing.T) {
	s := openStore(t, onOneConnection(t))
	noError(t, put(s, "a", 1))
	before := s.writers.Stat().NewConnsCount()
	errOwn := errors.New("the caller's own")
	for what, c := range map[string]struct {
		name string
		err  error
		want any
	}{
		"an error": {"a", errOwn, nil}, "nothing": {"a", nil, nil}, "nothing with an absent key": {"b", nil, nil}, "a panic": {"a", nil, "panic"},
	} {
		func() {
			defer func() {
				if got := recover(); got != c.want {
					t.Errorf("%s: panic %v", what, got)
				}
			}()
			err := s.Update(t.Context(), []*statestore.Entry{writing(c.name)}, func(rules.Instant) (statestore.Durability, error) {
				if c.want != nil {
					panic(c.want)
				}
				return statestore.Durable, c.err
			})
			if !errors.Is(err, c.err) {
				t.Errorf("%s: %v", what, err)
			}
		}()
		noError(t, put(s, "a", 1))
	}
	if made := s.writers.Stat().NewConnsCount() - before; made != 0 {
		t.Errorf("%d connections were made anew", made)
	}
}

// TestACallerThatGoesAwayDuringCommit gets the server's answer all the same:
// nobody would know otherwise what became of the transaction.
func TestACallerThatGoesAwayDuringCommit(t *testing.T) {
	s := newStore(t)
	noError(t, put(s, "a", 1))
	const lock = "4711"
	fill := strings.NewReplacer("{wait}", inSchema(s.cfg.Schema, "wait"), "{operations}", inSchema(s.cfg.Schema, "records_operations"))
	execute(t, shared, sharedDSN, fill.Replace(`CREATE FUNCTION {wait}() RETURNS trigger LANGUAGE plpgsql AS
		'BEGIN PERFORM pg_advisory_xact_lock(`+lock+`); RETURN NULL; END';
		CREATE CONSTRAINT TRIGGER waits AFTER UPDATE ON {operations} DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION {wait}()`))
	conn, err := pgx.Connect(t.Context(), sharedDSN)
	noError(t, err)
	t.Cleanup(func() { noError(t, conn.Close(context.Background())) })
	hold := func(how string) {
		_, err := conn.Exec(t.Context(), "SELECT pg_advisory_"+how+"("+lock+")")
		noError(t, err)
	}
	hold("lock")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error, 1)
	go func() {
		e := writing("a")
		done <- s.Update(ctx, []*statestore.Entry{e}, func(rules.Instant) (statestore.Durability, error) {
			e.Put(&note{N: 2})
			return statestore.Durable, nil
		})
	}()
	eventually(t, 5*time.Second, "COMMIT waits", func() bool { return lockWaits(t) })
	cancel()
	hold("unlock")
	noError(t, <-done)
	if n := number(t, s, "a"); n != 2 {
		t.Errorf("N = %d", n)
	}
}
