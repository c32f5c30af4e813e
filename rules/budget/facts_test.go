// SPDX-License-Identifier: Apache-2.0

package budget_test

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/resilienced/resilienced/rules"
	"github.com/resilienced/resilienced/rules/budget"
)

// TestWhatIsAdmittedIsWithinTheCaps: a grant that Fits allows notes sums that
// are not above the caps, and what is booked later does not change the note.
func TestWhatIsAdmittedIsWithinTheCaps(t *testing.T) {
	amounts := rapid.Custom(func(t *rapid.T) budget.Amounts {
		n := rapid.Int64Range(0, 40)
		return budget.Amounts{Cost: n.Draw(t, "cost"), Tokens: n.Draw(t, "tokens"), Calls: n.Draw(t, "calls")}
	})
	limit := rapid.Ptr(rapid.Int64Range(0, 60), true)
	rapid.Check(t, func(t *rapid.T) {
		run := &budget.Run{
			Caps:  budget.Caps{Cost: limit.Draw(t, "cost cap"), Tokens: limit.Draw(t, "token cap"), Calls: limit.Draw(t, "call cap")},
			Spent: amounts.Draw(t, "spent"), Assumed: amounts.Draw(t, "assumed"), CreatedAt: 1, UpdatedAt: 1,
		}
		ask := amounts.Draw(t, "ask")
		if dimension, _ := run.Fits(ask); dimension != budget.DimensionNone {
			return
		}
		granted := run.Admit(ask, 10, 2)
		settled := granted.Settle(budget.Settlement{Reserved: ask, Until: 10, Spent: budget.Amounts{Cost: 1000}}, 3)
		for _, r := range []*budget.Run{granted, granted.Derive(11), settled} {
			facts := r.Facts()
			if facts.State != r.StateAt(r.UpdatedAt).String() || facts.Sums.Spent != r.Spent.Cost || facts.Sums.Reserved != r.Reserved.Cost {
				t.Fatalf("%+v of %+v", facts, r)
			}
			used := run.Spent.Add(run.Assumed).Add(ask)
			for i, c := range []struct {
				limit *int64
				sum   int64
			}{{run.Caps.Cost, used.Cost}, {run.Caps.Tokens, used.Tokens}, {run.Caps.Calls, used.Calls}} {
				sum, allowed := facts.Sums.Admitted[i], facts.Sums.Allowed[i]
				if (sum == nil) != (c.limit == nil) || (allowed == nil) != (c.limit == nil) {
					t.Fatalf("%d: %v, %v with a cap of %v", i, sum, allowed, c.limit)
				}
				if sum != nil && (*sum != c.sum || *sum > *allowed || *allowed != *c.limit) {
					t.Fatalf("%d: %d of %d, want %d of %d", i, *sum, *allowed, c.sum, *c.limit)
				}
			}
		}
	})
	var none budget.Run
	if none.Reserve(budget.Amounts{Cost: 1}, 5, rules.Instant(1)).Admitted != nil || none.Admit(budget.Amounts{Cost: 1}, 5, 1).Admitted != nil {
		t.Error("a grant that no cap allowed is noted")
	}
}
