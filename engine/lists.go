// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"

	"github.com/resilienced/resilienced/rules/deadletter"
	"github.com/resilienced/resilienced/statestore"
)

// Bounds of a page, and of the rows that are looked through to fill one.
const (
	defaultPage = 50
	maxPage     = 1000
	maxScan     = 20_000
)

// list fills a page with what view makes of the records; a nil view is left
// out. A page may be short, and even empty, before the last one: the token
// says whether there is more.
func list[T any](ctx context.Context, e *Engine, q *ListQuery, kind statestore.Kind, newestFirst bool,
	view func(name string, r statestore.Record, now instant) *T,
) (Page[*T], error) {
	size := q.PageSize
	if size <= 0 {
		size = defaultPage
	}
	size = min(size, maxPage)
	now, err := e.now(ctx, q.Namespace)
	if err != nil {
		return Page[*T]{}, err
	}
	page := Page[*T]{}
	query := statestore.Query{
		Kind: kind, Namespace: q.Namespace, Prefix: q.Prefix, Descending: newestFirst, After: q.PageToken,
	}
	for scanned := 0; scanned < maxScan; {
		query.Limit = size - len(page.Items)
		rows, err := e.store.List(ctx, query)
		if err != nil {
			return Page[*T]{}, storeError(err)
		}
		for _, row := range rows.Rows {
			if v := view(row.Name, row.Record, now); v != nil {
				page.Items = append(page.Items, v)
			}
		}
		scanned += len(rows.Rows)
		page.Next, query.After = rows.Cursor, rows.Cursor
		if rows.Cursor == "" || len(page.Items) >= size {
			break
		}
	}
	return page, nil
}

// GetLetter reads a dead letter by its id.
func (e *Engine) GetLetter(ctx context.Context, ns, id string) (*LetterView, error) {
	const prefix = "dl:"
	if len(id) <= len(prefix) || id[:len(prefix)] != prefix {
		return nil, ErrNotFound
	}
	return e.GetLetterOf(ctx, ns, id[len(prefix):])
}

// GetLetterOf reads the dead letter of an operation.
func (e *Engine) GetLetterOf(ctx context.Context, ns, operation string) (*LetterView, error) {
	stored, now, err := get[deadletter.Letter](ctx, e, letterKey(ns, operation))
	if err != nil {
		return nil, err
	}
	if stored == nil || stored.Expired(now) {
		return nil, ErrNotFound
	}
	return &LetterView{ID: deadletter.ID(operation), Letter: stored, Now: now}, nil
}

// ListLetters returns dead letters, newest first.
func (e *Engine) ListLetters(ctx context.Context, q *ListQuery) (Page[*LetterView], error) {
	return list(ctx, e, q, statestore.KindLetter, true, func(name string, r statestore.Record, now instant) *LetterView {
		stored, ok := r.(*deadletter.Letter)
		if !ok || stored.Expired(now) || (q.State != 0 && uint8(stored.State) != q.State) ||
			(q.Target != "" && stored.Target != q.Target) || (q.Run != "" && stored.Run != q.Run) ||
			(q.Reason != "" && string(stored.Reason) != q.Reason) {
			return nil
		}
		return &LetterView{ID: deadletter.ID(name), Letter: stored, Now: now}
	})
}
