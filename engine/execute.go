// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"errors"
	"fmt"

	"github.com/resilienced/resilienced/rules"
	"github.com/resilienced/resilienced/statestore"
)

// execute runs a batch in one transaction; a batch that the store rejects is
// halved down to the command at fault.
func (e *Engine) execute(batch []*command) {
	leader := batch[0]
	leader.batch = batch
	entries := e.merge(batch)
	// A transaction outlives its callers: the store bounds it.
	err := e.store.Update(e.background, entries, leader.body)
	leader.batch = nil
	switch {
	case err == nil:
		e.committed(batch, entries)
	case errors.Is(err, statestore.ErrRejected) && len(batch) > 1:
		half := len(batch) / 2
		e.execute(batch[:half])
		e.execute(batch[half:])
	default:
		e.fail(batch, err)
	}
}

// applyBatch applies the commands of the leader's batch in order to one
// working set.
func (c *command) applyBatch(now rules.Instant) (statestore.Durability, error) {
	e, t := c.engine, &c.txn
	e.tallies.mu.Lock()
	defer e.tallies.mu.Unlock()
	durability := statestore.Rebuildable
	e.storeTime.Store(int64(now))
	for _, member := range c.batch {
		t.now = now
		t.run(member)
		if t.durable {
			durability = statestore.Durable
		}
	}
	return durability, nil
}

// fail answers a batch that was not committed.
func (e *Engine) fail(batch []*command, err error) {
	out := fmt.Errorf("%w: %w", ErrUnavailable, err)
	if errors.Is(err, statestore.ErrUnknownOutcome) {
		out = fmt.Errorf("%w: %w", ErrOutcomeUnknown, err)
	}
	if errors.Is(err, statestore.ErrRejected) || errors.Is(err, statestore.ErrNotHeld) {
		out = fmt.Errorf("%w: %w", ErrInternal, err)
	}
	for _, c := range batch {
		c.again, c.err = false, out
	}
}

// merge gives every command its entries; commands that name the same record
// share one.
func (e *Engine) merge(batch []*command) []*statestore.Entry {
	if len(batch) == 1 {
		return batch[0].alone()
	}
	total := 0
	for _, c := range batch {
		total += len(c.wants)
	}
	shared := make(map[statestore.Key]*statestore.Entry, total)
	slab := make([]statestore.Entry, 0, total)
	merged := make([]*statestore.Entry, 0, total)
	for _, c := range batch {
		c.entries = c.entries[:0]
		for _, w := range c.wants {
			entry := shared[w.key]
			if entry == nil {
				slab = append(slab, statestore.Entry{Key: w.key, Mode: w.mode, Depth: w.depth})
				entry = &slab[len(slab)-1]
				shared[w.key] = entry
				merged = append(merged, entry)
			}
			if w.mode == statestore.Write || (w.mode == statestore.Try && entry.Mode == statestore.Read) {
				entry.Mode, entry.Depth = w.mode, w.depth
			}
			c.entries = append(c.entries, entry)
		}
	}
	return merged
}

// alone makes the entries of a batch of one.
func (c *command) alone() []*statestore.Entry {
	if cap(c.own) < len(c.wants) {
		c.own = make([]statestore.Entry, len(c.wants))
	}
	c.own = c.own[:len(c.wants)]
	c.entries = c.entries[:0]
	for i, w := range c.wants {
		c.own[i] = statestore.Entry{Key: w.key, Mode: w.mode, Depth: w.depth}
		c.entries = append(c.entries, &c.own[i])
	}
	return c.entries
}
