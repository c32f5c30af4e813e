// SPDX-License-Identifier: Apache-2.0

package retry_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/resilienced/resilienced/rules"
	"github.com/resilienced/resilienced/rules/retry"
)

func TestWaits(t *testing.T) {
	c := retry.Config{Initial: time.Second, Multiplier: 2, Max: 30 * time.Second}
	for i, want := range []int{1, 2, 4, 8, 16, 30, 30} {
		if got := c.Wait(i + 1); got != time.Duration(want)*time.Second {
			t.Errorf("retry %d waits %v, want %d s", i+1, got, want)
		}
	}
	c.Backoff = retry.Fixed
	if got := c.Wait(5); got != time.Second {
		t.Errorf("a fixed wait is %v", got)
	}
	if got := (retry.Config{Initial: time.Hour, Multiplier: 2, Max: time.Minute}).Wait(1); got != time.Minute {
		t.Errorf("the cap is passed: %v", got)
	}
}

func TestSpreadStaysInItsRange(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := time.Duration(rapid.Int64Range(0, int64(time.Hour)).Draw(t, "wait")).Truncate(time.Microsecond)
		r := rapid.Uint64().Draw(t, "random")
		for jitter, bounds := range map[retry.Jitter][2]time.Duration{
			retry.EqualJitter: {d / 2, d}, retry.FullJitter: {0, d}, retry.NoJitter: {d, d}, retry.AdditiveJitter: {d, d + d/10},
		} {
			if got := (retry.Config{Jitter: jitter}).Spread(d, r); got < bounds[0] || got > bounds[1] {
				t.Fatalf("jitter %d of %v gives %v", jitter, d, got)
			}
		}
		if got := (retry.Config{Margin: true}).AddMargin(d, r); got < d || got > d+time.Second {
			t.Fatalf("a wait of %v that a target asked for becomes %v", d, got)
		}
	})
}

// TestFleetAgainstAList compares the budget with a list of everything that was
// ever put in or taken out.
func TestFleetAgainstAList(t *testing.T) {
	type entry struct {
		at    rules.Instant
		milli int64
	}
	rapid.Check(t, func(t *rapid.T) {
		c := retry.Config{FleetFloor: rapid.Int64Range(0, 20_000).Draw(t, "floor"), FleetTTL: 10 * time.Second}
		var deposits, withdrawals []retry.Entry
		var all []entry
		now := rules.Instant(1)
		for range rapid.IntRange(1, 50).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.IntRange(0, 4000).Draw(t, "ms")) * time.Millisecond)
			if rapid.Bool().Draw(t, "deposit") {
				deposits = retry.Add(deposits, now, 200, c.FleetTTL, 0)
				all = append(all, entry{now, 200})
			} else {
				withdrawals = retry.Add(withdrawals, now, retry.CostTransient, c.FleetTTL, 0)
				all = append(all, entry{now, -retry.CostTransient})
			}
			want := c.FleetFloor
			for _, e := range all {
				if now.Sub(e.at) < c.FleetTTL {
					want += e.milli
				}
			}
			if got := c.Available(deposits, withdrawals, now); got != want {
				t.Fatalf("%d milli-tokens, want %d", got, want)
			}
		}
	})
}

func TestTaskCountsByTarget(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var task *retry.Task
		want := map[string]int{}
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			name := rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "target")
			task = task.Take(name, 1)
			want[name]++
			if task.Count(name) != want[name] {
				t.Fatalf("%s: %d, want %d", name, task.Count(name), want[name])
			}
		}
	})
	var task *retry.Task
	for i := range 10_000 {
		task = task.Take(string(rune('a'+i%26))+string(rune('a'+i/26%26))+string(rune('a'+i/676)), 1)
	}
	if len(task.Used) > 65 {
		t.Errorf("a task of many targets keeps %d of them", len(task.Used))
	}
}
