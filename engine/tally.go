// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/resilienced/resilienced/rules"
	"github.com/resilienced/resilienced/rules/target"
	"github.com/resilienced/resilienced/statestore"
)

// flushEvery bounds how stale a stored tally is (design §5).
const flushEvery = 100 * time.Millisecond

// tallies is this replica's stripe of what is counted about targets. Drill
// namespaces keep theirs in the store, written with the command.
type tallies struct {
	mu    sync.Mutex
	byKey map[statestore.Key]*tallyEntry
	count map[string]int64 // by namespace
}

type tallyEntry struct {
	tally *target.Tally
	dirty bool
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

// add makes the entry of a target. The caller holds mu.
func (s *tallies) add(k statestore.Key, t *target.Tally) *tallyEntry {
	if s.byKey[k] == nil {
		s.count[k.Namespace]++
	}
	e := &tallyEntry{tally: t}
	s.byKey[k] = e
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
		return e.tally
	}
	return nil
}

// apply carries out what committed commands counted.
func (s *tallies) apply(ops []tallyOp) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range ops {
		op := &ops[i]
		e := s.byKey[op.key]
		if e == nil {
			e = s.add(op.key, &target.Tally{})
		}
		op.change(e.tally)
		e.dirty = true
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

// tally returns what a command sees of a target's tally: this replica's own,
// or in a drill the stored one behind the handle.
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

// flushBatch is how many tallies one transaction writes.
const flushBatch = 256

func (e *Engine) flushTallies(ctx context.Context) {
	dirty := e.dirtyTallies()
	for chunk := range slices.Chunk(dirty, flushBatch) {
		entries := make([]*statestore.Entry, 0, len(chunk))
		for _, d := range chunk {
			entries = append(entries, &statestore.Entry{Key: d.key, Mode: statestore.Write})
		}
		err := e.store.Update(ctx, entries, func(rules.Instant) (statestore.Durability, error) {
			for i, entry := range entries {
				entry.Put(chunk[i].tally)
			}
			return statestore.Rebuildable, nil
		})
		if err != nil {
			e.log.Warn("tallies could not be written; they are tried again with the next change", "error", err)
			return
		}
	}
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
	var dirty []dirtyTally
	for k, s := range e.tallies.byKey {
		switch {
		case now >= s.tally.DueAt():
			e.tallies.remove(k)
		case s.dirty:
			s.dirty = false
			dirty = append(dirty, dirtyTally{k, s.tally.Clone()})
		}
	}
	return dirty
}

// loadTallies reads the stored stripes, so that a restart forgets no window.
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
				e.tallies.add(tallyKey(namespace, row.Name), stored.Clone())
			}
		}
		e.tallies.mu.Unlock()
		if page.Cursor == "" {
			return nil
		}
		q.After = page.Cursor
	}
}
