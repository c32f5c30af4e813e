// SPDX-License-Identifier: Apache-2.0

package check

import (
	"fmt"
	"slices"
	"time"

	"github.com/resilienced/resilienced/test/robustness/history"
)

// checkRepeats compares the answers to one request (E1, E3).
func checkRepeats(s *story, r *Result) {
	asks, reports := 0, 0
	for _, q := range s.requests {
		asks += len(q.asks) - 1
		reports += max(len(q.reports)-1, 0)
		r.Checked += len(q.asks) + len(q.reports)
		g, granted := q.grant()
		for _, e := range q.asks {
			given, back := q.telling()
			switch {
			case !granted, q.given() && back && e.Return > given, s.forgotten(q): // decided anew
			case e.Outcome == history.OK && (e.Permit != g.Permit || e.Fence != g.Fence):
				r.violated("E3: request %s got a permit with fence %d and one with %d", e.Request, g.Fence, e.Fence)
			case e.Outcome == history.Denied && e.Call > g.Return:
				r.violated("E3: request %s was granted and its repeat refused: %s", e.Request, e.Reason)
			}
		}
		told, ok := q.told()
		for _, e := range q.reports {
			if ok && e.Outcome == history.OK && e.Gist != told.Gist {
				r.violated("E1: the report of request %s was answered %q and then %q", e.Request, told.Gist, e.Gist)
			}
		}
	}
	r.Note = fmt.Sprintf("%d repeated Acquires, %d repeated Reports", asks, reports)
}

// checkPayments looks at operations that must not happen twice.
func checkPayments(s *story, r *Result) {
	type payment struct {
		grants []history.Event
		paid   history.Event // the report that was acknowledged
	}
	all := map[string]*payment{}
	for _, q := range s.requests {
		first := q.first()
		if first.Actor != history.Payer {
			continue
		}
		p := all[first.Operation]
		if p == nil {
			p = &payment{}
			all[first.Operation] = p
		}
		if g, granted := q.grant(); granted && !q.given() {
			p.grants = append(p.grants, g)
		}
		if told, ok := q.told(); ok && told.Use != history.Unused {
			p.paid = q.reports[0]
			p.paid.Return = told.Return
		}
	}
	again := 0
	for _, q := range s.requests {
		p := all[q.first().Operation]
		if p == nil || q.first().Actor != history.Payer {
			continue
		}
		for _, e := range q.asks {
			if p.paid.RPC == "" || e.Call < p.paid.Return || e.Outcome != history.Denied {
				continue
			}
			again++
			if e.Reason != "OPERATION_ALREADY_SUCCEEDED" || e.Result != p.paid.Result {
				r.violated("F1: payment %s was acknowledged with %q; asked again it is %s with %q", e.Operation, p.paid.Result, e.Reason, e.Result)
			}
		}
	}
	for operation, p := range all {
		r.Checked++
		fences := map[uint64]bool{}
		for _, g := range p.grants {
			fences[g.Fence] = true
		}
		if len(fences) > 1 {
			r.violated("E3: payment %s was granted %d times", operation, len(fences))
		}
	}
	r.Note = fmt.Sprintf("%d paid ones asked for again", again)
}

// checkLetters looks for every acknowledged dead letter (F1, F2).
func checkLetters(s *story, r *Result) {
	found := map[string]history.Event{}
	for _, e := range s.Of(history.GetLetter) {
		found[e.Letter] = e
	}
	for _, q := range s.requests {
		told, ok := q.told()
		if !ok || q.reports[0].Digest == "" {
			continue
		}
		r.Checked++
		switch e, read := found[told.Letter]; {
		case told.Letter == "":
			r.violated("F1: the failure of %s made no dead letter", told.Operation)
		case !read && s.quiet == forever: // the trial was cut short
		case !read || e.Outcome != history.OK:
			r.violated("F1: dead letter %s was acknowledged at %v and is not there: %s", told.Letter, told.Return, e.Reason)
		case e.Digest != q.reports[0].Digest:
			r.violated("F2: dead letter %s is not what was acknowledged at %v", told.Letter, told.Return)
		}
	}
	r.Note = fmt.Sprintf("%d acknowledged, %d read at the end", r.Checked, len(found))
}

