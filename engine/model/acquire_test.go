// SPDX-License-Identifier: Apache-2.0

package model

import (
	"slices"
	"time"
)

// fleet is what the fleet's retry budget holds, in milli-tokens (C7).
func (t *target) fleet(now clock) int {
	sum := t.floor
	for _, e := range t.deposits {
		if now < e.at+10*time.Second {
			sum += e.milli
		}
	}
	for _, e := range t.withdrawals {
		if now < e.at+10*time.Second {
			sum -= e.milli
		}
	}
	return sum
}

// allowed is G4: all attempts on level 0, one and retries_per_level on a deeper
// level.
func (t *target) allowed(maxAttempts, level int) int {
	if level == 0 {
		return maxAttempts
	}
	return 1 + t.perLevel
}

// taskUsed is what an operation's task has used on a target; an operation
// without a task is its own.
func (w *world) taskUsed(run, name, target string, o *op) int {
	if name != "" {
		if t := w.tasks[run+"|"+name]; t != nil && w.now < t.last+day {
			return t.used[target]
		}
		return 0
	}
	if o == nil {
		return 0
	}
	return o.ownRetries
}

func (w *world) takeTask(o *op, target string) {
	if o.task == "" {
		o.ownRetries++
		return
	}
	name := o.run + "|" + o.task
	if t := w.tasks[name]; t == nil || w.now >= t.last+day {
		w.tasks[name] = &task{used: map[string]int{}}
	}
	w.tasks[name].used[target]++
	w.tasks[name].last = w.now
}

// look is what a level says to a call.
type look struct {
	level   int
	reason  string
	delay   time.Duration
	blocker string
	would   string
	first   string // why the level that was asked first was passed over
	probe   bool
	bare    bool // granted against the rules
	est     int64
}

// asking is one Acquire, or the question of a directive what an Acquire would
// be told.
type asking struct {
	chain         []levelSpec
	run           string
	nonIdempotent bool
	explicit      *int64
	last          *int64 // what the attempt before reserved
}

// estimate is C18: nil is unknown.
func (w *world) estimate(a *asking, level int) *int64 {
	own := w.targets[a.chain[level].Target].price
	switch {
	case a.explicit == nil:
		return own
	case level > 0 && own != nil && *own < *a.explicit:
		return own
	}
	return a.explicit
}

// ask goes through the checks of one level, in order.
func (w *world) ask(a *asking, level int) look {
	t := w.targets[a.chain[level].Target]
	l := look{level: level}
	refuse := func(reason string, delay time.Duration, blocker string) bool {
		if w.dry(t) {
			if l.would == "" {
				l.would = reason
			}
			return false
		}
		l.reason, l.delay, l.blocker = reason, delay, blocker
		return true
	}
	reason, delay, probe := t.gate(a.nonIdempotent, w.now)
	if l.probe = probe; reason != "" && refuse(reason, delay, t.name) {
		return l
	}
	if t.cooldown > w.now && refuse("COOLDOWN", t.cooldown-w.now, t.name) {
		return l
	}
	if !probe && t.slots > 0 && w.inUse(t) >= t.slots && refuse("CONCURRENCY", 50*time.Millisecond, t.name) {
		return l
	}
	if a.run == "" {
		return l
	}
	est := w.estimate(a, level)
	if est == nil {
		if w.capped(a.run) {
			refuse("PRICE_UNKNOWN", 0, t.name)
			return l
		}
		est = new(int64)
	}
	l.est = *est
	if r := w.fits(a.run, *est); r != nil {
		refuse("RUN_BUDGET", 0, r.id)
	}
	return l
}

func (w *world) capped(id string) bool {
	return slices.ContainsFunc(w.path(id), func(r *run) bool { return r.cap != nil })
}

// inUse counts the permits that hold a slot.
func (w *world) inUse(t *target) int {
	n := 0
	for _, p := range w.permits {
		if p.target == t && p.slot && p.state == "ACTIVE" {
			n++
		}
	}
	return n
}

func denied(reason string) acquireAnswer { return acquireAnswer{Decision: "DENIED", Reason: reason} }

