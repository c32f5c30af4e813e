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
// working set. A command that was planned with other policies than those in
// force in the transaction, or after a change earlier in the batch, is left
// out and planned anew by its caller.
func (c *command) applyBatch(now rules.Instant) (statestore.Durability, error) {
	e, t := c.engine, &c.txn
	e.tallies.mu.Lock()
	defer e.tallies.mu.Unlock()
	durability := statestore.Rebuildable
	e.storeTime.Store(int64(now))
	for _, member := range c.batch {
		if member.policies.epoch != epochIn(c.mark) {
			member.outdate()
			continue
		}
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
// share one. The epoch is one of them in every batch.
func (e *Engine) merge(batch []*command) []*statestore.Entry {
	if len(batch) == 1 {
		return batch[0].alone()
	}
	total := 1
	for _, c := range batch {
		total += len(c.wants)
	}
	shared := make(map[statestore.Key]*statestore.Entry, total)
	slab := make([]statestore.Entry, 0, total)
	merged := make([]*statestore.Entry, 0, total)
	slab = append(slab, statestore.Entry{Key: epochKey()})
	batch[0].mark = &slab[0]
	shared[slab[0].Key] = batch[0].mark
	merged = append(merged, batch[0].mark)
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
	n := len(c.wants)
	if cap(c.own) <= n {
		c.own = make([]statestore.Entry, n+1)
	}
	c.own = c.own[:n+1]
	c.entries, c.mark = c.entries[:0], nil
	for i, w := range c.wants {
		c.own[i] = statestore.Entry{Key: w.key, Mode: w.mode, Depth: w.depth}
		c.entries = append(c.entries, &c.own[i])
		if w.key.Kind == statestore.KindMeta && w.key == epochKey() {
			c.mark = &c.own[i]
		}
	}
	if c.mark != nil {
		return c.entries
	}
	c.own[n] = statestore.Entry{Key: epochKey()}
	c.mark = &c.own[n]
	return append(c.entries, c.mark)
}
