// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"strings"

	"github.com/resilienced/resilienced/policy"
	"github.com/resilienced/resilienced/rules"
	"github.com/resilienced/resilienced/statestore"
)

// The epoch is the number of the last change of anything that operators set:
// it grows by one with each, over all namespaces. Its record is written in the
// transaction of the change and read in every batch of commands, so that no
// replica decides by what is no longer in force (docs/adr/0007).
//
//	change: epoch +1, index[namespace] = epoch, and what was changed
//	batch:  epoch as the command was planned with? decide : errOutdated
//	errOutdated: load what the index says has changed, plan again, next batch

// Meta is one of the store's own facts; which, its name says.
type Meta struct {
	Key     []byte            `json:"k,omitempty"` // that permit ids are signed with
	Epoch   uint64            `json:"e,omitempty"`
	File    string            `json:"f,omitempty"` // hash of the policy file that was applied last
	Changed map[string]uint64 `json:"c,omitempty"` // by namespace, the epoch of its last change
}

// epochKey names the record of the epoch and of the file applied last.
func epochKey() statestore.Key {
	return statestore.Key{Kind: statestore.KindMeta, Name: "policy-epoch"}
}

// indexKey names the record that says which namespaces changed when. It is
// apart from the epoch because every batch reads that one.
func indexKey() statestore.Key {
	return statestore.Key{Kind: statestore.KindMeta, Name: "policy-index"}
}

// errOutdated says that a command was planned with a policy that is not the
// one in force. It has changed nothing.
var errOutdated = errors.New("engine: planned with an outdated policy")

// epochIn is the epoch that a batch sees.
func epochIn(mark *statestore.Entry) uint64 {
	if m, ok := mark.Record().(*Meta); ok {
		return m.Epoch
	}
	return 0
}

// outdate ends a command's part in a batch without a decision.
func (c *command) outdate() {
	c.events, c.tallies, c.seen = c.events[:0], c.tallies[:0], c.seen[:0]
	c.again, c.err = false, errOutdated
}

// change raises the epoch for a change of a namespace. The handles of both
// records are planned with planChange.
func (t *txn) change(ns string, epoch, index int, edit func(*Meta)) uint64 {
	next := Meta{}
	if old := record[Meta](t, epoch); old != nil {
		next = *old
	}
	next.Epoch++
	if edit != nil {
		edit(&next)
	}
	t.put(epoch, &next)
	changed := map[string]uint64{ns: next.Epoch}
	if old := record[Meta](t, index); old != nil {
		for other, at := range old.Changed {
			changed[other] = max(changed[other], at)
		}
	}
	t.put(index, &Meta{Changed: changed})
	t.durable = true
	return next.Epoch
}

// planChange names the records that a change of policy writes besides its own.
func planChange(c *command) (epoch, index int) {
	return c.key(epochKey(), statestore.Write, 0), c.key(indexKey(), statestore.Write, 0)
}

// unread is a namespace whose policy this replica cannot read.
type unread struct {
	kept uint64 // the epoch that the namespace goes on with
	err  error
}

// openPolicies makes sure that there is an epoch and loads what stands under
// it. There is no last good policy yet, so one that cannot be read is an error.
func (e *Engine) openPolicies(ctx context.Context) error {
	if err := e.openEpoch(ctx); err != nil {
		return err
	}
	if err := e.loadPolicies(ctx); err != nil {
		return err
	}
	for ns, u := range e.policies.Load().unread {
		return fmt.Errorf("stored policy of namespace %q: %w", ns, u.err)
	}
	return nil
}

// openEpoch makes the record of the epoch if there is none: in a new store, and
// in one from before there was an epoch, whose policies have their numbers.
func (e *Engine) openEpoch(ctx context.Context) error {
	stored, _, err := get[Meta](ctx, e, epochKey())
	if err != nil || stored != nil {
		return err
	}
	first, index, err := e.countPolicies(ctx)
	if err != nil {
		return err
	}
	entries := []*statestore.Entry{
		{Key: epochKey(), Mode: statestore.Write},
		{Key: indexKey(), Mode: statestore.Write},
	}
	err = e.store.Update(ctx, entries, func(rules.Instant) (statestore.Durability, error) {
		if entries[0].Record() == nil {
			entries[0].Put(first)
			entries[1].Put(index)
		}
		return statestore.Durable, nil
	})
	if err != nil {
		return storeError(err)
	}
	return nil
}

// countPolicies finds the policies of a store that has no epoch yet.
func (e *Engine) countPolicies(ctx context.Context) (epoch, index *Meta, err error) {
	namespaces, err := e.store.Namespaces(ctx)
	if err != nil {
		return nil, nil, storeError(err)
	}
	epoch, index = &Meta{}, &Meta{Changed: map[string]uint64{}}
	for _, ns := range namespaces {
		r, _, err := e.store.Get(ctx, policyKey(ns))
		if err != nil {
			return nil, nil, storeError(err)
		}
		doc, ok := r.(*Document)
		if !ok {
			continue
		}
		index.Changed[ns] = doc.Epoch
		epoch.Epoch = max(epoch.Epoch, doc.Epoch)
		if ns == "" && strings.HasPrefix(doc.Actor, fileActor) {
			epoch.File = textHash(doc.Text)
		}
	}
	return epoch, index, nil
}

