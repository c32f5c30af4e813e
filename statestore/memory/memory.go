// SPDX-License-Identifier: Apache-2.0

package memory

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/resilienced/resilienced/rules"
	"github.com/resilienced/resilienced/statestore"
)

// Config says how a store is made. The zero Config is ready for use.
type Config struct {
	// Lanes is what the store's Lanes returns. 0 means 1. The store itself
	// runs one transaction at a time.
	Lanes int
}

// Store is a statestore.Store in memory. New makes one.
type Store struct {
	clock   statestore.Clock
	lanes   int
	commits atomic.Uint64

	mu     sync.Mutex
	spaces map[string]*space
	own    *space  // the server's own, which every batch reads, or nil
	recent *space  // the other space that was looked up last, or nil
	found  []*cell // scratch of Update, one for each entry
	closed bool
}

var _ statestore.Store = (*Store)(nil)

// New returns an empty store. A store that is made inside a testing/synctest
// bubble keeps the bubble's time and must be used there only.
func New(cfg Config) *Store {
	return &Store{
		clock:  statestore.NewClock(0),
		lanes:  max(cfg.Lanes, 1),
		spaces: make(map[string]*space),
	}
}

// Update implements statestore.Store. It takes effect at once and for good:
// it never returns ErrUnknownOutcome, and durability means nothing to it. fn
// must not call the store.
func (s *Store) Update(ctx context.Context, entries []*statestore.Entry, fn statestore.Func) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return errClosed()
	}
	s.load(entries)
	if _, err := fn(s.clock.Now()); err != nil {
		return err
	}
	changed := false
	for _, e := range entries {
		if !e.Changed() {
			continue
		}
		if !e.Held() {
			return fmt.Errorf("%w: %+v", statestore.ErrNotHeld, e.Key)
		}
		changed = changed || e.Record() != nil || e.Loaded() != nil
	}
	if changed {
		s.apply(entries)
		s.commits.Add(1)
	}
	return nil
}

// load fills in the entries and remembers their cells.
func (s *Store) load(entries []*statestore.Entry) {
	s.found = s.found[:0]
	for _, e := range entries {
		c := s.cell(e.Key)
		s.found = append(s.found, c)
		if c == nil {
			e.Load(nil, e.Mode != statestore.Read)
			continue
		}
		e.Load(c.record, e.Mode != statestore.Read)
	}
}

// apply writes the changes of entries that load has seen.
func (s *Store) apply(entries []*statestore.Entry) {
	for i, e := range entries {
		if !e.Changed() {
			continue
		}
		switch c, r := s.found[i], e.Record(); {
		case c == nil && r == nil:
		case c == nil:
			s.insert(e.Key, r)
		case r == nil:
			s.remove(c)
		default:
			c.family.replace(c, r)
		}
	}
	clear(s.found)
}

// Get implements statestore.Store.
func (s *Store) Get(ctx context.Context, key statestore.Key) (statestore.Record, rules.Instant, error) {
	if err := ctx.Err(); err != nil {
		return nil, 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, 0, errClosed()
	}
	now := s.clock.Now()
	if c := s.cell(key); c != nil {
		return c.record, now, nil
	}
	return nil, now, nil
}

// Count implements statestore.Store. It does not look at the records.
func (s *Store) Count(ctx context.Context, kind statestore.Kind, namespace string) (int, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return 0, errClosed()
	}
	if f := s.space(namespace).family(kind); f != nil {
		return len(f.cells), nil
	}
	return 0, nil
}

// Namespaces implements statestore.Store.
func (s *Store) Namespaces(ctx context.Context) ([]string, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, errClosed()
	}
	names := make([]string, 0, len(s.spaces))
	for name := range s.spaces {
		names = append(names, name)
	}
	slices.Sort(names)
	return names, nil
}

// Now implements statestore.Store.
func (s *Store) Now(ctx context.Context) (rules.Instant, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	return s.clock.Now(), nil
}

// Lanes implements statestore.Store.
func (s *Store) Lanes() int { return s.lanes }

// Commits implements statestore.Store.
func (s *Store) Commits() uint64 { return s.commits.Load() }

// Close forgets every record. It waits for a call under way; later ones get
// ErrUnavailable.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed, s.spaces, s.own, s.recent, s.found = true, nil, nil, nil, nil
	return nil
}

func errClosed() error { return fmt.Errorf("%w: the store is closed", statestore.ErrUnavailable) }
