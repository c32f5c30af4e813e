// SPDX-License-Identifier: Apache-2.0

package memory

import (
	"cmp"
	"context"
	"strings"

	"github.com/tidwall/btree"

	"github.com/resilienced/resilienced/statestore"
)

// order keeps a family sorted while lists are asked for. The zero order keeps
// nothing.
type order struct {
	tree *btree.BTreeG[item]
	// changes since the last list; many of them end the sorting.
	changes int
	// byOrder is set once an item has an Order: then names with the same
	// prefix need not stand together.
	byOrder bool
}

// item is one cell at its place in the list.
type item struct {
	at   statestore.Position
	cell *cell
}

func itemLess(a, b item) bool {
	return cmp.Or(cmp.Compare(a.at.Order, b.at.Order), strings.Compare(a.at.Name, b.at.Name)) < 0
}

// freeChanges is how many changes without a list even a small family keeps
// its order for.
const freeChanges = 1024

// add is told of a new cell of the family.
func (o *order) add(c *cell, f *family) {
	if o.kept(f) {
		o.set(item{statestore.PositionOf(c.name, c.record), c})
	}
}

// drop is told of a cell that goes, while it has its record.
func (o *order) drop(c *cell, f *family) {
	if o.kept(f) {
		o.tree.Delete(item{at: statestore.PositionOf(c.name, c.record)})
	}
}

// move is told of a cell that gets another record.
func (o *order) move(c *cell, r statestore.Record, f *family) {
	if o.tree == nil {
		return
	}
	from, to := statestore.PositionOf(c.name, c.record), statestore.PositionOf(c.name, r)
	if from == to || !o.kept(f) {
		return
	}
	o.tree.Delete(item{at: from})
	o.set(item{to, c})
}

func (o *order) set(it item) {
	o.tree.Set(it)
	o.byOrder = o.byOrder || it.at.Order != 0
}

// kept counts a change and reports whether the order is kept.
func (o *order) kept(f *family) bool {
	if o.tree == nil {
		return false
	}
	if o.changes++; o.changes > freeChanges+2*len(f.cells) {
		o.tree = nil
	}
	return o.tree != nil
}

// build sorts the family if it is not kept sorted.
func (o *order) build(f *family) {
	o.changes = 0
	if o.tree != nil {
		return
	}
	o.byOrder = false
	o.tree = btree.NewBTreeGOptions(itemLess, btree.Options{NoLocks: true})
	for _, c := range f.cells {
		o.set(item{statestore.PositionOf(c.name, c.record), c})
	}
}

// List implements statestore.Store. The first list of a family sorts it.
func (s *Store) List(ctx context.Context, q statestore.Query) (statestore.Page, error) {
	if err := ctx.Err(); err != nil {
		return statestore.Page{}, err
	}
	from, more, err := q.Start()
	if err != nil {
		return statestore.Page{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return statestore.Page{}, errClosed()
	}
	page := statestore.Page{Now: s.clock.Now()}
	f := s.space(q.Namespace).family(q.Kind)
	if f == nil {
		return page, nil
	}
	var last statestore.Position
	f.order.build(f)
	f.order.scan(q, from, more, func(it item) bool {
		if len(page.Rows) == max(q.Limit, 1) {
			page.Cursor = q.CursorAt(last)
			return false
		}
		page.Rows = append(page.Rows, statestore.Row{Name: it.cell.name, Record: it.cell.record})
		last = it.at
		return true
	})
	return page, nil
}

// scan gives yield the items that q asks for, behind from if more is set.
func (o *order) scan(q statestore.Query, from statestore.Position, more bool, yield func(item) bool) {
	visit := func(it item) bool {
		switch {
		case more && it.at == from:
			return true
		case strings.HasPrefix(it.at.Name, q.Prefix):
			return yield(it)
		case o.byOrder:
			return true
		case q.Descending:
			return it.at.Name > q.Prefix
		default:
			return it.at.Name < q.Prefix
		}
	}
	pivot, anywhere := item{at: from}, !more
	if !more && !o.byOrder {
		pivot.at.Name, anywhere = q.Prefix, false
		if q.Descending {
			end, found := statestore.PrefixEnd(q.Prefix)
			pivot.at.Name, anywhere = end, !found
		}
	}
	switch {
	case q.Descending && anywhere:
		o.tree.Reverse(visit)
	case q.Descending:
		o.tree.Descend(pivot, visit)
	case anywhere:
		o.tree.Scan(visit)
	default:
		o.tree.Ascend(pivot, visit)
	}
}
