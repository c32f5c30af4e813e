// SPDX-License-Identifier: Apache-2.0

package limit_test

import (
	"math/big"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/resilienced/resilienced/rules"
	"github.com/resilienced/resilienced/rules/limit"
)

// TestBucketAgainstFractions compares the bucket with exact fractions: it
// never gives a token too early, and for each token that it gave it is less
// than two milli-tokens late with the next.
func TestBucketAgainstFractions(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := limit.Config{
			Rate: rapid.Int64Range(1, 5000).Draw(t, "rate"), Per: time.Duration(rapid.Int64Range(1, 3600).Draw(t, "per")) * time.Second,
			Burst: rapid.Int64Range(0, 20).Draw(t, "burst"),
		}
		capacity := c.Burst
		if capacity == 0 {
			capacity = c.Rate
		}
		perMicro := big.NewRat(c.Rate, c.Per.Microseconds())
		full := new(big.Rat).SetInt64(capacity)
		tokens, b, now := new(big.Rat).Set(full), limit.Bucket{}, rules.Instant(1_000_000)
		late := big.NewRat(1002, 1000)
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			step := rules.Instant(rapid.Int64Range(0, 2*c.Per.Microseconds()/c.Rate+1).Draw(t, "wait"))
			now += step
			tokens.Add(tokens, new(big.Rat).Mul(perMicro, new(big.Rat).SetInt64(int64(step))))
			if tokens.Cmp(full) > 0 {
				tokens.Set(full)
			}
			next, wait := b.Take(c, now)
			enough := tokens.Cmp(big.NewRat(1, 1)) >= 0
			switch {
			case wait == 0 && !enough:
				t.Fatalf("a token was given with %s there", tokens.FloatString(6))
			case wait == 0:
				b = next
				tokens.Sub(tokens, big.NewRat(1, 1))
				late.Add(late, big.NewRat(2, 1000))
			case enough && tokens.Cmp(late) >= 0:
				t.Fatalf("refused for %v with %s there", wait, tokens.FloatString(6))
			}
		}
	})
}

func TestCooldownIsNeverShortened(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c, now, until := limit.Cooldown{}, rules.Instant(1), rules.Instant(0)
		for range rapid.IntRange(1, 20).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.Int64Range(0, int64(time.Hour)).Draw(t, "later")))
			d := time.Duration(rapid.Int64Range(-int64(time.Hour), int64(48*time.Hour)).Draw(t, "asked"))
			c = c.Extend(now, d, "x", "o", "raw")
			if d > 0 {
				until = max(until, now.Add(min(d, limit.MaxCooldown)))
			}
			if c.Until != until {
				t.Fatalf("holds until %d, want %d", c.Until, until)
			}
		}
	})
}

// TestSlotsAgainstASet: holders are a set of leases, each of which ends by
// itself.
func TestSlotsAgainstASet(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var holders []limit.Holder
		want, now := map[uint64]rules.Instant{}, rules.Instant(0)
		for fence := range uint64(rapid.IntRange(1, 40).Draw(t, "steps")) {
			now += rules.Instant(rapid.Int64Range(0, 5).Draw(t, "later"))
			holders = limit.Live(holders, now)
			for f, end := range want {
				if end <= now {
					delete(want, f)
				}
			}
			gone := rapid.Uint64Range(0, fence).Draw(t, "gone")
			left, held := limit.Without(holders, "o", gone)
			if _, is := want[gone]; is != held {
				t.Fatalf("freed %d: %v", gone, held)
			}
			holders = left
			delete(want, gone)
			end := now + rules.Instant(rapid.Int64Range(1, 9).Draw(t, "lease"))
			holders = limit.With(holders, limit.Holder{Operation: "o", Fence: fence, Expires: end})
			want[fence] = end
			if len(holders) != len(want) {
				t.Fatalf("%d holders, want %d", len(holders), len(want))
			}
		}
	})
}
