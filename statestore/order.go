// SPDX-License-Identifier: Apache-2.0

package statestore

import (
	"cmp"
	"slices"
)

// Less orders write locks, the same in every store and replica: by kind, run
// trees from the root, then namespace and name. Two transactions that lock in
// this order cannot wait for each other in a circle.
func Less(a, b *Entry) int {
	return cmp.Or(
		cmp.Compare(a.Key.Kind, b.Key.Kind),
		cmp.Compare(a.Depth, b.Depth),
		cmp.Compare(a.Key.Namespace, b.Key.Namespace),
		cmp.Compare(a.Key.Name, b.Key.Name),
	)
}

// Sort puts entries into the order of Less.
func Sort(entries []*Entry) { slices.SortFunc(entries, Less) }
