// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/resilienced/resilienced/rules"
	"github.com/resilienced/resilienced/statestore"
)

// transactionLimit ends a transaction of a shared store that its own limits
// should have ended before.
const transactionLimit = 10 * time.Second

// bound limits a wait for a shared store. One in this process always answers.
func (e *Engine) bound(ctx context.Context, limit time.Duration) (context.Context, context.CancelFunc) {
	if !e.commits.shared {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, limit)
}

// execute runs a batch in one transaction; a batch that the store rejects is
// halved down to the command at fault.
func (e *Engine) execute(batch []*command) {
	leader := batch[0]
	leader.batch = batch
	entries := e.merge(batch)
	// A transaction outlives its callers.
	ctx, cancel := e.bound(e.background, transactionLimit)
	err := e.store.Update(ctx, entries, leader.body)
	cancel()
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
	now = e.saw(now)
	var locked time.Time
	if e.commits.shared {
		locked = time.Now()
	}
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
	if e.commits.shared && c.changed() {
		c.locked = locked
	} else {
		c.locked = time.Time{}
	}
	return durability, nil
}

// changed reports whether the leader's batch has changed any record.
func (c *command) changed() bool {
	for _, member := range c.batch {
		if slices.ContainsFunc(member.entries, (*statestore.Entry).Changed) {
			return true
		}
	}
	return false
}

// saw keeps the latest instant that a transaction had, and returns it: here time
// never goes back, whatever a store's clock does after a failover. Transactions
// of several lanes may also end in another order than they read the clock.
func (e *Engine) saw(now rules.Instant) rules.Instant {
	for {
		last := e.storeTime.Load()
		if int64(now) <= last {
			return rules.Instant(last)
		}
		if e.storeTime.CompareAndSwap(last, int64(now)) {
			return now
		}
	}
}

// touched is implemented by records that say when they were changed last.
type touched interface{ TouchedAt() rules.Instant }

// newest is the time of a command: that of its transaction, or of the newest of
// its records. Another replica may have written that by a clock that was ahead,
// and no record goes back.
func (c *command) newest(now rules.Instant) rules.Instant {
	for _, e := range c.entries {
		if r, ok := e.Record().(touched); ok {
			now = max(now, r.TouchedAt())
		}
	}
	return now
}

// fail answers a batch that was not committed.
func (e *Engine) fail(batch []*command, err error) {
	if errors.Is(err, statestore.ErrUnavailable) || errors.Is(err, context.DeadlineExceeded) {
		e.commits.gone()
	}
	for _, c := range batch {
		c.again, c.err = false, failure(err)
	}
}

// failure is what a caller is told when the store did not commit. Where waiting
// helps, each caller is told a wait of its own.
func failure(err error) error {
	switch {
	case errors.Is(err, statestore.ErrUnknownOutcome):
		return unknown(err)
	case errors.Is(err, statestore.ErrRejected), errors.Is(err, statestore.ErrNotHeld):
		return fmt.Errorf("%w: %w", ErrInternal, err)
	case errors.Is(err, statestore.ErrUnavailable):
		return away(err)
	}
	return fmt.Errorf("%w: %w", ErrUnavailable, err)
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
				entry.Mode = w.mode
			}
			entry.Depth = max(entry.Depth, w.depth)
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
