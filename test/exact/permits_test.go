// SPDX-License-Identifier: Apache-2.0

package exact

import (
	"sync"
	"time"

	pb "github.com/resilienced/resilienced/gen/resilience/v1"
)

// permits are the callers' books of who may be calling one target.
type permits struct {
	broken *broken
	target string
	rule   string // the invariant: D1 for slots, B1 for probes
	limit  int

	mu sync.Mutex
	// open are permits that are neither reported for sure nor over for sure.
	open map[*permit]bool
	// asks are the Acquires under way or without an answer.
	asks map[*permit]bool
	// added grows with both, so that what may have come in during a call can
	// be told.
	added int
	// granted and most are for the log.
	granted, most int
}

// permit is one Acquire of a target and what came of it.
type permit struct {
	request, operation string
	length             time.Duration // of the lease
	first, last        time.Time     // when its Acquires went out
	answered           time.Time     // when one was granted
	id                 string        // empty: not granted, or nobody knows
	fence              uint64
	generation         uint64
	probe              bool
	telling            bool   // its Report went out
	gist               string // of the answer to that; empty: none came
	healthy            bool   // what it says
}

func newPermits(b *broken, target, rule string, limit int) *permits {
	return &permits{broken: b, target: target, rule: rule, limit: limit, open: map[*permit]bool{}, asks: map[*permit]bool{}}
}

// liveAt reports whether the permit is surely live at an instant of the store:
// granted by then, with a lease that is not over, and not reported even now.
// The fence of an operation's first permit is the instant of its grant, in
// microseconds (design §5).
func (p *permit) liveAt(instant uint64) bool {
	return !p.telling && p.fence <= instant && instant < p.fence+uint64(p.length.Microseconds())
}

// believedAt reports whether its holder takes it for live: the lease runs by
// the holder's clock from before the Acquire went out (D5).
func (p *permit) believedAt(now time.Time) bool {
	return !p.telling && now.Before(p.first.Add(p.length))
}

// overAt is when its lease is over for sure (D2). What was not answered may
// have been granted late.
func (p *permit) overAt() time.Time {
	if p.answered.IsZero() {
		return p.last.Add(callTime + p.length + leaseSlack)
	}
	return p.answered.Add(p.length + leaseSlack)
}

const (
	callTime   = 5 * time.Second // the longest that a decision takes
	leaseSlack = time.Second     // how much later than promised a lease may end
)

// asking notes that an Acquire goes out. It returns how many permits there may
// be besides, and a number for refused.
func (b *permits) asking(p *permit) (others, added int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	p.last = time.Now()
	if p.first.IsZero() {
		p.first = p.last
	}
	delete(b.asks, p)
	for _, set := range [...]map[*permit]bool{b.open, b.asks} {
		for q := range set {
			if q.overAt().Before(p.last) {
				delete(set, q)
			}
		}
	}
	others = len(b.open) + len(b.asks)
	b.asks[p] = true
	b.added++
	return others, b.added
}

// grant notes a grant. If it counts, at most limit of them are live at any
// instant of the store, and at most limit callers believe that theirs is.
func (b *permits) grant(p *permit, g *pb.Permit, counts bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	p.id, p.fence, p.probe, p.generation = g.GetPermitId(), g.GetFence(), g.GetIsProbe(), g.GetBreakerGeneration()
	delete(b.asks, p)
	if !counts {
		return
	}
	b.granted++
	b.added++
	b.open[p] = true
	now := time.Now()
	p.answered = now
	for q := range b.open {
		n := b.count(func(other *permit) bool { return other.liveAt(q.fence) })
		if b.most = max(b.most, n); n > b.limit {
			b.broken.add(b.rule, "%s: %d permits are live at %d of the store's time, the limit is %d", b.target, n, q.fence, b.limit)
		}
	}
	if n := b.count(func(q *permit) bool { return q.believedAt(now) }); n > b.limit {
		b.broken.add("D5", "%s: %d callers hold a permit, the limit is %d", b.target, n, b.limit)
	}
}

func (b *permits) count(is func(*permit) bool) int {
	n := 0
	for q := range b.open {
		if is(q) {
			n++
		}
	}
	return n
}

// unknown reports whether an Acquire of it was not answered.
func (b *permits) unknown(p *permit) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.asks[p]
}

// refused notes a refusal. full says that it was for want of a slot, which
// must be true (D2).
func (b *permits) refused(p *permit, others, added int, full bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.asks, p)
	if most := others + b.added - added; full && most < b.limit {
		b.broken.add("D2", "%s: refused with at most %d of %d slots taken", b.target, most, b.limit)
	}
}

// telling notes that a Report goes out.
func (b *permits) telling(p *permit, healthy bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	p.telling, p.healthy = true, healthy
}

// told notes that it was answered: the permit is over, and a repeat is
// answered alike (E1).
func (b *permits) told(p *permit, gist string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.open, p)
	if p.gist != "" && p.gist != gist {
		b.broken.add("E1", "%s: a report was answered %s and then %s", b.target, p.gist, gist)
	}
	p.gist = gist
}

// generations are what callers saw of one breaker's (B3).
type generations struct {
	broken *broken
	target string

	mu     sync.Mutex
	newest uint64
	states map[uint64]pb.BreakerState
	// opened are the openings that callers were told of, by the store's time.
	opened map[uint64]bool
	// grants are the latest, to compare with openings that are seen late (B2).
	grants map[uint64]bool
}

func newGenerations(b *broken, target string) *generations {
	return &generations{broken: b, target: target, states: map[uint64]pb.BreakerState{}, opened: map[uint64]bool{}, grants: map[uint64]bool{}}
}

// before is the newest generation that an answer has told of. Every answer to
// a later call tells of that or a newer one.
func (g *generations) before() uint64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.newest
}

// saw notes a generation with its state in an answer.
func (g *generations) saw(before, generation uint64, state pb.BreakerState) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if generation < before {
		g.broken.add("B3", "%s: generation %d is shown after %d", g.target, generation, before)
	}
	if known, ok := g.states[generation]; ok && known != state {
		g.broken.add("B3", "%s: generation %d is %v and %v", g.target, generation, known, state)
	}
	g.states[generation] = state
	g.newest = max(g.newest, generation)
}

// sawOpening and sawGrant compare by the store's time: a generation is the
// instant of its transition, as a fence is that of its grant.
func (g *generations) sawOpening(at uint64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.opened[at] {
		g.broken.add("B3", "%s: generation %d opened it twice", g.target, at)
	}
	g.opened[at] = true
	for grant := range g.grants {
		g.compare(at, grant)
	}
}

func (g *generations) sawGrant(at uint64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.grants[at] = true
	for opening := range g.opened {
		g.compare(opening, at)
	}
}

// cooldown is what the policy of these tests says.
const cooldown = time.Second

func (g *generations) compare(opening, grant uint64) {
	if opening < grant && grant < opening+uint64(cooldown.Microseconds()) {
		g.broken.add("B2", "%s: opened at %d, granted %d µs later", g.target, opening, grant-opening)
	}
}
