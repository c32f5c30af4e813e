// SPDX-License-Identifier: Apache-2.0

package rules_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/resilienced/resilienced/rules"
)

// TestInstants: arithmetic of instants is that of time.
func TestInstants(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := rules.Instant(rapid.Int64Range(1, 1<<52).Draw(t, "a"))
		d := time.Duration(rapid.Int64Range(-1<<50, 1<<50).Draw(t, "d"))
		b := a.Add(d)
		if b.Sub(a) != d.Truncate(time.Microsecond) {
			t.Fatalf("%d + %v is %d", a, d, b)
		}
		if rules.At(a.Time()) != a {
			t.Fatal("an instant does not survive its display")
		}
		if left := b.Until(a); left < 0 || (b > a && left != b.Sub(a)) {
			t.Fatalf("%d until %d", b, a)
		}
	})
	if !rules.Instant(0).Time().IsZero() {
		t.Error("no instant is shown as one")
	}
}

// TestEarliest passes over what is not set.
func TestEarliest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		values := rapid.SliceOf(rapid.Map(rapid.Int64Range(0, 9), func(v int64) rules.Instant { return rules.Instant(v) })).Draw(t, "values")
		want := rules.Instant(0)
		for _, v := range values {
			if v > 0 && (want == 0 || v < want) {
				want = v
			}
		}
		if got := rules.Earliest(values...); got != want {
			t.Fatalf("earliest of %v: %d", values, got)
		}
	})
}

// TestNextFence: fences grow, whatever the clock does, and follow it.
func TestNextFence(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		fence := uint64(0)
		for _, now := range rapid.SliceOf(rapid.Int64Range(-5, 1<<50)).Draw(t, "clock") {
			next := rules.NextFence(fence, rules.Instant(now))
			if next <= fence || (now > 0 && next < uint64(now)) {
				t.Fatalf("%d follows %d at %d", next, fence, now)
			}
			fence = next
		}
	})
}