// checkLeases looks at heartbeats (D4).
func checkLeases(s *story, r *Result) {
	renewed, over := 0, 0
	for _, q := range s.requests {
		g, granted := q.grant()
		if !granted {
			continue
		}
		surely, latest := g.Call+g.Lease, g.Return+g.Lease+s.Setup.Slack()
		at, told := q.telling()
		for _, b := range q.beats {
			r.Checked++
			switch {
			case told && b.Return > at: // it may have been reported before
			case b.Outcome == history.OK && b.Call > latest:
				r.violated("D4: request %s: a lease that ended by %v was renewed at %v", b.Request, latest, b.Call)
			case b.Outcome == history.Denied && b.Return < surely && !s.jump.meets(span{g.Call, b.Return}) && !s.forgotten(q):
				r.violated("D4: request %s: a lease that lasts to %v was lost at %v: %s", b.Request, surely, b.Return, b.Reason)
			}
			switch b.Outcome {
			case history.OK:
				renewed++
				surely, latest = max(surely, b.Call+b.Lease), max(latest, b.Return+b.Lease+s.Setup.Slack())
			case history.Unknown:
				latest = max(latest, b.Return+s.Setup.Late()+g.Lease+s.Setup.Slack())
			case history.Denied:
				over++
			default:
			}
		}
	}
	r.Note = fmt.Sprintf("%d renewed, %d over", renewed, over)
}

// checkErrors looks for errors that a correct client never gets.
func checkErrors(s *story, r *Result) {
	for _, e := range s.Events {
		if e.Note() {
			continue
		}
		r.Checked++
		if e.Outcome == history.Failed {
			r.violated("J6: %s of request %s failed with %s: %s", e.RPC, e.Request, e.Reason, e.Text)
		}
	}
}

// recovery is how long after a fault every replica may be without an answer.
const recovery = 5 * time.Second

// leastGranted is the part of all decisions, in percent, that must be grants:
// a service that refuses everything keeps every other promise.
const leastGranted = 25

// checkLiveness looks whether calls are granted, and whether the service is
// back after a fault.
func checkLiveness(s *story, r *Result) {
	granted, decided := 0, 0
	for _, e := range s.Of(history.Acquire) {
		if e.Call >= s.quiet {
			continue
		}
		switch e.Outcome {
		case history.OK:
			granted++
			decided++
		case history.Denied:
			decided++
		default:
		}
	}
	r.Checked = decided
	if decided > 0 && granted*100 < decided*leastGranted {
		r.violated("B4: %d of %d decisions are grants, less than %d of 100", granted, decided, leastGranted)
	}
	s.checkRecovery(r)
	s.checkCure(r)
	r.Note = fmt.Sprintf("%d of %d decisions are grants; ", granted, decided) + r.Note
}

// checkRecovery looks at every replica after every fault.
func (s *story) checkRecovery(r *Result) {
	longest := time.Duration(0)
	for _, f := range s.Of(history.Fault) {
		for replica := range s.Setup.Replicas {
			i := slices.IndexFunc(s.Events, func(e history.Event) bool {
				return !e.Note() && e.Replica == replica && e.Call >= f.Return && (e.Outcome == history.OK || e.Outcome == history.Denied)
			})
			switch {
			case i < 0 && s.end-f.Return > recovery:
				r.violated("I1: replica %d answered nothing after %s was over at %v", replica, f.Name, f.Return)
			case i < 0:
			case s.Events[i].Return-f.Return > recovery:
				r.violated("I1: replica %d answered %v after %s was over", replica, s.Events[i].Return-f.Return, f.Name)
			default:
				longest = max(longest, s.Events[i].Return-f.Return)
			}
		}
	}
	r.Note = fmt.Sprintf("first answer at most %v after a fault", longest.Round(time.Millisecond))
}

// checkCure looks whether every breaker was closed at the end: within its
// cooldown, the leases of three lost probes and a second, a probe is granted.
func (s *story) checkCure(r *Result) {
	from, to := s.Phase(history.Quiet)
	if to == 0 {
		return
	}
	for target := range s.Setup.Probes {
		closed := false
		for _, q := range s.requests {
			if told, ok := q.told(); ok && q.first().Actor == history.Nurse && told.Target == target && told.State == "CLOSED" {
				closed = true
			}
		}
		if !closed && to-from > s.Setup.Cooldown+3*(s.Setup.ProbeLease+s.Setup.Slack())+time.Second {
			r.violated("B4: %s: its breaker was not closed at the end, within %v", target, to-from)
		}
	}
}
