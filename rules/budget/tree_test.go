// SPDX-License-Identifier: Apache-2.0

package budget_test

import (
	"reflect"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/resilienced/resilienced/rules"
	"github.com/resilienced/resilienced/rules/budget"
)

// entry is one permit of a tree of runs.
type entry struct {
	path    []int // of runs, root first
	amounts budget.Amounts
	until   rules.Instant
	state   string // live, lost, settled
	spent   int64
	assumed int64
}

// forest is four runs and a ledger of everything that was granted in them.
type forest struct {
	runs   []*budget.Run
	ledger []*entry
	now    rules.Instant
	clean  bool // nothing cost more than it had reserved
}

// sums adds a run's ledger up.
func (f *forest) sums(run int) (spent, reserved, assumed int64) {
	for _, e := range f.ledger {
		if !slices.Contains(e.path, run) {
			continue
		}
		spent, assumed = spent+e.spent, assumed+e.assumed
		if e.state == "live" {
			reserved += e.amounts.Cost
		}
	}
	return
}

func (f *forest) acquire(t *rapid.T) {
	path := rapid.SampledFrom([][]int{{0}, {0, 1}, {0, 1, 2}, {0, 3}}).Draw(t, "path")
	a := budget.Amounts{Cost: rapid.Int64Range(0, 120).Draw(t, "estimate"), Calls: 1}
	fits := true
	for _, i := range path {
		spent, reserved, assumed := f.sums(i)
		limit := f.runs[i].Caps.Cost
		own := limit == nil || spent+assumed+reserved+a.Cost <= *limit
		dimension, left := f.runs[i].Fits(a)
		if (dimension == budget.DimensionNone) != own || (!own && left != max(*limit-spent-assumed-reserved, 0)) {
			t.Fatalf("run %d: %q with %d left, by the ledger it fits: %t", i, dimension, left, own)
		}
		fits = fits && own
	}
	if !fits {
		return
	}
	until := f.now + rules.Instant(rapid.Int64Range(1, 50).Draw(t, "lease"))
	for _, i := range path {
		f.runs[i] = f.runs[i].Reserve(a, until, f.now)
	}
	f.ledger = append(f.ledger, &entry{path: path, amounts: a, until: until, state: "live"})
}

func (f *forest) report(t *rapid.T) {
	if len(f.ledger) == 0 {
		t.Skip("no permit")
	}
	e := rapid.SampledFrom(f.ledger).Draw(t, "permit")
	if e.state == "settled" {
		return
	}
	s := budget.Settlement{Reserved: e.amounts, Until: e.until}
	switch rapid.IntRange(0, 2).Draw(t, "usage") {
	case 0:
		s.Spent.Cost = rapid.Int64Range(0, 200).Draw(t, "cost")
	case 1:
		s.Assumed.Cost = e.amounts.Cost
	}
	e.state, e.spent, e.assumed = "settled", s.Spent.Cost, s.Assumed.Cost
	f.clean = f.clean && e.spent <= e.amounts.Cost
	for _, i := range e.path {
		f.runs[i] = f.runs[i].Settle(s, f.now)
	}
}

func (f *forest) advance(t *rapid.T) {
	f.now += rules.Instant(rapid.Int64Range(0, 40).Draw(t, "us"))
	for _, e := range f.ledger {
		if e.state == "live" && e.until <= f.now {
			e.state, e.assumed = "lost", e.amounts.Cost
		}
	}
	for i := range f.runs {
		f.runs[i] = f.runs[i].Derive(f.now)
	}
}

func (f *forest) check(t *rapid.T) {
	for i, r := range f.runs {
		spent, reserved, assumed := f.sums(i)
		if r.Spent.Cost != spent || r.Reserved.Cost != reserved || r.Assumed.Cost != assumed {
			t.Fatalf("run %d: %+v, ledger %d %d %d", i, r, spent, reserved, assumed)
		}
		if r.Caps.Cost == nil {
			continue
		}
		if f.clean && spent+reserved+assumed > *r.Caps.Cost {
			t.Fatalf("run %d holds %d of %d", i, spent+reserved+assumed, *r.Caps.Cost)
		}
		if r.Overrun() != max(spent-*r.Caps.Cost, 0) {
			t.Fatalf("run %d: overrun %d", i, r.Overrun())
		}
	}
}

// TestTree: a call is admitted only if it fits the run and every ancestor, and
// what a child spends stays with its ancestors.
func TestTree(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := &forest{runs: make([]*budget.Run, 4), now: 1, clean: true}
		for i := range f.runs {
			f.runs[i] = &budget.Run{}
			if rapid.Bool().Draw(t, "capped") {
				f.runs[i].Caps.Cost = new(rapid.Int64Range(0, 300).Draw(t, "cap"))
			}
		}
		t.Repeat(map[string]func(*rapid.T){"acquire": f.acquire, "report": f.report, "advance": f.advance, "": f.check})
	})
}

