// SPDX-License-Identifier: Apache-2.0

package check

import (
	"cmp"
	"slices"
	"strconv"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/resilienced/resilienced/test/robustness/history"
)

// A correct service in a few lines, and clients at random moments: what it
// answers must pass every check. Made faulty, it must not.

// toy is a service with one capped run and one target with two slots.
type toy struct {
	limit, used int64
	slots       int
	held        []time.Duration // the ends of leases
	now         time.Duration
	// faulty: it grants what does not fit.
	faulty bool
}

// move is one thing that happens in the service, in the order of at.
type move struct {
	at time.Duration
	do func()
}

const toyLease = 300 * time.Millisecond

// acquire decides on an amount of money and a slot at once, of which one is 0.
func (s *toy) acquire(amount int64) bool {
	if amount > 0 {
		if s.used+amount > s.limit && !s.faulty {
			return false
		}
		s.used += amount
		return true
	}
	s.held = slices.DeleteFunc(s.held, func(end time.Duration) bool { return end <= s.now })
	if len(s.held) >= s.slots && !s.faulty {
		return false
	}
	s.held = append(s.held, s.now+toyLease)
	return true
}

// drawHistory lets clients call the toy. Calls take effect somewhere between
// going out and coming back; some answers are lost, and then asked for again.
func drawHistory(t *rapid.T, faulty bool) *history.History {
	tape := newTape().tree()
	s := &toy{limit: 600, slots: 2, faulty: faulty}
	var moves []move
	calls := rapid.IntRange(5, 60).Draw(t, "calls")
	for n := range calls {
		call := time.Duration(rapid.IntRange(0, 3000).Draw(t, "call")) * time.Millisecond
		took := time.Duration(rapid.IntRange(0, 100).Draw(t, "took")) * time.Millisecond
		effect := call + time.Duration(rapid.IntRange(0, int(took/time.Millisecond)).Draw(t, "effect"))*time.Millisecond
		name := strconv.Itoa(n)
		e := hold(name, "slots")
		if rapid.Bool().Draw(t, "money") {
			e = spend(name, rapid.Int64Range(1, 300).Draw(t, "amount"))
		}
		lost := rapid.IntRange(0, 4).Draw(t, "lost") == 0
		cost := rapid.Int64Range(0, 20).Draw(t, "cost")
		moves = append(moves, move{effect, func() { s.play(tape, e, call, call+took, lost, cost) }})
	}
	slices.SortStableFunc(moves, func(a, b move) int { return cmp.Compare(a.at, b.at) })
	for _, m := range moves {
		s.now = m.at
		m.do()
	}
	return tape.h
}

// play decides a call and takes down what its client sees. Money is reported
// at once by the service's time, and a slot stays until its lease ends.
func (s *toy) play(tape *tape, e history.Event, call, back time.Duration, lost bool, cost int64) {
	granted := s.acquire(e.Amount)
	at := func(e history.Event, from, to time.Duration) {
		tape.add(e, int(from/time.Millisecond), int(to/time.Millisecond))
	}
	answer := denied(e, "RUN_BUDGET")
	switch {
	case granted:
		answer = ok(e)
		// What is left of the lease when the answer is made.
		answer.Lease = toyLease
	case e.Amount == 0:
		answer = denied(e, "CONCURRENCY")
	}
	if lost {
		at(unknown(e), call, back)
		if !granted {
			return
		}
		answer.Lease = max(toyLease-(back+time.Millisecond-s.now), 0)
		at(answer, back+time.Millisecond, back+2*time.Millisecond)
		back += 2 * time.Millisecond
	} else {
		at(answer, call, back)
	}
	if granted && e.Amount > 0 {
		s.used += min(cost, e.Amount) - e.Amount
		at(tell(e, history.Priced, min(cost, e.Amount)), s.now, back+time.Millisecond)
	}
}

// TestTrueHistoriesPass: what a correct service answers breaks no check, in
// whatever order calls come and whichever answers are lost.
func TestTrueHistoriesPass(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		for _, r := range All(drawHistory(t, false)) {
			if r.Check != "liveness" && r.Bad() {
				t.Errorf("%s: %v %s", r.Check, r.Violations, r.Undecided)
			}
		}
	})
}

// TestFalseHistoriesDoNot: a service that grants what does not fit is found in
// most of the histories in which it does.
func TestFalseHistoriesDoNot(t *testing.T) {
	found, all := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		h := drawHistory(t, true)
		if len(h.Events) < 60 {
			return
		}
		all++
		for _, r := range All(h) {
			if (r.Check == "caps" || r.Check == "slots") && r.Bad() {
				found++
				break
			}
		}
	})
	if all < 10 || found*2 < all {
		t.Errorf("%d of %d faulty histories were found", found, all)
	}
}