// acquire is semantics §1.2, in the order of its steps.
func (w *world) acquire(s *acquireStep) acquireAnswer {
	chain := w.chains[s.Chain]
	if s.Chain == "" {
		chain = []levelSpec{{s.Target, "PRIMARY"}}
	}
	o := w.operation(s.Op)
	if o != nil && s.Request != "" && o.last != nil && o.last.request == s.Request && o.last.state != "RELEASED" {
		return w.granted(o.last)
	}
	first := w.targets[chain[0].Target]
	maxAttempts, budget := first.maxAttempts, first.taskBudget
	if o != nil && !o.tombstone {
		maxAttempts, budget = o.maxAttempts, o.budget
	}
	if s.MaxAttempts > 0 {
		maxAttempts = min(maxAttempts, s.MaxAttempts)
	}
	start := w.start(o, s, chain)
	n := s.Idem == "N" || s.Idem == "" && !first.idempotent
	if o != nil {
		n = o.nonIdempotent
	}
	ask := &asking{chain: chain, run: s.Run, nonIdempotent: n, explicit: s.Est}
	observed := w.targets[chain[start].Target].dry
	w.enforced = observed
	grant, pressure, refusal := w.rule(ask, o, s, start, maxAttempts, budget)
	w.enforced = false
	if observed && (refusal != nil || grant.level != start) {
		grant, pressure = w.bare(ask, start, grant, pressure, refusal), false
	} else if refusal != nil {
		return *refusal
	}
	p := w.grant(s, ask, o, grant, maxAttempts, budget)
	a := w.granted(p)
	if pressure {
		a.Reason = "COST_PRESSURE"
	}
	return a
}

// rule is steps 2 to 6.
func (w *world) rule(a *asking, o *op, s *acquireStep, start, maxAttempts, budget int) (look, bool, *acquireAnswer) {
	if r, state := w.blocker(s.Run); r != nil {
		d := denied("RUN_" + state)
		d.Terminal, d.BlockedBy = true, r.id
		return look{}, false, &d
	}
	if o != nil {
		if d, refused := w.refusedOperation(o, s, a.chain, start, maxAttempts, budget); refused {
			return look{}, false, &d
		}
	}
	return w.choose(a, o, s, start, maxAttempts)
}

// bare is a grant against the rules: it goes to the start, reserves money, and
// takes nothing else that is counted.
func (w *world) bare(a *asking, start int, elsewhere look, pressure bool, refusal *acquireAnswer) look {
	l := look{level: start, bare: true}
	switch {
	case refusal != nil:
		l.would = refusal.Reason
	case pressure:
		l.would = "COST_PRESSURE"
	default:
		l.would = elsewhere.first
	}
	if est := w.estimate(a, start); a.run != "" && est != nil {
		l.est = *est
	}
	return l
}

// start is C4: the level that a FALLBACK named, else the pin, else 0.
func (w *world) start(o *op, s *acquireStep, chain []levelSpec) int {
	switch {
	case o != nil && o.start > 0:
		return min(o.start, len(chain)-1)
	case s.Pin != nil:
		return *s.Pin
	}
	return 0
}

// refusedOperation is steps 3 and 4.
func (w *world) refusedOperation(o *op, s *acquireStep, chain []levelSpec, start, maxAttempts, budget int) (acquireAnswer, bool) {
	t := w.targets[chain[start].Target]
	terminal := map[string]string{"LOCKED": "OUTCOME_UNKNOWN", "FINAL": "OPERATION_FINAL"}[o.state]
	if o.state == "SUCCEEDED" && o.nonIdempotent {
		terminal = "OPERATION_ALREADY_SUCCEEDED"
	}
	if terminal != "" {
		a := denied(terminal)
		a.Terminal = true
		return a, true
	}
	if o.live != nil {
		a := denied("OPERATION_IN_FLIGHT")
		a.Delay = o.live.expires - w.now
		return a, true
	}
	if o.tried[start] >= t.allowed(maxAttempts, start) {
		return denied("ATTEMPTS_EXHAUSTED"), true
	}
	if o.notBefore > w.now {
		return acquireAnswer{Decision: "WAIT", Reason: "BACKOFF", Delay: o.notBefore - w.now}, true
	}
	if o.attempts == 0 || o.promised {
		return acquireAnswer{}, false
	}
	if w.taskUsed(s.Run, s.Task, t.name, o) >= budget {
		return denied("TASK_RETRY_BUDGET"), true
	}
	if t.fleet(w.now) < o.price() {
		return denied("FLEET_RETRY_BUDGET"), true
	}
	return acquireAnswer{}, false
}

// price is what the next retry takes from the fleet's budget.
func (o *op) price() int {
	if o.throttled {
		return 400
	}
	return 1000
}

// operation is what is remembered under a name at this instant.
func (w *world) operation(name string) *op {
	o := w.ops[name]
	if o != nil && o.live == nil && w.now >= o.forgetAt {
		delete(w.ops, name)
		return nil
	}
	return o
}
