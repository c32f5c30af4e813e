// SPDX-License-Identifier: Apache-2.0

package breaker_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/resilienced/resilienced/rules"
	"github.com/resilienced/resilienced/rules/breaker"
	"github.com/resilienced/resilienced/rules/classify"
)

var config = breaker.Config{
	ConsecutiveFailures: 3, ConsecutiveQuality: 2, ConsecutiveAuth: 2, CooldownBase: 30 * time.Second,
	CooldownMax: 5 * time.Minute, Probes: 1, ProbeLease: time.Minute, CloseAfter: 1, StableFor: time.Minute,
}

// walk drives a breaker through random calls and checks its invariants after
// every step.
type walk struct {
	t       *rapid.T
	state   breaker.State
	now     rules.Instant
	fence   uint64
	permits []breaker.Ballot
	newest  uint64 // generation
}

func (w *walk) advance() {
	w.now = w.now.Add(time.Duration(rapid.IntRange(0, 400).Draw(w.t, "seconds")) * time.Second)
	before := w.state
	w.state, _ = w.state.Derive(config, w.now)
	if again, made := w.state.Derive(config, w.now); len(made) != 0 || again.Generation != w.state.Generation {
		w.t.Fatalf("deriving twice changed %+v into %+v", w.state, again)
	}
	if due := before.Due(config); due != 0 && due < w.now { // in two steps as in one
		half, _ := before.Derive(config, due)
		whole, _ := half.Derive(config, w.now)
		if whole.Phase != w.state.Phase || whole.Generation != w.state.Generation || whole.OpenUntil != w.state.OpenUntil {
			w.t.Fatalf("derived in steps: %+v, at once: %+v", whole, w.state)
		}
	}
}

func (w *walk) acquire() {
	gate, delay := w.state.Check(config, w.now, true)
	switch gate {
	case breaker.GateDenied:
		if delay <= 0 || w.state.Phase != breaker.Open {
			w.t.Fatalf("refused for %v in %v", delay, w.state.Phase)
		}
		return
	case breaker.GateProbeOut:
		return
	case breaker.GateProbe, breaker.GateOpen, breaker.GateForcedOpen:
	}
	w.fence++
	b := breaker.Ballot{Operation: "o", Fence: w.fence, Generation: w.state.Generation, GrantedAt: w.now, Expires: w.now.Add(time.Minute)}
	if gate == breaker.GateProbe {
		w.state = w.state.TakeProbe(breaker.Probe{Operation: "o", Fence: w.fence, Expires: b.Expires})
	}
	w.permits = append(w.permits, b)
}

func (w *walk) report() {
	if len(w.permits) == 0 {
		return
	}
	i := rapid.IntRange(0, len(w.permits)-1).Draw(w.t, "permit")
	b := w.permits[i]
	w.permits = append(w.permits[:i], w.permits[i+1:]...)
	vote := breaker.Vote{
		Effect: classify.Effect(rapid.IntRange(0, 2).Draw(w.t, "effect")), Quality: rapid.Bool().Draw(w.t, "quality"), Alone: true,
	}
	vote.Quality = vote.Quality && vote.Effect == classify.Failure
	before := w.state
	if why := w.state.Counts(b, w.now); why != "" {
		if b.Generation == w.state.Generation && w.now < b.Expires && w.state.Phase != breaker.HalfOpen {
			w.t.Fatalf("a live report of this generation does not count: %s", why)
		}
		return
	}
	w.state, _ = w.state.Apply(config, b, vote, w.now)
	if before.Phase == breaker.Open && w.state.OpenUntil != before.OpenUntil {
		w.t.Fatal("a late report moved the end of an opening")
	}
	if before.Phase == breaker.HalfOpen && w.state.Phase == breaker.Closed && vote.Effect != classify.Success {
		w.t.Fatal("closed without a success")
	}
}

func (w *walk) check() {
	live := 0
	for _, p := range w.state.Probes {
		if p.Expires > w.now {
			live++
		}
	}
	switch {
	case live > config.Probes:
		w.t.Fatalf("%d probes are out", live)
	case w.state.Generation < w.newest:
		w.t.Fatalf("generation %d after %d", w.state.Generation, w.newest)
	case w.state.Cycles > config.CapCycles():
		w.t.Fatalf("%d cycles", w.state.Cycles)
	case w.state.Phase == breaker.Open && w.state.OpenUntil.Sub(w.state.OpenedAt) > config.CooldownMax:
		w.t.Fatalf("open for %v", w.state.OpenUntil.Sub(w.state.OpenedAt))
	case w.state.Phase == breaker.Closed && w.state.Consecutive >= config.ConsecutiveFailures:
		w.t.Fatalf("closed after %d failures in a row", w.state.Consecutive)
	}
	w.newest = w.state.Generation
}

func TestInvariants(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := &walk{t: t, now: 1_000_000_000}
		t.Repeat(map[string]func(*rapid.T){
			"advance": func(*rapid.T) { w.advance() },
			"acquire": func(*rapid.T) { w.acquire() },
			"report":  func(*rapid.T) { w.report() },
			"":        func(*rapid.T) { w.check() },
		})
	})
}

// TestOpenEnds: whatever happened, an open breaker lets a probe through once
// its time is over.
func TestOpenEnds(t *testing.T) {
	s, now := breaker.State{}, rules.Instant(1_000_000)
	for i := range 20 {
		b := breaker.Ballot{Operation: "o", Fence: uint64(i + 1), Generation: s.Generation, GrantedAt: now, Expires: now.Add(time.Minute)}
		if gate, _ := s.Check(config, now, true); gate == breaker.GateProbe {
			s = s.TakeProbe(breaker.Probe{Operation: "o", Fence: b.Fence, Expires: b.Expires})
		}
		s, _ = s.Apply(config, b, breaker.Vote{Effect: classify.Failure, Alone: true}, now)
		if s.Phase != breaker.Open {
			continue
		}
		now = s.OpenUntil
		s, _ = s.Derive(config, now)
		if gate, _ := s.Check(config, now, true); gate != breaker.GateProbe {
			t.Fatalf("opening %d does not end in a probe: %v", i, gate)
		}
	}
}
