// SPDX-License-Identifier: Apache-2.0

package exact

import (
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"
)

// purses are the callers' own books of money: a tree of runs, and what became
// of each request. They know no rule but that of A1.
type purses struct {
	broken *broken

	mu   sync.Mutex
	runs map[string]*purse
	// unknown are the requests and reports without an answer; only a repeat
	// can tell what became of them.
	unknown map[*entry]bool
	// quiet: no call from before is under way in the service any more.
	quiet bool
	seen  tally
}

// tally counts what happened, for the log and to tell a test that tested
// nothing.
type tally struct{ granted, overBudget, exhausted, told, repeats, unknown int }

// purse is one run. Its bounds hold at every moment of the books' own time:
// the service's balance is somewhere from sure to possible.
type purse struct {
	name   string
	parent *purse
	// limit is the cap; limitMost is more while nobody knows whether a rise
	// of it took place.
	limit, limitMost int64
	// sure counts the permits that callers hold and what was booked for those
	// that they reported; what a call cost beyond its reservation is left out.
	sure int64
	// possible counts also what nobody knows, in full.
	possible int64
	// added grows by every rise of possible, so that what may have come in
	// during a call can be told.
	added int64
	// booked is what the service must show once nothing is unknown. What is
	// reserved in a lease counts as assumed, which it becomes.
	booked sums
}

// ask is one Acquire of money.
type ask struct {
	request, operation, run string
	estimate                int64
	lease                   time.Duration
}

// reply is what an Acquire answered. Without a permit it was refused.
type reply struct {
	permit    string
	fence     uint64
	reserved  int64
	reason    string
	blocker   string
	sums      sums  // of the run itself
	remaining int64 // of the run and its ancestors together
}

// sums is a run's balance as the service shows it.
type sums struct{ spent, reserved, assumed, calls int64 }

func (s sums) plus(t sums) sums {
	return sums{s.spent + t.spent, s.reserved + t.reserved, s.assumed + t.assumed, s.calls + t.calls}
}

// use is how a permit was used.
type use int

const (
	untold   use = iota
	priced       // it cost what tell.cost says
	unpriced     // it may have cost what was reserved
	unused       // it was given back
)

// tell is one Report.
type tell struct {
	use  use
	cost int64
}

// booked is what a permit leaves in the balance. One that nobody reports is
// lost, and what it reserved is assumed.
func (t tell) booked(reserved int64) sums {
	switch t.use {
	case priced:
		return sums{spent: t.cost, calls: 1}
	case untold, unpriced:
		return sums{assumed: reserved, calls: 1}
	case unused:
	}
	return sums{}
}

// entry is a request and what is known of it.
type entry struct {
	ask    ask
	asked  int // Acquires so far
	calls  int // of them, under way
	permit string
	fence  uint64
	tell   tell
	told   bool   // the report was acknowledged
	answer string // with that
	// What the entry adds to its runs.
	sure, possible int64
	booked         sums
}

func newPurses(b *broken) *purses {
	return &purses{broken: b, runs: map[string]*purse{}, unknown: map[*entry]bool{}}
}

// add notes a new run.
func (b *purses) add(name, parent string, limit int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.runs[name] = &purse{name: name, parent: b.runs[parent], limit: limit, limitMost: limit}
}

// raising notes that a rise of a cap goes out, raised that it was answered.
func (b *purses) raising(name string, by int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.runs[name].limitMost += by
}

func (b *purses) raised(name string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.runs[name].limit = b.runs[name].limitMost
}

// limits returns the caps that were acknowledged.
func (b *purses) limits() map[string]int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	all := map[string]int64{}
	for name, p := range b.runs {
		all[name] = p.limit
	}
	return all
}

// up goes from a run to its root.
func (b *purses) up(run string) func(yield func(*purse) bool) {
	return func(yield func(*purse) bool) {
		p := b.runs[run]
		for p != nil && yield(p) {
			p = p.parent
		}
	}
}

// move sets what an entry adds to the bounds (A1).
func (b *purses) move(e *entry, sure, possible int64) {
	for p := range b.up(e.ask.run) {
		p.sure += sure - e.sure
		p.possible += possible - e.possible
		p.added += max(possible-e.possible, 0)
		if p.sure > p.limitMost {
			b.broken.add("A1", "run %s: callers hold and spent %d of a cap of %d", p.name, p.sure, p.limitMost)
		}
	}
	e.sure, e.possible = sure, possible
}

// book sets what an entry leaves in the balances (A2).
func (b *purses) book(e *entry, s sums) {
	for p := range b.up(e.ask.run) {
		p.booked.spent += s.spent - e.booked.spent
		p.booked.assumed += s.assumed - e.booked.assumed
		p.booked.calls += s.calls - e.booked.calls
	}
	e.booked = s
}

// mark is what the books said when a call was made.
type mark struct {
	first    bool
	permit   string           // the one that was known
	possible map[*purse]int64 // less the entry's own, if no other call of it can be at work
	added    map[*purse]int64
}

// asking notes that an Acquire goes out.
func (b *purses) asking(e *entry) mark {
	b.mu.Lock()
	defer b.mu.Unlock()
	e.asked++
	e.calls++
	if e.asked > 1 {
		b.seen.repeats++
	}
	if e.permit == "" && e.possible == 0 {
		b.move(e, 0, e.ask.estimate)
	}
	m := mark{first: e.asked == 1, permit: e.permit, possible: map[*purse]int64{}, added: map[*purse]int64{}}
	for p := range b.up(e.ask.run) {
		m.possible[p], m.added[p] = p.possible, p.added
		if e.calls == 1 && !b.unknown[e] {
			m.possible[p] -= e.possible
		}
	}
	return m
}

