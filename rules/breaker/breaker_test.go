// SPDX-License-Identifier: Apache-2.0

package breaker_test

import (
	"testing"
	"time"

	"github.com/resilienced/resilienced/rules"
	"github.com/resilienced/resilienced/rules/breaker"
	"github.com/resilienced/resilienced/rules/classify"
)

const second = rules.Instant(1_000_000)

// preset is the preset llm.
func preset() breaker.Config {
	return breaker.Config{
		ConsecutiveFailures: 5, ConsecutiveQuality: 3, ConsecutiveAuth: 3, Window: time.Minute, FailurePercent: 50, SlowPercent: 80,
		MinCalls: 20, CooldownBase: 30 * time.Second, CooldownMax: 5 * time.Minute, Probes: 1, ProbeLease: time.Minute, CloseAfter: 1,
		StableFor: time.Minute, SlowAfter: time.Minute,
	}
}

func fail() breaker.Vote { return breaker.Vote{Effect: classify.Failure, Alone: true} }
func good() breaker.Vote { return breaker.Vote{Effect: classify.Success, Alone: true} }
func auth() breaker.Vote { return breaker.Vote{Auth: true, Alone: true} }
func bad() breaker.Vote {
	return breaker.Vote{Effect: classify.Failure, Quality: true, Alone: true}
}

// cast applies votes of permits granted at the given instant.
func cast(s breaker.State, granted, now rules.Instant, votes ...breaker.Vote) breaker.State {
	for _, v := range votes {
		s, _ = s.Apply(preset(), breaker.Ballot{GrantedAt: granted}, v, now)
	}
	return s
}

// TestOldSuccessResetsNothing is C10, for each of the streaks.
func TestOldSuccessResetsNothing(t *testing.T) {
	for name, v := range map[string]breaker.Vote{"transport": fail(), "quality": bad(), "auth": auth()} {
		n := map[string]int{"transport": 4, "quality": 2, "auth": 2}[name]
		s := breaker.State{}
		for range n {
			s = cast(s, second, 2*second, v)
		}
		if old := cast(s, 2*second-1, 3*second, good(), v); old.Phase != breaker.Open {
			t.Errorf("%s: a success granted before the first failure's report ended the streak", name)
		}
		if fresh := cast(s, 2*second, 3*second, good(), v); fresh.Phase != breaker.Closed {
			t.Errorf("%s: a success granted at the first failure's report did not end the streak", name)
		}
	}
}

// TestWhatEndsAStreak: quality is reset by success only, auth by any vote that
// is not neutral.
func TestWhatEndsAStreak(t *testing.T) {
	s := cast(breaker.State{}, second, second, bad(), bad(), fail())
	if s.Quality != 2 || s.Consecutive != 3 || s.Transport != 1 {
		t.Errorf("after two bad answers and a failure: %+v", s)
	}
	s = cast(breaker.State{}, second, second, auth(), auth(), breaker.Vote{Alone: true})
	if s.Auth != 2 || s.Consecutive != 0 {
		t.Errorf("after two auth failures and a neutral report: %+v", s)
	}
	if s = cast(s, second, second, fail()); s.Auth != 0 {
		t.Errorf("a failure of another kind left %d auth failures in a row", s.Auth)
	}
	if s = cast(breaker.State{}, second, second, auth(), auth(), auth()); s.Phase != breaker.Open || s.Cause != breaker.CauseAuth {
		t.Errorf("three auth failures: %v %v", s.Phase, s.Cause)
	}
}

