// SPDX-License-Identifier: Apache-2.0

package check

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/resilienced/resilienced/test/robustness/history"
)

// checkSlots compares the holders of each target's slots with its limit.
func checkSlots(s *story, r *Result) {
	most := 0
	for target, limit := range s.Setup.Slots {
		p := places{limits: s.limits(target, limit), target: target, rule: "D1", what: "slots"}
		for _, q := range s.requests {
			if q.first().Target == target {
				p.add(q, s, "CONCURRENCY")
			}
		}
		p.checkHolders(r)
		p.checkRefusals(r)
		most = max(most, p.most)
	}
	r.Note = fmt.Sprintf("at most %d of a target's slots held at once", most)
}

// checkProbes does the same with the probes of each breaker. Those of different
// half-open phases have nothing to do with one another.
func checkProbes(s *story, r *Result) {
	most := 0
	for target, limit := range s.Setup.Probes {
		phases := map[uint64]*places{}
		all := places{limits: fixed(limit), target: target, rule: "B1", what: "probes"}
		for _, q := range s.requests {
			if q.first().Target != target {
				continue
			}
			g, granted := q.grant()
			if granted && g.Probe {
				if phases[g.Generation] == nil {
					phases[g.Generation] = &places{limits: fixed(limit), target: target, rule: "B1", what: "probes"}
				}
				phases[g.Generation].add(q, s, "")
			}
			all.add(q, s, "PROBE_IN_FLIGHT")
			if granted && !g.Probe { // a probe it can only have been before
				all.possible[len(all.possible)-1].to = g.Return
			}
		}
		for _, p := range phases {
			p.checkHolders(r)
			most = max(most, p.most)
		}
		all.checkRefusals(r)
	}
	r.Note = fmt.Sprintf("at most %d of a breaker's probes out at once", most)
}

// limit is a target's limit that may be in force in a stretch of time.
type limit struct {
	span
	n int
}

func fixed(n int) []limit { return []limit{{span{0, forever}, n}} }

// limits are those that may be in force, by time: one holds from when its
// policy is sent to when the next one is acknowledged.
func (s *story) limits(target string, start int) []limit {
	all := fixed(start)
	applied := slices.DeleteFunc(s.Of(history.ApplyPolicy), func(e history.Event) bool {
		return e.Target != target || e.Outcome == history.Refused || e.Outcome == history.Failed
	})
	slices.SortFunc(applied, byCall)
	for _, e := range applied {
		if e.Outcome == history.OK {
			for i := range all {
				all[i].to = min(all[i].to, e.Return)
			}
		}
		all = append(all, limit{span{e.Call, forever}, e.Limit})
	}
	return all
}

// places are the permits that hold one of a target's places, which are few.
type places struct {
	target, rule, what string
	limits             []limit
	sure               []held // the holders, for certain
	possible           []span // whoever may hold one
	refused            []span // the refusals because all were taken
	most               int
}

type held struct {
	span
	call time.Duration // when the grant was asked for
}

func (p *places) add(q *request, s *story, full string) {
	if surely, ok := s.surely(q); ok {
		from, _ := q.began()
		p.sure = append(p.sure, held{surely, from})
	}
	if possibly, ok := q.possibly(&s.Setup, s.faults); ok {
		p.possible = append(p.possible, possibly)
	}
	for _, e := range q.asks {
		if e.Outcome == history.Denied && e.Reason == full {
			p.refused = append(p.refused, span{e.Call, e.Return})
		}
	}
}

// between is the smallest and the largest limit that may be in force.
func (p *places) between(s span) (least, most int) {
	least = int(^uint(0) >> 1)
	for _, l := range p.limits {
		if l.meets(s) {
			least, most = min(least, l.n), max(most, l.n)
		}
	}
	return least, most
}

// checkHolders looks at each grant: those who hold a place from before it was
// asked for until after it was answered, and itself, are at most as many as
// the largest limit in the meantime. That alone is not enough for grants that
// overlap, so it also counts all who hold one at the moment of the answer,
// under the largest limit since the first of them was asked for.
func (p *places) checkHolders(r *Result) {
	slices.SortFunc(p.sure, func(a, b held) int { return cmp.Compare(a.from, b.from) })
	var live []held
	for _, h := range p.sure {
		live = append(slices.DeleteFunc(live, func(o held) bool { return o.to <= h.from }), h)
		r.Checked++
		p.most = max(p.most, len(live))
		since, through := h.from, 0
		for _, o := range live {
			since = min(since, o.call)
			if o != h && o.from <= h.call {
				through++
			}
		}
		if _, most := p.between(span{since, h.from}); len(live) > most {
			r.violated("%s: %s: %d hold %s at %v, the limit is %d", p.rule, p.target, len(live), p.what, h.from, most)
		}
		if _, most := p.between(span{h.call, h.from}); through+1 > most {
			r.violated("%s: %s: granted between %v and %v besides %d that hold %s, the limit is %d",
				p.rule, p.target, h.call, h.from, through, p.what, most)
		}
	}
}

// checkRefusals looks at each refusal for want of a place: at some moment of
// the call, as many as the smallest limit may have held one (D2).
func (p *places) checkRefusals(r *Result) {
	slices.SortFunc(p.possible, func(a, b span) int { return cmp.Compare(a.from, b.from) })
	for _, refused := range p.refused {
		r.Checked++
		least, _ := p.between(refused)
		if n := p.together(refused); n < least {
			r.violated("D2: %s: refused between %v and %v with at most %d of %d %s taken",
				p.target, refused.from, refused.to, n, least, p.what)
		}
	}
}

// together is how many may have held a place at once in a stretch of time.
func (p *places) together(in span) int {
	var ends []time.Duration
	most := 0
	for _, s := range p.possible {
		if s.from > in.to {
			break
		}
		if s.to < in.from {
			continue
		}
		from := max(s.from, in.from)
		ends = append(slices.DeleteFunc(ends, func(to time.Duration) bool { return to < from }), s.to)
		most = max(most, len(ends))
	}
	return most
}
