// SPDX-License-Identifier: Apache-2.0

package model

import (
	"slices"
	"time"
)

const maxCooldown = 5 * time.Minute

// capCycles is ⌈log2(cap/base)⌉ + 1.
func (t *target) capCycles() int {
	n := 1
	for d := t.base; d < maxCooldown; d *= 2 {
		n++
	}
	return n
}

func (t *target) clearStreaks() {
	t.consecutive, t.transport, t.qualityRun, t.authRun = 0, 0, 0, 0
	t.streakAt, t.transportAt, t.qualityAt, t.authAt = 0, 0, 0, 0
}

func (t *target) open(cause string, now clock) {
	if t.unhealthy == never {
		t.unhealthy = now
		if t.consecutive > 0 {
			t.unhealthy = t.streakAt
		}
	}
	t.clearStreaks()
	t.cycles = min(t.cycles+1, t.capCycles())
	t.lastCooldown = min(t.base<<(t.cycles-1), maxCooldown)
	t.state, t.cause, t.openUntil = "OPEN", cause, now+t.lastCooldown
	t.probe, t.abandoned = nil, 0
	t.generation++
}

func (t *target) close(now clock) {
	t.clearStreaks()
	t.state, t.cause, t.openUntil, t.unhealthy, t.closedAt = "CLOSED", "", never, never, now
	t.probe, t.abandoned, t.samples = nil, 0, nil
	t.generation++
}

// derive is what time alone does to a breaker at this very instant.
func (t *target) derive(now clock) {
	if t.state == "OPEN" && now >= t.openUntil {
		t.state, t.halfOpenIdle, t.abandoned, t.probe = "HALF_OPEN", t.openUntil, 0, nil
		t.generation++
	}
	if t.state == "CLOSED" && t.cycles > 0 && now >= t.closedAt+max(time.Minute, t.lastCooldown) {
		t.cycles, t.lastCooldown = 0, 0
	}
}

func (t *target) passing() bool {
	return t.state == "CLOSED" || t.state == "FORCED_CLOSED" || t.state == "DISABLED"
}

// notCounted is C11.
func (t *target) notCounted(p *permit, now clock) string {
	switch {
	case t.state == "DISABLED":
		return "DISABLED"
	case p.generation != t.generation:
		return "STALE_GENERATION"
	case t.state == "HALF_OPEN" && t.probe != p:
		return "NOT_PROBE"
	case p.state == "LOST" || now >= p.expires:
		return "LEASE_EXPIRED"
	}
	return ""
}

// vote is one counted report; it tells whether the breaker opened.
func (t *target) vote(p *permit, v verdict, duration time.Duration, now clock) bool {
	switch t.state {
	case "HALF_OPEN":
		return t.probed(v, now)
	case "OPEN":
		return false
	}
	if v.vote != 'N' {
		t.samples = append(t.samples, sample{at: now, fail: v.vote == 'F', slow: v.vote == 'S' && duration >= t.slow})
	}
	switch v.vote {
	case 'S':
		if p.granted >= t.streakAt {
			t.consecutive, t.transport, t.streakAt, t.transportAt = 0, 0, 0, 0
		}
		if p.granted >= t.qualityAt {
			t.qualityRun, t.qualityAt = 0, 0
		}
		if p.granted >= t.authAt {
			t.authRun, t.authAt = 0, 0
		}
	case 'F':
		t.authRun, t.authAt = 0, 0
		begin(&t.consecutive, &t.streakAt, now)
		if v.quality {
			begin(&t.qualityRun, &t.qualityAt, now)
		} else {
			begin(&t.transport, &t.transportAt, now)
		}
	}
	if v.auth {
		begin(&t.authRun, &t.authAt, now)
	}
	cause := t.tripped(v, now)
	if cause == "" || t.state != "CLOSED" {
		return false
	}
	t.open(cause, now)
	return true
}

// begin counts one more of a streak and notes when it began.
func begin(n *int, at *clock, now clock) {
	if *n == 0 {
		*at = now
	}
	*n++
}

func (t *target) probed(v verdict, now clock) bool {
	effect := v.vote
	if slices.Contains([]string{"R11", "R17", "R18", "R19", "R21", "R22"}, v.row) && t.cause != "QUALITY" {
		effect = 'S'
	}
	if v.auth && t.cause == "AUTH" {
		effect = 'F'
	}
	switch effect {
	case 'S':
		t.close(now)
		return false
	case 'F':
		cause := "TRANSPORT"
		if v.quality {
			cause = "QUALITY"
		}
		if v.auth {
			cause = "AUTH"
		}
		t.open(cause, now)
		return true
	}
	t.probe, t.halfOpenIdle = nil, now
	return false
}

func (t *target) tripped(v verdict, now clock) string {
	switch {
	case t.qualityRun >= t.consecQ:
		return "QUALITY"
	case t.authRun >= 3:
		return "AUTH"
	case v.vote == 'N':
		return ""
	case t.consecutive >= t.consec:
		return "TRANSPORT"
	case t.window:
		calls, fails, slow := t.rate(now)
		if calls >= 20 && (fails*2 >= calls || slow*100 >= calls*80) {
			return "TRANSPORT"
		}
	}
	return ""
}

// rate counts the window: ten buckets of six seconds.
func (t *target) rate(now clock) (calls, fails, slow int) {
	const bucket = 6 * time.Second
	for _, s := range t.samples {
		if s.at/bucket <= now/bucket-10 {
			continue
		}
		calls++
		if s.fail {
			fails++
		}
		if s.slow {
			slow++
		}
	}
	return
}

// pattern5xx and sustained are the exact predicates of semantics §2.3.
func (t *target) pattern5xx(now clock) bool {
	return t.transport >= 3 && now-t.transportAt >= 2*time.Second
}

func (t *target) sustained(now clock) bool {
	since := t.unhealthy
	if since == never && t.consecutive > 0 {
		since = t.streakAt
	}
	return since != never && now-since >= 5*time.Minute || t.cycles >= t.capCycles()
}

// gate is what the breaker says to an Acquire: a reason and a delay, or a
// probe, or nothing.
func (t *target) gate(nonIdempotent bool, now clock) (reason string, delay time.Duration, probe bool) {
	switch t.state {
	case "OPEN":
		return "BREAKER_OPEN", t.openUntil - now, false
	case "FORCED_OPEN":
		return "FORCED_OPEN", 0, false
	case "HALF_OPEN":
		if t.probe != nil {
			return "PROBE_IN_FLIGHT", min(t.probe.expires-now, time.Second), false
		}
		if idle := t.halfOpenIdle + time.Minute; nonIdempotent && now < idle {
			return "BREAKER_OPEN", idle - now, false
		}
		return "", 0, true
	}
	return "", 0, false
}

func (w *world) setBreaker(name, mode string) string {
	t := w.targets[name]
	switch mode {
	case "AUTO":
		t.close(w.now)
		t.cycles, t.lastCooldown = 0, 0
	case "FORCED_CLOSED", "DISABLED":
		t.unhealthy = never
		fallthrough
	default:
		t.state, t.cause, t.probe, t.abandoned, t.openUntil = mode, "", nil, 0, never
		t.generation++
	}
	return t.state
}

func (w *world) breaker(name string) breakerAnswer {
	t := w.targets[name]
	a := breakerAnswer{State: t.state, Cause: t.cause, Cycles: t.cycles, Consecutive: t.consecutive}
	if t.state == "OPEN" {
		a.Open = t.openUntil - w.now
	}
	return a
}
