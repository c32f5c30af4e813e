// SPDX-License-Identifier: Apache-2.0

package model

import (
	"slices"
	"time"
)

// tree is semantics §2.3 for one report.
type tree struct {
	w     *world
	p     *permit
	o     *op
	t     *target
	v     verdict
	chain []levelSpec

	action, denied, esc, policy, letterReason, state string
	delay                                            time.Duration
	next, cost                                       int
	terminal, free, qualityRetry                     bool
}

func (d *tree) ambiguous() bool {
	return d.o.nonIdempotent && d.v.class != "ABORTED" && (d.v.certainty == "AMBIGUOUS" || d.v.class == "QUALITY")
}

func (d *tree) keep(policy, reason string) { d.policy, d.letterReason = policy, reason }

// decide walks T1 to T7.
func (d *tree) decide() {
	d.next = -1
	v := d.v
	blocked, _ := d.w.blocker(d.p.run)
	switch {
	case blocked != nil && v.class != "OK" && !d.dry(): // T1
		d.action, d.terminal = "STOP", true
		if v.class != "ABORTED" {
			d.keep("MANUAL", "RUN_BUDGET")
		}
		if d.ambiguous() || d.o.state == "LOCKED" && v.class == "ABORTED" {
			d.state = "LOCKED"
		}
	case v.class == "OK": // T2
		d.action, d.state = "CONTINUE", "SUCCEEDED"
	case v.class == "ABORTED": // T3; that a lost call was given up tells nothing of it
		d.action = "STOP"
		if d.o.state == "LOCKED" {
			d.state = "LOCKED"
		}
	case v.class == "UNRECOVERABLE": // T4
		d.action = "ESCALATE"
		d.esc = map[string]string{
			"LOW_CONFIDENCE": "ambiguous_classification", "AMBIGUOUS_TASK": "ambiguous_classification",
			"NEEDS_AUTHORITY": "irreversible_write", "COST_COMMITMENT": "refund", "NEEDS_INFO": "unspecified",
		}[v.reason]
	case v.class == "UNKNOWN": // C21
		d.action, d.esc, d.state = "DEAD_LETTER", "unknown_error", "FINAL"
		d.keep("MANUAL", v.reason)
	case d.ambiguous(): // T5
		d.action, d.esc, d.state = "ESCALATE", "ambiguous_outcome", "LOCKED"
		if v.class != "QUALITY" {
			d.keep("MANUAL", v.reason)
		}
	case v.class == "DETERMINISTIC": // T6
		d.deterministic()
	case d.o.nonIdempotent && !d.t.retryNP && (v.certainty == "NOT_SENT" || v.certainty == "REJECTED"): // T7
		d.notProcessed()
	default:
		d.wanted()
	}
}

func (d *tree) deterministic() {
	switch {
	case d.o.nonIdempotent:
	case d.v.reason == "CONTEXT_LIMIT":
		for _, i := range d.search(0) {
			ctx := d.w.targets[d.chain[i].Target].ctx
			if ctx != nil && d.t.ctx != nil && *ctx > *d.t.ctx && d.admissible(i) {
				d.fall(i)
				return
			}
		}
	case d.v.reason == "NOT_FOUND" && d.t.kind == "llm":
		for _, i := range d.search(cheaperKind) {
			if rank(d.chain[i].Kind) == humanQueue || d.admissible(i) {
				d.fall(i)
				return
			}
		}
	}
	d.action, d.state = "STOP", "FINAL"
}

func (d *tree) notProcessed() {
	d.action = "DEAD_LETTER"
	switch d.v.disposition {
	case "STOP":
		d.action = "STOP"
	case "ONCE":
		if d.o.refused[d.p.level] {
			d.keep("AUTO", d.v.reason)
			return
		}
		d.again()
	default:
		d.keep(d.v.disposition, d.v.reason)
		if d.v.reason == "AUTH" {
			d.esc = "auth_failure"
		}
	}
}

// again is the transparent retry of R30.
func (d *tree) again() { d.action, d.next, d.free = "RETRY", d.p.level, true }

func (d *tree) leaves() bool {
	return slices.Contains([]string{"AUTH", "FORBIDDEN", "TLS_CONFIG", "QUOTA_EXHAUSTED"}, d.v.reason)
}

func (d *tree) throttle() bool {
	return d.v.reason == "RATE_LIMITED" || d.v.reason == "RATE_LIMITED_HARD"
}

// hold is max(retry_after, cooldown remaining).
func (d *tree) hold() time.Duration {
	if d.dry() {
		return max(d.v.retryAfter, 0)
	}
	return max(d.v.retryAfter, d.t.cooldown-d.w.now, 0)
}

func (d *tree) backoff() time.Duration {
	return min(d.t.initial<<min(d.o.backoffs[d.p.level], 20), d.t.maxWait)
}

