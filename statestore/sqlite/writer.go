// SPDX-License-Identifier: Apache-2.0

package sqlite

import (
	"database/sql/driver"
	"errors"
	"fmt"
	"time"

	"github.com/resilienced/resilienced/rules"
	"github.com/resilienced/resilienced/statestore"
)

// floorStep is how far ahead of the clock the stored floor is written, and so
// how often at most it is written.
const floorStep = time.Second

// writer is the connection that transactions run on. Whoever holds the lane
// uses it.
type writer struct {
	*conn
	begin, commit, version                   *stmt
	load, insert, body, bodyDue, all, remove *stmt
	setCount, dropCount, setFloor            *stmt

	// level is what PRAGMA synchronous is set to.
	level statestore.Durability
	// seen is SQLite's data_version: it changes when another program writes.
	seen int64
	// floor is what the file has: later than every instant of a commit.
	floor rules.Instant
	// unsynced is set while the log holds a commit that did not wait for the
	// disk.
	unsynced bool
}

// change is one record that a transaction writes.
type change struct {
	key    statestore.Key
	old    *slot             // nil: there is no row
	record statestore.Record // nil: the row goes
	row    statestore.Columns
	id     int64 // of the row that was inserted
}

// newWriter prepares the statements of a connection whose schema is there.
func newWriter(c *conn) (*writer, error) {
	w := &writer{conn: c, level: statestore.Durable}
	err := c.prepareAll(map[**stmt]string{
		&w.begin:     "BEGIN IMMEDIATE",
		&w.commit:    "COMMIT",
		&w.version:   "PRAGMA data_version",
		&w.load:      "SELECT id, ord, due, body FROM records WHERE kind=?1 AND namespace=?2 AND name=?3",
		&w.insert:    "INSERT INTO records (kind, namespace, name, ord, due, body) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
		&w.body:      "UPDATE records SET body=?2 WHERE id=?1",
		&w.bodyDue:   "UPDATE records SET body=?2, due=?3 WHERE id=?1",
		&w.all:       "UPDATE records SET body=?2, due=?3, ord=?4 WHERE id=?1",
		&w.remove:    "DELETE FROM records WHERE id=?1",
		&w.setCount:  "INSERT INTO counts (kind, namespace, records) VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET records=excluded.records",
		&w.dropCount: "DELETE FROM counts WHERE kind=?1 AND namespace=?2",
		&w.setFloor:  "UPDATE meta SET value=?1 WHERE name='floor'",
	})
	if err != nil {
		return nil, err
	}
	if w.seen, err = w.dataVersion(); err != nil {
		return nil, err
	}
	floor, err := c.number("SELECT value FROM meta WHERE name='floor'")
	w.floor = rules.Instant(floor)
	return w, err
}

func (w *writer) dataVersion() (n int64, err error) {
	err = w.version.rows(func(row []driver.Value) error {
		n, _ = row[0].(int64)
		return nil
	})
	return n, err
}

// read returns the slot of a key's row, or nil.
func (w *writer) read(codec *statestore.Codec, key statestore.Key) (found *slot, err error) {
	err = w.load.rows(func(row []driver.Value) error {
		r, err := decodeRow(codec, key, row[1], row[2], row[3])
		if err != nil {
			return err
		}
		id, _ := row[0].(int64)
		found = &slot{key: key, id: id, record: r}
		return nil
	}, int64(key.Kind), key.Namespace, key.Name)
	return found, err
}

// apply writes the changes in one transaction. counts are the new numbers of
// the families that change. It returns commitError if the COMMIT itself failed.
//
// A durable transaction brings to the disk what was committed before it too,
// since both are in one log. But SQLite writes nothing, and waits for nothing,
// when the new rows are the same as the old ones; so if something is not on
// the disk yet, the floor is raised along.
func (w *writer) apply(changes []change, counts map[familyKey]int, now rules.Instant, d statestore.Durability) error {
	if answersEarly {
		return w.applyEarly(changes, counts, now)
	}
	if err := w.setLevel(d); err != nil {
		return err
	}
	if _, err := w.begin.run(); err != nil {
		return err
	}
	floor := w.floor
	err := w.writeAll(changes, counts)
	if err == nil && (now >= floor || w.unsynced && d == statestore.Durable) {
		err = w.raiseFloor(now)
	}
	if err == nil {
		if _, err = w.commit.run(); err == nil {
			w.unsynced = d != statestore.Durable
			return nil
		}
		err = commitError{err}
	}
	w.floor = floor
	if back := rollback(w.conn); back != nil {
		return errors.Join(err, fmt.Errorf("roll back: %w", back))
	}
	return err
}

// commitError is an error of COMMIT.
type commitError struct{ error }

func (e commitError) Unwrap() error { return e.error }

func (w *writer) writeAll(changes []change, counts map[familyKey]int) error {
	if n, err := w.dataVersion(); err != nil {
		return err
	} else if n != w.seen {
		return errForeign
	}
	for i := range changes {
		if err := w.write(&changes[i]); err != nil {
			return err
		}
	}
	for key, n := range counts {
		if err := w.writeCount(key, n); err != nil {
			return err
		}
	}
	return nil
}

func (w *writer) write(ch *change) error {
	if ch.old == nil {
		res, err := w.insert.run(int64(ch.key.Kind), ch.key.Namespace, ch.key.Name, value(ch.row.Ord), value(ch.row.Due), ch.row.Body)
		if err != nil {
			return err
		}
		ch.id, err = res.LastInsertId()
		return err
	}
	if ch.record == nil {
		return w.remove.one(ch.old.id)
	}
	// A column that stays is left alone: writing it moves its index entry.
	ord, due := statestore.SortColumns(ch.old.record)
	switch {
	case ord != ch.row.Ord:
		return w.all.one(ch.old.id, ch.row.Body, value(ch.row.Due), value(ch.row.Ord))
	case due != ch.row.Due:
		return w.bodyDue.one(ch.old.id, ch.row.Body, value(ch.row.Due))
	default:
		return w.body.one(ch.old.id, ch.row.Body)
	}
}

func (w *writer) writeCount(key familyKey, n int) error {
	if n == 0 {
		return w.dropCount.one(int64(key.kind), key.namespace)
	}
	_, err := w.setCount.run(int64(key.kind), key.namespace, int64(n))
	return err
}

// raiseFloor writes the floor ahead of the clock.
func (w *writer) raiseFloor(now rules.Instant) error {
	w.floor = max(now.Add(floorStep), w.floor+1)
	return w.setFloor.one(int64(w.floor))
}

// setLevel switches between waiting for the disk and not doing so.
func (w *writer) setLevel(d statestore.Durability) error {
	if d == w.level {
		return nil
	}
	sql := "PRAGMA synchronous=NORMAL"
	if d == statestore.Durable {
		sql = "PRAGMA synchronous=FULL"
	}
	if err := w.exec(sql); err != nil {
		return err
	}
	w.level = d
	return nil
}
