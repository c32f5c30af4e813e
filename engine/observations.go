// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"slices"
	"sync"

	"github.com/resilienced/resilienced/rules"
	"github.com/resilienced/resilienced/statestore"
)

// observations is what this replica has counted and not yet written. It holds
// the targets that were called since the last flush, and the names that are
// told apart in the running interval.
type observations struct {
	// writing is held while counts move to the store, so that whoever reads
	// both finds each call in one of them.
	writing sync.Mutex

	mu      sync.Mutex
	counts  map[observed]*observationEntry
	targets map[string]*named // by namespace
}

// observed names one observation.
type observed struct {
	namespace string
	start     instant
	target    string
}

type observationEntry struct {
	Observation
	dirty bool
}

// named are the targets that are told apart in an interval.
type named struct {
	start instant
	names map[string]struct{}
}

func newObservations() *observations {
	return &observations{counts: map[observed]*observationEntry{}, targets: map[string]*named{}}
}

// apply counts what a committed command has seen.
func (o *observations) apply(seen []sighting) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for i := range seen {
		s := &seen[i]
		k := observed{s.namespace, intervalOf(s.at), s.target}
		e := o.counts[k]
		if e == nil {
			e = o.add(k)
		}
		e.count(s)
		e.dirty = true
	}
}

// add makes the entry of a target, or finds that of all others. The caller
// holds mu.
func (o *observations) add(k observed) *observationEntry {
	if !o.name(k) {
		k.target = OtherTargets
		if e := o.counts[k]; e != nil {
			return e
		}
	}
	e := &observationEntry{Observation: Observation{Start: k.start, Undated: isDrill(k.namespace)}}
	o.counts[k] = e
	return e
}

// name reports whether a target is told apart in its interval. The caller
// holds mu.
func (o *observations) name(k observed) bool {
	n := o.targets[k.namespace]
	if n == nil || n.start < k.start {
		n = &named{start: k.start, names: map[string]struct{}{}}
		o.targets[k.namespace] = n
	}
	if _, known := n.names[k.target]; known {
		return true
	}
	if len(n.names) >= maxObserved {
		return false
	}
	n.names[k.target] = struct{}{}
	return true
}

// observedPart is a part of a count on its way to the store.
type observedPart struct {
	key   observed
	count *Observation
}

// take copies what was counted since the last flush and forgets what is idle.
func (o *observations) take(now instant) []observedPart {
	o.mu.Lock()
	defer o.mu.Unlock()
	var parts []observedPart
	for k, e := range o.counts {
		if !e.dirty {
			delete(o.counts, k)
			continue
		}
		parts = append(parts, observedPart{k, (&Observation{Start: e.Start, Undated: e.Undated}).plus(&e.Observation)})
		e.clear()
		e.dirty = false
	}
	for ns, n := range o.targets {
		if !isDrill(ns) && n.start < intervalOf(now) {
			delete(o.targets, ns)
		}
	}
	return parts
}

// restore counts again what could not be written.
func (o *observations) restore(parts []observedPart) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, p := range parts {
		e := o.counts[p.key]
		if e == nil {
			e = o.add(p.key)
		}
		e.add(p.count)
		e.dirty = true
	}
}

// forget drops what was counted in a drill that has ended.
func (o *observations) forget(ns string) {
	o.writing.Lock()
	defer o.writing.Unlock()
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.targets, ns)
	for k := range o.counts {
		if k.namespace == ns {
			delete(o.counts, k)
		}
	}
}

// flushObservations adds what was counted to the stored records. If somebody
// reads both meanwhile it waits, or leaves it to the next turn.
func (e *Engine) flushObservations(ctx context.Context, wait bool) {
	o := e.observations
	if wait {
		o.writing.Lock()
	} else if !o.writing.TryLock() {
		return
	}
	defer o.writing.Unlock()
	parts := o.take(rules.Instant(e.storeTime.Load()))
	for len(parts) > 0 {
		n := min(len(parts), e.commits.upkeep())
		if err := e.writeObservations(ctx, parts[:n]); err != nil {
			o.restore(parts)
			e.complaints.warn("what was counted of calls could not be written; it is tried again", "error", err)
			return
		}
		parts = parts[n:]
	}
}

func (e *Engine) writeObservations(ctx context.Context, parts []observedPart) error {
	entries := make([]*statestore.Entry, 0, 2*len(parts))
	clocks := map[string]*statestore.Entry{}
	for _, p := range parts {
		entries = append(entries, &statestore.Entry{
			Key: observationKey(p.key.namespace, p.key.start, p.key.target), Mode: statestore.Write,
		})
		if ns := p.key.namespace; isDrill(ns) && clocks[ns] == nil {
			clocks[ns] = &statestore.Entry{Key: clockKey(ns)}
		}
	}
	records := entries[:len(parts):len(parts)]
	for _, clock := range clocks {
		entries = append(entries, clock)
	}
	return e.store.Update(ctx, entries, func(rules.Instant) (statestore.Durability, error) {
		for i, entry := range records {
			if clock := clocks[entry.Key.Namespace]; clock != nil && clock.Record() == nil {
				continue // the drill has ended
			}
			sum := parts[i].count
			if old, ok := entry.Record().(*Observation); ok {
				sum = old.plus(sum)
			}
			entry.Put(sum)
		}
		return statestore.Rebuildable, nil
	})
}

// loadObservations reads which targets are told apart in the running interval,
// so that a restart goes on with it.
func (e *Engine) loadObservations(ctx context.Context, ns string, now instant) error {
	from := intervalOf(now)
	return e.eachObservation(ctx, ns, from, func(target string, _ *Observation) {
		if target != OtherTargets {
			e.observations.name(observed{ns, from, target})
		}
	})
}

// eachObservation goes through the stored observations of a namespace that
// begin at from or later, newest first.
func (e *Engine) eachObservation(ctx context.Context, ns string, from instant, visit func(target string, o *Observation)) error {
	q := statestore.Query{Kind: statestore.KindObservation, Namespace: ns, Descending: true, Limit: maxPage}
	for {
		page, err := e.store.List(ctx, q)
		if err != nil {
			return storeError(err)
		}
		older := slices.ContainsFunc(page.Rows, func(row statestore.Row) bool {
			o, ok := row.Record.(*Observation)
			if ok && o.Start >= from {
				visit(observedTarget(row.Name), o)
			}
			return ok && o.Start < from
		})
		if q.After = page.Cursor; older || q.After == "" {
			return nil
		}
	}
}
