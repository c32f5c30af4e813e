// SPDX-License-Identifier: Apache-2.0

package sqlite

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"github.com/resilienced/resilienced/rules"
	"github.com/resilienced/resilienced/statestore"
)

// Config says where the database is and how much memory it may take.
type Config struct {
	// Path of the database file. It is made if it does not exist; its folder
	// must exist, on a disk of this machine.
	Path string
	// Codec knows every kind of record that is put.
	Codec *statestore.Codec
	// CacheRecords is how many records are kept decoded. 0 means 200,000.
	CacheRecords int
	// MaxBytes is how large the file may become; Update then returns ErrFull.
	// 0 means as large as the disk. The write-ahead log comes on top.
	MaxBytes int64
	// CheckBytes is the size up to which Open reads the whole file to find
	// damage, which takes about a second for 64 MiB. 0 means 64 MiB, and less
	// than 0 never.
	CheckBytes int64
	// NotBefore is the earliest instant that the store's time may go on from;
	// 0: what the file and the wall clock say. It is for a copy of a store whose
	// records tell a later time.
	NotBefore rules.Instant
}

const (
	defaultCacheRecords = 200_000
	defaultCheckBytes   = 64 << 20

	// busyTimeout bounds the wait for a lock of another program, which may
	// read the file and hold a lock for a moment.
	busyTimeout = "PRAGMA busy_timeout=250"
)

// Store is a statestore.Store in a SQLite file. Open makes one.
type Store struct {
	path    string
	codec   *statestore.Codec
	clock   statestore.Clock
	cache   *cache
	commits atomic.Uint64
	// ended says why no call is served any more; nil while the store works.
	ended atomic.Pointer[error]
	lock  *os.File

	// lane is held by the one transaction, which uses what follows.
	lane      chan struct{}
	writer    *writer
	logLength int  // changes since the keeper was last told to empty the log
	flushing  bool // the keeper's timer runs

	// desk is held by the one read, which uses reader.
	desk   chan struct{}
	reader *reader

	keeper *keeper
}

var _ statestore.Store = (*Store)(nil)

// Open opens the database at cfg.Path and makes it if there is none. The store
// has the file for itself until Close.
//
// It returns ErrInUse if another process has it, ErrReadOnly if it or its
// folder cannot be written, ErrNotADatabase if it is something else or
// damaged, ErrNewerSchema if a newer version wrote it, ErrFull if there is no
// room, and ErrUnavailable for the rest. The error's text says what to do.
func Open(ctx context.Context, cfg Config) (*Store, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if cfg.Path == "" || cfg.Codec == nil {
		return nil, fmt.Errorf("%w: sqlite needs a path and a codec", statestore.ErrUnavailable)
	}
	path, err := locate(cfg.Path)
	if err != nil {
		return nil, translate("open "+cfg.Path, err)
	}
	lock, err := claim(path)
	if err != nil {
		return nil, translate("open "+path, err)
	}
	s := &Store{
		path:  path,
		codec: cfg.Codec,
		cache: newCache(orDefault(cfg.CacheRecords, defaultCacheRecords)),
		lock:  lock,
		lane:  make(chan struct{}, 1),
		desk:  make(chan struct{}, 1),
	}
	if err := s.open(ctx, cfg); err != nil {
		return nil, translate("open "+path, errors.Join(err, s.release()))
	}
	run, stop := context.WithCancel(context.WithoutCancel(ctx))
	s.keeper.stop = stop
	go s.keep(run)
	return s, nil
}

func orDefault[T int | int64](n, otherwise T) T {
	if n == 0 {
		return otherwise
	}
	return n
}

// open connects three times: to write, to read, and to move the log's pages
// into the file.
func (s *Store) open(ctx context.Context, cfg Config) error {
	first, err := openConn(ctx, s.path, busyTimeout, "PRAGMA trusted_schema=OFF", "PRAGMA cell_size_check=ON")
	if err != nil {
		return err
	}
	s.writer = &writer{conn: first}
	if err := prepareFile(first, s.path, cfg); err != nil {
		return err
	}
	if s.writer, err = newWriter(first); err != nil {
		s.writer = &writer{conn: first}
		return err
	}
	if err := s.readCounts(first); err != nil {
		return err
	}
	start := startOf(s.writer.floor, rules.At(time.Now()))
	s.clock = statestore.NewClock(max(start, cfg.NotBefore))
	// The first write shows whether the file can be written at all.
	if err := s.writer.apply(nil, nil, s.clock.Now(), statestore.Durable); err != nil {
		return err
	}
	if s.reader, err = openReader(ctx, dataSource(s.path)); err != nil {
		return err
	}
	s.keeper, err = openKeeper(ctx, s.path)
	return err
}

