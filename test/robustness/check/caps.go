// SPDX-License-Identifier: Apache-2.0

package check

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/resilienced/resilienced/test/robustness/history"
)

// mostRuns is how many runs a tree has at most.
const mostRuns = 8

// capTime bounds the search for an order of one tree's calls.
const capTime = 2 * time.Minute

// balance is the state of a tree in the model: what counts against each cap.
type balance [mostRuns]int64

// step is one call on a tree in the model.
type step struct {
	kind   stepKind
	path   []int // indices of the run and those above it
	amount int64 // that is asked for; what a settlement changes
	// slack is what calls without an answer may hold meanwhile, by run: a
	// refusal may be because of them.
	slack balance
}

type stepKind int

const (
	grants stepKind = iota
	denies
	settles
)

// tree is one tree of runs with what was done on it.
type tree struct {
	index map[string]int
	caps  balance
	ops   []porcupine.Operation
}

// checkCaps searches, for each tree of runs, for an order of its calls that a
// register per run explains: a grant only if its amount fits under every cap
// above it, a refusal only if it does not.
func checkCaps(s *story, r *Result) {
	trees, order := s.trees()
	for _, q := range s.requests {
		t := trees[rootOf(q.first())]
		if t == nil || len(q.first().Runs) == 0 {
			continue
		}
		for _, e := range q.asks {
			if e.Outcome == history.Denied && e.Reason != "RUN_BUDGET" && e.Reason != "RUN_EXHAUSTED" {
				r.violated("A1: request %s was refused for %s, and nothing but its run is in the way", e.Request, e.Reason)
			}
		}
		t.add(q)
	}
	grown := 0
	for _, root := range order {
		t := trees[root]
		s.addSlack(t, root)
		r.Checked += len(t.ops)
		grown++
		switch porcupine.CheckOperationsTimeout(t.model(), t.ops, capTime) {
		case porcupine.Ok:
		case porcupine.Illegal:
			r.violated("A1: no order of the %d calls on the runs under %s explains their answers", len(t.ops), root)
		case porcupine.Unknown:
			r.Undecided = fmt.Sprintf("no order found for the %d calls on the runs under %s in %v", len(t.ops), root, capTime)
		}
	}
	r.Note = fmt.Sprintf("%d trees of runs", grown)
}

func rootOf(e history.Event) string {
	if len(e.Runs) == 0 {
		return ""
	}
	return e.Runs[len(e.Runs)-1]
}

// trees are the runs that were started, by their root.
func (s *story) trees() (map[string]*tree, []string) {
	trees, order := map[string]*tree{}, []string(nil)
	for _, e := range s.Of(history.StartRun) {
		root := rootOf(e)
		if trees[root] == nil {
			trees[root] = &tree{index: map[string]int{}}
			order = append(order, root)
		}
		t := trees[root]
		if _, known := t.index[e.Runs[0]]; !known && len(t.index) < mostRuns {
			t.caps[len(t.index)] = e.Amount
			t.index[e.Runs[0]] = len(t.index)
		}
	}
	return trees, order
}

func (t *tree) path(e history.Event) []int {
	var path []int
	for _, run := range e.Runs {
		path = append(path, t.index[run])
	}
	return path
}

// add adds what a request did.
func (t *tree) add(q *request) {
	path := t.path(q.first())
	amount := q.first().Amount
	for _, e := range q.asks {
		if e.Outcome == history.Denied {
			t.op(step{kind: denies, path: path, amount: amount}, e.Call, e.Return)
		}
	}
	g, granted := q.grant()
	if !granted {
		return
	}
	from, _ := q.began()
	t.op(step{kind: grants, path: path, amount: amount}, from, g.Return)
	at, reported := q.telling()
	if !reported {
		return
	}
	until := forever
	if told, ok := q.told(); ok {
		until = told.Return
	}
	t.op(step{kind: settles, path: path, amount: q.booked().Used() - amount}, at, until)
}

func (t *tree) op(s step, from, to time.Duration) {
	t.ops = append(t.ops, porcupine.Operation{ClientId: len(t.ops), Input: s, Call: int64(from), Return: int64(to)})
}

// addSlack finds what calls without an answer may have held while each refusal
// was decided.
func (s *story) addSlack(t *tree, root string) {
	type ghost struct {
		span
		path   []int
		amount int64
	}
	var ghosts []ghost
	for _, q := range s.requests {
		lost := q.lost()
		if len(lost) == 0 || rootOf(q.first()) != root {
			continue
		}
		until := forever
		if g, granted := q.grant(); granted && !q.given() {
			until = g.Return
		}
		ghosts = append(ghosts, ghost{span{lost[0].Call, until}, t.path(q.first()), q.first().Amount})
	}
	slices.SortFunc(ghosts, func(a, b ghost) int { return cmp.Compare(a.from, b.from) })
	for i, op := range t.ops {
		in, _ := op.Input.(step)
		if in.kind != denies {
			continue
		}
		for _, g := range ghosts {
			if g.from > time.Duration(op.Return) {
				break
			}
			if g.meets(span{time.Duration(op.Call), time.Duration(op.Return)}) {
				for _, run := range g.path {
					in.slack[run] += g.amount
				}
			}
		}
		t.ops[i].Input = in
	}
}

// model is a register per run.
func (t *tree) model() porcupine.Model {
	return porcupine.Model{
		Init: func() any { return balance{} },
		Step: func(state, input, _ any) (bool, any) {
			used, _ := state.(balance)
			in, _ := input.(step)
			fits := true
			for _, run := range in.path {
				taken := used[run]
				if in.kind == denies {
					taken += in.slack[run]
				}
				fits = fits && taken+in.amount <= t.caps[run]
			}
			switch in.kind {
			case denies:
				return !fits, used
			case grants:
				if !fits {
					return false, used
				}
			case settles:
			}
			for _, run := range in.path {
				used[run] += in.amount
			}
			return true, used
		},
	}
}