// fresh returns the policies in force, for reads that need no transaction.
func (e *Engine) fresh(ctx context.Context) (*policySet, error) {
	set := e.policies.Load()
	stored, _, err := get[Meta](ctx, e, epochKey())
	if err != nil {
		return nil, err
	}
	if stored == nil || stored.Epoch == set.epoch {
		return set, nil
	}
	if err := e.catchUp(ctx, set); err != nil {
		return nil, err
	}
	return e.policies.Load(), nil
}

// outdated reports whether there are other policies than those that a command
// was planned with, and has loaded them then. It is for refusals that no
// transaction confirms.
func (e *Engine) outdated(ctx context.Context, c *command) bool {
	err := e.patiently(ctx, c.until, func(ctx context.Context) error {
		_, err := e.fresh(ctx)
		return err
	})
	return err == nil && e.policies.Load() != c.policies
}

// catchUp loads the policies in force, unless somebody has replaced the set
// that was found to be outdated. Of all who find that, one loads.
func (e *Engine) catchUp(ctx context.Context, seen *policySet) error {
	select {
	case e.loading <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	defer func() { <-e.loading }()
	if e.policies.Load() != seen {
		return nil
	}
	return e.loadPolicies(ctx)
}

// loadPolicies reads the epoch, then the index, then all of each namespace
// that has changed since the set that this replica has. What it reads may be
// newer than the epoch that it read first. Then the next batch sees a newer
// epoch, so nothing is decided by such a set. The caller holds loading.
func (e *Engine) loadPolicies(ctx context.Context) error {
	epoch, _, err := get[Meta](ctx, e, epochKey())
	if err != nil {
		return err
	}
	index, _, err := get[Meta](ctx, e, indexKey())
	if err != nil {
		return err
	}
	if epoch == nil {
		epoch = &Meta{}
	}
	if index == nil {
		index = &Meta{}
	}
	old := e.policies.Load()
	set := &policySet{
		epoch: epoch.Epoch, applied: epoch.File, file: policy.Default(), changed: index.Changed,
		own: map[string]*policy.Policy{}, docs: map[string]*Document{}, unread: map[string]unread{},
		above: newAbove(e.observe),
	}
	for ns, at := range index.Changed {
		if last, seen := old.changed[ns]; seen && last == at {
			set.keep(old, ns)
			continue
		}
		if err := e.loadNamespace(ctx, set, old, ns); err != nil {
			return err
		}
	}
	e.policies.Store(set)
	return nil
}

// loadNamespace reads everything of one namespace that stands under the epoch.
// Its counterpart for a namespace that has not changed is policySet.keep.
func (e *Engine) loadNamespace(ctx context.Context, set, old *policySet, ns string) error {
	if err := e.loadDocument(ctx, set, old, ns); err != nil {
		return err
	}
	return e.loadEnforcement(ctx, set, ns)
}

// loadDocument reads a namespace's policy. One that this replica cannot read,
// because a newer one wrote it, leaves the namespace with what it had.
func (e *Engine) loadDocument(ctx context.Context, set, old *policySet, ns string) error {
	r, _, err := e.store.Get(ctx, policyKey(ns))
	if err != nil {
		return storeError(err)
	}
	doc, ok := r.(*Document)
	if !ok { // it has none, or its drill has ended
		return nil
	}
	p, err := compile(ns, doc.File, doc.Text)
	if err != nil {
		set.keep(old, ns)
		set.unread[ns] = unread{kept: old.epochOf(ns), err: err}
		e.log.LogAttrs(ctx, slog.LevelError, "a stored policy cannot be read by this version; the namespace keeps the last good one here",
			slog.String("namespace", ns), slog.Uint64("epoch", set.epoch), slog.Uint64("kept_epoch", old.epochOf(ns)), slog.Any("error", err))
		return nil
	}
	set.add(ns, p, doc)
	return nil
}

// forgetPolicy drops the policy of a drill that has ended. The epoch stays:
// what nobody follows is in nobody's way.
func (e *Engine) forgetPolicy(ctx context.Context, ns string) error {
	entry := &statestore.Entry{Key: indexKey(), Mode: statestore.Write}
	err := e.store.Update(ctx, []*statestore.Entry{entry}, func(rules.Instant) (statestore.Durability, error) {
		index, ok := entry.Record().(*Meta)
		if _, listed := index.changedAt(ns); ok && listed {
			next := maps.Clone(index.Changed)
			delete(next, ns)
			entry.Put(&Meta{Changed: next})
		}
		return statestore.Rebuildable, nil
	})
	if err != nil {
		return storeError(err)
	}
	e.loading <- struct{}{}
	defer func() { <-e.loading }()
	old := e.policies.Load()
	next := *old
	next.own, next.docs, next.changed = maps.Clone(old.own), maps.Clone(old.docs), maps.Clone(old.changed)
	delete(next.own, ns)
	delete(next.docs, ns)
	delete(next.changed, ns)
	next.above = old.above.without(ns)
	e.policies.Store(&next)
	return nil
}

// changedAt is when a namespace changed last; false if it never did.
func (m *Meta) changedAt(ns string) (uint64, bool) {
	if m == nil {
		return 0, false
	}
	at, listed := m.Changed[ns]
	return at, listed
}
