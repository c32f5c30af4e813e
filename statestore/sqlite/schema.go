// SPDX-License-Identifier: Apache-2.0

package sqlite

import (
	"database/sql/driver"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/resilienced/resilienced/statestore"
)

// applicationID marks a database as ours: "RSLD" in the file's header.
const applicationID = 0x52534c44

//go:embed migrations/*.sql
var migrations embed.FS

// identify refuses a file that is not ours or too new, before anything is
// written to it. It returns the schema version; 0 is an empty file.
func identify(c *conn, latest int) (version int, err error) {
	id, err := c.number("PRAGMA application_id")
	if err != nil {
		return 0, err
	}
	v, err := c.number("PRAGMA user_version")
	if err != nil {
		return 0, err
	}
	objects, err := c.number("SELECT count(*) FROM sqlite_schema")
	if err != nil {
		return 0, err
	}
	switch {
	case id == 0 && v == 0 && objects == 0:
		return 0, nil
	case id != applicationID:
		return 0, fmt.Errorf("%w: another application's data is in it; give another path", statestore.ErrNotADatabase)
	case v > int64(latest):
		return 0, fmt.Errorf("%w: it has schema %d and this version knows %d; run the newer version or restore a backup of before",
			statestore.ErrNewerSchema, v, latest)
	default:
		return int(v), nil
	}
}

// migrationNames returns the migrations in order: number n is at n-1.
func migrationNames() ([]string, error) {
	return fs.Glob(migrations, "migrations/*.sql")
}

// migrate brings the schema from version to the latest, each step in a
// transaction of its own with the number it leads to.
func migrate(c *conn, version int, names []string) error {
	for i, name := range names[min(version, len(names)):] {
		sql, err := fs.ReadFile(migrations, name)
		if err != nil {
			return err
		}
		step := fmt.Sprintf("BEGIN IMMEDIATE;\n%s\nPRAGMA application_id=%d;\nPRAGMA user_version=%d;\nCOMMIT;",
			sql, applicationID, version+i+1)
		if err := c.exec(step); err != nil {
			return errors.Join(fmt.Errorf("%s: %w", name, err), rollback(c))
		}
	}
	return nil
}

// rollback ends a transaction, if SQLite has not done so by itself.
func rollback(c *conn) error {
	err := c.exec("ROLLBACK")
	if resultCode(err) == noTransaction {
		return nil
	}
	return err
}

// check reads the file through, if it is not larger than limit. It also looks
// for each row in the indexes: without its entry a record would seem absent.
func check(c *conn, path string, limit int64) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if info.Size() > limit {
		return nil
	}
	return c.query("PRAGMA integrity_check(1)", func(row []driver.Value) error {
		if row[0] != "ok" {
			return fmt.Errorf("%w: %v", errDamaged, row[0])
		}
		return nil
	})
}
