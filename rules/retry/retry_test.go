// SPDX-License-Identifier: Apache-2.0

package retry_test

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/resilienced/resilienced/rules"
	"github.com/resilienced/resilienced/rules/retry"
)

// TestPresetWaits are those of semantics §1.1.
func TestPresetWaits(t *testing.T) {
	c := retry.Config{Initial: time.Second, Multiplier: 2, Max: 30 * time.Second}
	var got []time.Duration
	for n := range 7 {
		got = append(got, c.Wait(n+1))
	}
	if text := fmt.Sprint(got); text != "[1s 2s 4s 8s 16s 30s 30s]" {
		t.Error(text)
	}
}

// TestAmplification is C1 of the reliability page: a fleet that retries
// whenever it may makes at most ratio·calls + floor retries in any ttl.
func TestAmplification(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := retry.Config{FleetFloor: 2000, FleetRatio: 200, FleetTTL: 10 * time.Second}
		var deposits, withdrawals []retry.Entry
		var calls, retries []rules.Instant
		now := rules.Instant(1)
		for range rapid.IntRange(1, 200).Draw(t, "n") {
			now += rules.Instant(rapid.Int64Range(0, 1_000_000).Draw(t, "us"))
			deposits, calls = retry.Add(deposits, now, c.FleetRatio, c.FleetTTL, 0), append(calls, now)
			if c.Available(deposits, withdrawals, now) >= retry.CostTransient {
				withdrawals, retries = retry.Add(withdrawals, now, retry.CostTransient, c.FleetTTL, 0), append(retries, now)
			}
		}
		within := func(times []rules.Instant, span time.Duration) (n int64) {
			for _, at := range times {
				if now < at.Add(span) {
					n++
				}
			}
			return n
		}
		// A retry of the last ttl may rest on a deposit of the ttl before it.
		if r, most := within(retries, c.FleetTTL), 2+within(calls, 2*c.FleetTTL)/5; r > most {
			t.Fatalf("%d retries, at most %d", r, most)
		}
	})
}

// TestTaskOfManyTargets: the first 64 targets are counted exactly, the others
// together, and never as none.
func TestTaskOfManyTargets(t *testing.T) {
	var task *retry.Task
	for i := range 100 {
		task = task.Take(fmt.Sprint("t", i), 7)
	}
	if task.Count("t99") != 36 || task.Count("t0") != 1 {
		t.Errorf("%d and %d retries", task.Count("t99"), task.Count("t0"))
	}
}
