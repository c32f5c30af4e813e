// SPDX-License-Identifier: Apache-2.0

package breaker_test

import (
	"reflect"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/resilienced/resilienced/rules"
	"github.com/resilienced/resilienced/rules/breaker"
	"github.com/resilienced/resilienced/rules/classify"
)

// drawConfig draws numbers that make transitions frequent.
func drawConfig(t *rapid.T) breaker.Config {
	base := rapid.SampledFrom([]time.Duration{time.Second, 10 * time.Second, 30 * time.Second, 5 * time.Minute}).Draw(t, "base")
	return breaker.Config{
		ConsecutiveFailures: rapid.IntRange(0, 4).Draw(t, "consecutive"), ConsecutiveQuality: rapid.IntRange(0, 3).Draw(t, "quality"),
		ConsecutiveAuth: rapid.IntRange(0, 3).Draw(t, "auth"), Window: time.Minute, FailurePercent: 50, MinCalls: 4, CooldownBase: base,
		CooldownMax: 5 * time.Minute, Probes: rapid.IntRange(1, 3).Draw(t, "probes"), ProbeLease: time.Minute,
		CloseAfter: rapid.IntRange(1, 3).Draw(t, "close_after"), StableFor: time.Minute,
	}
}

func drawVote(t *rapid.T) breaker.Vote {
	effects := []classify.Effect{classify.Neutral, classify.Success, classify.Failure, classify.Failure}
	v := breaker.Vote{Effect: rapid.SampledFrom(effects).Draw(t, "effect"), Alone: rapid.Bool().Draw(t, "alone"), Reporter: rapid.Uint64Range(0, 3).Draw(t, "reporter")}
	switch v.Effect {
	case classify.Failure:
		v.Quality = rapid.Bool().Draw(t, "quality")
		v.Suspect = rapid.Bool().Draw(t, "suspect")
	case classify.Neutral:
		v.Auth = rapid.Bool().Draw(t, "auth")
		v.ClientError = !v.Auth && rapid.Bool().Draw(t, "client")
	case classify.Success:
	}
	v.Window = breaker.Counts{Failures: rapid.Int64Range(0, 5).Draw(t, "f"), Successes: rapid.Int64Range(0, 5).Draw(t, "s")}
	return v
}

// machine drives one breaker, operators included.
type machine struct {
	c       breaker.Config
	s       breaker.State
	now     rules.Instant
	permits []breaker.Ballot
	fence   uint64
}

// set takes a new state after checking what holds between any two.
func (m *machine) set(t *rapid.T, next breaker.State, made ...breaker.Transition) {
	generation := m.s.Generation
	for _, x := range made {
		if x.Generation <= generation {
			t.Fatalf("generation %d follows %d", x.Generation, generation)
		}
		generation = x.Generation
	}
	switch {
	case next.Generation != generation || (next.Phase != m.s.Phase && len(made) == 0):
		t.Fatalf("a change without a transition: %+v to %+v by %+v", m.s, next, made)
	case next.Cycles > m.c.CapCycles():
		t.Fatalf("%d cycles, the cap is %d", next.Cycles, m.c.CapCycles())
	case next.Phase == breaker.Open && next.OpenUntil.Sub(next.OpenedAt) > m.c.CooldownMax:
		t.Fatalf("open for %v", next.OpenUntil.Sub(next.OpenedAt))
	case next.Phase == breaker.Open && len(made) == 0 && next.OpenUntil != m.s.OpenUntil:
		t.Fatalf("an opening was moved from %v to %v", m.s.OpenUntil, next.OpenUntil)
	}
	m.s = next
}

func (m *machine) derive(t *rapid.T) {
	next, made := m.s.Derive(m.c, m.now)
	m.set(t, next, made...)
}

