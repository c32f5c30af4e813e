// SPDX-License-Identifier: Apache-2.0

package model

import "time"

// fallback is T10.
func (d *tree) fallback(least int) {
	for _, i := range d.search(least) {
		if rank(d.chain[i].Kind) == humanQueue || !d.suspect(i) && d.admissible(i) {
			d.fall(i)
			return
		}
	}
	for i := range d.chain {
		if d.otherPool(i) && !d.visited(i) && rank(d.chain[i].Kind) < least && !d.suspect(i) && d.admissible(i) {
			d.fall(i)
			return
		}
	}
	wait, known := d.smallest(least)
	if wait = max(wait, d.backoff()); known && d.mayWait(wait) {
		d.retry(wait, 400)
		return
	}
	d.action = "DEAD_LETTER" // every report of a drill brings an envelope
	policy := "AUTO"
	switch d.v.reason {
	case "AUTH", "QUOTA_EXHAUSTED", "UNKNOWN", "RUN_BUDGET":
		policy = "MANUAL"
	}
	d.keep(policy, d.v.reason)
}

// otherPool: a target that is out for transport leaves a cheaper model of the
// same provider as the last resort.
func (d *tree) otherPool(i int) bool {
	return rank(d.chain[i].Kind) == cheaperKind && !d.passing() && d.t.cause != "AUTH" && d.t.cause != "QUALITY" && !d.leaves()
}

// smallest is the smallest wait among the levels that are left and this one.
func (d *tree) smallest(least int) (time.Duration, bool) {
	best, known := time.Duration(0), false
	take := func(wait time.Duration) {
		if !known || wait < best {
			best, known = wait, true
		}
	}
	for i, l := range d.chain {
		t := d.w.targets[l.Target]
		_, gate, _ := t.gate(d.o.nonIdempotent, d.w.now)
		wait := max(gate, t.cooldown-d.w.now, 0)
		forced := t.state == "FORCED_OPEN"
		if d.w.dry(t) {
			wait, forced = 0, false
		}
		if i == d.p.level {
			if !forced {
				take(max(wait, d.hold()))
			}
			continue
		}
		if d.visited(i) || d.suspect(i) || forced || rank(l.Kind) == humanQueue || rank(l.Kind) < least && !d.otherPool(i) {
			continue
		}
		full := d.w.ask(d.asking(), i)
		if wait == 0 && full.reason != "" && full.delay == 0 {
			continue // nobody knows
		}
		take(max(wait, full.delay))
	}
	return best, known
}

// mayWait is C22.
func (d *tree) mayWait(wait time.Duration) bool {
	switch d.denied {
	case "ATTEMPTS_EXHAUSTED", "TASK_RETRY_BUDGET", "FLEET_RETRY_BUDGET":
		return false
	}
	return d.p.level == 0 && !d.leaves() && (d.throttle() || !d.passing()) &&
		wait <= time.Minute && wait <= d.remaining() && d.attemptsLeft() && d.taskLeft() &&
		d.fleetLeft(400) && d.affordable()
}
