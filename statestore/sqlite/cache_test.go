// SPDX-License-Identifier: Apache-2.0

package sqlite

import (
	"strconv"
	"testing"

	"pgregory.net/rapid"

	"github.com/resilienced/resilienced/statestore"
)

// sound ends the test if the cache contradicts itself or is over its limit.
func sound(t rapid.TB, c *cache) {
	t.Helper()
	if len(c.slots) > c.limit {
		t.Fatalf("%d slots, the limit is %d", len(c.slots), c.limit)
	}
	cached := make(map[familyKey]int)
	ring := 0
	for s := c.ring.next; s != &c.ring; s = s.next {
		if ring++; c.slots[s.key] != s || s.next.prev != s || s.changing {
			t.Fatalf("the slot of %+v is out of place", s.key)
		}
		cached[familyOf(s.key)]++
	}
	if ring != len(c.slots) {
		t.Fatalf("%d slots in the ring, %d in the map", ring, len(c.slots))
	}
	for key, f := range c.families {
		if f.cached != cached[key] || f.cached > f.rows || f.rows <= 0 {
			t.Fatalf("family %+v: %d cached of %d, the ring has %d", key, f.cached, f.rows, cached[key])
		}
	}
}

// TestCacheStaysSoundAndBounded drives a cache as Update does, beside a map of
// what the file has.
func TestCacheStaysSoundAndBounded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &cacheModel{
			cache: newCache(rapid.IntRange(0, 8).Draw(t, "limit")),
			file:  make(map[statestore.Key]*slot),
		}
		t.Repeat(map[string]func(*rapid.T){
			"batch": m.batch,
			"":      func(t *rapid.T) { sound(t, m.cache) },
		})
	})
}

type cacheModel struct {
	cache *cache
	file  map[statestore.Key]*slot
}

func (m *cacheModel) batch(t *rapid.T) {
	names := rapid.SliceOfNDistinct(rapid.StringMatching("[a-f]"), 1, 4, rapid.ID).Draw(t, "names")
	var changes []change
	for _, name := range names {
		key := statestore.Key{Kind: statestore.KindOperation, Namespace: name[:1], Name: name}
		if name > "c" {
			key.Namespace = "rest"
		}
		changes = append(changes, m.load(t, key))
	}
	m.cache.before(changes)
	for _, ch := range changes {
		if _, known := m.cache.committed(ch.key); known && ch.old != nil {
			t.Fatalf("%+v is told from memory while a commit changes it", ch.key)
		}
	}
	committed := rapid.Bool().Draw(t, "committed")
	m.cache.after(changes, committed)
	if !committed {
		return
	}
	for _, ch := range changes {
		if delete(m.file, ch.key); ch.record != nil {
			m.file[ch.key] = &slot{key: ch.key, record: ch.record}
		}
	}
}

// load finds a record as Update does, and returns a change of it.
func (m *cacheModel) load(t *rapid.T, key statestore.Key) change {
	stored := m.file[key]
	found, known := m.cache.find(key)
	switch {
	case known && (found == nil) != (stored == nil), found != nil && found.record != stored.record:
		t.Fatalf("%+v is %+v in the cache and %+v in the file", key, found, stored)
	case !known && stored != nil:
		found = &slot{key: key, record: stored.record}
		m.cache.add(found)
	}
	if found != nil && rapid.Bool().Draw(t, "delete") {
		return change{key: key, old: found}
	}
	return change{key: key, old: found, record: &note{N: rapid.Int64().Draw(t, "n")}}
}

// TestAbsentIsKnown shows that a new record of a family that is cached whole
// costs no look into the file, and that an evicted one does.
func TestAbsentIsKnown(t *testing.T) {
	s := newStore(t, func(c *Config) { c.CacheRecords = 2 })
	for i, want := range []bool{true, true, true, false} {
		if _, known := s.cache.find(noteKey("new")); known != want {
			t.Fatalf("with %d records, known = %v", i, known)
		}
		mustPut(t, s, strconv.Itoa(i), int64(i), statestore.Rebuildable)
	}
	for i := range 4 {
		if n := number(t, s, strconv.Itoa(i)); n != int64(i) {
			t.Fatalf("record %d = %d", i, n)
		}
	}
}
