// SPDX-License-Identifier: Apache-2.0

package sqlite

import (
	"context"
	"database/sql/driver"
	"math"

	"github.com/resilienced/resilienced/rules"
	"github.com/resilienced/resilienced/statestore"
)

// reader is the connection that Get, List and Due run on, beside transactions.
// Whoever holds the desk uses it. Each call reads in one statement, and so
// what one commit left.
type reader struct {
	*conn
	get, due, dueIn *stmt
	// The lists of a kind by name and by order, up and down.
	names, namesDown, orders, ordersDown *stmt
}

func openReader(ctx context.Context, source string) (*reader, error) {
	c, err := openSource(ctx, source, busyTimeout, "PRAGMA query_only=ON", "PRAGMA cache_size=-16384", "PRAGMA temp_store=MEMORY")
	if err != nil {
		return nil, err
	}
	const (
		row      = "SELECT name, ord, due, body FROM records WHERE kind=?1 AND namespace=?2 AND "
		dueKey   = "SELECT kind, namespace, name, due FROM records "
		inPrefix = " AND name >= ?5 AND name < ?6 "
	)
	r := &reader{conn: c}
	err = c.prepareAll(map[**stmt]string{
		&r.get: row + "name=?3",
		&r.due: dueKey + "INDEXED BY records_due WHERE due <= ?1 AND NOT (namespace >= ?2 AND namespace < ?3) " +
			"AND (?5 IS NULL OR namespace = ?5) ORDER BY due LIMIT ?4",
		&r.dueIn: dueKey + "INDEXED BY records_key WHERE kind=?1 AND namespace=?2 AND due <= ?3 ORDER BY due LIMIT ?4",

		&r.names:      row + "name >= ?3 AND name < ?4 ORDER BY name LIMIT ?5",
		&r.namesDown:  row + "name >= ?3 AND name < ?4 ORDER BY name DESC LIMIT ?5",
		&r.orders:     row + "ord IS NOT NULL AND (ord, name) >= (?3, ?4)" + inPrefix + "ORDER BY ord, name LIMIT ?7",
		&r.ordersDown: row + "ord IS NOT NULL AND (ord, name) < (?3, ?4)" + inPrefix + "ORDER BY ord DESC, name DESC LIMIT ?7",
	})
	return r, err
}

// Get implements statestore.Store.
func (s *Store) Get(ctx context.Context, key statestore.Key) (statestore.Record, rules.Instant, error) {
	if err := ctx.Err(); err != nil {
		return nil, 0, err
	}
	if err := s.usable(); err != nil {
		return nil, 0, err
	}
	if r, known := s.cache.committed(key); known {
		return r, s.clock.Now(), nil
	}
	if err := s.enter(ctx, s.desk); err != nil {
		return nil, 0, err
	}
	defer func() { <-s.desk }()
	var found statestore.Record
	err := s.reader.get.rows(func(row []driver.Value) (err error) {
		found, err = decodeRow(s.codec, key, row[1], row[2], row[3])
		return err
	}, int64(key.Kind), key.Namespace, key.Name)
	if err != nil {
		return nil, 0, translate("read "+s.path, err)
	}
	return found, s.clock.Now(), nil
}

// List implements statestore.Store. A list by order with a prefix reads all
// that lies between its rows.
func (s *Store) List(ctx context.Context, q statestore.Query) (statestore.Page, error) {
	from, more, err := q.Start()
	if err != nil {
		return statestore.Page{}, err
	}
	empty, err := s.codec.New(q.Kind)
	if err != nil {
		return statestore.Page{}, err
	}
	if err := s.enter(ctx, s.desk); err != nil {
		return statestore.Page{}, err
	}
	defer func() { <-s.desk }()
	limit := max(q.Limit, 1)
	var page statestore.Page
	var last statestore.Position
	add := func(row []driver.Value) error {
		if len(page.Rows) == limit {
			page.Cursor = q.CursorAt(last)
			return nil
		}
		name, _ := row[0].(string)
		key := statestore.Key{Kind: q.Kind, Namespace: q.Namespace, Name: name}
		r, err := decodeRow(s.codec, key, row[1], row[2], row[3])
		if err != nil {
			return err
		}
		page.Rows = append(page.Rows, statestore.Row{Name: name, Record: r})
		last = statestore.PositionOf(name, r)
		return nil
	}
	if _, ordered := empty.(statestore.Ordered); ordered {
		err = s.reader.byOrder(q, from, more, limit+1, add)
	} else {
		err = s.reader.byName(q, from, more, limit+1, add)
	}
	if err != nil {
		return statestore.Page{}, translate("list "+s.path, err)
	}
	page.Now = s.clock.Now()
	return page, nil
}

// after returns the string that comes right behind another one.
func after(name string) string { return name + "\x00" }

// prefixBounds returns the bounds of the names with a prefix, the second one
// outside. A BLOB sorts behind every TEXT.
func prefixBounds(prefix string) (low, high driver.Value) {
	if end, found := statestore.PrefixEnd(prefix); found {
		return prefix, end
	}
	return prefix, []byte{}
}

func (r *reader) byName(q statestore.Query, from statestore.Position, more bool, limit int, add func([]driver.Value) error) error {
	low, high := prefixBounds(q.Prefix)
	list := r.names
	switch {
	case q.Descending:
		list = r.namesDown
		if more {
			high = from.Name
		}
	case more:
		low = after(from.Name)
	}
	return list.rows(add, int64(q.Kind), q.Namespace, low, high, int64(limit))
}

func (r *reader) byOrder(q statestore.Query, from statestore.Position, more bool, limit int, add func([]driver.Value) error) error {
	low, high := prefixBounds(q.Prefix)
	list := r.orders
	order, name := int64(math.MinInt64), driver.Value("")
	if more {
		order, name = from.Order, after(from.Name)
	}
	if q.Descending {
		list = r.ordersDown
		order, name = math.MaxInt64, []byte{}
		if more {
			order, name = from.Order, from.Name
		}
	}
	return list.rows(add, int64(q.Kind), q.Namespace, order, name, low, high, int64(limit))
}

// Count implements statestore.Store, from memory.
func (s *Store) Count(ctx context.Context, kind statestore.Kind, namespace string) (int, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	if err := s.usable(); err != nil {
		return 0, err
	}
	return s.cache.rows(familyKey{kind, namespace}), nil
}

// Namespaces implements statestore.Store, from memory.
func (s *Store) Namespaces(ctx context.Context) ([]string, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := s.usable(); err != nil {
		return nil, err
	}
	return s.cache.namespaces(), nil
}
