// SPDX-License-Identifier: Apache-2.0

package check

import (
	"cmp"
	"slices"
	"time"

	"github.com/resilienced/resilienced/test/robustness/history"
)

// story is a history by its requests.
type story struct {
	*history.History
	requests []*request // in the order in which they began
	faults   []history.Event
	jump     span // when the store's time may jump; it never does: from forever on
	quiet    time.Duration
	end      time.Duration
}

// request is one Acquire with its repeats and what followed it.
type request struct {
	asks    []history.Event // in the order in which they went out
	reports []history.Event
	beats   []history.Event
}

func newStory(h *history.History) *story {
	s := &story{History: h}
	byName := map[string]*request{}
	of := func(e history.Event) *request {
		q := byName[e.Request]
		if q == nil {
			q = &request{}
			byName[e.Request] = q
			s.requests = append(s.requests, q)
		}
		return q
	}
	for _, e := range h.Events {
		s.end = max(s.end, e.Return)
		switch e.RPC {
		case history.Acquire:
			q := of(e)
			q.asks = append(q.asks, e)
		case history.Report:
			q := of(e)
			q.reports = append(q.reports, e)
		case history.Heartbeat:
			q := of(e)
			q.beats = append(q.beats, e)
		}
	}
	s.requests = slices.DeleteFunc(s.requests, func(q *request) bool { return len(q.asks) == 0 })
	for _, q := range s.requests {
		for _, list := range [][]history.Event{q.asks, q.reports, q.beats} {
			slices.SortStableFunc(list, byCall)
		}
	}
	slices.SortStableFunc(s.requests, func(a, b *request) int { return byCall(a.asks[0], b.asks[0]) })
	s.quiet, _ = h.Phase(history.Quiet)
	s.faults = h.Of(history.Fault)
	s.jump = span{forever, forever}
	if from, to := h.Phase(history.Storm); h.Setup.ClockJumps && to > 0 {
		s.jump = span{from, to}
	}
	if s.quiet == 0 {
		s.quiet = forever
	}
	return s
}

func byCall(a, b history.Event) int { return cmp.Compare(a.Call, b.Call) }

// first is the first Acquire, for what all of them have in common.
func (q *request) first() history.Event { return q.asks[0] }

// began is when the first Acquire went out that may have been granted.
func (q *request) began() (time.Duration, bool) {
	for _, e := range q.asks {
		if e.Outcome == history.OK || e.Outcome == history.Unknown {
			return e.Call, true
		}
	}
	return 0, false
}

// grant is the answer that was first to bring the permit.
func (q *request) grant() (history.Event, bool) {
	var found history.Event
	for _, e := range q.asks {
		if e.Outcome == history.OK && (found.RPC == "" || e.Return < found.Return) {
			found = e
		}
	}
	return found, found.RPC != ""
}

// lost returns the Acquires without an answer.
func (q *request) lost() []history.Event {
	var lost []history.Event
	for _, e := range q.asks {
		if e.Outcome == history.Unknown {
			lost = append(lost, e)
		}
	}
	return lost
}

// told is the answer that was first to acknowledge a report.
func (q *request) told() (history.Event, bool) {
	var found history.Event
	for _, e := range q.reports {
		if e.Outcome == history.OK && (found.RPC == "" || e.Return < found.Return) {
			found = e
		}
	}
	return found, found.RPC != ""
}

// telling is when the first report went out that may have taken effect.
func (q *request) telling() (time.Duration, bool) {
	for _, e := range q.reports {
		if e.Outcome != history.Refused {
			return e.Call, true
		}
	}
	return 0, false
}

// given reports whether the permit was given back unused.
func (q *request) given() bool { return len(q.reports) > 0 && q.reports[0].Use == history.Unused }

// surely is the stretch in which the permit surely holds its place: from the
// answer to the report, or to the end of the lease by its holder's clock, which
// runs from before the call went out.
func (q *request) surely() (span, bool) {
	g, ok := q.grant()
	if !ok {
		return span{}, false
	}
	s := span{g.Return, g.Call + g.Lease}
	for _, b := range q.beats {
		if b.Outcome == history.OK && b.Call < s.to {
			s.to = max(s.to, b.Call+b.Lease)
		}
	}
	if at, told := q.telling(); told {
		s.to = min(s.to, at)
	}
	return s, s.from < s.to
}

// surely is the same where the store's time may jump over the end of a lease:
// what its holder's clock says holds up to there, and then no more.
func (s *story) surely(q *request) (span, bool) {
	held, ok := q.surely()
	if s.jump.meets(held) {
		held.to = min(held.to, s.jump.from)
	}
	return held, ok && held.from < held.to
}

// mayForget is how much of what is not durable a crash may take.
const mayForget = time.Second

// forgotten reports whether a crash may have taken the grant: it reserved no
// money, held no slot and no probe, and may happen twice.
func (s *story) forgotten(q *request) bool {
	g, granted := q.grant()
	first := q.first()
	if !granted || len(first.Runs) > 0 || s.Setup.Slots[first.Target] > 0 || g.Probe || first.Actor == history.Payer {
		return false
	}
	return slices.ContainsFunc(s.faults, func(f history.Event) bool {
		return f.Crashed > 0 && g.Return >= f.Crashed-mayForget && g.Call <= f.Call
	})
}

// leftBefore is how long before a standstill ends a caller must have gone, for
// the service to know of it when it goes on.
const leftBefore = 100 * time.Millisecond

// stood reports whether a call was made and given up while its replica, or what
// it needs, stood still: its caller was gone before it could take effect.
func stood(e history.Event, faults []history.Event) bool {
	return slices.ContainsFunc(faults, func(f history.Event) bool {
		return (f.Replica < 0 || f.Replica == e.Replica) && e.Call >= f.Call && e.Return+leftBefore <= f.Return
	})
}

// possibly is the stretch in which the request may hold a place.
func (q *request) possibly(setup *history.Setup, faults []history.Event) (span, bool) {
	from, ok := q.began()
	if !ok {
		return span{}, false
	}
	s := span{from, 0}
	g, granted := q.grant()
	if granted {
		s.to = g.Return + g.Lease + setup.Slack()
		for _, b := range q.beats {
			switch b.Outcome {
			case history.OK:
				s.to = max(s.to, b.Return+b.Lease+setup.Slack())
			case history.Unknown:
				s.to = max(s.to, b.Return+setup.Late()+g.Lease+setup.Slack())
			default:
			}
		}
		if t, told := q.told(); told {
			s.to = min(s.to, t.Return)
		}
	}
	for _, e := range q.lost() {
		if granted && !q.given() && e.Return <= g.Return {
			continue // what it did, the grant shows
		}
		length := e.Lease
		if setup.Ghost > 0 && stood(e, faults) {
			length = min(length, setup.Ghost)
		}
		s.to = max(s.to, e.Return+setup.Late()+length+setup.Slack())
	}
	return s, s.to > 0
}