func (m *machine) acquire(t *rapid.T) {
	m.derive(t)
	gate, delay := m.s.Check(m.c, m.now, rapid.Bool().Draw(t, "idempotent"))
	if delay < 0 || (gate == breaker.GateDenied && delay == 0) {
		t.Fatalf("gate %v with a delay of %v", gate, delay)
	}
	m.fence++
	p := breaker.Ballot{Operation: "o", Fence: m.fence, Generation: m.s.Generation, GrantedAt: m.now, Expires: m.now.Add(2 * time.Minute)}
	switch gate {
	case breaker.GateProbe:
		p.Expires = m.now.Add(m.c.ProbeLease)
		m.s = m.s.TakeProbe(breaker.Probe{Operation: p.Operation, Fence: p.Fence, Expires: p.Expires})
	case breaker.GateOpen:
	default:
		return
	}
	m.permits = append(m.permits, p)
}

func (m *machine) report(t *rapid.T) {
	if len(m.permits) == 0 {
		t.Skip("no permit")
	}
	i := rapid.IntRange(0, len(m.permits)-1).Draw(t, "permit")
	p := m.permits[i]
	m.permits = slices.Delete(m.permits, i, i+1)
	if m.derive(t); m.s.Counts(p, m.now) != "" {
		return
	}
	next, verdict := m.s.Apply(m.c, p, drawVote(t), m.now)
	if verdict.Transition == nil {
		m.set(t, next)
		return
	}
	m.set(t, next, *verdict.Transition)
}

func (m *machine) force(t *rapid.T) {
	m.derive(t)
	to := rapid.SampledFrom([]breaker.Phase{breaker.ForcedOpen, breaker.ForcedClosed, breaker.Disabled}).Draw(t, "to")
	until := m.now.Add(time.Duration(rapid.IntRange(1, 100).Draw(t, "ttl")) * time.Second)
	next, made := m.s.Force(to, until, "a", "r", m.now)
	m.set(t, next, *made)
}

// check: probes are bounded and live in HALF_OPEN only; an open breaker ends
// at its instant and not before, and then it hands out a probe.
func (m *machine) check(t *rapid.T) {
	if live := len(m.s.Probes); live > m.c.Probes || (live > 0 && m.s.Phase != breaker.HalfOpen) {
		t.Fatalf("%d probes in %v", live, m.s.Phase)
	}
	if m.s.Phase != breaker.Open {
		return
	}
	if before, _ := m.s.Derive(m.c, m.s.OpenUntil-1); before.Phase != breaker.Open {
		t.Fatal("it left OPEN early")
	}
	at, made := m.s.Derive(m.c, m.s.OpenUntil)
	if gate, _ := at.Check(m.c, m.s.OpenUntil, true); at.Phase != breaker.HalfOpen || gate != breaker.GateProbe || made[0].At != m.s.OpenUntil {
		t.Fatalf("at the end of the cooldown it is %v and says %v", at.Phase, gate)
	}
}

// TestMachine: whatever comes and whatever the numbers, probes are bounded,
// generations grow, cycles have a cap, an opening has one length and an end.
func TestMachine(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &machine{c: drawConfig(t), now: 1_000_000}
		t.Repeat(map[string]func(*rapid.T){
			"acquire": m.acquire, "acquire2": m.acquire, "report": m.report, "report2": m.report, "force": m.force, "": m.check,
			"reset": func(t *rapid.T) {
				next, made := m.s.Reset(m.now)
				m.set(t, next, *made)
			},
			"advance": func(t *rapid.T) { m.now += rules.Instant(rapid.Int64Range(0, 90_000_000).Draw(t, "us")) },
		})
	})
}

