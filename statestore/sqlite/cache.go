// SPDX-License-Identifier: Apache-2.0

package sqlite

import (
	"slices"
	"sync"

	"github.com/resilienced/resilienced/statestore"
)

// cache knows how many records each family has, and keeps the records that
// were used last, decoded, as the last commit left them. Only the goroutine
// that holds the lane changes it; anybody may read.
type cache struct {
	mu    sync.Mutex
	limit int
	slots map[statestore.Key]*slot
	// ring joins the slots: ring.next was used last, ring.prev first.
	ring     slot
	families map[familyKey]*family
}

// slot is one record with the row that it lies in.
type slot struct {
	key    statestore.Key
	id     int64
	record statestore.Record
	// changing is set while a commit that changes the record is under way.
	// Until it ends, only the file can say what is committed.
	changing   bool
	prev, next *slot
}

// familyKey names the records of one kind in one namespace.
type familyKey struct {
	kind      statestore.Kind
	namespace string
}

// family counts records. When all are cached, a key that is not is absent.
type family struct {
	rows   int
	cached int
}

func newCache(limit int) *cache {
	c := &cache{limit: limit, slots: make(map[statestore.Key]*slot), families: make(map[familyKey]*family)}
	c.ring.prev, c.ring.next = &c.ring, &c.ring
	return c
}

func familyOf(key statestore.Key) familyKey { return familyKey{key.Kind, key.Namespace} }

// find is for the lane's holder. It returns the slot of a key, or nil. known
// is false if the record may be in the file all the same.
func (c *cache) find(key statestore.Key) (found *slot, known bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := c.slots[key]; s != nil {
		c.unlink(s)
		c.link(s)
		return s, true
	}
	f := c.families[familyOf(key)]
	return nil, f == nil || f.cached == f.rows
}

// committed is for readers. It returns the committed record of a key, or nil.
// known is false if the file must be asked.
func (c *cache) committed(key statestore.Key) (r statestore.Record, known bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.slots[key]
	if s == nil || s.changing {
		return nil, false
	}
	return s.record, true
}

// add keeps a slot that was read.
func (c *cache) add(s *slot) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.keep(s)
	c.evict()
}

// before is called before a COMMIT, after follows it.
func (c *cache) before(changes []change) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range changes {
		if s := changes[i].old; s != nil {
			s.changing = true
		}
	}
}

// after ends what before began. The changes take effect if committed is set.
func (c *cache) after(changes []change, committed bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range changes {
		ch := &changes[i]
		if ch.old != nil {
			ch.old.changing = false
		}
		if committed {
			c.change(ch)
		}
	}
	c.evict()
}

func (c *cache) change(ch *change) {
	switch {
	case ch.record == nil:
		c.forget(ch.old)
		c.count(familyOf(ch.key), -1)
	case ch.old == nil:
		c.count(familyOf(ch.key), +1)
		c.keep(&slot{key: ch.key, id: ch.id, record: ch.record})
	default:
		ch.old.record = ch.record
		c.keep(ch.old)
	}
}

// count moves the number of a family's records.
func (c *cache) count(key familyKey, by int) {
	f := c.families[key]
	if f == nil {
		f = &family{}
		c.families[key] = f
	}
	f.rows += by
	if f.rows == 0 {
		delete(c.families, key)
	}
}

// keep makes sure that a slot is kept. It does nothing for one that is.
func (c *cache) keep(s *slot) {
	if c.slots[s.key] == s {
		return
	}
	c.slots[s.key] = s
	c.families[familyOf(s.key)].cached++
	c.link(s)
}

// forget drops a slot. It does nothing for one that is not kept.
func (c *cache) forget(s *slot) {
	if c.slots[s.key] != s {
		return
	}
	delete(c.slots, s.key)
	c.families[familyOf(s.key)].cached--
	c.unlink(s)
}

// evict drops what was not used for longest until the limit is kept.
func (c *cache) evict() {
	for len(c.slots) > c.limit {
		c.forget(c.ring.prev)
	}
}

func (c *cache) link(s *slot) {
	s.prev, s.next = &c.ring, c.ring.next
	s.prev.next, s.next.prev = s, s
}

func (c *cache) unlink(s *slot) {
	s.prev.next, s.next.prev = s.next, s.prev
	s.prev, s.next = nil, nil
}

// rows returns how many records a family has.
func (c *cache) rows(key familyKey) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if f := c.families[key]; f != nil {
		return f.rows
	}
	return 0
}

// namespaces returns the namespaces that have a record, sorted.
func (c *cache) namespaces() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	seen := make(map[string]struct{})
	for key := range c.families {
		seen[key.namespace] = struct{}{}
	}
	names := make([]string, 0, len(seen))
	for name := range seen {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// kinds returns the kinds that a namespace has, and how many records in all.
func (c *cache) kinds(namespace string) (kinds []statestore.Kind, rows int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for key, f := range c.families {
		if key.namespace == namespace {
			kinds = append(kinds, key.kind)
			rows += f.rows
		}
	}
	return kinds, rows
}