// askLost notes that an Acquire ended without an answer.
func (b *purses) askLost(e *entry) {
	b.mu.Lock()
	defer b.mu.Unlock()
	e.calls--
	b.seen.unknown++
	if e.permit == "" {
		b.unknown[e] = true
	}
}

// tellLost notes that a Report ended without an answer.
func (b *purses) tellLost(e *entry) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.seen.unknown++
	if !e.told {
		b.unknown[e] = true
	}
}

// answered notes the answer to an Acquire.
func (b *purses) answered(e *entry, m mark, r *reply) {
	b.mu.Lock()
	defer b.mu.Unlock()
	e.calls--
	if r.permit == "" {
		b.refused(e, m, r)
		return
	}
	if e.permit != "" && (e.permit != r.permit || e.fence != r.fence) {
		b.broken.add("E3", "request %s got a second permit", e.ask.request)
		return
	}
	if p := b.runs[e.ask.run]; m.first && r.sums.spent+r.sums.assumed+r.sums.reserved > p.limitMost {
		b.broken.add("A1", "run %s: a grant left it at %+v, its cap is %d", p.name, r.sums, p.limitMost)
	}
	if r.reserved != e.ask.estimate {
		b.broken.add("A2", "request %s reserved %d, not %d", e.ask.request, r.reserved, e.ask.estimate)
	}
	if e.permit == "" {
		e.permit, e.fence = r.permit, r.fence
		delete(b.unknown, e)
		b.seen.granted++
		b.move(e, e.ask.estimate, e.ask.estimate)
		b.book(e, tell{}.booked(e.ask.estimate))
	}
}

// refused checks that the call did not fit (A1): by the answer's own numbers,
// and by what may have been taken at most at any moment of the call.
func (b *purses) refused(e *entry, m mark, r *reply) {
	if m.permit != "" {
		b.broken.add("E3", "request %s was granted and its repeat refused: %s", e.ask.request, r.reason)
		return
	}
	fits, spare := true, true
	for p := range b.up(e.ask.run) {
		most := m.possible[p] + p.added - m.added[p]
		fits = fits && most+e.ask.estimate <= p.limit
		spare = spare && most < p.limit
	}
	switch r.reason {
	case "RUN_BUDGET":
		b.seen.overBudget++
		if fits || r.remaining >= e.ask.estimate {
			b.broken.add("A1", "request %s for %d was refused with %d left (fitted: %t)", e.ask.request, e.ask.estimate, r.remaining, fits)
		}
	case "RUN_EXHAUSTED":
		b.seen.exhausted++
		if spare {
			b.broken.add("A1", "request %s for %d was refused by a run with money left", e.ask.request, e.ask.estimate)
		}
	default:
		b.broken.add("A1", "request %s was refused for %s by %s", e.ask.request, r.reason, r.blocker)
	}
	if e.permit == "" && e.calls == 0 && (b.quiet || !b.unknown[e]) {
		delete(b.unknown, e)
		b.move(e, 0, 0)
	}
}

// telling notes that a Report goes out.
func (b *purses) telling(e *entry, t tell) {
	b.mu.Lock()
	defer b.mu.Unlock()
	e.tell = t
	if !e.told {
		s := t.booked(e.ask.estimate)
		b.move(e, min(s.spent+s.assumed, e.ask.estimate), max(s.spent+s.assumed, e.ask.estimate))
	}
}

// told notes that a Report was acknowledged, and with what (E1).
func (b *purses) told(e *entry, answer string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if e.told && e.answer != answer {
		b.broken.add("E1", "the report of request %s was answered %s and then %s", e.ask.request, e.answer, answer)
	}
	if !e.told {
		b.seen.told++
	}
	e.told, e.answer = true, answer
	delete(b.unknown, e)
	s := e.tell.booked(e.ask.estimate)
	b.move(e, min(s.spent+s.assumed, e.ask.estimate), s.spent+s.assumed)
	b.book(e, s)
}

// compare checks a run's balance once nothing is unknown (A2, A3). Without
// leases nothing may be reserved any more.
func (b *purses) compare(run string, got sums, leases bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	want := b.runs[run].booked
	if !leases && got.reserved != 0 {
		b.broken.add("A2", "run %s has %d reserved, and all leases are over", run, got.reserved)
	}
	got.assumed, got.reserved = got.assumed+got.reserved, 0
	if got != want {
		b.broken.add("A2", "run %s shows %+v, its callers have %+v", run, got, want)
	}
}

// holds reports whether the caller knows its permit.
func (b *purses) holds(e *entry) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return e.permit != ""
}

// fate returns the requests and reports whose fate is not known.
func (b *purses) fate() []*entry {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Collect(maps.Keys(b.unknown))
}

// settled says that no call from before is under way any more, or that there
// may be some again.
func (b *purses) settled(quiet bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.quiet = quiet
}

// broken collects the invariants that did not hold.
type broken struct {
	mu   sync.Mutex
	list []string
}

// mostBroken is how many breaches are kept: one is enough to fail.
const mostBroken = 20

func (b *broken) add(invariant, format string, args ...any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.list) < mostBroken {
		b.list = append(b.list, invariant+": "+fmt.Sprintf(format, args...))
	}
}

// found returns the breaches.
func (b *broken) found() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.list
}

// forget drops what was found.
func (b *broken) forget() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.list = nil
}
