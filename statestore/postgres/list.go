// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"context"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"

	"github.com/resilienced/resilienced/statestore"
)

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
	limit := max(q.Limit, 1)
	var l listing
	if !storableText(q.Namespace) || !storableText(q.Prefix) || !storableText(from.Name) {
		now, err := s.Now(ctx)
		return statestore.Page{Now: now}, err
	}
	_, ordered := empty.(statestore.Ordered)
	l.build(s.sql.rows, q, ordered, from, more, limit+1)
	var page statestore.Page
	page.Now, err = s.look(ctx, l.sql.String(), l.args, func(rows pgx.Rows) error {
		page.Rows, page.Cursor = nil, ""
		return s.page(rows, q, limit, &page)
	})
	if err != nil {
		return statestore.Page{}, err
	}
	return page, nil
}

func (s *Store) page(rows pgx.Rows, q statestore.Query, limit int, page *statestore.Page) error {
	var name string
	var row rawRow
	var last statestore.Position
	_, err := pgx.ForEachRow(rows, []any{&name, &row.ord, &row.due, &row.body}, func() error {
		if len(page.Rows) == limit {
			page.Cursor = q.CursorAt(last)
			return nil
		}
		r, err := row.record(s.codec, statestore.Key{Kind: q.Kind, Namespace: q.Namespace, Name: name})
		if err != nil {
			return err
		}
		page.Rows = append(page.Rows, statestore.Row{Name: name, Record: r})
		last = statestore.PositionOf(name, r)
		return nil
	})
	return err
}

// listing builds the statement of a page. There are few different texts, so
// each is prepared once.
type listing struct {
	sql  strings.Builder
	args []any
}

func (l *listing) where(condition string, args ...any) {
	places := make([]any, len(args))
	for i, a := range args {
		l.args = append(l.args, a)
		places[i] = len(l.args)
	}
	fmt.Fprintf(&l.sql, condition, places...)
}

func (l *listing) build(start string, q statestore.Query, ordered bool, from statestore.Position, more bool, limit int) {
	l.sql.WriteString(start)
	l.args = []any{int16(q.Kind), q.Namespace}
	than, direction := ">", ""
	if q.Descending {
		than, direction = "<", " DESC"
	}
	if q.Prefix != "" {
		l.where(" AND name >= $%d", q.Prefix)
		if end, found := prefixEnd(q.Prefix); found {
			l.where(" AND name < $%d", end)
		}
	}
	if ordered {
		l.sql.WriteString(" AND ord IS NOT NULL")
		if more {
			l.where(" AND (ord, name) "+than+" ($%d, $%d)", from.Order, from.Name)
		}
		l.sql.WriteString(" ORDER BY ord" + direction + ", name" + direction)
	} else {
		if more {
			l.where(" AND name "+than+" $%d", from.Name)
		}
		l.sql.WriteString(" ORDER BY name" + direction)
	}
	l.where(" LIMIT $%d", limit)
}

// prefixEnd returns the smallest text that sorts after every text with the
// prefix. Other than statestore.PrefixEnd it counts up a character and not a
// byte, since the database takes only text.
func prefixEnd(prefix string) (string, bool) {
	for prefix != "" {
		last, size := utf8.DecodeLastRuneInString(prefix)
		prefix = prefix[:len(prefix)-size]
		switch last {
		case utf8.MaxRune:
			continue
		case 0xd7ff: // the surrogates are no characters
			return prefix + "\ue000", true
		default:
			return prefix + string(last+1), true
		}
	}
	return "", false
}
