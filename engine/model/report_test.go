// SPDX-License-Identifier: Apache-2.0

package model

import (
	"slices"
	"time"
)

// report is one Report: money, vote, directive.
func (w *world) report(s *reportStep) reportAnswer {
	p := w.permits[s.Permit-1]
	o, t := p.op, p.target
	duration := min(s.Dur, w.now-p.granted)
	v := s.Sig.read(t.kind, t.slowFails, duration)
	if known := w.operation(o.name); known != o || (o.last != p && !slices.Contains(o.lost, p)) || (p.state == "LOST" && w.now >= p.expires+day) {
		return w.gone(v, o, known != nil)
	}
	if p.state == "SETTLED" {
		return p.answer // a repeat
	}
	newest := o.last == p
	why := t.notCounted(p, w.now)
	w.settle(p, v, s.Cost)
	a := reportAnswer{Class: v.class, Reason: v.reason, Why: why, Counted: why == ""}
	if why == "" {
		a.Opened = t.vote(p, v, duration, w.now)
	}
	if v.cooldown > 0 {
		t.cooldown = max(t.cooldown, w.now+v.cooldown)
	}
	o.lost = slices.DeleteFunc(o.lost, func(l *permit) bool { return l == p })
	if v.reason == "TIMEOUT" {
		o.timeouts[p.level]++
	}
	if slices.Contains([]string{"AUTH", "FORBIDDEN", "QUOTA_EXHAUSTED"}, v.reason) && t.cred != "" {
		o.suspects = append(o.suspects, t.cred)
	}
	if !newest {
		return w.late(p, v, a)
	}
	o.live = nil
	o.throttled = v.class == "PRESSURE"
	d := w.directive(p, v)
	ruled := d
	if t.dry {
		w.enforced = true
		ruled = w.directive(p, v)
		w.enforced = false
	}
	w.carry(d, ruled, &a)
	p.answer = a
	return a
}

func (w *world) directive(p *permit, v verdict) *tree {
	d := &tree{w: w, p: p, o: p.op, t: p.target, v: v, chain: p.op.chain}
	d.decide()
	return d
}

// late is the report of a permit beside which there is a newer one.
func (w *world) late(p *permit, v verdict, a reportAnswer) reportAnswer {
	switch d := w.directive(p, v); {
	case v.class == "OK":
		a.Action = "CONTINUE"
	case p.target.dry && (d.action == "RETRY" || d.action == "FALLBACK"):
		a.answer(d)
		a.Would = "STOP"
	default:
		a.Action = "STOP"
	}
	return a
}

func (a *reportAnswer) answer(d *tree) {
	a.Action, a.Delay, a.RetryDenied, a.Terminal = d.action, d.delay, d.denied, d.terminal
	if d.next >= 0 {
		a.Target, a.Level = d.chain[d.next].Target, d.next
	}
}

// gone is the report of a permit that was forgotten: nothing changes. Of an
// operation that was forgotten too, a person keeps the letter.
func (w *world) gone(v verdict, o *op, known bool) reportAnswer {
	a := reportAnswer{Class: v.class, Reason: v.reason, Why: "PERMIT_GONE", Action: "STOP"}
	switch {
	case v.class == "OK":
		a.Action = "CONTINUE"
	case v.class != "ABORTED" && !known:
		a.Letter = "dl:" + o.name
		w.letters[o.name] = &letter{policy: "MANUAL", reason: v.reason, expires: w.now + 30*day}
	}
	return a
}

// settle is 1.7.3.
func (w *world) settle(p *permit, v verdict, cost *int64) {
	p.state, p.calls, p.assumed = "SETTLED", 1, 0
	switch {
	case cost != nil:
		p.spent = *cost
	case v.certainty != "NOT_SENT" && v.certainty != "REJECTED":
		p.assumed = p.est
	}
}

