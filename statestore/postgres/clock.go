// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/resilienced/resilienced/rules"
)

const (
	// floorStep is how often the floor is raised, at most.
	floorStep = time.Second
	// leap is how far ahead of this process's monotonic clock a reading may be
	// without a second connection that says the same.
	leap = 10 * time.Second
)

// reading is what the clock statement tells.
type reading struct {
	clock, floor int64
	standby      bool
	timeline     string
	weakSync     bool
}

// columns are where the columns of the clock go.
func (r *reading) columns() []any {
	return []any{&r.clock, &r.floor, &r.standby, &r.timeline, &r.weakSync}
}

func (r *reading) scan(row pgx.Row) error { return row.Scan(r.columns()...) }

// timekeeper turns readings into the store's time: never earlier than the
// floor in the database or than what this process has told already.
type timekeeper struct {
	mu   sync.Mutex
	last rules.Instant // the latest time told
	base rules.Instant // a reading that is believed
	at   time.Time     // when it was read, with the monotonic clock
}

// errLeap: a reading is too far ahead to be believed at once.
var errLeap = errors.New("the server's clock has leapt ahead")

// tell returns the store's time for a reading. It returns false, and the time
// that the reading claims, if that is too far ahead to be believed at once.
func (k *timekeeper) tell(r reading) (rules.Instant, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	now, at := max(rules.Instant(r.clock), rules.Instant(r.floor)), time.Now()
	if !k.at.IsZero() && now.Sub(k.base) > at.Sub(k.at)+leap {
		return now, false
	}
	if k.at.IsZero() || now > k.base {
		k.base, k.at = now, at
	}
	k.last = max(k.last, now)
	return k.last, true
}

// accept believes a reading that two connections have told.
func (k *timekeeper) accept(r reading) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.base, k.at = max(rules.Instant(r.clock), rules.Instant(r.floor)), time.Now()
}

// latest returns the latest time told.
func (k *timekeeper) latest() rules.Instant {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.last
}

// keep raises the floor once a second while time was told, so that a database
// that takes over with a slower clock does not go back. It is not part of any
// decision and nobody waits for it.
func (s *Store) keep(ctx context.Context) {
	tick := time.NewTicker(floorStep)
	defer tick.Stop()
	raised := rules.Instant(0)
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now := s.time.latest()
		if now.Sub(raised) < floorStep || s.gate.shut() != nil {
			continue
		}
		if err := s.writeFloor(ctx, now, "off"); err != nil {
			s.cfg.Logger.DebugContext(ctx, "the floor of the store's time was not raised", "error", err)
			continue
		}
		raised = now
	}
}

// writeFloor raises the floor in a transaction of its own.
func (s *Store) writeFloor(ctx context.Context, floor rules.Instant, sync string) error {
	pooled, err := s.take(ctx, s.writers)
	if err != nil {
		return err
	}
	defer pooled.Release()
	conn := pooled.Conn()
	b := &pgx.Batch{}
	s.opens(b, s.sql.begin)
	b.Queue(s.sql.raiseFloor, int64(floor))
	b.Queue(s.sql.finishAs, sync)
	b.Queue(s.sql.commit)
	err = s.tripToCommit(ctx, conn, b)
	s.rollback(ctx, conn)
	return s.noticed(err)
}
