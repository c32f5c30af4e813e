// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"time"

	"github.com/resilienced/resilienced/test/robustness/history"
)

// figures are what happened in a trial, or in all of a kind.
type figures struct {
	Trials   int
	Calls    map[history.Outcome]int
	Decided  int // Acquires with a decision
	Granted  int
	CalmCall int // calls that were answered in calm
	Calm     time.Duration
	Whole    time.Duration
}

// leastRate is how many calls a second must be answered before the first
// fault, for the trial to say anything: what hardly runs hardly races.
const leastRate = 100

func measure(h *history.History) figures {
	f := figures{Trials: 1, Calls: map[history.Outcome]int{}}
	from, to := h.Phase(history.Calm)
	f.Calm = to - from
	for _, e := range h.Events {
		f.Whole = max(f.Whole, e.Return)
		if e.Note() {
			continue
		}
		f.Calls[e.Outcome]++
		if e.Call >= from && e.Return <= to && e.Outcome != history.Unknown {
			f.CalmCall++
		}
		if e.RPC == history.Acquire {
			switch e.Outcome {
			case history.OK:
				f.Granted++
				f.Decided++
			case history.Denied:
				f.Decided++
			default:
			}
		}
	}
	return f
}

func (f *figures) add(g *figures) {
	if f.Calls == nil {
		f.Calls = map[history.Outcome]int{}
	}
	for o, n := range g.Calls {
		f.Calls[o] += n
	}
	f.Trials += g.Trials
	f.Decided += g.Decided
	f.Granted += g.Granted
	f.CalmCall += g.CalmCall
	f.Calm += g.Calm
	f.Whole += g.Whole
}

// rate is how many calls a second were answered in calm.
func (f *figures) rate() float64 {
	if f.Calm == 0 {
		return 0
	}
	return float64(f.CalmCall) / f.Calm.Seconds()
}

// tooLittle says why the trial says nothing; empty: it does.
func (f *figures) tooLittle() string {
	switch {
	case f.rate() < leastRate:
		return fmt.Sprintf("%.0f calls a second before the first fault are less than %d", f.rate(), leastRate)
	case f.Granted == 0:
		return "nothing was granted"
	}
	return ""
}

// short is one line for people.
func (f *figures) short() string {
	return fmt.Sprintf("%5.0f calls/s; ok %d, denied %d, refused %d, unknown %d;", f.rate(),
		f.Calls[history.OK], f.Calls[history.Denied], f.Calls[history.Refused], f.Calls[history.Unknown])
}