// TestRunDeriveIsOrderless: deriving in steps gives what deriving at once gives.
func TestRunDeriveIsOrderless(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		run := &budget.Run{OnLost: rapid.SampledFrom([]budget.OnLost{budget.ChargeEstimate, budget.ChargeZero}).Draw(t, "lost")}
		for range rapid.IntRange(0, 20).Draw(t, "n") {
			a := budget.Amounts{Cost: rapid.Int64Range(0, 9).Draw(t, "cost"), Tokens: rapid.Int64Range(0, 9).Draw(t, "tokens"), Calls: 1}
			run = run.Reserve(a, rules.Instant(rapid.Int64Range(1, 30).Draw(t, "until")), 0)
		}
		t1 := rules.Instant(rapid.Int64Range(0, 40).Draw(t, "t1"))
		t2 := t1 + rules.Instant(rapid.Int64Range(0, 40).Draw(t, "t2"))
		once, twice := run.Derive(t2), run.Derive(t1).Derive(t2)
		if len(once.Reservations) == 0 && len(twice.Reservations) == 0 { // nil or empty is the same
			once.Reservations, twice.Reservations = nil, nil
		}
		if !reflect.DeepEqual(once, twice) {
			t.Fatalf("at once %+v\nin steps %+v", once, twice)
		}
		if again := twice.Derive(t2); again != twice {
			t.Fatal("deriving is not idempotent")
		}
		if due := run.DueAt(); due != 0 && (run.Derive(due-1) != run || run.Derive(due) == run) {
			t.Fatal("DueAt is not when something changes")
		}
	})
}

// TestEstimate is semantics §1.7.2 with C18.
func TestEstimate(t *testing.T) {
	n := func(v int64) *int64 { return &v }
	tokens := &budget.Price{Input: n(2_000_000), Output: n(3_000_000)}
	call := &budget.Price{PerCall: n(50)}
	for name, c := range map[string]struct {
		q      budget.Question
		cost   int64
		source budget.Source
		known  bool
	}{
		"explicit":                         {budget.Question{Estimate: budget.Estimate{Cost: n(7)}, Price: call, History: -1, Needed: true}, 7, budget.SourceExplicit, true},
		"explicit without a price":         {budget.Question{Estimate: budget.Estimate{Cost: n(7)}, History: -1, Needed: true}, 7, budget.SourceExplicit, true},
		"tokens":                           {budget.Question{Estimate: budget.Estimate{Input: n(3), MaxOutput: n(5)}, Price: tokens, History: -1, Needed: true}, 21, budget.SourceTokens, true},
		"a call before history":            {budget.Question{Price: call, History: 1000, Needed: true}, 50, budget.SourcePerCall, true},
		"history and a quarter":            {budget.Question{Price: tokens, History: 101, Needed: true}, 127, budget.SourceHistory, true},
		"default":                          {budget.Question{Price: tokens, History: -1, Default: n(9), Needed: true}, 9, budget.SourceDefault, true},
		"a default is no price":            {budget.Question{History: 5, Default: n(9), Needed: true}, 0, budget.SourceNone, false},
		"unpriced, allowed":                {budget.Question{History: -1, Needed: true, Unknown: budget.AllowUnpriced}, 0, budget.SourceUnpriced, true},
		"unpriced, fallback price":         {budget.Question{History: -1, Needed: true, Unknown: budget.UseFallbackPrice, Default: n(9)}, 9, budget.SourceDefault, true},
		"nobody asks":                      {budget.Question{History: -1}, 0, budget.SourceNone, true},
		"deeper: the level's own":          {budget.Question{Estimate: budget.Estimate{Cost: n(70)}, Price: call, History: -1, Deeper: true, Needed: true}, 50, budget.SourcePerCall, true},
		"deeper: the caller's own":         {budget.Question{Estimate: budget.Estimate{Cost: n(7)}, Price: call, History: -1, Deeper: true, Needed: true}, 7, budget.SourceExplicit, true},
		"deeper without a price: as given": {budget.Question{Estimate: budget.Estimate{Cost: n(70)}, History: -1, Deeper: true, Needed: true}, 70, budget.SourceExplicit, true},
	} {
		if cost, source, known := c.q.Cost(); cost != c.cost || source != c.source || known != c.known {
			t.Errorf("%s: %d %v %t, want %d %v %t", name, cost, source, known, c.cost, c.source, c.known)
		}
	}
}

// TestBlocker is C17: the first run from the root that grants nothing.
func TestBlocker(t *testing.T) {
	zero := int64(0)
	fine, out := &budget.Run{ID: "fine"}, &budget.Run{ID: "out", Caps: budget.Caps{Cost: &zero}}
	stopped := &budget.Run{ID: "stopped", Final: budget.Stopped}
	for _, c := range []struct {
		path  []*budget.Run
		want  string
		state budget.State
	}{
		{[]*budget.Run{fine, fine}, "", 0},
		{[]*budget.Run{fine, out, stopped}, "out", budget.Exhausted},
		{[]*budget.Run{stopped, out}, "stopped", budget.Stopped},
	} {
		got, state := budget.Blocker(c.path, 5)
		if (got == nil) != (c.want == "") || (got != nil && got.ID != c.want) || state != c.state {
			t.Errorf("%v %v, want %s", got, state, c.want)
		}
	}
	wall := &budget.Run{CreatedAt: 1_000_000, Caps: budget.Caps{WallMS: new(int64(1000))}}
	if wall.StateAt(2_000_000-1) == budget.Exhausted || wall.StateAt(2_000_000) != budget.Exhausted {
		t.Error("a run of one second ends after one second")
	}
	if left := wall.Remaining(rules.Instant(1_500_000)).WallMS; left == nil || time.Duration(*left)*time.Millisecond != 500*time.Millisecond {
		t.Errorf("%v ms are left", left)
	}
}
