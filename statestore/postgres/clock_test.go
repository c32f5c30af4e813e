// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"errors"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/resilienced/resilienced/rules"
	"github.com/resilienced/resilienced/statestore"
	"github.com/resilienced/resilienced/test/pgserver"
)

// at is a reading of the clock so long after the start of a test.
func at(d time.Duration) reading {
	return reading{clock: int64(rules.Instant(1_700_000_000_000_000).Add(d))}
}

func TestTimeNeverGoesBackAndLeapsOnlyWhenConfirmed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var k timekeeper
		told := func(r reading, want time.Duration, believed bool) {
			t.Helper()
			now, ok := k.tell(r)
			if ok != believed || ok && now != rules.Instant(at(want).clock) {
				t.Fatalf("told %v, %v; want %v, %v", now, ok, rules.Instant(at(want).clock), believed)
			}
		}
		told(at(0), 0, true)
		told(at(-time.Hour), 0, true) // behind: it stands still
		told(at(time.Second), time.Second, true)
		told(at(leap+time.Second), leap+time.Second, true)
		told(at(3*leap), 0, false)
		told(at(2*leap), 2*leap, true) // a refused one leaves no trace
		time.Sleep(time.Hour)
		told(at(time.Hour+2*leap), time.Hour+2*leap, true)
		far := at(48 * time.Hour)
		told(far, 0, false)
		k.accept(far)
		told(far, 48*time.Hour, true)
		told(at(0), 48*time.Hour, true)
		floor := at(0)
		floor.floor = at(48*time.Hour + time.Second).clock
		told(floor, 48*time.Hour+time.Second, true)
	})
}

func TestTheFloorIsRaised(t *testing.T) {
	cfg := newConfig(t)
	s := openStore(t, cfg)
	before := readClock(t, s).floor
	if before == 0 {
		t.Fatal("Open has not raised the floor")
	}
	eventually(t, 10*time.Second, "the floor is raised", func() bool {
		noError(t, put(s, "a", 1))
		return readClock(t, s).floor > before
	})
	// A server whose clock is behind goes on from the floor.
	ahead := time.Now().Add(5 * time.Second).UnixMicro()
	execute(t, shared, sharedDSN, "UPDATE "+inSchema(cfg.Schema, "clock")+" SET floor = "+strconv.FormatInt(ahead, 10))
	now, err := openStore(t, cfg).Now(t.Context())
	noError(t, err)
	if now < rules.Instant(ahead) {
		t.Errorf("time is %d, before the floor %d", now, ahead)
	}
}

func TestTheFloorIsNeverLowered(t *testing.T) {
	s := newStore(t)
	noError(t, s.writeFloor(t.Context(), rules.At(time.Now().Add(time.Hour)), "on"))
	before := readClock(t, s).floor
	noError(t, s.writeFloor(t.Context(), rules.At(time.Now()), "on"))
	if after := readClock(t, s).floor; after != before {
		t.Errorf("the floor went from %d to %d", before, after)
	}
}

// TestWhatIsNotBelieved: a reading of a server that must not be used, or of a
// clock that a second connection does not confirm, is nobody's time.
func TestWhatIsNotBelieved(t *testing.T) {
	s := newStore(t)
	good := readClock(t, s)
	if _, err := s.believe(t.Context(), good); err != nil {
		t.Fatal(err)
	}
	standby, replaced, ahead := good, good, good
	standby.standby, standby.timeline = true, ""
	replaced.timeline = "00000000"
	ahead.clock += time.Hour.Microseconds()
	for name, c := range map[string]struct {
		r    reading
		want error
	}{
		"a standby": {standby, errFenced}, "a primary that was replaced": {replaced, errFenced}, "a clock that is far ahead": {ahead, errLeap},
	} {
		if now, err := s.believe(t.Context(), c.r); !errors.Is(err, c.want) {
			t.Errorf("%s: %d, %v; want %v", name, now, err, c.want)
		}
	}
	if now := s.time.latest(); now >= rules.Instant(ahead.clock) {
		t.Errorf("a reading that was refused has moved the time to %d", now)
	}
}

// TestTimeIsReadBehindTheLock: who has waited for a lock decides at a time no
// earlier than that at which the lock was given. Two stores, since one alone
// tells no time earlier than it told before.
func TestTimeIsReadBehindTheLock(t *testing.T) {
	cfg := newConfig(t)
	holder, waiter := openStore(t, cfg), openStore(t, cfg)
	noError(t, put(holder, "a", 1))
	inside, leave := make(chan struct{}), make(chan struct{})
	var group sync.WaitGroup
	group.Go(func() { noErrorIn(t, holdInside(holder, "a", inside, leave)) })
	<-inside
	var told rules.Instant
	group.Go(func() {
		e := writing("a")
		noErrorIn(t, waiter.Update(t.Context(), []*statestore.Entry{e}, func(now rules.Instant) (statestore.Durability, error) {
			told = now
			return statestore.Durable, nil
		}))
	})
	eventually(t, 5*time.Second, "somebody waits for the lock", func() bool { return lockWaits(t) })
	given := readClock(t, holder).clock
	close(leave)
	group.Wait()
	if told < rules.Instant(given) {
		t.Errorf("it decides at %d, %v before the lock was given", told, rules.Instant(given).Sub(told))
	}
}

// TestTimeIsReadBehindTheRows: a read tells a time no earlier than that of any
// record in it, also of one that another process wrote meanwhile.
func TestTimeIsReadBehindTheRows(t *testing.T) {
	s := newStore(t)
	noError(t, put(s, "a", 1))
	number(t, s, "a") // prepares the statement, which would wait by itself
	conn, err := pgx.Connect(t.Context(), sharedDSN)
	noError(t, err)
	defer func() { noError(t, conn.Close(t.Context())) }()
	var server int64
	read := make(chan rules.Instant, 1)
	noError(t, pgx.BeginFunc(t.Context(), conn, func(tx pgx.Tx) error {
		_, err := tx.Exec(t.Context(), "LOCK TABLE "+inSchema(s.cfg.Schema, "records")+" IN ACCESS EXCLUSIVE MODE")
		noError(t, err)
		go func() {
			_, now, err := s.Get(t.Context(), noteKey("a"))
			noErrorIn(t, err)
			read <- now
		}()
		eventually(t, 5*time.Second, "the read waits", func() bool { return lockWaits(t) })
		return tx.QueryRow(t.Context(), "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint").Scan(&server)
	}))
	if now := <-read; now < rules.Instant(server) {
		t.Errorf("the read tells a time %v before it had its rows", rules.Instant(server).Sub(now))
	}
}

// TestTheServersClockIsMoved forward and back under a store that works.
func TestTheServersClockIsMoved(t *testing.T) {
	server := start(t, pgserver.Options{Faketime: "+0s"})
	dsn, err := server.NewDatabase(t.Context())
	noError(t, err)
	s := openStore(t, Config{DSN: dsn, Codec: testCodec(t)})
	now := func() rules.Instant {
		noError(t, put(s, "a", 1))
		n, err := s.Now(t.Context())
		noError(t, err)
		return n
	}
	first := now()
	noError(t, server.SetFaketime("+1h"))
	var leapt rules.Instant
	eventually(t, 20*time.Second, "the clock has leapt", func() bool {
		leapt = now()
		return leapt.Sub(first) > 50*time.Minute
	})
	noError(t, server.SetFaketime("-1h"))
	for range 20 {
		if n := now(); n < leapt {
			t.Fatalf("time went back by %v", leapt.Sub(n))
		}
		time.Sleep(20 * time.Millisecond)
	}
}
