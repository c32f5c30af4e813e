// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/resilienced/resilienced/rules"
	"github.com/resilienced/resilienced/rules/budget"
	"github.com/resilienced/resilienced/statestore"
)

// drillStart is the instant at which every drill begins.
const drillStart = rules.Instant(1_767_225_600_000_000) // 2026-01-01T00:00:00Z

// DrillLife is how long a drill namespace lives at most, in real time.
const DrillLife = time.Hour

// maxAdvance bounds one AdvanceClock.
const maxAdvance = 366 * 24 * time.Hour

// StartDrill makes a namespace whose clock stands still until AdvanceClock
// moves it. A repeat of the request id returns the same namespace. A lifetime
// of 0 is DrillLife.
func (e *Engine) StartDrill(ctx context.Context, requestID string, lifetime time.Duration) (*DrillView, error) {
	if !e.allowDrills {
		return nil, ErrDrillsOff
	}
	if lifetime <= 0 {
		lifetime = DrillLife
	}
	ns := drillPrefix + strings.ToLower(rand.Text())
	if requestID != "" {
		sum := sha256.Sum256([]byte(requestID))
		ns = drillPrefix + hex.EncodeToString(sum[:16])
	}
	entry := &statestore.Entry{Key: clockKey(ns), Mode: statestore.Write}
	clock := &Clock{}
	err := e.store.Update(ctx, []*statestore.Entry{entry}, func(now rules.Instant) (statestore.Durability, error) {
		if old, ok := entry.Record().(*Clock); ok {
			clock = old
			return statestore.Rebuildable, nil
		}
		clock = &Clock{Now: drillStart, EndsAt: now.Add(min(lifetime, DrillLife))}
		entry.Put(clock)
		return statestore.Rebuildable, nil
	})
	if err != nil {
		return nil, storeError(err)
	}
	return &DrillView{Namespace: ns, Now: clock.Now}, nil
}

// maxHandled is how often AdvanceClock handles one record that falls due at the
// same instant again: each replica may log the same decision, and write that
// after another's row has gone.
const maxHandled = 16

// tick moves a drill's clock to an instant.
type tick struct{ to instant }

func (w *tick) apply(t *txn) error {
	h, ok := t.want(clockKey(t.cmd.namespace), statestore.Write, 0)
	if !ok {
		return errNeed
	}
	clock := *record[Clock](t, h)
	clock.Now = max(clock.Now, w.to)
	t.put(h, &clock)
	return nil
}

// AdvanceClock moves a drill's clock on, and handles what falls due on the way
// in the order in which it does, as if the clock stopped at each. A repeat of
// the request id goes on to where the first was going.
func (e *Engine) AdvanceClock(ctx context.Context, ns, requestID string, d time.Duration) (*DrillView, error) {
	if !isDrill(ns) {
		return nil, ErrNotDrill
	}
	if d < 0 || d > maxAdvance {
		return nil, &InvalidError{Field: "duration", Why: "it must be between 0 and 366 days"}
	}
	w := &once[destination]{method: "AdvanceClock", requestID: requestID, hash: uint64(d)}
	w.body = func(t *txn) (*destination, error) { return &destination{To: t.now.Add(d)}, nil }
	to, err := runOnce(ctx, e, ns, w, nil)
	if err != nil {
		return nil, err
	}
	v := &DrillView{Namespace: ns, Now: to.To}
	last, again := statestore.DueKey{}, 0
	for {
		due, err := e.store.Due(ctx, statestore.DueQuery{Namespace: ns, Until: v.Now, Limit: 1})
		if err != nil {
			return nil, storeError(err)
		}
		if len(due) == 0 {
			break
		}
		if due[0] != last {
			again = 0
		} else if again++; again > maxHandled { // sweeping it changes nothing: it would be due for ever
			return nil, fmt.Errorf("%w: %v of kind %d is still due after it was handled", ErrInternal, due[0].Key.Name, due[0].Key.Kind)
		}
		last = due[0]
		if err := e.submit(ctx, ns, false, &tick{to: due[0].Due}, nil); err != nil {
			return nil, err
		}
		if err := e.sweepOne(ctx, due[0].Key); err != nil {
			return nil, err
		}
		v.Handled++
	}
	err = e.submit(ctx, ns, false, &tick{to: v.Now}, nil)
	return v, err
}

// destination is where an AdvanceClock goes.
type destination struct {
	To instant `json:"t"`
}

// EndDrill drops a drill namespace with everything in it.
func (e *Engine) EndDrill(ctx context.Context, ns string) error {
	if !isDrill(ns) {
		return ErrNotDrill
	}
	if _, err := e.drillNow(ctx, ns); err != nil { // it has ended already
		if errors.Is(err, ErrNotDrill) {
			return nil
		}
		return err
	}
	for kind := range Kinds() {
		if kind == statestore.KindClock {
			continue
		}
		if err := e.dropAll(ctx, kind, ns); err != nil {
			return err
		}
	}
	if err := e.forgetPolicy(ctx, ns); err != nil {
		return err
	}
	e.forgetDrill(ns)
	return e.dropAll(ctx, statestore.KindClock, ns)
}

// forgetDrill drops what this replica remembers of a drill that has ended.
func (e *Engine) forgetDrill(ns string) {
	e.observations.forget(ns)
	e.quotas.forget(ns)
	e.paths.forget(ns)
}

// forgetDrills drops what this replica remembers of drills that another one has
// ended.
func (e *Engine) forgetDrills(ctx context.Context) error {
	var drills []string
	for ns := range *e.quotas.known.Load() {
		if isDrill(ns) {
			drills = append(drills, ns)
		}
	}
	for _, ns := range drills {
		switch _, err := e.drillNow(ctx, ns); {
		case errors.Is(err, ErrNotDrill):
			e.forgetDrill(ns)
		case err != nil:
			return err
		}
	}
	return nil
}

func (e *Engine) dropAll(ctx context.Context, kind statestore.Kind, ns string) error {
	for {
		page, err := e.store.List(ctx, statestore.Query{Kind: kind, Namespace: ns, Limit: maxPage})
		if err != nil {
			return storeError(err)
		}
		if len(page.Rows) == 0 {
			return nil
		}
		entries := make([]*statestore.Entry, 0, len(page.Rows))
		for _, row := range page.Rows {
			entry := &statestore.Entry{Key: statestore.Key{Kind: kind, Namespace: ns, Name: row.Name}, Mode: statestore.Write}
			if run, ok := row.Record.(*budget.Run); ok {
				entry.Depth = uint8(max(len(run.Path), 1) - 1)
			}
			entries = append(entries, entry)
		}
		err = e.store.Update(ctx, entries, func(rules.Instant) (statestore.Durability, error) {
			for _, entry := range entries {
				entry.Put(nil)
			}
			return statestore.Rebuildable, nil
		})
		if err != nil {
			return storeError(err)
		}
	}
}