// wanted is T8.
func (d *tree) wanted() {
	v, now := d.v, d.w.now
	switch {
	case d.leaves():
		if v.reason == "AUTH" || v.reason == "FORBIDDEN" {
			d.esc = "auth_failure"
		}
		d.fallback(crossKind)
	case v.reason == "RATE_LIMITED" && d.hold() < 10*time.Second:
		d.stay(max(d.backoff(), d.hold()))
	case d.throttle():
		d.fallback(cheaperKind)
	case v.class == "QUALITY":
		d.qualityWanted()
	case v.reason == "REFUSED" && !d.o.refused[d.p.level]:
		d.again()
	case v.reason == "TIMEOUT" && d.o.timeouts[d.p.level] >= 2 && !d.dry():
		d.fallback(crossKind)
	case d.t.sustained(now) && !d.dry():
		d.fallback(d.outage())
	case (d.t.pattern5xx(now) || !d.t.passing()) && !d.dry():
		d.fallback(crossKind)
	default:
		d.stay(max(d.backoff(), d.hold()))
	}
}

func (d *tree) qualityWanted() {
	left := d.t.quality
	switch d.v.reason {
	case "TRUNCATED":
		d.action = "STOP"
		return
	case "EMPTY":
		left = max(left, 1)
	case "REFUSAL", "SEMANTIC":
		left = 0
	}
	if d.o.qualities[d.p.level] < left {
		d.qualityRetry = true
		d.stay(d.hold())
		return
	}
	d.fallback(crossKind)
}

// outage is the exact predicate for SELF_HOSTED.
func (d *tree) outage() int {
	all, cross := true, false
	for i, l := range d.chain {
		k := rank(l.Kind)
		if k >= selfHosted {
			continue
		}
		all = all && d.w.targets[l.Target].sustained(d.w.now)
		cross = cross || k == crossKind && !d.visited(i) && d.admissible(i)
	}
	if cross && !all {
		return crossKind
	}
	return selfHosted
}

// stay is T9, with the order of C8.
func (d *tree) stay(delay time.Duration) {
	cost := 1000
	if d.v.class == "PRESSURE" {
		cost = 400
	}
	switch {
	case !d.attemptsLeft():
		d.denied = "ATTEMPTS_EXHAUSTED"
	case !d.taskLeft():
		d.denied = "TASK_RETRY_BUDGET"
	case !d.fleetLeft(cost):
		d.denied = "FLEET_RETRY_BUDGET"
	case delay > d.remaining():
		d.denied = "DEADLINE"
	case !d.passing():
		d.denied = "BREAKER_OPEN"
	case !d.affordable():
		d.denied = "RUN_BUDGET"
	}
	if d.denied == "" && delay <= time.Minute {
		d.retry(delay, cost)
		return
	}
	d.qualityRetry = false
	if d.throttle() {
		d.fallback(cheaperKind)
		return
	}
	d.fallback(crossKind)
}

// dry: what this service knows stops nobody. What bounds an operation does.
func (d *tree) dry() bool { return d.w.dry(d.t) }

func (d *tree) passing() bool { return d.dry() || d.t.passing() }

func (d *tree) fleetLeft(cost int) bool { return d.dry() || d.t.fleet(d.w.now) >= cost }

func (d *tree) affordable() bool { return d.dry() || d.w.fits(d.p.run, d.p.est) == nil }

func (d *tree) attemptsLeft() bool {
	return d.o.tried[d.p.level] < d.t.allowed(d.o.maxAttempts, d.p.level)
}

func (d *tree) taskLeft() bool {
	return d.dry() || d.w.taskUsed(d.o.run, d.o.task, d.t.name, d.o) < d.o.budget
}

func (d *tree) remaining() time.Duration { return max(d.o.deadline-d.w.now, 0) }

func (d *tree) retry(delay time.Duration, cost int) {
	d.action, d.delay, d.next, d.cost = "RETRY", delay, d.p.level, cost
}

// fall takes a level; a queue of people is asked and not called.
func (d *tree) fall(i int) {
	if rank(d.chain[i].Kind) == humanQueue {
		d.action = "ESCALATE"
		if d.esc == "" {
			d.esc = "unspecified"
		}
		return
	}
	d.action, d.next = "FALLBACK", i
}

func (d *tree) visited(i int) bool { return i == d.p.level || d.o.tried[i] > 0 }

// search is the order of T10: behind the highest visited, then before it.
func (d *tree) search(least int) []int {
	highest := 0
	for i := range d.chain {
		if d.visited(i) {
			highest = i
		}
	}
	var order []int
	for i := highest + 1; i < len(d.chain); i++ {
		order = append(order, i)
	}
	for i := range highest {
		order = append(order, i)
	}
	return slices.DeleteFunc(order, func(i int) bool { return d.visited(i) || rank(d.chain[i].Kind) < least })
}

func (d *tree) suspect(i int) bool { return d.w.suspect(d.o, d.chain[i].Target) }

func (d *tree) asking() *asking {
	return &asking{chain: d.chain, run: d.p.run, nonIdempotent: d.o.nonIdempotent, explicit: d.p.explicit, last: &d.p.est}
}

func (d *tree) admissible(i int) bool {
	return rank(d.chain[i].Kind) != humanQueue && d.w.ask(d.asking(), i).reason == ""
}
