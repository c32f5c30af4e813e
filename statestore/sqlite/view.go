// SPDX-License-Identifier: Apache-2.0

package sqlite

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/resilienced/resilienced/rules"
	"github.com/resilienced/resilienced/statestore"
)

// View is a database that is only read. It holds the lock, so no store has the
// file open at the same time, and it changes nothing: not the schema, not the
// floor of time, and not even the log of a store that was killed. All methods
// may be called from many goroutines.
type View struct {
	store           *Store
	version, latest int
	floor           rules.Instant
	index           string // a file that SQLite made to read the log, or ""
}

// OpenView opens the database at cfg.Path, of which only Path and Codec
// matter. It returns fs.ErrNotExist and ErrNotADatabase if there is none, and
// otherwise the errors of Open.
func OpenView(ctx context.Context, cfg Config) (*View, error) {
	path, err := locate(cfg.Path)
	if err == nil {
		err = readable(path)
	}
	if err != nil {
		return nil, translate("open "+cfg.Path, err)
	}
	lock, err := lockFile(path)
	if err != nil {
		return nil, translate("open "+path, err)
	}
	s := &Store{path: path, codec: cfg.Codec, cache: newCache(0), lock: lock, desk: make(chan struct{}, 1)}
	v := &View{store: s}
	if err := v.open(ctx); err != nil {
		return nil, translate("open "+path, errors.Join(err, v.release()))
	}
	return v, nil
}

// readable refuses what is no file before a lock is made beside it.
func readable(path string) error {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%w: %w; give the path of a database", statestore.ErrNotADatabase, err)
	case err != nil:
		return err
	case !info.Mode().IsRegular():
		return fmt.Errorf("%w: %s is not a regular file", statestore.ErrNotADatabase, path)
	}
	return nil
}

func (v *View) open(ctx context.Context) error {
	v.latest = LatestSchema()
	source, err := v.readOnly()
	if err != nil {
		return err
	}
	c, err := openSource(ctx, source, busyTimeout, "PRAGMA query_only=ON", "PRAGMA trusted_schema=OFF")
	if err != nil {
		return err
	}
	if v.version, err = identify(c, v.latest); err == nil && v.version == v.latest {
		err = v.look(c)
	}
	if err := errors.Join(err, c.close()); err != nil {
		return err
	}
	if v.version != v.latest {
		v.store.end(fmt.Errorf("it has schema %d and this version reads %d; bring it up with: resilienced store migrate", v.version, v.latest))
		return nil
	}
	v.store.reader, err = openReader(ctx, source)
	return err
}

// look reads what a store knows of its file.
func (v *View) look(c *conn) error {
	floor, err := c.number("SELECT value FROM meta WHERE name='floor'")
	if err != nil {
		return err
	}
	v.floor = rules.Instant(floor)
	return v.store.readCounts(c)
}

// readOnly names the file so that SQLite writes neither to it nor to its log.
// Where there is no log nothing else is needed beside it; the lock says that
// nobody makes one meanwhile.
func (v *View) readOnly() (string, error) {
	path := v.store.path
	info, err := os.Stat(path + "-wal")
	if errors.Is(err, fs.ErrNotExist) || err == nil && info.Size() == 0 {
		return dataSource(path) + "?immutable=1", nil
	}
	if _, err := os.Stat(path + "-shm"); errors.Is(err, fs.ErrNotExist) {
		v.index = path + "-shm"
	}
	return dataSource(path) + "?mode=ro", err
}

// LatestSchema is the version of the schema that this program reads and writes.
func LatestSchema() int {
	names, _ := migrationNames() // the pattern is good and the files are in the program
	return len(names)
}

// Path returns the absolute path of the file, with links followed.
func (v *View) Path() string { return v.store.path }

// Schema returns the version of the database's schema and the one that this
// program reads. Where they differ, reading returns ErrUnavailable; 0 is an
// empty file.
func (v *View) Schema() (version, latest int) { return v.version, v.latest }

// Damage reads the whole file through, with its indexes, and returns what is
// wrong with it, a line each. It does not look into records; List does.
func (v *View) Damage(ctx context.Context) ([]string, error) {
	if err := v.store.enter(ctx, v.store.desk); err != nil {
		return nil, err
	}
	defer func() { <-v.store.desk }()
	var lines []string
	err := v.store.reader.query("PRAGMA integrity_check(100)", func(row []driver.Value) error {
		if text, _ := row[0].(string); text != "ok" {
			lines = append(lines, text)
		}
		return nil
	})
	return lines, translate("read "+v.store.path, err)
}

// Get returns the record of a key, or nil, and the store's time.
func (v *View) Get(ctx context.Context, key statestore.Key) (statestore.Record, rules.Instant, error) {
	r, _, err := v.store.Get(ctx, key)
	return r, v.floor, err
}

// List returns a page of records, as statestore.Store does.
func (v *View) List(ctx context.Context, q statestore.Query) (statestore.Page, error) {
	page, err := v.store.List(ctx, q)
	page.Now = v.floor
	return page, err
}

// Count returns how many records of a kind a namespace has.
func (v *View) Count(ctx context.Context, kind statestore.Kind, namespace string) (int, error) {
	return v.store.Count(ctx, kind, namespace)
}

// Namespaces returns the names of all namespaces that have a record, sorted.
func (v *View) Namespaces(ctx context.Context) ([]string, error) { return v.store.Namespaces(ctx) }

// Now returns the floor of the store's time: no record tells a later one.
func (v *View) Now(context.Context) (rules.Instant, error) { return v.floor, nil }

// Close gives the file back. No call may follow it.
func (v *View) Close() error {
	v.store.desk <- struct{}{}
	defer func() { <-v.store.desk }()
	v.store.end(errClosed)
	return translate("close "+v.store.path, v.release())
}

// release closes what is open. The index of the log goes while the lock is
// still held, since a store that comes next makes its own.
func (v *View) release() error {
	s := v.store
	var err error
	if s.reader != nil {
		err = s.reader.close()
	}
	if v.index != "" {
		if gone := os.Remove(v.index); !errors.Is(gone, fs.ErrNotExist) {
			err = errors.Join(err, gone)
		}
	}
	return errors.Join(err, s.lock.Close())
}
