// SPDX-License-Identifier: Apache-2.0

package target

import (
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/resilienced/resilienced/rules"
	"github.com/resilienced/resilienced/rules/breaker"
	"github.com/resilienced/resilienced/rules/classify"
	"github.com/resilienced/resilienced/rules/retry"
)

// TestStripesTellWhatOneTallyTells deals the same calls to one tally and to
// several stripes: what the rules read of it is the same.
func TestStripesTellWhatOneTallyTells(t *testing.T) {
	cfg := &Config{
		Breaker: breaker.Config{Window: 10 * time.Second},
		Retry:   retry.Config{FleetRatio: 100, FleetTTL: 10 * time.Second},
	}
	rapid.Check(t, func(t *rapid.T) {
		one, stripes := &Tally{}, []*Tally{{}, {}, {}}
		now, generation := rules.Instant(1_000_000_000), uint64(1)
		for range rapid.IntRange(0, 150).Draw(t, "calls") {
			now = now.Add(time.Duration(rapid.IntRange(0, 700).Draw(t, "pause")) * time.Millisecond)
			if rapid.IntRange(0, 40).Draw(t, "turn") == 0 {
				generation++
			}
			part := stripes[rapid.IntRange(0, len(stripes)-1).Draw(t, "replica")]
			s := Sample{
				Effect:     rapid.SampledFrom([]classify.Effect{classify.Success, classify.Failure, classify.Neutral}).Draw(t, "effect"),
				Slow:       rapid.Bool().Draw(t, "slow"),
				Generation: generation, Reporter: uint64(rapid.IntRange(1, 3).Draw(t, "reporter")),
				Duration: time.Duration(rapid.IntRange(0, 5000).Draw(t, "took")) * time.Millisecond,
				Cost:     int64(rapid.IntRange(-1, 1000).Draw(t, "cost")),
			}
			for _, tally := range []*Tally{one, part} {
				if s.Slow {
					tally.Deposit(cfg, now)
				}
				tally.Record(cfg, s, now)
			}
		}
		rand.Shuffle(len(stripes), func(i, j int) { stripes[i], stripes[j] = stripes[j], stripes[i] })
		sum := Merge(stripes...)
		if got, want := sum.Counts(cfg, generation, now), one.Counts(cfg, generation, now); got != want {
			t.Fatalf("window %+v, want %+v", got, want)
		}
		if got, want := cfg.Retry.Available(sum.Deposits, nil, now), cfg.Retry.Available(one.Deposits, nil, now); got != want {
			t.Fatalf("deposits %d, want %d", got, want)
		}
		if got, want := sum.Alone(1, now), one.Alone(1, now); got != want {
			t.Fatalf("alone %v, want %v", got, want)
		}
		if sum.Durations.Total >= decayAt || sum.UpdatedAt != one.UpdatedAt {
			t.Fatalf("%d durations, updated at %d, want %d", sum.Durations.Total, sum.UpdatedAt, one.UpdatedAt)
		}
		if one.Durations.Total < decayAt/2 && one.Durations.Total == sum.Durations.Total && one.Median() != sum.Median() {
			t.Fatalf("median %v, want %v", sum.Median(), one.Median())
		}
		if alone := Merge(one); !reflect.DeepEqual(alone.Window, one.Window) || !slices.Equal(alone.Durations.Counts, one.Durations.Counts) {
			t.Fatal("one stripe is not itself")
		}
	})
}

// TestSettledLeavesOutWhatMayStillCome.
func TestSettledLeavesOutWhatMayStillCome(t *testing.T) {
	cfg := &Config{Breaker: breaker.Config{Window: 10 * time.Second}}
	tally, start := &Tally{}, rules.Instant(1_000_000_000)
	tally.Record(cfg, Sample{Effect: classify.Failure, Cost: -1}, start)
	for wait, want := range map[time.Duration]int{
		0: 0, 900 * time.Millisecond: 0, 1200 * time.Millisecond: 0, 1250 * time.Millisecond: 1, 9 * time.Second: 1, 10 * time.Second: 0,
	} {
		if got := tally.Settled(cfg, 0, start.Add(wait), 250*time.Millisecond); int(got.Failures) != want {
			t.Errorf("after %v: %d failures, want %d", wait, got.Failures, want)
		}
	}
	if got := tally.Settled(cfg, 1, start.Add(2*time.Second), 0); got != (breaker.Counts{}) {
		t.Errorf("another generation counts: %+v", got)
	}
}
