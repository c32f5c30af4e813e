// SPDX-License-Identifier: Apache-2.0

package target_test

import (
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/resilienced/resilienced/rules"
	"github.com/resilienced/resilienced/rules/breaker"
	"github.com/resilienced/resilienced/rules/limit"
	"github.com/resilienced/resilienced/rules/retry"
	"github.com/resilienced/resilienced/rules/target"
)

// TestRoom: concurrency is never passed, and a wait is named when there is no
// room.
func TestRoom(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cfg := &target.Config{Limit: limit.Config{Concurrency: rapid.IntRange(1, 4).Draw(t, "limit")}}
		c, now, fence := target.Control{}, rules.Instant(1), uint64(0)
		ends := []rules.Instant{}
		for range rapid.IntRange(1, 40).Draw(t, "n") {
			now += rules.Instant(rapid.Int64Range(0, 20).Draw(t, "us"))
			c, _ = c.Derive(cfg, now)
			live := 0
			for _, end := range ends {
				if now < end {
					live++
				}
			}
			admission, wait := c.Room(cfg, 0, now)
			if full := live >= cfg.Limit.Concurrency; (admission == target.Full) != full || (wait > 0) != full {
				t.Fatalf("%d of %d slots are taken: %v, wait %v", live, cfg.Limit.Concurrency, admission, wait)
			}
			if admission == target.Admitted {
				fence++
				end := now + rules.Instant(rapid.Int64Range(1, 60).Draw(t, "lease"))
				ends = append(ends, end)
				c = c.Grant(cfg, limit.Holder{Operation: "o", Fence: fence, Expires: end}, now)
			}
		}
	})
}

// TestRampWithoutLimit admits 1, 2, 4, 8 … calls in the seconds after closing.
func TestRampWithoutLimit(t *testing.T) {
	cfg := &target.Config{Breaker: breaker.Config{Ramp: 10 * time.Second}}
	c := target.Control{Breaker: breaker.State{ClosedAt: 5_000_000}}
	for second := range 12 {
		granted := 0
		for range 2000 {
			now := rules.Instant(5_000_000 + second*1_000_000 + granted%1_000_000)
			admission, wait := c.Room(cfg, 0, now)
			if admission == target.Ramping {
				if next := now.Add(wait); next != rules.Instant(5_000_000+(second+1)*1_000_000) {
					t.Fatalf("second %d: told to come back at %d", second, next)
				}
				break
			}
			c = c.Grant(cfg, limit.Holder{}, now)
			granted++
		}
		want := 1 << second
		if second >= 10 {
			want = 2000
		}
		if granted != min(want, 2000) {
			t.Errorf("second %d: %d grants, want %d", second, granted, want)
		}
	}
}

// TestRampWithLimit is max(1, limit·elapsed/ramp).
func TestRampWithLimit(t *testing.T) {
	cfg := &target.Config{Breaker: breaker.Config{Ramp: 10 * time.Second}, Limit: limit.Config{Concurrency: 20}}
	for elapsed, want := range map[time.Duration]int{
		0: 1, 400 * time.Millisecond: 1, time.Second: 2, 5 * time.Second: 10, 9999 * time.Millisecond: 19, 10 * time.Second: 20,
	} {
		c, now, got := target.Control{Breaker: breaker.State{ClosedAt: 1_000_000}}, rules.Instant(1_000_000).Add(elapsed), 0
		for {
			if admission, _ := c.Room(cfg, 0, now); admission != target.Admitted {
				break
			}
			got++
			c = c.Grant(cfg, limit.Holder{Operation: "o", Fence: uint64(got), Expires: now + 1_000_000}, now)
		}
		if got != want {
			t.Errorf("%v after closing: %d calls, want %d", elapsed, got, want)
		}
	}
	if c := (target.Control{}); !reflect.DeepEqual(c.Grant(&target.Config{}, limit.Holder{}, 5), c) || c.Changes(&target.Config{}, 5) {
		t.Error("a grant on a target without limits changes its record")
	}
}

