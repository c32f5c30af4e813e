// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"strings"

	"github.com/resilienced/resilienced/rules/breaker"
	"github.com/resilienced/resilienced/rules/budget"
	"github.com/resilienced/resilienced/rules/deadletter"
	"github.com/resilienced/resilienced/rules/escalation"
	"github.com/resilienced/resilienced/rules/retry"
	"github.com/resilienced/resilienced/rules/target"
	"github.com/resilienced/resilienced/statestore"
)

// Tally takes in what a Census finds, one call for each record.
type Tally interface {
	// Breaker: a target has a record, and its breaker stands so. A target that
	// was never in trouble has none.
	Breaker(namespace, target string, phase breaker.Phase)
	// RetryBudget: what is left of a target's retry tokens, and what there was
	// of them. Only targets that withdrew some are told of.
	RetryBudget(namespace, target string, left, all int64)
	// Run: there is a run, its ancestors taken into account.
	Run(state budget.State)
	// Letter: there is a dead letter.
	Letter(namespace, target string, state deadletter.State)
	// Escalation: there is an escalation.
	Escalation(kind escalation.Type, state escalation.State)
}

// Rows that are in memory at once. Letters may be large.
const (
	censusPage = 500
	letterPage = 32
)

// Census reads every target, run, letter and escalation of every namespace but
// those of drills, and tells of each as it reads now. It takes as long as
// there are records, holds a page of them at a time, and stops with ctx.
func (e *Engine) Census(ctx context.Context, to Tally) error {
	if err := e.followStripes(ctx, e.commits.patience(ctx, otherPatience)); err != nil {
		return err
	}
	namespaces, err := e.store.Namespaces(ctx)
	if err != nil {
		return storeError(err)
	}
	for _, ns := range namespaces {
		if isDrill(ns) {
			continue
		}
		for _, part := range []struct {
			kind statestore.Kind
			page int
			tell func(row *statestore.Row, now instant)
		}{
			{statestore.KindTarget, censusPage, func(r *statestore.Row, now instant) { e.countTarget(ns, r, now, to) }},
			{statestore.KindRun, censusPage, func(r *statestore.Row, now instant) { e.countRun(ctx, ns, r, now, to) }},
			{statestore.KindLetter, letterPage, func(r *statestore.Row, now instant) { countLetter(ns, r, now, to) }},
			{statestore.KindEscalation, censusPage, func(r *statestore.Row, now instant) { countEscalation(r, now, to) }},
		} {
			if err := e.everyRow(ctx, ns, part.kind, part.page, part.tell); err != nil {
				return err
			}
		}
	}
	return nil
}

// everyRow pages through one kind of a namespace's records.
func (e *Engine) everyRow(ctx context.Context, ns string, kind statestore.Kind, size int, tell func(*statestore.Row, instant)) error {
	q := statestore.Query{Kind: kind, Namespace: ns, Limit: size}
	for {
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		page, err := e.store.List(ctx, q)
		if err != nil {
			return storeError(err)
		}
		for i := range page.Rows {
			tell(&page.Rows[i], page.Now)
		}
		if q.After = page.Cursor; q.After == "" {
			return nil
		}
	}
}

func (e *Engine) countTarget(ns string, row *statestore.Row, now instant, to Tally) {
	stored, ok := row.Record.(*target.Control)
	name, _, _ := strings.Cut(row.Name, sep) // the rest is a credential
	if !ok || name == "" {
		return
	}
	cfg := e.policies.Load().of(ns).Target(name)
	c, _ := stored.Derive(cfg, now)
	to.Breaker(ns, name, c.Breaker.Phase)
	taken := retry.Sum(c.Withdrawals, now, cfg.Retry.FleetTTL)
	if taken == 0 {
		return
	}
	var deposits []retry.Entry
	e.tallies.mu.Lock()
	if t := e.tallies.at(tallyKey(ns, name)); t != nil {
		deposits = append(deposits, t.Deposits...)
	}
	e.tallies.mu.Unlock()
	all := cfg.Retry.Available(deposits, nil, now)
	to.RetryBudget(ns, name, max(all-taken, 0), all)
}

func (e *Engine) countRun(ctx context.Context, ns string, row *statestore.Row, now instant, to Tally) {
	stored, ok := row.Record.(*budget.Run)
	if !ok {
		return
	}
	state := stored.Derive(now).StateAt(now)
	if stored.Final == 0 && len(stored.Path) > 1 { // an ancestor may have ended
		if v, err := e.GetRun(ctx, ns, row.Name); err == nil {
			state = v.State
		}
	}
	to.Run(state)
}

func countLetter(ns string, row *statestore.Row, now instant, to Tally) {
	if l, ok := row.Record.(*deadletter.Letter); ok && !l.Expired(now) {
		to.Letter(ns, l.Target, l.State)
	}
}

func countEscalation(row *statestore.Row, now instant, to Tally) {
	if x, ok := row.Record.(*escalation.Escalation); ok && !x.Gone(now) {
		to.Escalation(x.Type, x.Derive(now).State)
	}
}

// Stats are facts of this process. The numbers that only grow start from zero
// with it.
type Stats struct {
	Waiting     int    // commands in the queue
	Commands    uint64 // that were committed
	Commits     uint64 // transactions of the store that changed something
	LogDropped  uint64 // rows of the decision log that were not kept
	LogWaiting  int    // rows of the decision log that are still to be written
	PolicyEpoch uint64
}

// Stats reads the counters; it does not touch the store.
func (e *Engine) Stats() Stats {
	s := Stats{
		Waiting: e.commits.depth(), Commands: e.commanded.Load(), Commits: e.store.Commits(), PolicyEpoch: e.policies.Load().epoch,
	}
	e.decisions.mu.Lock()
	defer e.decisions.mu.Unlock()
	s.LogDropped, s.LogWaiting = e.decisions.lost, len(e.decisions.pending)
	return s
}

// TargetNames are the names that any policy gives to a target without a
// wildcard.
func (e *Engine) TargetNames() []string {
	set := e.policies.Load()
	names := set.file.TargetNames()
	for _, p := range set.own {
		names = append(names, p.TargetNames()...)
	}
	return names
}

// Named tells whether an entry of the namespace's policy matches a target.
func (e *Engine) Named(ns, name string) bool { return e.policies.Load().of(ns).Named(name) }
