// SPDX-License-Identifier: Apache-2.0

package direct

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"

	_ "modernc.org/sqlite" // the driver of the store

	"github.com/resilienced/resilienced/bench/load"
)

// Updates is a SQLite file with one row, kept as the store keeps its own: the
// same driver, a write-ahead log, synchronous=FULL. Its callers share one
// connection, since with more of them SQLite makes writers sleep and try again,
// which is slower. Close it.
type Updates struct {
	db     *sql.DB
	update *sql.Stmt
}

// rowSize is about that of a run's record, in bytes.
const rowSize = 300

// OpenUpdates makes the file in a folder.
func OpenUpdates(ctx context.Context, folder string) (*Updates, error) {
	u := url.URL{Path: filepath.ToSlash(filepath.Join(folder, "updates.db"))}
	db, err := sql.Open("sqlite", "file://"+u.EscapedPath()+"?_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)")
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	up := &Updates{db: db}
	for _, text := range []string{
		"CREATE TABLE hot (id INTEGER PRIMARY KEY, spent INTEGER NOT NULL, body BLOB NOT NULL)",
		"INSERT INTO hot (id, spent, body) VALUES (1, 0, zeroblob(0))",
	} {
		if _, err := db.ExecContext(ctx, text); err != nil {
			return nil, errors.Join(err, db.Close())
		}
	}
	up.update, err = db.PrepareContext(ctx, "UPDATE hot SET spent = spent + ?1, body = ?2 WHERE id = 1 AND spent + ?1 <= ?3")
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return up, nil
}

// Close closes the file.
func (u *Updates) Close() error { return errors.Join(u.update.Close(), u.db.Close()) }

// Callers are callers that each update the row, durably, one transaction an
// update.
func (u *Updates) Callers(int) load.Op {
	body := bytes.Repeat([]byte{'x'}, rowSize)
	return func(ctx context.Context, laps *load.Laps) error {
		res, err := u.update.ExecContext(ctx, Cost, body, Cap)
		laps.Lap()
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n != 1 {
			return errors.Join(err, fmt.Errorf("direct: the update changed %d rows", n))
		}
		return nil
	}
}
