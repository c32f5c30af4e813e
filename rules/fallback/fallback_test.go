// SPDX-License-Identifier: Apache-2.0

package fallback_test

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/resilienced/resilienced/rules/fallback"
)

// TestSearch: every level of the kind that was not visited comes once, those
// behind the highest visited first, in order.
func TestSearch(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 8).Draw(t, "levels")
		chain, kind := &fallback.Chain{}, 1
		visited := map[int]bool{0: true}
		for i := range n {
			chain.Levels = append(chain.Levels, fallback.Level{Kind: fallback.Kind(kind)})
			kind = rapid.IntRange(kind, 6).Draw(t, "kind")
			if rapid.Bool().Draw(t, "visited") {
				visited[i] = true
			}
		}
		k := fallback.Kind(rapid.IntRange(1, 6).Draw(t, "wanted"))
		highest := 0
		for i := range visited {
			highest = max(highest, i)
		}
		var want []int
		for _, behind := range []bool{true, false} {
			for i, l := range chain.Levels {
				if !visited[i] && l.Kind >= k && (i > highest) == behind {
					want = append(want, i)
				}
			}
		}
		if got := chain.Search(k, func(i int) bool { return visited[i] }); !slices.Equal(got, want) {
			t.Fatalf("searched %v, want %v", got, want)
		}
	})
}

func TestKindsReadBack(t *testing.T) {
	for k := fallback.Primary; k <= fallback.HumanQueue; k++ {
		if got, ok := fallback.ParseKind(k.String()); !ok || got != k {
			t.Errorf("%v reads as %v", k, got)
		}
	}
	if _, ok := fallback.ParseKind("PRIMARY "); ok {
		t.Error("a kind with a blank was read")
	}
}
