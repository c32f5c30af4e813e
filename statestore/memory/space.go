// SPDX-License-Identifier: Apache-2.0

package memory

import (
	"github.com/resilienced/resilienced/statestore"
)

// space is what one namespace has. It exists while it has a record.
type space struct {
	name     string
	families []*family // few: kinds that have a record
	queue    queue
}

// family holds the records of one kind in one namespace. It exists while it
// has a record.
type family struct {
	kind  statestore.Kind
	space *space
	cells map[string]*cell
	order order
}

// cell holds one record. A removed cell has none.
type cell struct {
	name   string
	record statestore.Record
	family *family
	place  place
}

// space returns a namespace, or nil.
func (s *Store) space(name string) *space {
	if name == "" {
		return s.own
	}
	if s.recent != nil && s.recent.name == name {
		return s.recent
	}
	sp := s.spaces[name]
	if sp != nil {
		s.recent = sp
	}
	return sp
}

// family returns the family of a kind, or nil. The receiver may be nil.
func (sp *space) family(kind statestore.Kind) *family {
	if sp == nil {
		return nil
	}
	for _, f := range sp.families {
		if f.kind == kind {
			return f
		}
	}
	return nil
}

// cell returns the cell of a key, or nil.
func (s *Store) cell(key statestore.Key) *cell {
	f := s.space(key.Namespace).family(key.Kind)
	if f == nil {
		return nil
	}
	return f.cells[key.Name]
}

// insert adds a record for a key that has none.
func (s *Store) insert(key statestore.Key, r statestore.Record) {
	sp := s.space(key.Namespace)
	if sp == nil {
		sp = &space{name: key.Namespace}
		s.spaces[key.Namespace] = sp
		if sp.name == "" {
			s.own = sp
		} else {
			s.recent = sp
		}
	}
	f := sp.family(key.Kind)
	if f == nil {
		f = &family{kind: key.Kind, space: sp, cells: make(map[string]*cell)}
		sp.families = append(sp.families, f)
	}
	c := &cell{name: key.Name, record: r, family: f}
	f.cells[key.Name] = c
	f.order.add(c, f)
	sp.queue.put(c)
}

// replace gives a cell another record.
func (f *family) replace(c *cell, r statestore.Record) {
	f.order.move(c, r, f)
	c.record = r
	f.space.queue.put(c)
}

// remove takes a cell away, and its family and space when they are empty.
func (s *Store) remove(c *cell) {
	f, sp := c.family, c.family.space
	f.order.drop(c, f)
	delete(f.cells, c.name)
	c.record = nil
	sp.queue.drop(c)
	if len(f.cells) > 0 {
		return
	}
	for i := range sp.families {
		if sp.families[i] == f {
			last := len(sp.families) - 1
			sp.families[i], sp.families[last] = sp.families[last], nil
			sp.families = sp.families[:last]
			break
		}
	}
	if len(sp.families) == 0 {
		delete(s.spaces, sp.name)
		if sp.name == "" {
			s.own = nil
		} else {
			s.recent = nil
		}
	}
}
