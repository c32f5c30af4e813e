// SPDX-License-Identifier: Apache-2.0

package sqlite

import (
	"fmt"
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

func TestCacheStaysSoundAndBounded(t *testing.T) {
	for _, limit := range []int{1, 3, 1000} {
		t.Run(fmt.Sprint(limit), func(t *testing.T) {
			rapid.Check(t, func(rt *rapid.T) {
				cfg := testConfig(t.TempDir() + "/records.db")
				cfg.CacheRecords = limit
				s, err := Open(t.Context(), cfg)
				if err != nil {
					rt.Fatal(err)
				}
				defer func() {
					if err := s.Close(); err != nil {
						rt.Fatal(err)
					}
				}()
				rt.Repeat(map[string]func(*rapid.T){
					"put": func(rt *rapid.T) { cacheStep(rt, s) },
					"":    func(rt *rapid.T) { sound(rt, s.cache) },
				})
			})
		})
	}
}

func cacheStep(rt *rapid.T, s *Store) {
	name := rapid.SampledFrom([]string{"a", "b", "c", "d", "e", "f"}).Draw(rt, "name")
	var r statestore.Record
	if rapid.Bool().Draw(rt, "put") {
		r = &note{N: 1}
	}
	if rapid.IntRange(0, 5).Draw(rt, "unfit") == 0 {
		r = &struct{}{}
	}
	if err := put(s, name, r, statestore.Rebuildable); err != nil && r != nil {
		if _, fits := r.(*note); fits {
			rt.Fatal(err)
		}
	}
}

// TestAbsentIsKnown shows that a new record of a family that is cached whole
// costs no look into the file, and that an evicted one does.
func TestAbsentIsKnown(t *testing.T) {
	s := newStore(t, func(c *Config) { c.CacheRecords = 2 })
	for i, want := range []bool{true, true, true, false} {
		if _, known := s.cache.find(noteKey("new")); known != want {
			t.Fatalf("with %d records, known = %v", i, known)
		}
		mustPut(t, s, fmt.Sprint(i), int64(i), statestore.Rebuildable)
	}
	for i := range 4 {
		if n := number(t, s, fmt.Sprint(i)); n != int64(i) {
			t.Fatalf("record %d = %d", i, n)
		}
	}
}
