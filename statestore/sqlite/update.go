// SPDX-License-Identifier: Apache-2.0

package sqlite

import (
	"context"
	"errors"
	"fmt"

	"github.com/resilienced/resilienced/rules"
	"github.com/resilienced/resilienced/statestore"
)

// Update implements statestore.Store. Transactions run one after the other; a
// Try entry is always held. SQLite's own transaction begins after fn, when it
// is known what is written and whether to wait for the disk.
//
// If the disk fails under a COMMIT, Update returns ErrUnknownOutcome and the
// store ends: later calls return ErrUnavailable, because nobody can say any
// more what the disk has. The next Open reads what it really has.
func (s *Store) Update(ctx context.Context, entries []*statestore.Entry, fn statestore.Func) error {
	if err := s.enter(ctx, s.lane); err != nil {
		return err
	}
	defer func() { <-s.lane }()
	found, err := s.load(entries)
	if err != nil {
		return translate("read "+s.path, err)
	}
	now := s.clock.Now()
	durability, err := fn(now)
	if err != nil {
		return err
	}
	changes, err := s.changes(entries, found)
	if err != nil || len(changes) == 0 {
		return err
	}
	return s.commit(changes, now, durability)
}

// load fills in the entries and returns the slot of each, nil where there is
// no record.
func (s *Store) load(entries []*statestore.Entry) ([]*slot, error) {
	found := make([]*slot, len(entries))
	for i, e := range entries {
		at, known := s.cache.find(e.Key)
		if !known {
			var err error
			if at, err = s.writer.read(s.codec, e.Key); err != nil {
				return nil, err
			}
			if at != nil {
				s.cache.add(at)
			}
		}
		found[i] = at
		if at == nil {
			e.Load(nil, e.Mode != statestore.Read)
			continue
		}
		e.Load(at.record, e.Mode != statestore.Read)
	}
	return found, nil
}

// changes encodes what fn changed.
func (s *Store) changes(entries []*statestore.Entry, found []*slot) ([]change, error) {
	var changes []change
	for i, e := range entries {
		if !e.Changed() {
			continue
		}
		if !e.Held() {
			return nil, fmt.Errorf("%w: %+v", statestore.ErrNotHeld, e.Key)
		}
		if e.Record() == nil && found[i] == nil {
			continue
		}
		ch := change{key: e.Key, old: found[i], record: e.Record()}
		if ch.record != nil {
			row, err := s.codec.Columns(e.Key, ch.record)
			if err != nil {
				return nil, err
			}
			ch.row = row
		}
		if changes == nil {
			changes = make([]change, 0, len(entries)-i)
		}
		changes = append(changes, ch)
	}
	return changes, nil
}

// commit writes the changes, first to the file and then to the cache.
func (s *Store) commit(changes []change, now rules.Instant, d statestore.Durability) error {
	s.cache.before(changes)
	err := s.writer.apply(changes, s.counts(changes), now, d)
	s.cache.after(changes, err == nil)
	if err != nil {
		return s.commitFailed(err)
	}
	s.commits.Add(1)
	s.logged(len(changes), d)
	return nil
}

// commitFailed decides what an error of a commit means.
func (s *Store) commitFailed(err error) error {
	s.endIf(err)
	doing := "write " + s.path
	if errors.As(err, new(commitError)) && stops(err) {
		return fmt.Errorf("%w: %s: %w; look for a failing disk, then start the service again",
			statestore.ErrUnknownOutcome, doing, err)
	}
	return translate(doing, err)
}

// counts returns the new numbers of the families that gain or lose records.
func (s *Store) counts(changes []change) map[familyKey]int {
	var counts map[familyKey]int
	for i := range changes {
		ch := &changes[i]
		var by int
		switch {
		case ch.old == nil:
			by = 1
		case ch.record == nil:
			by = -1
		default:
			continue
		}
		key := familyOf(ch.key)
		if counts == nil {
			counts = make(map[familyKey]int)
		}
		if _, seen := counts[key]; !seen {
			counts[key] = s.cache.rows(key)
		}
		counts[key] += by
	}
	return counts
}
