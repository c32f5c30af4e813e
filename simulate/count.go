// SPDX-License-Identifier: Apache-2.0

package simulate

import (
	"cmp"
	"math"
	"slices"
	"strings"

	"github.com/resilienced/resilienced/engine"
	"github.com/resilienced/resilienced/rules"
	"github.com/resilienced/resilienced/rules/admit"
	"github.com/resilienced/resilienced/rules/breaker"
)

// maxOpenings and maxRuns bound what a Result lists.
const (
	maxOpenings = 100
	maxRuns     = 1000
)

// counter collects what one policy makes of the calls.
type counter struct {
	targets map[string]*tally
	totals  *tally
	runs    map[string]*RunStop
	granted []bool // by call
	open    map[string]*Opening
}

func newCounter(calls int) *counter {
	return &counter{
		targets: map[string]*tally{}, totals: newTally(), runs: map[string]*RunStop{},
		granted: make([]bool, calls), open: map[string]*Opening{},
	}
}

// tally is a Side that is being counted.
type tally struct {
	side     Side
	refusals map[[2]string]*Refusal
	observed map[[2]string]*Refusal
	openings []*Opening
}

func newTally() *tally {
	return &tally{refusals: map[[2]string]*Refusal{}, observed: map[[2]string]*Refusal{}}
}

func (c *counter) target(name string) *tally {
	t := c.targets[name]
	if t == nil {
		t = newTally()
		c.targets[name] = t
	}
	return t
}

// both calls do for a target and for the totals.
func (c *counter) both(target string, do func(*tally)) {
	do(c.target(target))
	do(c.totals)
}

// grant counts a call that was granted.
func (c *counter) grant(i int, call *engine.Call, w worth, would *admit.Would) {
	c.granted[i] = true
	c.both(call.Target, func(t *tally) {
		t.side.Granted++
		t.side.CostMicros = add(t.side.CostMicros, w.micros)
		t.unpriced(w)
		if would != nil {
			count(t.observed, would.Outcome.String(), string(would.Reason), w)
		}
	})
}

// refusal is why a call was refused.
type refusal struct {
	outcome   admit.Outcome
	reason    admit.Reason
	rule      string
	blockedBy string
	moved     bool
}

// refuse counts a call that was refused.
func (c *counter) refuse(call *engine.Call, w worth, why refusal) {
	c.both(call.Target, func(t *tally) {
		t.unpriced(w)
		count(t.refusals, why.outcome.String(), string(why.reason), w)
		if why.outcome == admit.Wait {
			t.side.Waits++
			t.side.PutOffMicros = add(t.side.PutOffMicros, w.micros)
		} else {
			t.side.Denied++
			t.side.NotSpentMicros = add(t.side.NotSpentMicros, w.micros)
		}
		if why.reason == admit.Backoff || why.reason == admit.Cooldown {
			t.side.Early++
		}
		if why.moved {
			t.side.Moved++
		}
	})
	if why.reason == admit.RunExhausted || why.reason == admit.RunBudget {
		c.stop(call, w, why)
	}
}

func (c *counter) stop(call *engine.Call, w worth, why refusal) {
	s := c.runs[call.Run]
	if s == nil {
		s = &RunStop{At: call.AcquiredAt.Time(), Reason: string(why.reason), Rule: why.rule, BlockedBy: why.blockedBy}
		c.runs[call.Run] = s
		c.totals.side.RunsStopped++
	}
	s.Calls++
	s.CostMicros = add(s.CostMicros, w.micros)
}

func (t *tally) unpriced(w worth) {
	if !w.known {
		t.side.Unpriced++
	}
}

func count(by map[[2]string]*Refusal, decision, reason string, w worth) {
	key := [2]string{decision, reason}
	r := by[key]
	if r == nil {
		r = &Refusal{Decision: decision, Reason: reason}
		by[key] = r
	}
	r.Calls++
	r.CostMicros = add(r.CostMicros, w.micros)
}

// add is a + b, kept within int64; neither is negative.
func add(a, b int64) int64 {
	if a > math.MaxInt64-b {
		return math.MaxInt64
	}
	return a + b
}

// event takes in what the engine says of a breaker.
func (c *counter) event(e engine.Event) {
	if e.Kind != engine.EventTransition {
		return
	}
	open := c.open[e.Name]
	switch to := e.Transition.To; {
	case to == breaker.Open && open != nil:
		open.Reopened++
	case to == breaker.Open:
		_, credential, _ := strings.Cut(e.Name, "\x1f")
		open = &Opening{Target: e.Target, Credential: credential, Cause: e.Transition.Cause.String(), At: e.At.Time()}
		c.open[e.Name] = open
		c.both(e.Target, func(t *tally) {
			t.side.Opened++
			if len(t.openings) < maxOpenings {
				t.openings = append(t.openings, open)
			}
		})
	case to == breaker.Closed && open != nil:
		at := e.At.Time()
		open.ClosedAt = &at
		c.close(e.Name, open, e.At)
	}
}

// close ends an opening.
func (c *counter) close(name string, open *Opening, at rules.Instant) {
	delete(c.open, name)
	open.ForMS = max(at.Sub(rules.At(open.At)).Milliseconds(), 0)
	c.both(open.Target, func(t *tally) { t.side.OpenMS = add(t.side.OpenMS, open.ForMS) })
}

// finish ends the openings that the recording's end found open.
func (c *counter) finish(at rules.Instant) {
	for name, open := range c.open {
		c.close(name, open, at)
	}
}

// result is the Side that was counted.
func (t *tally) result() Side {
	if t == nil {
		t = newTally()
	}
	s := t.side
	s.Refusals, s.Observed = sorted(t.refusals), sorted(t.observed)
	s.Openings = make([]Opening, 0, len(t.openings))
	for _, o := range t.openings {
		s.Openings = append(s.Openings, *o)
	}
	return s
}

func sorted(by map[[2]string]*Refusal) []Refusal {
	list := make([]Refusal, 0, len(by))
	for _, r := range by {
		list = append(list, *r)
	}
	slices.SortFunc(list, func(a, b Refusal) int {
		return cmp.Or(cmp.Compare(b.Calls, a.Calls), cmp.Compare(a.Decision, b.Decision), cmp.Compare(a.Reason, b.Reason))
	})
	return list
}
