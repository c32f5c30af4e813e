// SPDX-License-Identifier: Apache-2.0

package breaker

import (
	"slices"
	"time"

	"github.com/resilienced/resilienced/rules"
)

// maxAbandoned is how many probes may die in one half-open phase before the
// breaker opens again.
const maxAbandoned = 3

// probeIdleWait is how long a half-open breaker waits for an idempotent call
// before it takes a non-idempotent one as its probe.
const probeIdleWait = 60 * time.Second

// Transition is one change of phase, for events and the history of a target.
type Transition struct {
	At         rules.Instant `json:"at"`
	From       Phase         `json:"f"`
	To         Phase         `json:"t"`
	Cause      Cause         `json:"c,omitempty"`
	Generation uint64        `json:"g"`
	Cycles     int           `json:"cy,omitempty"`
	Cooldown   time.Duration `json:"cd,omitempty"`
	By         string        `json:"by,omitempty"` // operator, if one made it
	Reason     string        `json:"re,omitempty"` // the operator's
}

// CapCycles is the number of openings after which the cooldown grows no more.
func (c Config) CapCycles() int {
	cycles := 1
	for d := c.CooldownBase; d > 0 && d < c.CooldownMax; d *= 2 {
		cycles++
	}
	return cycles
}

// Cooldown is the length of the n-th opening in a row, n from 1.
func (c Config) Cooldown(n int) time.Duration {
	d := c.CooldownBase
	for i := 1; i < n && d < c.CooldownMax; i++ {
		d *= 2
	}
	return min(d, c.CooldownMax)
}

// Forced reports whether an operator holds the breaker.
func (s State) Forced() bool {
	return s.Phase == ForcedOpen || s.Phase == ForcedClosed || s.Phase == Disabled
}

// Passing reports whether the tree of directives takes the breaker as closed
// (C13).
func (s State) Passing() bool {
	return s.Phase == Closed || s.Phase == ForcedClosed || s.Phase == Disabled
}

// UnhealthySince is when the current trouble began; zero if there is none.
func (s State) UnhealthySince() rules.Instant {
	if s.UnhealthyAt != 0 {
		return s.UnhealthyAt
	}
	return s.StreakSince
}

// Derive applies everything that time alone has brought about by now, each
// change stamped with the instant at which it fell due.
func (s State) Derive(c Config, now rules.Instant) (State, []Transition) {
	var made []Transition
	for {
		due := s.Due(c)
		if due == 0 || due > now {
			return s, made
		}
		var t *Transition
		s, t = s.step(c, due)
		if t != nil {
			made = append(made, *t)
		}
	}
}

// Due is the next instant at which time alone changes the state; zero: never.
func (s State) Due(c Config) rules.Instant {
	switch s.Phase {
	case Open:
		return s.OpenUntil
	case HalfOpen:
		var first rules.Instant
		for _, p := range s.Probes {
			first = rules.Earliest(first, p.Expires)
		}
		return first
	case Closed:
		if s.Cycles > 0 {
			return s.ClosedAt.Add(max(c.StableFor, s.LastCooldown))
		}
	case ForcedOpen, ForcedClosed, Disabled:
		return s.ForcedUntil
	}
	return 0
}

func (s State) step(c Config, at rules.Instant) (State, *Transition) {
	switch s.Phase {
	case Open:
		s.Abandoned, s.Successes, s.Probes = 0, 0, nil
		s.ProbeIdle = at
		return s.turn(HalfOpen, s.Cause, at)
	case HalfOpen:
		kept := make([]Probe, 0, len(s.Probes))
		for _, p := range s.Probes {
			if p.Expires > at {
				kept = append(kept, p)
			}
		}
		s.Abandoned += len(s.Probes) - len(kept)
		s.Probes, s.ProbeIdle = kept, at
		if s.Abandoned >= maxAbandoned {
			return s.open(c, CauseProbeAbandoned, at)
		}
	case Closed:
		s.Cycles, s.LastCooldown = 0, 0
	case ForcedOpen, ForcedClosed, Disabled:
		return s.Reset(at)
	}
	return s, nil
}

// turn is the one place where a phase and its generation change.
func (s State) turn(to Phase, cause Cause, at rules.Instant) (State, *Transition) {
	t := &Transition{At: at, From: s.Phase, To: to, Cause: cause}
	s.Phase, s.Cause, s.ChangedAt = to, cause, at
	s.Generation = rules.NextFence(s.Generation, at)
	t.Generation, t.Cycles = s.Generation, s.Cycles
	if to == Open {
		t.Cooldown = s.OpenUntil.Sub(at)
	}
	return s, t
}