// prepareFile makes sure that the file is ours, whole and up to date.
func prepareFile(c *conn, path string, cfg Config) error {
	names, err := migrationNames()
	if err != nil {
		return err
	}
	version, err := identify(c, len(names))
	if err != nil {
		return err
	}
	if err := check(c, path, orDefault(cfg.CheckBytes, defaultCheckBytes)); err != nil {
		return err
	}
	if err := useLog(c); err != nil {
		return err
	}
	setup := []string{
		"PRAGMA wal_autocheckpoint=0",
		"PRAGMA journal_size_limit=67108864",
		"PRAGMA synchronous=FULL",
		"PRAGMA cache_size=-65536",
		"PRAGMA temp_store=MEMORY",
	}
	if cfg.MaxBytes > 0 {
		size, err := c.number("PRAGMA page_size")
		if err != nil {
			return err
		}
		setup = append(setup, fmt.Sprintf("PRAGMA max_page_count=%d", max(cfg.MaxBytes/size, 1)))
	}
	for _, sql := range setup {
		if err := c.exec(sql); err != nil {
			return fmt.Errorf("%s: %w", sql, err)
		}
	}
	return migrate(c, version, names)
}

// useLog turns the write-ahead log on.
func useLog(c *conn) error {
	mode := ""
	err := c.query("PRAGMA journal_mode=WAL", func(row []driver.Value) error {
		mode, _ = row[0].(string)
		return nil
	})
	if err == nil && mode != "wal" {
		return fmt.Errorf("%w: the file system cannot keep a write-ahead log; put the file on a local disk", statestore.ErrUnavailable)
	}
	return err
}

func (s *Store) readCounts(c *conn) error {
	return c.query("SELECT kind, namespace, records FROM counts", func(row []driver.Value) error {
		kind, _ := row[0].(int64)
		namespace, _ := row[1].(string)
		n, _ := row[2].(int64)
		s.cache.count(familyKey{statestore.Kind(kind), namespace}, int(n))
		return nil
	})
}

// Now implements statestore.Store.
func (s *Store) Now(ctx context.Context) (rules.Instant, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	if err := s.usable(); err != nil {
		return 0, err
	}
	return s.clock.Now(), nil
}

// Lanes implements statestore.Store. SQLite has one writer.
func (s *Store) Lanes() int { return 1 }

// Commits implements statestore.Store.
func (s *Store) Commits() uint64 { return s.commits.Load() }

// usable returns ErrUnavailable once the store has ended.
func (s *Store) usable() error {
	if why := s.ended.Load(); why != nil {
		return fmt.Errorf("%w: the store has ended: %w", statestore.ErrUnavailable, *why)
	}
	return nil
}

// end makes every later call fail with ErrUnavailable. The first reason stays.
func (s *Store) end(why error) { s.ended.CompareAndSwap(nil, &why) }

// errClosed is why a closed store is of no use.
var errClosed = errors.New("it was closed")

// enter takes lane or desk, unless the context or the store ends first.
func (s *Store) enter(ctx context.Context, place chan struct{}) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case place <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	if err := s.usable(); err != nil {
		<-place
		return err
	}
	return nil
}

// Close waits for the calls under way, writes what is not on the disk yet and
// gives the file back. Its error says that this failed; the store is closed
// all the same. A second Close does nothing.
func (s *Store) Close() error {
	if !s.keeper.halt() {
		return nil
	}
	s.lane <- struct{}{}
	s.desk <- struct{}{}
	defer func() { <-s.lane; <-s.desk }()
	var err error
	if s.usable() == nil {
		err = s.settle()
	}
	s.end(errClosed)
	return translate("close "+s.path, errors.Join(err, s.release()))
}

// settle writes the floor and moves the log into the file. The floor is ahead
// of the clock here too, since startOf takes off as much.
func (s *Store) settle() error {
	if err := s.writer.setLevel(statestore.Durable); err != nil {
		return err
	}
	if err := s.writer.raiseFloor(s.clock.Now()); err != nil {
		return err
	}
	return s.writer.exec("PRAGMA wal_checkpoint(TRUNCATE)")
}

// release closes what is open, the lock last.
func (s *Store) release() error {
	var errs []error
	if s.keeper != nil {
		errs = append(errs, s.keeper.conn.close())
	}
	if s.reader != nil {
		errs = append(errs, s.reader.close())
	}
	if s.writer != nil {
		errs = append(errs, s.writer.close())
	}
	if s.keeper != nil {
		errs = append(errs, s.keeper.file.Close()) // after the last connection
	}
	return errors.Join(append(errs, s.lock.Close())...)
}

// startOf is where time goes on after the file was opened. The floor is written
// ahead, so a crash leaves it up to floorStep in front of what was ever told;
// to start from there would end leases early.
func startOf(floor, wall rules.Instant) rules.Instant {
	if floor.Sub(wall) <= floorStep {
		return wall
	}
	return floor
}