// TestProbeVerdicts is semantics §1.3.1 with C14.
func TestProbeVerdicts(t *testing.T) {
	client := breaker.Vote{ClientError: true, Alone: true}
	for _, c := range []struct {
		cause     breaker.Cause
		vote      breaker.Vote
		want      breaker.Phase
		wantCause breaker.Cause
	}{
		{breaker.CauseTransport, good(), breaker.Closed, breaker.CauseNone},
		{breaker.CauseTransport, client, breaker.Closed, breaker.CauseNone},
		{breaker.CauseAuth, client, breaker.Closed, breaker.CauseNone},
		{breaker.CauseProbeAbandoned, client, breaker.Closed, breaker.CauseNone},
		{breaker.CauseQuality, client, breaker.HalfOpen, breaker.CauseQuality},
		{breaker.CauseQuality, bad(), breaker.Open, breaker.CauseQuality},
		{breaker.CauseTransport, bad(), breaker.Open, breaker.CauseQuality},
		{breaker.CauseQuality, fail(), breaker.Open, breaker.CauseTransport},
		{breaker.CauseAuth, auth(), breaker.Open, breaker.CauseAuth},
		{breaker.CauseTransport, auth(), breaker.HalfOpen, breaker.CauseTransport},
		{breaker.CauseTransport, breaker.Vote{}, breaker.HalfOpen, breaker.CauseTransport},
	} {
		s := breaker.State{Phase: breaker.HalfOpen, Cause: c.cause, Cycles: 1, Generation: 7}
		s = s.TakeProbe(breaker.Probe{Operation: "p", Fence: 1, Expires: 60 * second})
		got, _ := s.Apply(preset(), breaker.Ballot{Operation: "p", Fence: 1, Generation: 7, Expires: 60 * second}, c.vote, second)
		if got.Phase != c.want || got.Cause != c.wantCause || len(got.Probes) != 0 {
			t.Errorf("a probe after %v that says %+v leads to %v %v", c.cause, c.vote, got.Phase, got.Cause)
		}
	}
}

// TestAbandonedProbes: the third probe that dies opens the breaker, stamped
// with the end of its lease.
func TestAbandonedProbes(t *testing.T) {
	s, c, now := breaker.State{Phase: breaker.HalfOpen, Cause: breaker.CauseTransport, Cycles: 1}, preset(), second
	for i := range uint64(3) {
		s = s.TakeProbe(breaker.Probe{Operation: "p", Fence: i, Expires: now + 60*second})
		now += 60 * second
		s, _ = s.Derive(c, now)
	}
	if s.Phase != breaker.Open || s.Cause != breaker.CauseProbeAbandoned || s.OpenedAt != now || s.OpenUntil != now+60*second || s.Cycles != 2 {
		t.Errorf("%+v", s)
	}
}

// TestIdleProbeSlot: a call that may not be made twice is a probe only after
// nothing else came for a minute.
func TestIdleProbeSlot(t *testing.T) {
	s := breaker.State{Phase: breaker.HalfOpen, ProbeIdle: second}
	for now, want := range map[rules.Instant]breaker.Gate{second: breaker.GateDenied, 61*second - 1: breaker.GateDenied, 61 * second: breaker.GateProbe} {
		if got, _ := s.Check(preset(), now, false); got != want {
			t.Errorf("at %d: %v, want %v", now, got, want)
		}
	}
}

// TestStability: cycles are forgotten after max(stable_for, last cooldown).
func TestStability(t *testing.T) {
	c := preset()
	for cycles, quiet := range map[int]rules.Instant{1: 60, 2: 60, 3: 120, 5: 300} {
		s := breaker.State{Phase: breaker.Closed, Cycles: cycles, LastCooldown: c.Cooldown(cycles), ClosedAt: second}
		end := second + quiet*second
		if early, _ := s.Derive(c, end-1); early.Cycles != cycles {
			t.Errorf("%d cycles were forgotten early", cycles)
		}
		if late, _ := s.Derive(c, end); late.Cycles != 0 {
			t.Errorf("%d cycles were not forgotten", cycles)
		}
	}
}

// TestForcedStates: forced open does not end an outage, the states that read as
// closed do, and AUTO forgets everything.
func TestForcedStates(t *testing.T) {
	c := preset()
	s := cast(breaker.State{}, second, second, fail(), fail(), fail(), fail(), fail())
	later := second + rules.Instant(5*time.Minute/time.Microsecond)
	for to, want := range map[breaker.Phase]bool{breaker.ForcedOpen: true, breaker.ForcedClosed: false, breaker.Disabled: false} {
		forced, _ := s.Force(to, 0, "a", "r", 2*second)
		if got := forced.SustainedOutage(c, later); got != want {
			t.Errorf("%v: sustained outage %t", to, got)
		}
		reset, _ := forced.Reset(later)
		if reset.Phase != breaker.Closed || reset.Cycles != 0 || reset.Consecutive != 0 || reset.Generation <= forced.Generation {
			t.Errorf("%v: after AUTO %+v", to, reset)
		}
	}
}

