// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"crypto/rand"
	"fmt"
	"maps"
	"strings"

	"github.com/resilienced/resilienced/policy"
	"github.com/resilienced/resilienced/rules"
	"github.com/resilienced/resilienced/statestore"
)

// StartReplay makes a drill namespace in which recorded calls are played: its
// clock begins at an instant of the recording, and it follows a policy that is
// nowhere stored. It takes an engine that was made with Config.Replay.
func (e *Engine) StartReplay(ctx context.Context, at rules.Instant, p *policy.Policy) (string, error) {
	if !e.replay {
		return "", ErrDrillsOff
	}
	ns := drillPrefix + strings.ToLower(rand.Text())
	entry := &statestore.Entry{Key: clockKey(ns), Mode: statestore.Write}
	err := e.store.Update(ctx, []*statestore.Entry{entry}, func(now rules.Instant) (statestore.Durability, error) {
		entry.Put(&Clock{Now: at, EndsAt: now.Add(DrillLife)})
		return statestore.Rebuildable, nil
	})
	if err != nil {
		return "", storeError(err)
	}
	e.loading <- struct{}{}
	defer func() { <-e.loading }()
	next := *e.policies.Load()
	next.own = maps.Clone(next.own)
	next.own[ns] = p
	e.policies.Store(&next)
	return ns, nil
}

// AdvanceTo moves a replay's clock on to an instant, as AdvanceClock does, and
// costs little where nothing is due. An instant that has passed does nothing.
func (e *Engine) AdvanceTo(ctx context.Context, ns string, to rules.Instant) error {
	if !e.replay || !isDrill(ns) {
		return ErrNotDrill
	}
	last := statestore.DueKey{}
	for {
		due, err := e.store.Due(ctx, statestore.DueQuery{Namespace: ns, Until: to, Limit: 1})
		if err != nil {
			return storeError(err)
		}
		step := &step{to: to}
		if len(due) > 0 {
			if due[0] == last { // handling it changed nothing: it would be due for ever
				return fmt.Errorf("%w: %v of kind %d is still due after it was handled", ErrInternal, last.Key.Name, last.Key.Kind)
			}
			last = due[0]
			step.to, step.sweep.key = due[0].Due, due[0].Key
		}
		if err := e.submit(ctx, ns, false, step, nil); err != nil {
			return err
		}
		if len(due) == 0 {
			return nil
		}
	}
}

// step moves a clock to where something is due and handles that, in one.
type step struct {
	to    instant
	sweep sweep // of nothing, if it has no key
}

func (w *step) apply(t *txn) error {
	if err := (&tick{to: w.to}).apply(t); err != nil {
		return err
	}
	if w.sweep.key == (statestore.Key{}) {
		return nil
	}
	t.now = max(t.now, w.to)
	return w.sweep.apply(t)
}
