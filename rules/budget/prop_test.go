// SPDX-License-Identifier: Apache-2.0

package budget_test

import (
	"math"
	"math/big"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/resilienced/resilienced/rules"
	"github.com/resilienced/resilienced/rules/budget"
)

// held is one permit of the model: a line of the ledger.
type held struct {
	amounts budget.Amounts
	until   rules.Instant
}

// TestRunAgainstALedger: the run's sums are those of a ledger that keeps every
// permit by itself, and what was admitted never passes the cap.
func TestRunAgainstALedger(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limit := rapid.Int64Range(1, 5000).Draw(t, "cap")
		run := &budget.Run{ID: "r", Path: []string{"r"}, Caps: budget.Caps{Cost: &limit}}
		if rapid.Bool().Draw(t, "charge zero") {
			run.OnLost = budget.ChargeZero
		}
		var live, lost []held
		var spent, assumed int64
		overruns := false
		now := rules.Instant(1)
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			now += rules.Instant(rapid.Int64Range(0, 20).Draw(t, "later"))
			run = run.Derive(now)
			for i := 0; i < len(live); {
				if live[i].until > now {
					i++
					continue
				}
				lost = append(lost, live[i])
				if run.OnLost == budget.ChargeEstimate {
					assumed += live[i].amounts.Cost
				}
				live = append(live[:i], live[i+1:]...)
			}
			switch rapid.SampledFrom([]string{"reserve", "settle", "late", "move"}).Draw(t, "step") {
			case "reserve":
				a := budget.Amounts{Cost: rapid.Int64Range(0, 2000).Draw(t, "estimate"), Calls: 1}
				reserved := int64(0)
				for _, h := range live {
					reserved += h.amounts.Cost
				}
				fits := spent+assumed+reserved+a.Cost <= limit
				if d, _ := run.Fits(a); (d == budget.DimensionNone) != fits {
					t.Fatalf("fits %v by the ledger, %q by the run", fits, d)
				}
				if fits {
					h := held{a, now + rules.Instant(rapid.Int64Range(1, 40).Draw(t, "lease"))}
					run, live = run.Reserve(a, h.until, now), append(live, h)
				}
			case "settle":
				if len(live) > 0 {
					h := live[0]
					cost := rapid.Int64Range(0, 2500).Draw(t, "cost")
					run = run.Settle(budget.Settlement{Reserved: h.amounts, Until: h.until, Spent: budget.Amounts{Cost: cost, Calls: 1}}, now)
					live, spent, overruns = live[1:], spent+cost, overruns || cost > h.amounts.Cost
				}
			case "late":
				if len(lost) > 0 {
					h := lost[0]
					cost := rapid.Int64Range(0, 2500).Draw(t, "cost")
					run = run.Settle(budget.Settlement{Reserved: h.amounts, Until: h.until, Spent: budget.Amounts{Cost: cost, Calls: 1}}, now)
					if run.OnLost == budget.ChargeEstimate {
						assumed -= h.amounts.Cost
					}
					lost, spent, overruns = lost[1:], spent+cost, true
				}
			case "move":
				if len(live) > 0 {
					to := live[0].until + 7
					run = run.Move(live[0].amounts, live[0].until, to, now)
					live[0].until = to
				}
			}
			reserved := int64(0)
			for _, h := range live {
				reserved += h.amounts.Cost
			}
			if run.Spent.Cost != spent || run.Assumed.Cost != assumed || run.Reserved.Cost != reserved {
				t.Fatalf("run %+v, ledger spent %d assumed %d reserved %d", run, spent, assumed, reserved)
			}
			if !overruns && spent+assumed+reserved > limit {
				t.Fatalf("%d of %d", spent+assumed+reserved, limit)
			}
		}
	})
}

func TestChargeAgainstBigNumbers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		units := rapid.Int64Range(0, math.MaxInt64).Draw(t, "units")
		price := rapid.Int64Range(0, math.MaxInt64).Draw(t, "price")
		want := new(big.Int).Mul(big.NewInt(units), big.NewInt(price))
		want.Add(want, big.NewInt(999_999)).Div(want, big.NewInt(1_000_000))
		if !want.IsInt64() {
			want.SetInt64(math.MaxInt64)
		}
		if got := budget.Charge(units, price); got != want.Int64() {
			t.Fatalf("%d·%d = %d, want %d", units, price, got, want)
		}
	})
}

// TestAbsentIsNotZero: an unknown price refuses, an explicit zero does not.
func TestAbsentIsNotZero(t *testing.T) {
	zero := int64(0)
	if _, _, known := (budget.Question{History: -1, Needed: true}).Cost(); known {
		t.Error("no price was taken for zero")
	}
	cost, source, known := (budget.Question{History: -1, Needed: true, Price: &budget.Price{PerCall: &zero}}).Cost()
	if !known || cost != 0 || source != budget.SourcePerCall {
		t.Errorf("a price of zero: %d %v %v", cost, source, known)
	}
}

func TestRoundNeverEndsEarlier(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		end := rules.Instant(rapid.Int64Range(1, 1<<50).Draw(t, "end"))
		got := budget.Round(end, time.Second)
		if got < end || got.Sub(end) >= time.Second || budget.Round(got, time.Second) != got || budget.Round(end, 0) != end {
			t.Fatalf("%d is rounded to %d", end, got)
		}
	})
}

func TestStates(t *testing.T) {
	limit := int64(100)
	for _, c := range []struct {
		spent, assumed int64
		want           budget.State
	}{{0, 0, budget.Active}, {79, 0, budget.Active}, {80, 0, budget.Pressure}, {40, 40, budget.Pressure}, {99, 0, budget.Pressure}, {60, 40, budget.Exhausted}, {250, 0, budget.Exhausted}} {
		r := &budget.Run{Caps: budget.Caps{Cost: &limit}, Spent: budget.Amounts{Cost: c.spent}, Assumed: budget.Amounts{Cost: c.assumed}}
		if got := r.StateAt(1); got != c.want {
			t.Errorf("spent %d, assumed %d: state %d, want %d", c.spent, c.assumed, got, c.want)
		}
	}
}