// TestDeriveIsOrderless: deriving in steps gives what deriving at once gives.
func TestDeriveIsOrderless(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &machine{c: drawConfig(t), now: 1_000_000}
		for range rapid.IntRange(1, 30).Draw(t, "steps") {
			m.acquire(t)
			if len(m.permits) > 0 && rapid.Bool().Draw(t, "report") {
				m.report(t)
			}
			m.now += rules.Instant(rapid.Int64Range(0, 40_000_000).Draw(t, "us"))
		}
		t1 := m.now + rules.Instant(rapid.Int64Range(0, 400_000_000).Draw(t, "t1"))
		t2 := t1 + rules.Instant(rapid.Int64Range(0, 400_000_000).Draw(t, "t2"))
		once, all := m.s.Derive(m.c, t2)
		first, made := m.s.Derive(m.c, t1)
		twice, more := first.Derive(m.c, t2)
		if !reflect.DeepEqual(once, twice) || !reflect.DeepEqual(all, append(made, more...)) {
			t.Fatalf("at once %+v\nin steps %+v", once, twice)
		}
		if again, none := twice.Derive(m.c, t2); !reflect.DeepEqual(again, twice) || len(none) > 0 {
			t.Fatal("deriving is not idempotent")
		}
	})
}

// TestNeutralReportsDoNothing: neutral reports, wherever they come in a
// sequence, change no streak and trip nothing.
func TestNeutralReportsDoNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := drawConfig(t)
		with, without := breaker.State{}, breaker.State{}
		for i, v := range rapid.SliceOfN(rapid.Custom(drawVote), 0, 20).Draw(t, "votes") {
			now := rules.Instant(i + 1)
			b := breaker.Ballot{GrantedAt: rules.Instant(rapid.Int64Range(0, int64(now)).Draw(t, "granted"))}
			for range rapid.IntRange(0, 2).Draw(t, "neutral") {
				with, _ = with.Apply(c, breaker.Ballot{GrantedAt: now}, breaker.Vote{Alone: true, ClientError: true}, now)
			}
			with, _ = with.Apply(c, b, v, now)
			without, _ = without.Apply(c, b, v, now)
		}
		if !reflect.DeepEqual(with, without) {
			t.Fatalf("with neutral reports %+v\nwithout %+v", with, without)
		}
	})
}

// TestOrderWithinAnInstant: failures of one instant lead to the same state in
// any order.
func TestOrderWithinAnInstant(t *testing.T) {
	one := func(t *rapid.T) breaker.Vote {
		return breaker.Vote{Effect: classify.Failure, Quality: rapid.Bool().Draw(t, "quality"), Alone: true}
	}
	rapid.Check(t, func(t *rapid.T) {
		c := breaker.Config{CooldownBase: time.Second, CooldownMax: time.Minute, ConsecutiveFailures: rapid.IntRange(0, 12).Draw(t, "n")}
		votes := rapid.SliceOfN(rapid.Custom(one), 0, 10).Draw(t, "votes")
		apply := func(votes []breaker.Vote) breaker.State {
			s := breaker.State{}
			for _, v := range votes {
				s, _ = s.Apply(c, breaker.Ballot{}, v, 5)
			}
			return s
		}
		a, b := apply(votes), apply(rapid.Permutation(votes).Draw(t, "order"))
		if a.Phase != b.Phase || a.Cause != b.Cause || a.OpenUntil != b.OpenUntil || a.Consecutive != b.Consecutive {
			t.Fatalf("%+v\n%+v", a, b)
		}
	})
}

// TestCapCycles holds it against ⌈log2(cap/base)⌉ + 1.
func TestCapCycles(t *testing.T) {
	for base, want := range map[time.Duration]int{
		30 * time.Second: 5, 10 * time.Second: 6, 5 * time.Minute: 1, 150 * time.Second: 2, 149 * time.Second: 3, time.Minute: 4,
	} {
		c := breaker.Config{CooldownBase: base, CooldownMax: 5 * time.Minute}
		if got := c.CapCycles(); got != want {
			t.Errorf("base %v: %d cycles, want %d", base, got, want)
		}
		if c.Cooldown(want) != 5*time.Minute || (want > 1 && c.Cooldown(want-1) >= 5*time.Minute) {
			t.Errorf("base %v: the cap is not reached with cycle %d", base, want)
		}
	}
}