// TestCountsInOrder is C11.
func TestCountsInOrder(t *testing.T) {
	live := breaker.Ballot{Operation: "p", Fence: 1, Generation: 7, Expires: 10 * second}
	stale, late := live, live
	stale.Generation, late.Expires = 6, second
	stale.Expires = second
	half := breaker.State{Phase: breaker.HalfOpen, Generation: 7}
	for _, c := range []struct {
		s    breaker.State
		b    breaker.Ballot
		want string
	}{
		{breaker.State{Phase: breaker.Disabled, Generation: 7}, stale, breaker.NotCountedDisabled},
		{half, stale, breaker.NotCountedGeneration},
		{half, late, breaker.NotCountedNotProbe},
		{half.TakeProbe(breaker.Probe{Operation: "p", Fence: 1, Expires: 10 * second}), live, ""},
		{breaker.State{Generation: 7}, late, breaker.NotCountedExpired},
		{breaker.State{Generation: 7}, live, ""},
		{breaker.State{}, live, ""}, // the record was dropped since: nothing can be stale
	} {
		if got := c.s.Counts(c.b, second); got != c.want {
			t.Errorf("%+v in %+v: %q, want %q", c.b, c.s, got, c.want)
		}
	}
}

// TestReporterGuard is design §6: failures that may be the reporter's own need
// two reporters, or one that is alone.
func TestReporterGuard(t *testing.T) {
	suspect := func(reporter uint64, alone bool) breaker.Vote {
		return breaker.Vote{Effect: classify.Failure, Suspect: true, Reporter: reporter, Alone: alone}
	}
	run := func(votes ...breaker.Vote) (breaker.State, breaker.Verdict) {
		s, last := breaker.State{}, breaker.Verdict{}
		for _, v := range votes {
			s, last = s.Apply(preset(), breaker.Ballot{}, v, second)
		}
		return s, last
	}
	one, held := run(suspect(1, false), suspect(1, false), suspect(1, false), suspect(1, false), suspect(1, false))
	if one.Phase != breaker.Closed || !held.Hold {
		t.Errorf("one reporter among several: %v, held %t", one.Phase, held.Hold)
	}
	if alone, _ := run(suspect(1, true), suspect(1, true), suspect(1, true), suspect(1, true), suspect(1, true)); alone.Phase != breaker.Open {
		t.Error("the only reporter was not believed")
	}
	if two, _ := run(suspect(1, false), suspect(2, false), suspect(1, false), suspect(1, false), suspect(1, false)); two.Phase != breaker.Open {
		t.Error("two reporters were not believed")
	}
	hard := breaker.Vote{Effect: classify.Failure}
	if s, _ := run(hard, hard, hard, hard, hard); s.Phase != breaker.Open {
		t.Error("failures that are surely the target's were not believed")
	}
}

// TestPredicates are the exact ones of semantics §2.3.
func TestPredicates(t *testing.T) {
	s := cast(breaker.State{}, second, second, fail(), fail(), fail())
	if s.Pattern5xx(3*second-1) || !s.Pattern5xx(3*second) {
		t.Error("the pattern needs two seconds since the first failure")
	}
	if two := cast(breaker.State{}, second, second, fail(), fail()); two.Pattern5xx(100 * second) {
		t.Error("two failures are no pattern")
	}
	if mixed := cast(breaker.State{}, second, second, fail(), fail(), bad()); mixed.Pattern5xx(100 * second) {
		t.Error("a bad answer is no transport failure")
	}
	if s.SustainedOutage(preset(), 301*second-1) || !s.SustainedOutage(preset(), 301*second) {
		t.Error("an outage is sustained from five minutes on")
	}
	if !(breaker.State{Cycles: 5}).SustainedOutage(preset(), second) {
		t.Error("an outage at the cap of the cycles is sustained")
	}
}
