// SPDX-License-Identifier: Apache-2.0

package sqlite

import (
	"cmp"
	"context"
	"database/sql/driver"
	"slices"

	"github.com/resilienced/resilienced/rules"
	"github.com/resilienced/resilienced/statestore"
)

// smallNamespace is up to how many records a namespace is read through for
// what it has due. In a larger one the index of all namespaces is followed,
// which also passes over what others have due.
const smallNamespace = 4096

// Due implements statestore.Store.
func (s *Store) Due(ctx context.Context, q statestore.DueQuery) ([]statestore.DueKey, error) {
	if err := s.enter(ctx, s.desk); err != nil {
		return nil, err
	}
	defer func() { <-s.desk }()
	q.Limit = max(q.Limit, 1)
	keys, err := s.due(q)
	if err != nil {
		return nil, translate("read "+s.path, err)
	}
	return keys, nil
}

func (s *Store) due(q statestore.DueQuery) ([]statestore.DueKey, error) {
	var keys []statestore.DueKey
	add := func(row []driver.Value) error {
		kind, _ := row[0].(int64)
		namespace, _ := row[1].(string)
		name, _ := row[2].(string)
		due, _ := row[3].(int64)
		key := statestore.Key{Kind: statestore.Kind(kind), Namespace: namespace, Name: name}
		keys = append(keys, statestore.DueKey{Key: key, Due: rules.Instant(due)})
		return nil
	}
	if q.Namespace == "" {
		low, high := driver.Value(q.Except), driver.Value(q.Except)
		if q.Except != "" {
			low, high = prefixBounds(q.Except)
		}
		err := s.reader.due.rows(add, int64(q.Until), low, high, int64(q.Limit), nil)
		return keys, err
	}
	kinds, rows := s.cache.kinds(q.Namespace)
	if rows > smallNamespace {
		err := s.reader.due.rows(add, int64(q.Until), "", "", int64(q.Limit), q.Namespace)
		return keys, err
	}
	for _, kind := range kinds {
		if err := s.reader.dueIn.rows(add, int64(kind), q.Namespace, int64(q.Until), int64(q.Limit)); err != nil {
			return nil, err
		}
	}
	slices.SortStableFunc(keys, func(a, b statestore.DueKey) int { return cmp.Compare(a.Due, b.Due) })
	return keys[:min(len(keys), q.Limit)], nil
}
