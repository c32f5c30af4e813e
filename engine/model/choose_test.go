// SPDX-License-Identifier: Apache-2.0

package model

import (
	"slices"
	"time"
)

var ranks = []string{"PRIMARY", "SAME_PROVIDER_CHEAPER", "CROSS_PROVIDER", "SELF_HOSTED", "RULE_BASED", "HUMAN_QUEUE"}

func rank(kind string) int { return slices.Index(ranks, kind) }

const (
	cheaperKind = 1
	crossKind   = 2
	selfHosted  = 3
	humanQueue  = 5
)

// choose is steps 5 and 6: a level, or a refusal. The second result says that
// cost pressure moved the start.
func (w *world) choose(a *asking, o *op, s *acquireStep, start, maxAttempts int) (look, bool, *acquireAnswer) {
	patience := s.MaxWait
	if s.Deadline > 0 {
		patience = min(patience, s.Deadline)
	}
	pressure := false
	if i := w.cheaper(a, o, s, start, maxAttempts); i > start {
		start, pressure = i, true
	}
	first := w.ask(a, start)
	if first.reason == "" {
		return first, pressure, nil
	}
	asked := []look{first}
	if first.reason == "COOLDOWN" && first.delay < 10*time.Second && first.delay <= patience {
		return look{}, false, w.refusal(asked, patience)
	}
	for _, i := range w.order(a, start, first.reason, pressure) {
		if o != nil && w.usedUp(o, a.chain, i, maxAttempts) {
			continue
		}
		l := w.ask(a, i)
		if l.reason == "" {
			l.first = first.reason
			return l, false, nil
		}
		asked = append(asked, l)
	}
	return look{}, false, w.refusal(asked, patience)
}

// usedUp: the operation has no business on a level any more.
func (w *world) usedUp(o *op, chain []levelSpec, level, maxAttempts int) bool {
	t := w.targets[chain[level].Target]
	return o.tried[level] >= t.allowed(maxAttempts, level) || w.suspect(o, t.name)
}

func (w *world) suspect(o *op, target string) bool {
	cred := w.targets[target].cred
	return cred != "" && slices.Contains(o.suspects, cred)
}

// order is the Acquire-time choice of semantics §2.3.
func (w *world) order(a *asking, start int, reason string, pressure bool) []int {
	primary := w.targets[a.chain[start].Target]
	var order []int
	after := func(least, most int) {
		for i := start + 1; i < len(a.chain); i++ {
			if k := rank(a.chain[i].Kind); k >= least && k <= most && k != humanQueue { // people are not called
				order = append(order, i)
			}
		}
	}
	switch reason {
	case "BREAKER_OPEN", "FORCED_OPEN", "PROBE_IN_FLIGHT":
		after(crossKind, 9)
		switch primary.cause {
		case "AUTH":
			order = slices.DeleteFunc(order, func(i int) bool {
				return primary.cred != "" && w.targets[a.chain[i].Target].cred == primary.cred
			})
		case "QUALITY":
		default:
			after(0, crossKind-1) // another pool of the same provider, last
		}
	case "COOLDOWN":
		after(cheaperKind, 9)
	default:
		after(0, 9)
	}
	if pressure {
		for i := range start {
			order = append(order, i)
		}
	}
	return order
}

// cheaper is 1.7.9: in PRESSURE a chain starts at the first level that is
// cheaper than level 0.
func (w *world) cheaper(a *asking, o *op, s *acquireStep, start, maxAttempts int) int {
	if start != 0 || s.Pin != nil {
		return start
	}
	if !slices.ContainsFunc(w.path(a.run), func(r *run) bool { return w.runState(r) == "PRESSURE" }) {
		return start
	}
	base := w.targets[a.chain[0].Target].price
	for i := 1; i < len(a.chain); i++ {
		if o != nil && w.usedUp(o, a.chain, i, maxAttempts) {
			continue
		}
		if rank(a.chain[i].Kind) == humanQueue {
			continue
		}
		own := w.targets[a.chain[i].Target].price
		if own != nil && base != nil {
			if *own < *base {
				return i
			}
			continue
		}
		if rank(a.chain[i].Kind) == cheaperKind {
			return i
		}
	}
	return start
}

// refusal is C4: the reason of level 0, else of the first that was asked, and
// the smallest delay.
func (w *world) refusal(asked []look, patience time.Duration) *acquireAnswer {
	first := asked[0]
	for _, l := range asked {
		if l.level == 0 {
			first = l
		}
	}
	r := denied(first.reason)
	if first.reason == "RUN_BUDGET" {
		r.BlockedBy = first.blocker
	}
	for _, l := range asked {
		if l.delay > 0 && (r.Delay == 0 || l.delay < r.Delay) {
			r.Delay = l.delay
		}
	}
	if r.Delay > 0 && r.Delay <= patience {
		r.Decision = "WAIT"
	}
	return &r
}

