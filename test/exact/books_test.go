// SPDX-License-Identifier: Apache-2.0

package exact

import (
	"strings"
	"testing"
	"time"

	pb "github.com/resilienced/resilienced/gen/resilience/v1"
)

// faults are what a faulty service would answer, with the invariant that it
// breaks.
var faults = []struct {
	name, want string
	answers    func(b *broken)
}{
	{"nothing", "", func(b *broken) {
		p := money(b, 1000)
		first := granted(p, "a", 600, "p1")
		asked(p, "b", 600, reply{reason: "RUN_BUDGET", remaining: 400})
		p.telling(first, tell{priced, 500})
		p.told(first, "ok")
		granted(p, "c", 500, "p2")
		p.compare("run", sums{spent: 500, reserved: 500, calls: 2}, true)
	}},
	{"reservations past the cap", "A1", func(b *broken) {
		p := money(b, 1000)
		granted(p, "a", 600, "p1")
		granted(p, "b", 600, "p2")
	}},
	{"a reservation past what was spent", "A1", func(b *broken) {
		p := money(b, 1000)
		first := granted(p, "a", 600, "p1")
		p.telling(first, tell{priced, 600})
		p.told(first, "ok")
		granted(p, "b", 600, "p2")
	}},
	{"a refusal of what fits", "A1", func(b *broken) {
		asked(money(b, 1000), "a", 600, reply{reason: "RUN_BUDGET", remaining: 300})
	}},
	{"a refusal by numbers that say yes", "A1", func(b *broken) {
		p := money(b, 1000)
		granted(p, "a", 600, "p1")
		asked(p, "b", 500, reply{reason: "RUN_BUDGET", remaining: 500})
	}},
	{"an end before the cap", "A1", func(b *broken) {
		asked(money(b, 1000), "a", 600, reply{reason: "RUN_EXHAUSTED"})
	}},
	{"a report booked twice", "A2", func(b *broken) {
		p := money(b, 1000)
		first := granted(p, "a", 600, "p1")
		p.telling(first, tell{priced, 100})
		p.told(first, "ok")
		p.compare("run", sums{spent: 200, calls: 1}, true)
	}},
	{"a lost permit that gives its money back", "A2", func(b *broken) {
		p := money(b, 1000)
		granted(p, "a", 600, "p1")
		p.compare("run", sums{calls: 1}, false)
	}},
	{"a reservation without an end", "A2", func(b *broken) {
		p := money(b, 1000)
		granted(p, "a", 600, "p1")
		p.compare("run", sums{reserved: 600, calls: 1}, false)
	}},
	{"a second permit for one request", "E3", func(b *broken) {
		p := money(b, 5000)
		e := granted(p, "a", 600, "p1")
		p.answered(e, p.asking(e), &reply{permit: "p2", reserved: 600})
	}},
	{"another answer to one report", "E1", func(b *broken) {
		p := money(b, 1000)
		e := granted(p, "a", 600, "p1")
		p.telling(e, tell{priced, 1})
		p.told(e, "CONTINUE")
		p.told(e, "STOP")
	}},
	{"a sixth slot", "D1", func(b *broken) { hold(newPermits(b, "x", "D1", 5), 6) }},
	{"a second probe", "B1", func(b *broken) { hold(newPermits(b, "x", "B1", 1), 2) }},
	{"a sixth holder by the clock", "D5", func(b *broken) {
		p := newPermits(b, "x", "D1", 5)
		hold(p, 5)
		late := &permit{length: time.Minute}
		p.asking(late)
		p.grant(late, &pb.Permit{PermitId: "late", Fence: uint64(time.Hour.Microseconds())}, true)
	}},
	{"a slot that does not come back", "D2", func(b *broken) {
		p := newPermits(b, "x", "D1", 5)
		hold(p, 4)
		other := &permit{length: time.Minute}
		others, added := p.asking(other)
		p.refused(other, others, added, true)
	}},
	{"a generation that goes back", "B3", func(b *broken) { newGenerations(b, "x").saw(7, 6, pb.BreakerState_BREAKER_STATE_OPEN) }},
	{"a generation of two states", "B3", func(b *broken) {
		g := newGenerations(b, "x")
		g.saw(0, 6, pb.BreakerState_BREAKER_STATE_OPEN)
		g.saw(0, 6, pb.BreakerState_BREAKER_STATE_CLOSED)
	}},
	{"a generation that opens twice", "B3", func(b *broken) {
		g := newGenerations(b, "x")
		g.sawOpening(6)
		g.sawOpening(6)
	}},
	{"a grant while open", "B2", func(b *broken) {
		g := newGenerations(b, "x")
		g.sawGrant(1000)
		g.sawOpening(500)
	}},
}

// TestBooksFind shows that each check can fail.
func TestBooksFind(t *testing.T) {
	for _, c := range faults {
		t.Run(c.name, func(t *testing.T) {
			b := &broken{}
			c.answers(b)
			found := strings.Join(b.found(), "\n")
			if c.want == "" && found != "" || !strings.HasPrefix(found, c.want) {
				t.Errorf("found %q, want %q", found, c.want)
			}
		})
	}
}

func money(b *broken, limit int64) *purses {
	p := newPurses(b)
	p.add("run", "", limit)
	return p
}

func asked(p *purses, request string, estimate int64, r reply) *entry {
	e := &entry{ask: ask{request: request, run: "run", estimate: estimate}}
	p.answered(e, p.asking(e), &r)
	return e
}

func granted(p *purses, request string, estimate int64, permit string) *entry {
	return asked(p, request, estimate, reply{permit: permit, reserved: estimate})
}

// hold grants n permits at one instant of the store.
func hold(b *permits, n int) {
	for i := range n {
		p := &permit{length: time.Minute}
		b.asking(p)
		b.grant(p, &pb.Permit{PermitId: string(rune('a' + i)), Fence: 1}, true)
	}
}
