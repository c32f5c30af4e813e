// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"container/heap"
	"context"
	"maps"
	"sync"
	"time"

	"github.com/resilienced/resilienced/rules"
	"github.com/resilienced/resilienced/rules/target"
	"github.com/resilienced/resilienced/statestore"
)

// flushEvery bounds how stale a stored tally is (design §5).
const flushEvery = 100 * time.Millisecond

// tallies is what is counted about targets: this replica's stripe, and what
// it has read of those of others. Drill namespaces keep theirs in the store,
// written with the command.
type tallies struct {
	mu    sync.Mutex
	byKey map[statestore.Key]*tallyEntry
	count map[string]int64 // by namespace
	dirty []statestore.Key // of the entries that are
	idles idles
}

type tallyEntry struct {
	own    *target.Tally      // nil: nothing was counted here
	dirty  bool               // own is not written
	others map[string]*Stripe // by replica
	sum    *target.Tally      // of all, own changes included; nil without others
}

// seen is what commands see of the target.
func (e *tallyEntry) seen() *target.Tally {
	if e.sum != nil {
		return e.sum
	}
	return e.own
}

// addUp makes the sum anew.
func (e *tallyEntry) addUp() {
	if len(e.others) == 0 {
		e.sum = nil
		return
	}
	parts := make([]*target.Tally, 0, 1+len(e.others))
	if e.own != nil {
		parts = append(parts, e.own)
	}
	for _, s := range e.others {
		parts = append(parts, &s.Tally)
	}
	e.sum = target.Merge(parts...)
}

// expire drops what is idle; true if nothing is left.
func (e *tallyEntry) expire(now rules.Instant) bool {
	if e.own != nil && now >= e.own.DueAt() {
		e.own, e.dirty = nil, false
	}
	before := len(e.others)
	maps.DeleteFunc(e.others, func(_ string, s *Stripe) bool { return now >= s.DueAt() })
	if len(e.others) < before {
		e.addUp()
	}
	return e.own == nil && len(e.others) == 0
}

// tallyOp is a change of a tally, applied after the commit.
type tallyOp struct {
	key     statestore.Key
	config  *target.Config
	now     rules.Instant
	deposit bool
	sampled bool
	sample  target.Sample
}

func newTallies() *tallies {
	return &tallies{byKey: map[statestore.Key]*tallyEntry{}, count: map[string]int64{}}
}

// entry finds or makes the entry of a target. The caller holds mu.
func (s *tallies) entry(k statestore.Key) *tallyEntry {
	e := s.byKey[k]
	if e == nil {
		e = &tallyEntry{}
		s.byKey[k] = e
		s.count[k.Namespace]++
		heap.Push(&s.idles, idle{key: k, entry: e})
	}
	return e
}

// remove forgets an idle target. The caller holds mu.
func (s *tallies) remove(k statestore.Key) {
	delete(s.byKey, k)
	if s.count[k.Namespace]--; s.count[k.Namespace] <= 0 {
		delete(s.count, k.Namespace)
	}
}

func tallyKey(namespace, name string) statestore.Key {
	return statestore.Key{Kind: statestore.KindTally, Namespace: namespace, Name: name}
}

// at returns a tally to look at, or nil. The caller holds mu.
func (s *tallies) at(k statestore.Key) *target.Tally {
	if e := s.byKey[k]; e != nil {
		return e.seen()
	}
	return nil
}

// shared reports whether others have counted calls of the target within its
// window. The caller holds mu.
func (s *tallies) shared(k statestore.Key, cfg *target.Config, now rules.Instant) bool {
	if e := s.byKey[k]; e != nil {
		for _, other := range e.others {
			if now < other.Tally.UpdatedAt.Add(cfg.Breaker.Window) {
				return true
			}
		}
	}
	return false
}

// apply carries out what committed commands counted.
func (s *tallies) apply(ops []tallyOp) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range ops {
		op := &ops[i]
		e := s.entry(op.key)
		if e.own == nil {
			e.own = &target.Tally{}
		}
		op.change(e.own)
		if e.sum != nil {
			op.change(e.sum)
		}
		s.soil(op.key, e)
	}
}

// soil notes that the own part of an entry is to be written. The caller holds
// mu.
func (s *tallies) soil(k statestore.Key, e *tallyEntry) {
	if !e.dirty {
		e.dirty = true
		s.dirty = append(s.dirty, k)
	}
}

func (op *tallyOp) change(t *target.Tally) {
	if op.deposit {
		t.Deposit(op.config, op.now)
	}
	if op.sampled {
		t.Record(op.config, op.sample, op.now)
	}
}