// grant is step 7.
func (w *world) grant(s *acquireStep, a *asking, o *op, l look, maxAttempts, budget int) *permit {
	t := w.targets[a.chain[l.level].Target]
	if o == nil || o.tombstone {
		o = w.begun(s, a, o, maxAttempts, budget)
	}
	if o.live != nil {
		o.supersede()
	}
	p := &permit{
		number: len(w.permits) + 1, op: o, target: t, level: l.level, generation: t.generation, granted: w.now,
		expires: w.now + t.lease, slot: !l.probe && !l.bare && w.inUse(t) < t.slots, would: l.would, probe: l.probe, est: l.est, explicit: s.Est,
		state: "ACTIVE", run: s.Run, request: s.Request, promised: o.promised,
	}
	if l.probe {
		p.expires = w.now + min(t.lease, time.Minute)
		t.probe = p
	}
	if o.attempts > 0 && !o.promised && !l.bare {
		w.takeTask(o, t.name)
		t.withdrawals = append(t.withdrawals, entry{w.now, o.price()})
	}
	if !o.deposited[l.level] && !l.bare {
		o.deposited[l.level] = true
		t.deposits = append(t.deposits, entry{w.now, t.ratio})
	}
	o.promised, o.notBefore, o.state = false, 0, ""
	o.attempts++
	o.tried[l.level]++
	if s.Deadline > 0 {
		o.deadline = min(o.deadline, w.now+s.Deadline)
		if o.attempts == 1 {
			o.deadline = w.now + s.Deadline
		}
	}
	p.attempt = o.attempts
	o.live, o.last = p, p
	o.forgetAt = max(o.forgetAt, p.expires+day)
	w.permits = append(w.permits, p)
	return p
}

// begun is a new operation, or one of which only a tombstone is left.
func (w *world) begun(s *acquireStep, a *asking, old *op, maxAttempts, budget int) *op {
	o := &op{
		name: s.Op, nonIdempotent: a.nonIdempotent, chain: a.chain, run: s.Run, task: s.Task, maxAttempts: maxAttempts, budget: budget,
		deadline: w.now + 15*time.Minute, tried: map[int]int{}, backoffs: map[int]int{}, timeouts: map[int]int{},
		qualities: map[int]int{}, refused: map[int]bool{}, deposited: map[int]bool{},
	}
	if old != nil {
		level := old.last.level
		o.attempts, o.tried[level], o.deposited[level] = old.attempts, old.attempts, true
	}
	w.ops[s.Op] = o
	return o
}

func (w *world) granted(p *permit) acquireAnswer {
	return acquireAnswer{
		Decision: "GRANTED", Target: p.target.name, Attempt: p.attempt, Level: p.level, Probe: p.probe,
		Degraded: p.level > 0, Permit: p.number, Would: p.would,
	}
}

// advance moves the clock, and stops at everything that falls due on the way.
func (w *world) advance(d time.Duration) {
	for end := w.now + d; ; {
		due := end
		for _, p := range w.permits {
			if p.state == "ACTIVE" {
				due = min(due, p.expires)
			}
		}
		for _, t := range w.targets {
			if t.state == "OPEN" {
				due = min(due, t.openUntil)
			}
			if t.state == "CLOSED" && t.cycles > 0 {
				due = min(due, t.closedAt+max(time.Minute, t.lastCooldown))
			}
		}
		for _, e := range w.escalations {
			if e.state == "OPEN" {
				due = min(due, e.deadline)
			}
		}
		w.now = max(w.now, due)
		w.happen()
		if w.now == end {
			return
		}
	}
}

// happen does what is due at this instant.
func (w *world) happen() {
	for _, p := range w.permits {
		if p.state == "ACTIVE" && w.now >= p.expires {
			w.lose(p)
		}
	}
	for _, t := range w.targets {
		t.derive(w.now)
	}
	for _, e := range w.escalations {
		if e.state == "OPEN" && w.now >= e.deadline {
			e.state = "DEFAULTED"
		}
	}
}

// lose is R40: the lease is over and nobody reported.
func (w *world) lose(p *permit) {
	p.state, p.assumed, p.calls = "LOST", p.est, 1
	o := p.op
	if p.superseded {
		p.freeProbe(w.now)
		return
	}
	o.live, o.promised, o.throttled = nil, false, false
	if o.lost = append(o.lost, p); len(o.lost) > 16 {
		o.lost = o.lost[1:]
	}
	o.forgetAt = max(o.forgetAt, p.expires+day)
	if o.nonIdempotent {
		o.state = "LOCKED"
		o.forgetAt = max(o.forgetAt, p.expires+31*day) // ADR 0009
		w.raise(o.name, "ambiguous_outcome", p.target.name, "LOST")
	}
	p.freeProbe(w.now)
}

// freeProbe: a probe died.
func (p *permit) freeProbe(now clock) {
	if t := p.target; t.probe == p {
		t.probe, t.halfOpenIdle = nil, now
		if t.abandoned++; t.abandoned >= 3 {
			t.open("PROBE_ABANDONED", now)
		}
	}
}

// supersede makes room for another permit of the operation beside a live one.
func (o *op) supersede() {
	o.live.superseded = true
	if o.lost = append(o.lost, o.live); len(o.lost) > 16 {
		o.lost = o.lost[1:]
	}
	o.forgetAt = max(o.forgetAt, o.live.expires+day)
	o.promised, o.throttled = false, false
}
