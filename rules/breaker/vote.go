// SPDX-License-Identifier: Apache-2.0

package breaker

import (
	"slices"

	"github.com/resilienced/resilienced/rules"
	"github.com/resilienced/resilienced/rules/classify"
)

// Why a report does not count, in the order in which it is asked (C11).
const (
	NotCountedDisabled   = "DISABLED"
	NotCountedGeneration = "STALE_GENERATION"
	NotCountedNotProbe   = "NOT_PROBE"
	NotCountedExpired    = "LEASE_EXPIRED"
	NotCountedGone       = "PERMIT_GONE"
)

// Ballot identifies the permit whose report votes.
type Ballot struct {
	Operation  string
	Fence      uint64
	Generation uint64
	GrantedAt  rules.Instant
	Expires    rules.Instant
}

// Counts returns why the permit's report has no vote in a derived state, or "".
// A breaker without a generation is one whose record was dropped, or never
// made, because nothing had changed for longer than any permit lives: no permit
// is stale there.
func (s State) Counts(b Ballot, now rules.Instant) string {
	switch {
	case s.Phase == Disabled:
		return NotCountedDisabled
	case b.Generation != s.Generation && s.Generation != 0:
		return NotCountedGeneration
	case s.Phase == HalfOpen && !s.HasProbe(b.Operation, b.Fence):
		return NotCountedNotProbe
	case now >= b.Expires:
		return NotCountedExpired
	}
	return ""
}

// Vote is what one counted report says of the target.
type Vote struct {
	Effect  classify.Effect
	Quality bool // the failure is one of quality
	Auth    bool // the report is an auth failure
	// ClientError: the target answered that the request is wrong, which in
	// HALF_OPEN proves that it is there.
	ClientError bool
	// Suspect: the failure may be the reporter's own.
	Suspect  bool
	Reporter uint64
	// Alone: one reporter only was seen on the target in the last minute, so
	// nobody else can tell.
	Alone bool
	// Window is what the rate window holds, this report included.
	Window Counts
}

// Counts sums a rate window. Neutral reports are in none of them.
type Counts struct {
	Failures  int64
	Successes int64
	Slow      int64
}

// Verdict tells what a vote led to.
type Verdict struct {
	Transition *Transition
	// Hold: the trip is withheld, because only this reporter saw the failures;
	// it alone is to be held for the base cooldown (design §6).
	Hold bool
}

// Apply lets a counted report vote on a derived state.
func (s State) Apply(c Config, b Ballot, v Vote, now rules.Instant) (State, Verdict) {
	switch s.Phase {
	case HalfOpen:
		return s.applyProbe(c, b, v, now)
	case Closed, ForcedOpen, ForcedClosed:
		s = s.count(b, v, now)
		if s.Phase != Closed {
			return s, Verdict{}
		}
		return s.trip(c, v, now)
	case Open, Disabled:
		// An opening is written once and never extended by late failures.
	}
	return s, Verdict{}
}

func (s State) applyProbe(c Config, b Ballot, v Vote, now rules.Instant) (State, Verdict) {
	effect := v.Effect
	switch {
	case v.ClientError && s.Cause != CauseQuality:
		effect = classify.Success
	case v.Auth && s.Cause == CauseAuth:
		effect = classify.Failure
	}
	switch effect {
	case classify.Success:
		s = s.FreeProbe(b.Operation, b.Fence, now)
		s.Successes++
		if s.Successes < max(c.CloseAfter, 1) {
			return s, Verdict{}
		}
		s, t := s.close(now)
		return s, Verdict{Transition: t}
	case classify.Failure:
		cause := CauseTransport
		if v.Quality {
			cause = CauseQuality
		} else if v.Auth {
			cause = CauseAuth
		}
		s, t := s.open(c, cause, now)
		return s, Verdict{Transition: t}
	case classify.Neutral:
	}
	return s.FreeProbe(b.Operation, b.Fence, now), Verdict{}
}

