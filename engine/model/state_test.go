// SPDX-License-Identifier: Apache-2.0

package model

import (
	"slices"
	"time"
)

// clock is store time since the start of the drill; never is no time.
type clock = time.Duration

const never clock = -1

// day is how long what is settled is remembered.
const day = 24 * time.Hour

// target is one target: its numbers and everything that is known of it.
type target struct {
	name, kind, cred                                string
	idempotent, dry, retryNP                        bool
	maxAttempts, taskBudget, consec, consecQ, slots int
	initial, maxWait, base, lease, slow, slowFails  time.Duration
	window                                          bool
	price, ctx                                      *int64
	floor, ratio, quality, perLevel                 int
	cooldown                                        clock // until
	deposits, withdrawals                           []entry
	samples                                         []sample
	state, cause                                    string
	generation, cycles                              int
	consecutive, transport, qualityRun, authRun     int
	streakAt, transportAt, qualityAt, authAt        clock
	openUntil, unhealthy, closedAt, halfOpenIdle    clock
	lastCooldown                                    time.Duration
	probe                                           *permit
	abandoned                                       int
}

type entry struct {
	at    clock
	milli int
}

// sample is one vote in the rate window.
type sample struct {
	at         clock
	fail, slow bool
}

// permit is one grant.
type permit struct {
	number           int
	op               *op
	target           *target
	level, attempt   int
	generation       int
	granted, expires clock
	slot, probe      bool
	est              int64
	explicit         *int64
	state            string // ACTIVE, SETTLED, RELEASED, LOST
	spent, assumed   int64
	calls            int64
	run              string
	request          string
	answer           reportAnswer
	promised         bool // a directive paid for it
	would            string
	superseded       bool // another was granted beside it, because nothing may be refused
}

// op is one operation.
type op struct {
	name                string
	nonIdempotent       bool
	chain               []levelSpec
	run, task           string
	state               string // "", LOCKED, FINAL, SUCCEEDED
	attempts            int
	tried, backoffs     map[int]int
	timeouts, qualities map[int]int
	refused, deposited  map[int]bool
	start               int
	promised, throttled bool
	notBefore, deadline clock
	maxAttempts, budget int
	ownRetries          int // of an operation without a task
	suspects            []string
	live, last          *permit
	forgetAt            clock
	lost                []*permit
	tombstone, letter   bool
}

type run struct {
	id, parent, final string
	cap, calls        *int64
}

// task counts retries by target; it is forgotten a day after the last.
type task struct {
	used map[string]int
	last clock
}

type letter struct {
	policy, reason string
	expires        clock
}

type escalation struct {
	key, kind, state, def string
	made, deadline        clock
	occ                   int
}

// world is the whole of the model.
type world struct {
	now         clock
	targets     map[string]*target
	chains      map[string][]levelSpec
	runs        map[string]*run
	ops         map[string]*op
	permits     []*permit        // by number - 1
	tasks       map[string]*task // by run and task
	letters     map[string]*letter
	escalations map[string]*escalation
	folds       map[string]*escalation
	enforced    bool // ask what would be if nothing were in dry run
}

// dry: nothing is refused to a call of the target.
func (w *world) dry(t *target) bool { return t.dry && !w.enforced }

func newWorld(s *scenario) *world {
	w := &world{
		targets: map[string]*target{}, chains: s.Chains, runs: map[string]*run{}, ops: map[string]*op{}, tasks: map[string]*task{},
		letters: map[string]*letter{}, escalations: map[string]*escalation{}, folds: map[string]*escalation{},
	}
	for i := range s.Targets {
		w.targets[s.Targets[i].Name] = newTarget(&s.Targets[i])
	}
	for _, r := range s.Runs {
		w.runs[r.ID] = &run{id: r.ID, parent: r.Parent, cap: r.Cap, calls: r.Calls}
	}
	return w
}

