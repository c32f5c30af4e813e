// SPDX-License-Identifier: Apache-2.0

package check

import (
	"fmt"

	"github.com/resilienced/resilienced/test/robustness/history"
)

// booked is what the request must leave in the balances of its runs once
// leases are over and reports are in. A permit that nobody reports is lost, and
// what it reserved is assumed.
func (q *request) booked() history.Sums {
	if _, granted := q.grant(); !granted {
		return history.Sums{}
	}
	if len(q.reports) == 0 {
		return history.Sums{Assumed: q.first().Amount, Calls: 1}
	}
	switch e := q.reports[0]; e.Use {
	case history.Priced:
		return history.Sums{Spent: e.Cost, Calls: 1}
	case history.Unpriced:
		return history.Sums{Assumed: q.first().Amount, Calls: 1}
	case history.Broken:
		return history.Sums{Calls: 1}
	case history.Unused:
	}
	return history.Sums{}
}

// open reports whether something of the request has no answer: nobody can tell
// what it left in the balances.
func (q *request) open() bool {
	if len(q.reports) > 0 {
		_, told := q.told()
		return !told
	}
	_, granted := q.grant()
	if granted {
		return false
	}
	last := history.OK
	for _, e := range q.asks {
		if e.Outcome != history.Refused || last == history.OK {
			last = e.Outcome
		}
	}
	return last == history.Unknown
}

// checkBalances adds up what callers did and compares it with what the service
// shows at the end (A2, A4, A7).
func checkBalances(s *story, r *Result) {
	want := map[string]history.Sums{}
	open := map[string]int{}
	for _, q := range s.requests {
		b := q.booked()
		for _, run := range q.first().Runs {
			if q.open() {
				open[run]++
			}
			w := want[run]
			want[run] = history.Sums{Spent: w.Spent + b.Spent, Assumed: w.Assumed + b.Assumed, Calls: w.Calls + b.Calls}
		}
	}
	var sum history.Sums
	for _, e := range s.Of(history.GetRun) {
		run := e.Runs[0]
		if e.Outcome != history.OK {
			r.violated("A2: the balance of run %s cannot be read at the end: %s", run, e.Reason)
			continue
		}
		r.Checked++
		switch got := *e.Sums; {
		case open[run] > 0:
			r.violated("E: %d requests of run %s have no answer at the end", open[run], run)
		case got.Reserved != 0:
			r.violated("A2: run %s has %d reserved at the end, and all leases are over", run, got.Reserved)
		case got != want[run]:
			r.violated("A2: run %s shows %+v, its callers have %+v", run, got, want[run])
		default:
			sum.Spent, sum.Assumed, sum.Calls = sum.Spent+got.Spent, sum.Assumed+got.Assumed, sum.Calls+got.Calls
		}
	}
	r.Note = fmt.Sprintf("%d micros spent and %d assumed, over all runs and those above them", sum.Spent, sum.Assumed)
}
