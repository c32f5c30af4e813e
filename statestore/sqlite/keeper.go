// SPDX-License-Identifier: Apache-2.0

package sqlite

import (
	"context"
	"database/sql/driver"
	"errors"
	"os"
	"sync"
	"time"

	"github.com/resilienced/resilienced/statestore"
)

const (
	// flushAfter is how long a change that does not wait for the disk may be
	// missing there.
	flushAfter = 500 * time.Millisecond
	// moveAfter is after how many changes the log's pages are moved.
	moveAfter = 4096
	// fullLog is how many pages the log has before it is started again, which
	// keeps a transaction waiting. With 4 KiB a page it is what
	// journal_size_limit says.
	fullLog = 16384
	// shortRest is how many pages of the log may be moved while a transaction
	// waits, and moveRounds how often the keeper tries to get there.
	shortRest  = 256
	moveRounds = 4
)

// keeper is the goroutine that brings commits to the disk which did not wait
// for it, and that moves the log's pages into the file.
type keeper struct {
	conn *conn
	// file is the database file, to wait for the disk without SQLite. It stays
	// open as long as a connection does: closing it gives up the locks that the
	// process has on the file.
	file *os.File
	// long is how many pages the log has before it is started again.
	long int64
	// flush fires when the log must reach the disk.
	flush *time.Timer
	// full is told that the log has pages to move.
	full chan struct{}

	once sync.Once
	stop context.CancelFunc
	done chan struct{}
}

func openKeeper(ctx context.Context, path string) (*keeper, error) {
	c, err := openConn(ctx, path, busyTimeout, "PRAGMA wal_autocheckpoint=0", "PRAGMA synchronous=FULL")
	if err != nil {
		return nil, err
	}
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, errors.Join(err, c.close())
	}
	flush := time.NewTimer(time.Hour)
	flush.Stop()
	return &keeper{conn: c, file: file, long: fullLog, flush: flush, full: make(chan struct{}, 1), done: make(chan struct{})}, nil
}

// halt ends the goroutine and waits for it. It returns false if it was halted
// before.
func (k *keeper) halt() (first bool) {
	k.once.Do(func() {
		k.stop()
		<-k.done
		first = true
	})
	return first
}

// keep runs until the context ends.
func (s *Store) keep(ctx context.Context) {
	defer close(s.keeper.done)
	defer s.keeper.flush.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.keeper.flush.C:
			s.flush(ctx)
		case <-s.keeper.full:
			s.empty(ctx)
		}
	}
}

// logged is called by the lane's holder after a commit of n changes.
func (s *Store) logged(n int, d statestore.Durability) {
	if d != statestore.Durable && !s.flushing {
		s.flushing = true
		s.keeper.flush.Reset(flushAfter)
	}
	if s.logLength += 1 + n; s.logLength < moveAfter {
		return
	}
	s.logLength = 0
	select {
	case s.keeper.full <- struct{}{}:
	default:
	}
}

// flush brings to the disk what did not wait for it, unless a durable commit
// has done so meanwhile.
func (s *Store) flush(ctx context.Context) {
	if s.enter(ctx, s.lane) != nil {
		return
	}
	defer func() { <-s.lane }()
	s.flushing = false
	if !s.writer.unsynced {
		return
	}
	if err := s.writer.apply(nil, nil, s.clock.Now(), statestore.Durable); err != nil {
		s.endIf(err)
		s.flushing = true
		s.keeper.flush.Reset(flushAfter)
	}
}

// empty moves the log's pages into the file, beside transactions. If the log is
// long it is started again.
func (s *Store) empty(ctx context.Context) {
	before := int64(0)
	for range moveRounds {
		pages, moved, err := s.keeper.move()
		if err != nil || ctx.Err() != nil {
			s.endIf(err)
			return
		}
		if moved-before < shortRest {
			if pages >= s.keeper.long {
				s.restart(ctx)
			}
			return
		}
		before = moved
	}
	s.restart(ctx) // it grows as fast as its pages are moved
}

// restart moves the last pages of the log, so that the writer begins it from
// the start. Transactions wait for those and for the disk to have them; what
// was moved before, the disk has before.
func (s *Store) restart(ctx context.Context) {
	if err := s.keeper.file.Sync(); err != nil {
		s.end(err)
		return
	}
	if s.enter(ctx, s.lane) != nil {
		return
	}
	defer func() { <-s.lane }()
	_, _, err := s.keeper.move()
	s.endIf(err)
}

// move moves what the log has now. It returns how many pages the log has, and
// how many of them have been moved since it was started.
func (k *keeper) move() (pages, moved int64, err error) {
	err = k.conn.query("PRAGMA wal_checkpoint(PASSIVE)", func(row []driver.Value) error {
		pages, _ = row[1].(int64)
		moved, _ = row[2].(int64)
		return nil
	})
	return pages, moved, err
}

// endIf ends the store if an error of the write path leaves the file in doubt.
func (s *Store) endIf(err error) {
	if err != nil && stops(err) {
		s.end(err)
	}
}