// count moves the streaks. A success resets a streak only if its permit was
// granted after the streak's first failure was reported (C10). A failure of
// another kind ends a streak of auth failures: they are no longer consecutive.
func (s State) count(b Ballot, v Vote, now rules.Instant) State {
	switch v.Effect {
	case classify.Success:
		if b.GrantedAt >= s.AuthSince {
			s.Auth, s.AuthSince = 0, 0
		}
		if b.GrantedAt >= s.QualSince {
			s.Quality, s.QualSince = 0, 0
		}
		if b.GrantedAt >= s.StreakSince {
			s.Consecutive, s.Hard, s.Transport = 0, 0, 0
			s.StreakSince, s.TransSince, s.Suspects = 0, 0, nil
		}
	case classify.Failure:
		s.Auth, s.AuthSince = 0, 0
		s = s.countFailure(v, now)
	case classify.Neutral:
	}
	if v.Auth {
		if s.Auth == 0 {
			s.AuthSince = now
		}
		s.Auth++
	}
	return s
}

func (s State) countFailure(v Vote, now rules.Instant) State {
	if s.Consecutive == 0 {
		s.StreakSince = now
	}
	s.Consecutive++
	if v.Suspect {
		s.Suspects = addSuspect(s.Suspects, v.Reporter)
	} else {
		s.Hard++
	}
	if v.Quality {
		if s.Quality == 0 {
			s.QualSince = now
		}
		s.Quality++
		return s
	}
	if s.Transport == 0 {
		s.TransSince = now
	}
	s.Transport++
	return s
}

// enoughSuspects is how many reporters must have seen failures that may be
// their own before these are believed.
const enoughSuspects = 2

func addSuspect(suspects []uint64, reporter uint64) []uint64 {
	if len(suspects) >= enoughSuspects || slices.Contains(suspects, reporter) {
		return suspects
	}
	return append(slices.Clip(suspects), reporter)
}

// trip opens the breaker if one of its rules says so.
func (s State) trip(c Config, v Vote, now rules.Instant) (State, Verdict) {
	believed := v.Alone || len(s.Suspects) >= enoughSuspects
	cause := CauseNone
	switch {
	case c.ConsecutiveQuality > 0 && s.Quality >= c.ConsecutiveQuality:
		cause = CauseQuality
	case c.ConsecutiveAuth > 0 && s.Auth >= c.ConsecutiveAuth:
		cause = CauseAuth
	case v.Effect == classify.Neutral:
	case c.ConsecutiveFailures > 0 && s.Consecutive >= c.ConsecutiveFailures:
		if !believed && s.Hard < c.ConsecutiveFailures {
			return s, Verdict{Hold: v.Suspect}
		}
		cause = CauseTransport
	case c.windowTrips(v.Window):
		if !believed && v.Suspect {
			return s, Verdict{Hold: true}
		}
		cause = CauseTransport
	}
	if cause == CauseNone {
		return s, Verdict{}
	}
	s, t := s.open(c, cause, now)
	return s, Verdict{Transition: t}
}

func (c Config) windowTrips(w Counts) bool {
	calls := w.Failures + w.Successes
	if c.Window <= 0 || calls < int64(c.MinCalls) || calls == 0 {
		return false
	}
	if c.FailurePercent > 0 && w.Failures*100 >= calls*int64(c.FailurePercent) {
		return true
	}
	return c.SlowPercent > 0 && w.Slow*100 >= calls*int64(c.SlowPercent)
}

// The pattern of server errors that the tree of directives looks for.
const (
	patternFailures = 3
	patternSpan     = 2_000_000 // µs
)

// Pattern5xx reports the multi-second pattern of transport failures: at least
// three with no success since the first, which is at least 2 s ago.
func (s State) Pattern5xx(now rules.Instant) bool {
	return s.Transport >= patternFailures && now-s.TransSince >= patternSpan
}

// sustainedAfter is how long a target is unwell before its outage counts as
// sustained: the cap of the cooldown in seed 003.
const sustainedAfter = 5 * 60 * 1_000_000 // µs

// SustainedOutage reports that the target is out for long.
func (s State) SustainedOutage(c Config, now rules.Instant) bool {
	since := s.UnhealthySince()
	if since != 0 && now-since >= sustainedAfter {
		return true
	}
	return c.CooldownBase > 0 && s.Cycles >= c.CapCycles()
}