// TestHeldReporters: a hold ends by itself, and of many the one that ends first
// makes room.
func TestHeldReporters(t *testing.T) {
	c, cfg := target.Control{}, &target.Config{}
	for i := range uint64(40) {
		c = c.Hold(i+1, rules.Instant(1000+i))
	}
	if len(c.Held) != 32 || c.HeldFor(8, 1) != 0 || c.HeldFor(40, 1) == 0 || c.HeldFor(99, 1) != 0 {
		t.Errorf("%d reporters are held", len(c.Held))
	}
	c = c.Hold(40, 5000)
	if d, _ := c.Derive(cfg, 1039); len(d.Held) != 1 || d.HeldFor(40, 1039) != time.Duration(5000-1039)*time.Microsecond {
		t.Errorf("at 1039: %+v", d.Held)
	}
	if d, _ := c.Derive(cfg, 5000); len(d.Held) != 0 {
		t.Error("a hold outlasts its end")
	}
}

// TestControlDeriveIsOrderless: deriving in steps gives what deriving at once
// gives.
func TestControlDeriveIsOrderless(t *testing.T) {
	cfg := &target.Config{Breaker: breaker.Config{
		CooldownBase: 20 * time.Microsecond, CooldownMax: 80 * time.Microsecond, Probes: 2, StableFor: 30 * time.Microsecond,
	}}
	rapid.Check(t, func(t *rapid.T) {
		c := target.Control{}
		for i := range rapid.Uint64Range(0, 5).Draw(t, "slots") {
			c.Slots = limit.With(c.Slots, limit.Holder{Operation: "o", Fence: i, Expires: rules.Instant(rapid.Int64Range(1, 60).Draw(t, "end"))})
			c = c.Hold(i, rules.Instant(rapid.Int64Range(1, 60).Draw(t, "hold")))
		}
		c.Breaker = breaker.State{Phase: breaker.Open, Cycles: 1, OpenUntil: rules.Instant(rapid.Int64Range(1, 60).Draw(t, "open"))}
		t1 := rules.Instant(rapid.Int64Range(0, 90).Draw(t, "t1"))
		t2 := t1 + rules.Instant(rapid.Int64Range(0, 90).Draw(t, "t2"))
		once, all := c.Derive(cfg, t2)
		first, made := c.Derive(cfg, t1)
		twice, more := first.Derive(cfg, t2)
		if len(once.Slots) != len(twice.Slots) || len(once.Held) != len(twice.Held) || !reflect.DeepEqual(once.Breaker, twice.Breaker) ||
			!reflect.DeepEqual(all, append(made, more...)) {
			t.Fatalf("at once %+v\nin steps %+v", once, twice)
		}
		stamped := twice.Stamp(cfg, t2)
		if due := stamped.DueAt(); due <= t2 {
			t.Fatalf("derived at %d and due again at %d", t2, due)
		}
	})
}

// TestFresh: a record goes only when nothing in it can matter any more.
func TestFresh(t *testing.T) {
	end := rules.Instant(1).Add(target.Retention)
	for name, c := range map[string]target.Control{
		"a streak": {UpdatedAt: 1, Breaker: breaker.State{Consecutive: 1}}, "cycles": {UpdatedAt: 1, Breaker: breaker.State{Cycles: 1}},
		"auth failures": {UpdatedAt: 1, Breaker: breaker.State{Auth: 1}}, "an opening": {UpdatedAt: 1, Breaker: breaker.State{Phase: breaker.Open}},
		"a cooldown": {UpdatedAt: 1, Cooldown: limit.Cooldown{Until: end + 1}}, "a slot": {UpdatedAt: 1, Slots: []limit.Holder{{}}},
		"a change": {UpdatedAt: 2}, "forced": {UpdatedAt: 1, Breaker: breaker.State{Phase: breaker.ForcedClosed}},
	} {
		if c.Fresh(end) {
			t.Errorf("a record with %s was dropped", name)
		}
	}
	if c := (target.Control{UpdatedAt: 1, Breaker: breaker.State{Generation: 9}}); c.Fresh(end-1) || !c.Fresh(end) {
		t.Error("a quiet record is kept for its retention")
	}
}

// TestWithdraw takes from the fleet's budget for the ttl.
func TestWithdraw(t *testing.T) {
	cfg := &target.Config{Retry: retry.Config{FleetFloor: 3000, FleetTTL: 10 * time.Second}}
	c := target.Control{}.Withdraw(cfg, 1000, 1).Withdraw(cfg, 400, 1)
	if got := cfg.Retry.Available(nil, c.Withdrawals, 10_000_000); got != 1600 {
		t.Errorf("%d are left", got)
	}
	if got := cfg.Retry.Available(nil, c.Withdrawals, 10_000_001); got != 3000 {
		t.Errorf("%d are left after the ttl", got)
	}
}
