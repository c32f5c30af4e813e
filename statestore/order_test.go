// SPDX-License-Identifier: Apache-2.0

package statestore

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func anyEntry(t *rapid.T) *Entry {
	return &Entry{
		Key: Key{
			Kind:      rapid.SampledFrom([]Kind{KindRun, KindTarget, KindOperation}).Draw(t, "kind"),
			Namespace: rapid.SampledFrom([]string{"", "a", "b"}).Draw(t, "namespace"),
			Name:      rapid.SampledFrom([]string{"", "x", "y"}).Draw(t, "name"),
		},
		Mode:  Mode(rapid.IntRange(0, 2).Draw(t, "mode")),
		Depth: uint8(rapid.IntRange(0, 2).Draw(t, "depth")),
	}
}

// TestLessIsATotalOrder: two transactions that see the same keys at the same
// depths agree on their order, whatever else they lock.
func TestLessIsATotalOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b, c := anyEntry(t), anyEntry(t), anyEntry(t)
		if Less(a, b) != -Less(b, a) {
			t.Fatalf("%+v and %+v are each before the other", a, b)
		}
		if Less(a, b) <= 0 && Less(b, c) <= 0 && Less(a, c) > 0 {
			t.Fatalf("%+v, %+v, %+v go round", a, b, c)
		}
		if same := a.Key == b.Key && a.Depth == b.Depth; (Less(a, b) == 0) != same {
			t.Fatalf("%+v and %+v compare as %d", a, b, Less(a, b))
		}
	})
}

func TestSortPutsRunsFirstAndRootsBeforeLeaves(t *testing.T) {
	at := func(kind Kind, depth uint8, name string) *Entry {
		return &Entry{Key: Key{Kind: kind, Namespace: "acme", Name: name}, Depth: depth}
	}
	want := []*Entry{
		at(KindRun, 0, "z"), at(KindRun, 1, "b"), at(KindRun, 1, "c"), at(KindRun, 2, "a"),
		at(KindTarget, 0, "a"), at(KindOperation, 0, "a"), at(KindEscalation, 0, "a"),
	}
	rapid.Check(t, func(t *rapid.T) {
		got := rapid.Permutation(want).Draw(t, "entries")
		Sort(got)
		if !slices.Equal(got, want) {
			t.Fatal("out of order")
		}
	})
}