// open is the one way into OPEN, for every rule that trips.
func (s State) open(c Config, cause Cause, at rules.Instant) (State, *Transition) {
	if s.UnhealthyAt == 0 {
		s.UnhealthyAt = rules.Earliest(s.StreakSince, at)
	}
	s = s.clearStreaks()
	s.Cycles = min(s.Cycles+1, c.CapCycles())
	s.OpenedAt, s.OpenUntil = at, at.Add(c.Cooldown(s.Cycles))
	s.LastCooldown = s.OpenUntil.Sub(at)
	s.Probes, s.Abandoned, s.Successes = nil, 0, 0
	return s.turn(Open, cause, at)
}

// close is the way back to CLOSED by proven health. The cycles stay until the
// target was stable for long enough.
func (s State) close(at rules.Instant) (State, *Transition) {
	s = s.clearStreaks()
	s.UnhealthyAt, s.OpenUntil = 0, 0
	s.Probes, s.Abandoned, s.Successes = nil, 0, 0
	s.ClosedAt = at
	return s.turn(Closed, CauseNone, at)
}

// Reset is SetBreaker(AUTO), and the end of a forced state: CLOSED with
// nothing remembered.
func (s State) Reset(at rules.Instant) (State, *Transition) {
	s, t := s.close(at)
	s.Cycles, s.LastCooldown, s.ClosedAt = 0, 0, 0
	s.ForcedUntil, s.ForcedBy, s.ForcedReason = 0, "", ""
	t.Cycles = 0
	return s, t
}

// Force puts the breaker under an operator's hand. A zero until holds it
// until somebody sets it back to AUTO.
func (s State) Force(to Phase, until rules.Instant, by, reason string, at rules.Instant) (State, *Transition) {
	s.Probes, s.Abandoned, s.Successes = nil, 0, 0
	s.ForcedUntil, s.ForcedBy, s.ForcedReason = until, by, reason
	s.OpenUntil = 0
	if to != ForcedOpen {
		s.UnhealthyAt = 0 // it reads as closed (C13)
	}
	s, t := s.turn(to, CauseNone, at)
	t.By, t.Reason = by, reason
	return s, t
}

func (s State) clearStreaks() State {
	s.Consecutive, s.Hard, s.Transport, s.Quality, s.Auth = 0, 0, 0, 0, 0
	s.StreakSince, s.QualSince, s.TransSince, s.AuthSince, s.Suspects = 0, 0, 0, 0, nil
	return s
}

// Gate is what the breaker says to an Acquire.
type Gate uint8

// The answers.
const (
	GateOpen       Gate = iota // go ahead
	GateProbe                  // go ahead as a probe
	GateDenied                 // BREAKER_OPEN
	GateForcedOpen             // FORCED_OPEN
	GateProbeOut               // PROBE_IN_FLIGHT
)

// maxProbeWait is the longest wait that PROBE_IN_FLIGHT answers with: a probe
// may be reported long before its lease ends.
const maxProbeWait = time.Second

// Check asks a derived state. The delay is how long the refusal will hold, and
// zero for GateForcedOpen without an end: nobody knows.
func (s State) Check(c Config, now rules.Instant, idempotent bool) (Gate, time.Duration) {
	switch s.Phase {
	case Open:
		return GateDenied, s.OpenUntil.Until(now)
	case ForcedOpen:
		return GateForcedOpen, s.ForcedUntil.Until(now)
	case HalfOpen:
		if len(s.Probes) >= max(c.Probes, 1) {
			return GateProbeOut, min(s.Due(c).Until(now), maxProbeWait)
		}
		if free := s.ProbeIdle.Add(probeIdleWait); !idempotent && now < free {
			return GateDenied, free.Until(now)
		}
		return GateProbe, 0
	case Closed, ForcedClosed, Disabled:
	}
	return GateOpen, 0
}

// TakeProbe hands the probe's slot to a permit until expires.
func (s State) TakeProbe(p Probe) State {
	s.Probes = append(slices.Clip(s.Probes), p)
	return s
}

// HasProbe reports whether the permit holds a probe's slot.
func (s State) HasProbe(operation string, fence uint64) bool {
	return slices.ContainsFunc(s.Probes, func(p Probe) bool { return p.Fence == fence && p.Operation == operation })
}

// RenewProbe moves the end of a probe's lease.
func (s State) RenewProbe(operation string, fence uint64, expires rules.Instant) State {
	s.Probes = slices.Clone(s.Probes)
	for i, p := range s.Probes {
		if p.Fence == fence && p.Operation == operation {
			s.Probes[i].Expires = expires
		}
	}
	return s
}

// FreeProbe gives a probe's slot back without a verdict. Another permit than
// the one that holds it frees nothing.
func (s State) FreeProbe(operation string, fence uint64, now rules.Instant) State {
	if !s.HasProbe(operation, fence) {
		return s
	}
	s.Probes = slices.DeleteFunc(slices.Clone(s.Probes), func(p Probe) bool {
		return p.Fence == fence && p.Operation == operation
	})
	s.ProbeIdle = now
	return s
}
