// SPDX-License-Identifier: Apache-2.0

package sqlite

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net/url"
	"path/filepath"
	"strings"

	"modernc.org/sqlite"
)

// conn is one connection to the database file. One goroutine uses it at a
// time. Its calls take no context: a statement here is short, and one that
// was cut off would leave a transaction in doubt.
type conn struct {
	driver driver.Conn
	stmts  []*stmt
	ctx    context.Context //nolint:containedctx // never ends: the driver asks for one
}

// openConn opens a connection and runs the statements that set it up.
func openConn(ctx context.Context, path string, setup ...string) (*conn, error) {
	return openSource(ctx, dataSource(path), setup...)
}

func openSource(ctx context.Context, source string, setup ...string) (*conn, error) {
	d := &sqlite.Driver{}
	dc, err := d.Open(source)
	if err != nil {
		return nil, err
	}
	c := &conn{driver: dc, ctx: context.WithoutCancel(ctx)}
	for _, sql := range setup {
		if err := c.exec(sql); err != nil {
			return nil, errors.Join(fmt.Errorf("%s: %w", sql, err), c.close())
		}
	}
	return c, nil
}

// dataSource names a file so that no character of its path means anything.
func dataSource(path string) string {
	slashed := filepath.ToSlash(path)
	if !strings.HasPrefix(slashed, "/") {
		slashed = "/" + slashed
	}
	u := url.URL{Path: slashed}
	return "file://" + u.EscapedPath()
}

// exec runs a statement whose rows do not matter.
func (c *conn) exec(sql string) error {
	_, err := c.driver.(driver.ExecerContext).ExecContext(c.ctx, sql, nil)
	return err
}

// query returns the rows of a statement that is run once.
func (c *conn) query(sql string, yield func(row []driver.Value) error) error {
	rows, err := c.driver.(driver.QueryerContext).QueryContext(c.ctx, sql, nil)
	if err != nil {
		return err
	}
	return drain(rows, make([]driver.Value, len(rows.Columns())), yield)
}

// number returns the number in the first row of a statement that is run once.
func (c *conn) number(sql string) (int64, error) {
	var n int64
	err := c.query(sql, func(row []driver.Value) error {
		n, _ = row[0].(int64)
		return nil
	})
	return n, err
}

// prepare compiles a statement that close will free.
func (c *conn) prepare(sql string) (*stmt, error) {
	ds, err := c.driver.(driver.ConnPrepareContext).PrepareContext(c.ctx, sql)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", sql, err)
	}
	s := &stmt{conn: c, driver: ds}
	c.stmts = append(c.stmts, s)
	return s, nil
}

// prepareAll compiles several statements into their places.
func (c *conn) prepareAll(sql map[**stmt]string) error {
	for place, text := range sql {
		s, err := c.prepare(text)
		if err != nil {
			return err
		}
		*place = s
	}
	return nil
}

func (c *conn) close() error {
	var errs []error
	for _, s := range c.stmts {
		errs = append(errs, s.driver.Close())
	}
	return errors.Join(append(errs, c.driver.Close())...)
}

// stmt is a prepared statement. Its scratch is used again by each call.
type stmt struct {
	conn   *conn
	driver driver.Stmt
	args   []driver.NamedValue
	row    []driver.Value
}

func (s *stmt) bind(args []driver.Value) []driver.NamedValue {
	s.args = s.args[:0]
	for i, v := range args {
		s.args = append(s.args, driver.NamedValue{Ordinal: i + 1, Value: v})
	}
	return s.args
}

// run executes the statement.
func (s *stmt) run(args ...driver.Value) (driver.Result, error) {
	res, err := s.driver.(driver.StmtExecContext).ExecContext(s.conn.ctx, s.bind(args))
	clear(s.args)
	return res, err
}

// one executes the statement, which must change exactly one row: any other
// number means that the table and its index disagree.
func (s *stmt) one(args ...driver.Value) error {
	res, err := s.run(args...)
	if err != nil {
		return err
	}
	n, err := res.RowsAffected()
	if err != nil {
		return err
	}
	if n != 1 {
		return fmt.Errorf("%w: %d rows changed where there is one", errDamaged, n)
	}
	return nil
}

// rows gives yield each row. The row is valid until yield returns.
func (s *stmt) rows(yield func(row []driver.Value) error, args ...driver.Value) error {
	rows, err := s.driver.(driver.StmtQueryContext).QueryContext(s.conn.ctx, s.bind(args))
	clear(s.args)
	if err != nil {
		return err
	}
	if s.row == nil {
		s.row = make([]driver.Value, len(rows.Columns()))
	}
	return drain(rows, s.row, yield)
}

func drain(rows driver.Rows, row []driver.Value, yield func(row []driver.Value) error) error {
	for {
		err := rows.Next(row)
		if err == nil {
			err = yield(row)
		}
		if errors.Is(err, io.EOF) {
			return rows.Close()
		}
		if err != nil {
			return errors.Join(err, rows.Close())
		}
	}
}