// tally returns what a command sees of a target's tally: the sum of all
// replicas', or in a drill the stored one behind the handle.
func (t *txn) tally(handle int, k statestore.Key) *target.Tally {
	if isDrill(k.Namespace) {
		return record[target.Tally](t, handle)
	}
	return t.engine.tallies.at(k)
}

// count changes a tally: at once in a drill, after the commit elsewhere.
func (t *txn) count(handle int, op tallyOp) {
	if !isDrill(op.key.Namespace) {
		t.cmd.tallies = append(t.cmd.tallies, op)
		return
	}
	next := &target.Tally{}
	if old := record[target.Tally](t, handle); old != nil {
		next = old.Clone()
	}
	op.change(next)
	t.put(handle, next)
}

// flushLoop writes tallies and the decision log behind the decisions.
func (e *Engine) flushLoop() {
	tick := time.NewTicker(flushEvery)
	defer tick.Stop()
	for turn := 1; ; turn++ {
		select {
		case <-e.quit:
			return
		case <-tick.C:
			ctx, cancel := e.bound(e.background, transactionLimit)
			e.flushTallies(ctx)
			e.flushDecisions(ctx)
			if turn%observationTurns == 0 {
				e.flushObservations(ctx, false)
			}
			cancel()
		}
	}
}

// observationTurns is how many turns of the flush loop go by between two
// writes of observations, on which no decision depends.
const observationTurns = 10

func (e *Engine) flush(ctx context.Context) {
	e.flushTallies(ctx)
	e.flushDecisions(ctx)
	e.flushObservations(ctx, true)
}

func (e *Engine) flushTallies(ctx context.Context) {
	dirty := e.dirtyTallies()
	for len(dirty) > 0 {
		chunk := dirty[:min(len(dirty), e.commits.upkeep())]
		if err := e.writeTallies(ctx, chunk); err != nil {
			e.complaints.warn("tallies could not be written; they are tried again", "error", err)
			e.tallies.again(dirty)
			return
		}
		dirty = dirty[len(chunk):]
	}
}

func (e *Engine) writeTallies(ctx context.Context, chunk []dirtyTally) error {
	entries := make([]*statestore.Entry, 0, len(chunk))
	for _, d := range chunk {
		entries = append(entries, &statestore.Entry{Key: e.stripes.stored(d.key), Mode: statestore.Write})
	}
	return e.store.Update(ctx, entries, func(now rules.Instant) (statestore.Durability, error) {
		for i, entry := range entries {
			if e.stripes.replica == "" {
				entry.Put(chunk[i].tally)
			} else {
				entry.Put(&Stripe{Tally: *chunk[i].tally, FlushedAt: now})
			}
		}
		return statestore.Rebuildable, nil
	})
}

type dirtyTally struct {
	key   statestore.Key
	tally *target.Tally
}

// dirtyTallies copies what changed since the last flush and forgets what is
// idle.
func (e *Engine) dirtyTallies() []dirtyTally {
	now := rules.Instant(e.storeTime.Load())
	e.tallies.mu.Lock()
	defer e.tallies.mu.Unlock()
	e.tallies.expire(now)
	var dirty []dirtyTally
	for _, k := range e.tallies.dirty {
		if s := e.tallies.byKey[k]; s != nil && s.dirty {
			s.dirty = false
			dirty = append(dirty, dirtyTally{k, s.own.Clone()})
		}
	}
	e.tallies.dirty = e.tallies.dirty[:0]
	return dirty
}

// again marks what could not be written.
func (s *tallies) again(dirty []dirtyTally) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, d := range dirty {
		if e := s.byKey[d.key]; e != nil && e.own != nil {
			s.soil(d.key, e)
		}
	}
}

// loadTallies reads the stored tallies of a namespace, so that a restart
// forgets no window.
func (e *Engine) loadTallies(ctx context.Context, namespace string) error {
	q := statestore.Query{Kind: statestore.KindTally, Namespace: namespace, Limit: 1000}
	for {
		page, err := e.store.List(ctx, q)
		if err != nil {
			return storeError(err)
		}
		e.tallies.mu.Lock()
		for _, row := range page.Rows {
			if stored, ok := row.Record.(*target.Tally); ok {
				e.loaded(tallyKey(namespace, row.Name), stored)
			}
		}
		e.tallies.mu.Unlock()
		if page.Cursor == "" {
			return nil
		}
		q.After = page.Cursor
	}
}

// loaded takes in a tally without a replica's name. To the only replica it is
// its own; to one of several it is what one without a name has left. The caller
// holds the lock of the tallies.
func (e *Engine) loaded(k statestore.Key, stored *target.Tally) {
	entry := e.tallies.entry(k)
	if e.stripes.replica == "" {
		entry.own = stored.Clone()
		return
	}
	entry.take("", &Stripe{Tally: *stored})
}
