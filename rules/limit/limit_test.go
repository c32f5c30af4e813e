// SPDX-License-Identifier: Apache-2.0

package limit_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/resilienced/resilienced/rules"
	"github.com/resilienced/resilienced/rules/limit"
)

// TestBucketWaitIsEnough: after the wait that a bucket named, a token is there.
func TestBucketWaitIsEnough(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := limit.Config{
			Rate: rapid.Int64Range(1, 1_000_000).Draw(t, "rate"), Burst: rapid.Int64Range(0, 5).Draw(t, "burst"),
			Per: rapid.SampledFrom([]time.Duration{time.Millisecond, time.Second, time.Minute, 24 * time.Hour}).Draw(t, "per"),
		}
		b, now := limit.Bucket{}, rules.Instant(1_000_000)
		for range rapid.IntRange(1, 50).Draw(t, "n") {
			now += rules.Instant(rapid.Int64Range(0, 2*int64(c.Per/time.Microsecond)/c.Rate+2).Draw(t, "us"))
			next, wait := b.Take(c, now)
			if wait == 0 {
				b = next
				continue
			}
			if _, still := b.Take(c, now.Add(wait)); still > 0 {
				t.Fatalf("after the wait of %v another of %v", wait, still)
			}
		}
	})
}

// TestBucketOff: no rate is no limit.
func TestBucketOff(t *testing.T) {
	for _, c := range []limit.Config{{}, {Rate: 5}, {Per: time.Second}, {Rate: -1, Per: time.Second}} {
		if b, wait := (limit.Bucket{}).Take(c, 5); wait != 0 || b != (limit.Bucket{}) {
			t.Errorf("%+v: %+v, wait %v", c, b, wait)
		}
	}
}

// TestSlotWait is the median over the limit, between 50 ms and 5 s.
func TestSlotWait(t *testing.T) {
	for _, c := range []struct {
		median time.Duration
		limit  int
		want   time.Duration
	}{
		{0, 5, 50 * time.Millisecond},
		{100 * time.Millisecond, 5, 50 * time.Millisecond},
		{10 * time.Second, 5, 2 * time.Second},
		{time.Minute, 5, 5 * time.Second},
		{time.Second, 0, time.Second},
	} {
		if got := limit.SlotWait(c.median, c.limit); got != c.want {
			t.Errorf("median %v, limit %d: %v, want %v", c.median, c.limit, got, c.want)
		}
	}
}
