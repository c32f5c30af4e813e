// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/resilienced/resilienced/policy"
	"github.com/resilienced/resilienced/policy/glob"
)

// maxSummed is how many targets are told apart while a summary is made.
const maxSummed = 10 * maxObserved

// CallSummary counts the calls of one target, or of all.
type CallSummary struct {
	Target string // empty in totals
	Observation
	Observed bool // at least one rule is observed now
}

// CallSummaries is what was counted between two instants.
type CallSummaries struct {
	From, Until instant
	Totals      CallSummary
	Targets     []CallSummary // the one first that gains most from being enforced
}

// SummarizeCalls sums what was counted since a while ago, which is extended to
// the start of an interval, of the targets that match a pattern of policy;
// empty: of all. Every call is in it once, those of this moment too.
func (e *Engine) SummarizeCalls(ctx context.Context, ns string, since time.Duration, pattern string) (*CallSummaries, error) {
	if since <= 0 || since > ObservationRetention {
		return nil, &InvalidError{Field: "since", Why: "it must be above 0 and at most 7 days"}
	}
	now, err := e.now(ctx, ns)
	if err != nil {
		return nil, storeError(err)
	}
	out := &CallSummaries{From: intervalOf(now.Add(-since)), Until: now}
	sums, err := e.sumCalls(ctx, ns, out.From, pattern)
	if err != nil {
		return nil, err
	}
	set, err := e.fresh(ctx)
	if err != nil {
		return nil, err
	}
	p, pass := set.of(ns), now < set.above.pass(ns)
	for target, sum := range sums {
		sum.settle()
		observed := target != OtherTargets && (pass || len(policy.Observes(p.Target(target))) > 0)
		out.Totals.add(sum)
		out.Totals.Observed = out.Totals.Observed || observed
		out.Targets = append(out.Targets, CallSummary{Target: target, Observation: *sum, Observed: observed})
	}
	out.Totals.sort()
	slices.SortFunc(out.Targets, gainFirst)
	out.cut()
	return out, nil
}

// sumCalls adds up the stored parts and those that are not written yet.
func (e *Engine) sumCalls(ctx context.Context, ns string, from instant, pattern string) (map[string]*Observation, error) {
	sums, wanted := map[string]*Observation{}, glob.New(pattern)
	visit := func(target string, o *Observation) {
		if pattern != "" && !wanted.Match(target) {
			return
		}
		sum := sums[target]
		if sum == nil && len(sums) >= maxSummed {
			target = OtherTargets
			sum = sums[target]
		}
		if sum == nil {
			sum = &Observation{}
			sums[target] = sum
		}
		sum.add(o)
	}
	o := e.observations
	o.writing.Lock()
	defer o.writing.Unlock()
	if err := e.eachObservation(ctx, ns, from, visit); err != nil {
		return nil, err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for k, entry := range o.counts {
		if k.namespace == ns && k.start >= from && entry.dirty {
			visit(k.target, &entry.Observation)
		}
	}
	return sums, nil
}

// settle makes a sum fit to be shown: a correction of what was assumed may lie
// in it without what it corrects.
func (o *Observation) settle() {
	o.Unpriced = max(o.Unpriced, 0)
	for i := range o.Would {
		o.Would[i].Cost, o.Would[i].Tokens = max(o.Would[i].Cost, 0), max(o.Would[i].Tokens, 0)
	}
	o.sort()
}

// sort puts the reasons in order, the most frequent first.
func (o *Observation) sort() {
	for _, counts := range [...][]ReasonCount{o.Refused, o.Would} {
		slices.SortFunc(counts, func(a, b ReasonCount) int {
			return cmp.Or(cmp.Compare(b.Calls, a.Calls), strings.Compare(string(a.Reason), string(b.Reason)))
		})
	}
}

// withheld is what the calls cost that enforced rules would have refused, and
// how many they are.
func (o *Observation) withheld() (cost, calls int64) {
	for _, r := range o.Would {
		cost, calls = cost+r.Cost, calls+r.Calls
	}
	return cost, calls
}

// gainFirst orders targets by what they gain from being enforced.
func gainFirst(a, b CallSummary) int {
	aCost, aCalls := a.withheld()
	bCost, bCalls := b.withheld()
	return cmp.Or(
		cmp.Compare(bCost, aCost), cmp.Compare(bCalls, aCalls), cmp.Compare(b.Acquires, a.Acquires),
		strings.Compare(a.Target, b.Target),
	)
}

// cut keeps as many targets as an answer may have; the others are one.
func (s *CallSummaries) cut() {
	if len(s.Targets) <= maxObserved {
		return
	}
	rest := CallSummary{Target: OtherTargets}
	for i := range s.Targets[maxObserved:] {
		rest.add(&s.Targets[maxObserved+i].Observation)
	}
	s.Targets = s.Targets[:maxObserved]
	if i := slices.IndexFunc(s.Targets, func(t CallSummary) bool { return t.Target == OtherTargets }); i >= 0 {
		rest.add(&s.Targets[i].Observation)
		s.Targets = slices.Delete(s.Targets, i, i+1)
	}
	rest.sort()
	s.Targets = append(s.Targets, rest)
}
