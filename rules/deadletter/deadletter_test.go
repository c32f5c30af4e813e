// SPDX-License-Identifier: Apache-2.0

package deadletter_test

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/resilienced/resilienced/rules"
	"github.com/resilienced/resilienced/rules/classify"
	"github.com/resilienced/resilienced/rules/deadletter"
)

// TestPut: an operation has one letter. A second failure adds to it, keeps when
// it began and how often it was replayed, and starts its retention again.
func TestPut(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var letter *deadletter.Letter
		now, began, failures := rules.Instant(1), rules.Instant(0), []rules.Instant{}
		for range rapid.IntRange(1, 40).Draw(t, "n") {
			now = now.Add(time.Duration(rapid.Int64Range(0, int64(9*24*time.Hour)).Draw(t, "later")))
			fresh := deadletter.Letter{Operation: "o", Kind: deadletter.Kind(rapid.IntRange(1, 2).Draw(t, "kind")), Reason: classify.ReasonTimeout}
			if letter == nil || letter.Expired(now) {
				began, failures = now, nil
			}
			failures = append(failures, now)
			old := letter
			letter = deadletter.Put(old, fresh, now)
			keep := deadletter.ReplayableRetention
			if fresh.Kind == deadletter.KnownBad {
				keep = deadletter.KnownBadRetention
			}
			end := now.Add(keep)
			if letter.ExpiresAt != end || letter.Expired(end-1) || !letter.Expired(end) || letter.DueAt() != end {
				t.Fatalf("expires at %d, want %d", letter.ExpiresAt, end)
			}
			if letter.DeadLetteredAt != began || letter.FirstFailedAt != began || letter.LastDeadLettered != now {
				t.Fatalf("began at %d, want %d", letter.DeadLetteredAt, began)
			}
			var at []rules.Instant
			for _, f := range letter.History {
				at = append(at, f.At)
			}
			if want := failures[max(len(failures)-20, 0):]; !slices.Equal(at, want) {
				t.Fatalf("history %v, want %v", at, want)
			}
			letter.Replays++
			if old != nil && !old.Expired(now) && letter.Replays != old.Replays+1 {
				t.Fatal("the count of replays was lost")
			}
		}
	})
}

// TestPolicyFor is C24.
func TestPolicyFor(t *testing.T) {
	manual := []classify.Reason{classify.ReasonAuth, classify.ReasonQuotaExhausted, classify.ReasonUnknown, classify.ReasonRunBudget}
	for _, row := range append(classify.Rows(), classify.Variants()...) {
		want := deadletter.Auto
		if slices.Contains(manual, row.Reason) {
			want = deadletter.Manual
		}
		if got := deadletter.PolicyFor(row.Reason, false); got != want {
			t.Errorf("%s: %v, want %v", row.Reason, got, want)
		}
		if got := deadletter.PolicyFor(row.Reason, true); got != deadletter.Manual {
			t.Errorf("%s, ambiguous and not idempotent: %v", row.Reason, got)
		}
	}
}
