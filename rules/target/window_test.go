// SPDX-License-Identifier: Apache-2.0

package target_test

import (
	"reflect"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/resilienced/resilienced/rules"
	"github.com/resilienced/resilienced/rules/breaker"
	"github.com/resilienced/resilienced/rules/classify"
	"github.com/resilienced/resilienced/rules/retry"
	"github.com/resilienced/resilienced/rules/target"
)

// TestHistogram: a quantile is never less than the true one, and less than a
// quarter more.
func TestHistogram(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var h target.Histogram
		values := rapid.SliceOfN(rapid.OneOf(rapid.Int64Range(0, 20), rapid.Int64Range(0, 1<<40)), 1, 199).Draw(t, "values")
		for _, v := range values {
			h.Add(v)
		}
		slices.Sort(values)
		for _, percent := range []int{1, 50, 95, 100} {
			exact := values[max((len(values)*percent+99)/100, 1)-1]
			if got := h.Quantile(percent); got < exact || 4*got >= 5*exact+4 {
				t.Fatalf("the %d %% quantile is %d, exactly %d", percent, got, exact)
			}
		}
	})
	if (&target.Histogram{}).Quantile(95) != -1 {
		t.Error("nothing has a quantile")
	}
}

// TestHistogramForgets: newer values outweigh a greater number of older ones.
func TestHistogramForgets(t *testing.T) {
	var h target.Histogram
	for range 10_000 {
		h.Add(1000)
	}
	for range 400 {
		h.Add(10)
	}
	if got := h.Quantile(50); got > 12 {
		t.Errorf("after 400 calls of 10 the median is %d", got)
	}
	if h.Total >= 200 {
		t.Errorf("%d values are kept", h.Total)
	}
}

// TestWindow holds the rate window against a list of every vote.
func TestWindow(t *testing.T) {
	type event struct {
		at         rules.Instant
		generation uint64
		s          target.Sample
	}
	rapid.Check(t, func(t *rapid.T) {
		cfg := &target.Config{Exact: true, Breaker: breaker.Config{Window: time.Minute}}
		tally, now, generation := &target.Tally{}, rules.Instant(1), uint64(0)
		var all []event
		for range rapid.IntRange(1, 60).Draw(t, "n") {
			now += rules.Instant(rapid.SampledFrom([]int64{0, 1, 2_999_999, 6_000_000, 20_000_000, 60_000_000}).Draw(t, "us"))
			if rapid.IntRange(0, 9).Draw(t, "transition") == 9 {
				generation++
			}
			s := target.Sample{Effect: classify.Effect(rapid.IntRange(0, 2).Draw(t, "effect")), Generation: generation, Cost: -1}
			s.Slow = s.Effect == classify.Success && rapid.Bool().Draw(t, "slow")
			all = append(all, event{now, generation, s})
			var want breaker.Counts
			for _, e := range all {
				if e.generation != generation || int64(e.at)/6_000_000 <= int64(now)/6_000_000-10 {
					continue
				}
				switch e.s.Effect {
				case classify.Failure:
					want.Failures++
				case classify.Success:
					want.Successes++
				case classify.Neutral:
				}
				if e.s.Slow {
					want.Slow++
				}
			}
			kept := tally.Clone()
			if got := tally.Record(cfg, s, now); got != want {
				t.Fatalf("window %+v, want %+v", got, want)
			}
			if len(tally.Window) > 10 {
				t.Fatalf("%d buckets", len(tally.Window))
			}
			again := kept.Clone()
			again.Record(cfg, s, now)
			if !reflect.DeepEqual(again, tally) || !reflect.DeepEqual(kept.Clone(), kept) {
				t.Fatal("a clone shares something with its original")
			}
		}
	})
}

// TestDeposits are summed by instant in a drill and by a quarter of a second
// elsewhere, and last for the ttl.
func TestDeposits(t *testing.T) {
	for exact, most := range map[bool]int{true: 100, false: 45} {
		cfg := &target.Config{Exact: exact, Retry: retry.Config{FleetRatio: 200, FleetTTL: 10 * time.Second}}
		tally := &target.Tally{}
		for i := range 300 {
			tally.Deposit(cfg, rules.Instant(1_000_000+i*100_000))
		}
		now := rules.Instant(1_000_000 + 299*100_000)
		if got := cfg.Retry.Available(tally.Deposits, nil, now); got > 200*100 || got < 200*97 {
			t.Errorf("exact %t: 300 deposits in 30 s, %d milli-tokens in the last 10", exact, got)
		}
		if len(tally.Deposits) > most {
			t.Errorf("exact %t: %d entries", exact, len(tally.Deposits))
		}
	}
}

// TestAlone: a reporter is alone if no other was seen in the last minute.
func TestAlone(t *testing.T) {
	tally, cfg := &target.Tally{}, &target.Config{}
	see := func(reporter uint64, now rules.Instant) {
		tally.Record(cfg, target.Sample{Reporter: reporter, Cost: -1}, now)
	}
	if !tally.Alone(1, 5) {
		t.Error("nobody was seen")
	}
	see(1, 1_000_000)
	see(2, 2_000_000)
	if !tally.Alone(1, 62_000_000) || tally.Alone(1, 62_000_000-1) || tally.Alone(2, 61_000_000-1) {
		t.Error("a reporter counts as seen for a minute")
	}
	for i := range uint64(10) {
		see(10+i, 70_000_000+rules.Instant(i))
	}
	if len(tally.Reporters) > 4 || tally.Alone(19, 70_000_020) {
		t.Errorf("of many reporters %d are remembered", len(tally.Reporters))
	}
}

// TestMedian is of successes that took time.
func TestMedian(t *testing.T) {
	tally, cfg := &target.Tally{}, &target.Config{}
	if tally.Median() != 0 {
		t.Error("nothing has a median")
	}
	tally.Record(cfg, target.Sample{Effect: classify.Success, Duration: 2 * time.Second, Cost: 7}, 1)
	tally.Record(cfg, target.Sample{Effect: classify.Failure, Duration: time.Hour, Cost: -1}, 1)
	if m := tally.Median(); m < 2*time.Second || m > 2500*time.Millisecond || tally.Costs.Total != 1 {
		t.Errorf("median %v, %d costs", m, tally.Costs.Total)
	}
}