// newTarget is the table of semantics §1.1.
func newTarget(s *targetSpec) *target {
	t := &target{
		name: s.Name, kind: s.Kind, cred: s.Cred, idempotent: s.Kind != "action", dry: s.DryRun, retryNP: s.RetryNP, price: s.Price, ctx: s.Ctx,
		maxAttempts: 3, taskBudget: 3, consec: 5, consecQ: 3, initial: time.Second, maxWait: 30 * time.Second, base: 30 * time.Second,
		slow: time.Minute, slowFails: 5 * time.Minute, window: s.Kind == "llm", floor: 10_000, ratio: 200,
		state: "CLOSED", openUntil: never, unhealthy: never, closedAt: never,
	}
	timeout := 2 * time.Minute
	switch s.Kind {
	case "tool":
		t.maxAttempts, t.taskBudget, t.slots, timeout = 5, 4, 5, 30*time.Second
		t.initial, t.maxWait, t.slow = 500*time.Millisecond, 10*time.Second, 30*time.Second
	case "fast":
		t.maxAttempts, t.taskBudget, t.slots, timeout = 5, 4, 20, 10*time.Second
		t.initial, t.maxWait, t.slow, t.slowFails = 500*time.Millisecond, 10*time.Second, 5*time.Second, time.Minute
		t.consec, t.base = 3, 10*time.Second
	case "action":
		t.maxAttempts, t.taskBudget, t.slots, timeout, t.slow = 1, 0, 5, 30*time.Second, 30*time.Second
	}
	over(&t.maxAttempts, s.MaxAttempts)
	if s.MaxAttempts != nil && s.Kind != "action" {
		t.taskBudget = max(t.taskBudget, t.maxAttempts-1)
	}
	over(&t.taskBudget, s.TaskBudget)
	over(&t.consec, s.Consec)
	over(&t.slots, s.Slots)
	over(&t.floor, s.Floor)
	over(&t.ratio, s.Ratio)
	over(&t.quality, s.QRetries)
	over(&t.perLevel, s.PerLevel)
	over(&timeout, s.CallTimeout)
	t.lease = timeout + 15*time.Second
	return t
}

func over[T any](v *T, by *T) {
	if by != nil {
		*v = *by
	}
}

// path is a run's ancestors and itself, root first.
func (w *world) path(id string) []*run {
	var path []*run
	for r := w.runs[id]; r != nil; r = w.runs[r.parent] {
		path = append(path, r)
	}
	slices.Reverse(path)
	return path
}

// sums adds up every permit of a run and its descendants.
func (w *world) sums(id string) (spent, reserved, assumed, calls, callsReserved int64) {
	for _, p := range w.permits {
		if !slices.ContainsFunc(w.path(p.run), func(r *run) bool { return r.id == id }) {
			continue
		}
		spent, assumed, calls = spent+p.spent, assumed+p.assumed, calls+p.calls
		if p.state == "ACTIVE" {
			reserved, callsReserved = reserved+p.est, callsReserved+1
		}
	}
	return
}

// runState is semantics §1.7 with C19, a run's own, ancestors left aside.
func (w *world) runState(r *run) string {
	if r.final != "" {
		return r.final
	}
	spent, _, assumed, calls, _ := w.sums(r.id)
	state := "ACTIVE"
	for _, d := range []struct {
		used int64
		cap  *int64
	}{{spent + assumed, r.cap}, {calls, r.calls}} {
		switch {
		case d.cap == nil:
		case d.used >= *d.cap:
			return "EXHAUSTED"
		case d.used*100 >= *d.cap*80:
			state = "PRESSURE"
		}
	}
	return state
}

// blocker is the first run from the root that grants nothing (C17).
func (w *world) blocker(id string) (*run, string) {
	for _, r := range w.path(id) {
		if s := w.runState(r); s != "ACTIVE" && s != "PRESSURE" {
			return r, s
		}
	}
	return nil, ""
}

// fits is the admission of semantics §1.7.1: the first run that cannot hold
// one more call.
func (w *world) fits(id string, est int64) *run {
	for _, r := range w.path(id) {
		spent, reserved, assumed, calls, held := w.sums(r.id)
		if r.cap != nil && spent+assumed+reserved+est > *r.cap {
			return r
		}
		if r.calls != nil && calls+held+1 > *r.calls {
			return r
		}
	}
	return nil
}