// carry writes a directive down.
func (w *world) carry(d, ruled *tree, a *reportAnswer) {
	o, t := d.o, d.t
	a.answer(d)
	same := d.action == ruled.action && d.next == ruled.next
	if !same || d.delay != ruled.delay || d.terminal != ruled.terminal {
		a.Would = ruled.action
	}
	if d.esc != "" {
		a.Esc = w.raise(o.name, d.esc, t.name, d.v.reason)
	}
	if d.policy != "" {
		a.Letter = "dl:" + o.name
		w.letters[o.name] = &letter{policy: d.policy, reason: d.letterReason, expires: w.now + 30*day}
	}
	o.promised = same && (d.action == "RETRY" || d.action == "FALLBACK")
	o.state = d.state
	switch {
	case d.free: // R30
		o.refused[d.p.level] = true
		o.tried[d.p.level]--
		o.attempts--
		o.notBefore = w.now
	case d.action == "RETRY":
		o.notBefore = w.now + d.delay
		o.backoffs[d.p.level]++
		if d.v.retryAfter > 0 {
			o.backoffs[d.p.level] = 0
		}
		if ruled.action == "RETRY" {
			w.takeTask(o, t.name)
			t.withdrawals = append(t.withdrawals, entry{w.now, min(d.cost, ruled.cost)})
		}
	case d.action == "FALLBACK":
		o.start = d.next
		o.backoffs[d.next] = 0
	}
	if d.qualityRetry {
		o.qualities[d.p.level]++
	}
	o.forgetAt = w.now + day
	if d.policy != "" {
		o.letter = true
	}
	if o.letter {
		o.forgetAt = w.now + 30*day
	}
	if d.state == "LOCKED" { // ADR 0009
		o.forgetAt = w.now + 31*day
	}
	if d.state == "SUCCEEDED" && !o.nonIdempotent && o.attempts == 1 && len(o.lost) == 0 {
		o.tombstone, o.start, o.promised, o.throttled = true, 0, false, false
		o.forgetAt = w.now + time.Minute
	}
}

// terms are the deadline and the default of each type that a Report raises.
func terms(kind string) (time.Duration, string) {
	switch kind {
	case "ambiguous_outcome", "unknown_error", "refund":
		return 24 * time.Hour, "DO_NOTHING"
	case "irreversible_write":
		return 4 * time.Hour, "DO_NOTHING"
	case "ambiguous_classification":
		return time.Hour, "PROCEED"
	}
	return time.Hour, "DO_NOTHING" // auth_failure, and unspecified of what cannot be undone
}

// raise opens an escalation, or counts one more occurrence of an open one.
func (w *world) raise(name, kind, target, reason string) string {
	key := "esc:" + name
	if own := w.escalations[key]; own != nil && w.now < own.deadline+30*day {
		if own.state == "OPEN" && w.now < own.deadline {
			own.occ++
		}
		return key
	}
	fold := kind + "|" + target + "|" + reason
	folds := kind == "auth_failure" || kind == "unknown_error"
	if first := w.folds[fold]; folds && first != nil && first.state == "OPEN" && w.now < first.deadline && w.now < first.made+10*time.Minute {
		first.occ++
		return first.key
	}
	left, def := terms(kind)
	e := &escalation{key: key, kind: kind, state: "OPEN", def: def, made: w.now, deadline: w.now + left, occ: 1}
	w.escalations[key] = e
	if folds {
		w.folds[fold] = e
	}
	return key
}

func (w *world) escalation(key string) escalationAnswer {
	e := w.escalations[key]
	if e == nil || w.now >= e.deadline+30*day {
		return escalationAnswer{State: "ABSENT"}
	}
	a := escalationAnswer{State: e.state, Occ: e.occ, Left: max(e.deadline-w.now, 0)}
	if e.state == "DEFAULTED" {
		a.Decision, a.By = e.def, "system:deadline"
	}
	return a
}

func (w *world) letter(name string) letterAnswer {
	l := w.letters[name]
	if l == nil || w.now >= l.expires {
		return letterAnswer{State: "ABSENT"}
	}
	return letterAnswer{State: "OPEN", Kind: "REPLAYABLE", Policy: l.policy, Reason: l.reason}
}

func (w *world) run(id string) runAnswer {
	r := w.runs[id]
	spent, reserved, assumed, calls, _ := w.sums(id)
	a := runAnswer{State: w.runState(r), Spent: spent, Reserved: reserved, Assumed: assumed, Calls: calls}
	if r.cap != nil {
		a.Overrun = max(spent-*r.cap, 0)
	}
	for _, up := range w.path(id) {
		if up.final != "" && r.final == "" {
			a.State = "STOPPED"
		}
	}
	return a
}

func (w *world) adjust(id string, delta int64) string {
	r := w.runs[id]
	if r.final != "" {
		return "RUN_FINAL"
	}
	if r.cap == nil || *r.cap+delta < 0 {
		return "INVALID"
	}
	sum := *r.cap + delta
	r.cap = &sum
	return ""
}

func (w *world) stop(id, final string) string {
	r := w.runs[id]
	if r.final != "" && r.final != final {
		return "RUN_FINAL"
	}
	r.final = final
	return ""
}
