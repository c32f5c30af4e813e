// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/resilienced/resilienced/rules/budget"
	"github.com/resilienced/resilienced/rules/classify"
	"github.com/resilienced/resilienced/rules/deadletter"
	"github.com/resilienced/resilienced/rules/escalation"
	"github.com/resilienced/resilienced/rules/operation"
	"github.com/resilienced/resilienced/rules/target"
	"github.com/resilienced/resilienced/statestore"
)

// The sweeper only makes prompt what every read derives anyway.
const (
	sweepEvery = time.Second
	sweepBatch = 1000
	// sweepLimit bounds a sweep of a store that does not answer.
	sweepLimit = 30 * time.Second
	// recountTurns is how many sweeps go by between two looks at what other
	// replicas have added and ended.
	recountTurns = 15
)

func (e *Engine) sweepLoop() {
	if e.commits.shared { // not all replicas at once
		first := time.NewTimer(rand.N(sweepEvery))
		select {
		case <-e.quit:
			first.Stop()
			return
		case <-first.C:
		}
	}
	p := pace{e.commits.upkeep(), e.commits.upkeep()}
	timer := time.NewTicker(sweepEvery)
	defer timer.Stop()
	for turn := 1; ; turn++ {
		select {
		case <-e.quit:
			return
		case <-timer.C:
			ctx, cancel := e.bound(e.background, sweepLimit)
			begun := time.Now()
			if _, err := e.sweep(ctx, p.now); err != nil {
				e.complaints.warn("the sweep failed; reads go on deriving what is due", "error", err)
			}
			p.after(time.Since(begun))
			// A replica without calls learns of a new epoch here.
			if _, err := e.fresh(ctx); err != nil {
				e.complaints.warn("the policy's epoch could not be read; decisions wait for it", "error", err)
			}
			if e.commits.shared && turn%recountTurns == 0 {
				if err := errors.Join(e.quotas.recount(ctx), e.forgetDrills(ctx)); err != nil {
					e.complaints.warn("what other replicas made could not be counted; quotas follow this one's until then", "error", err)
				}
			}
			cancel()
		}
	}
}

// Sweep handles what is due now, at most a few batches, and returns how many
// records that were.
func (e *Engine) Sweep(ctx context.Context) (int, error) { return e.sweep(ctx, e.commits.upkeep()) }

// sweep is Sweep with transactions of at most so many records.
func (e *Engine) sweep(ctx context.Context, most int) (int, error) {
	now, err := e.store.Now(ctx)
	if err != nil {
		return 0, storeError(err)
	}
	handled := 0
	for range 20 {
		due, err := e.store.Due(ctx, statestore.DueQuery{Except: drillPrefix, Until: now, Limit: sweepBatch})
		if err != nil {
			return handled, storeError(err)
		}
		for part := range slices.Chunk(due, most) {
			if err := e.sweepMany(ctx, part); err != nil {
				return handled, err
			}
		}
		if handled += len(due); len(due) < sweepBatch {
			break
		}
	}
	return handled, e.endOldDrills(ctx, now)
}

// sweepMany runs one command for every due record, side by side, so that they
// share transactions.
func (e *Engine) sweepMany(ctx context.Context, due []statestore.DueKey) error {
	expired := make([]statestore.DueKey, 0, len(due))
	commands := make([]*command, 0, len(due))
	for _, d := range due {
		if e.simple(d.Key.Kind) {
			expired = append(expired, d)
			continue
		}
		c := &command{}
		c.begin(ctx, e, d.Key.Namespace, false, &sweep{key: d.Key, depth: e.depth(ctx, d.Key)})
		commands = append(commands, c)
	}
	e.commits.all(commands) //nolint:contextcheck // a transaction outlives its callers
	for _, c := range commands {
		if c.err != nil && !errors.Is(c.err, errOutdated) { // that one comes next time
			return c.err
		}
	}
	if len(expired) == 0 {
		return nil
	}
	err := e.submit(ctx, expired[0].Key.Namespace, false, &bulk{keys: expired}, nil)
	return err
}

// simple kinds are handled without any record but themselves.
func (e *Engine) simple(k statestore.Kind) bool {
	return k == statestore.KindOperation || k == statestore.KindTally || k == statestore.KindStripe || k == statestore.KindTask ||
		k == statestore.KindRepeat || k == statestore.KindRequest || k == statestore.KindDecision || k == statestore.KindFold ||
		k == statestore.KindTransition || k == statestore.KindObservation
}

// bulk drops records whose time is over, and leaves those that need more.
type bulk struct {
	keys []statestore.DueKey
}

func (w *bulk) apply(t *txn) error {
	handles := make([]int, len(w.keys))
	for i, k := range w.keys {
		handles[i], _ = t.want(k.Key, statestore.Try, 0)
	}
	if len(t.cmd.entries) < len(t.cmd.wants) {
		return errNeed
	}
	t.missing = false // a record that somebody else holds comes next time
	for _, h := range handles {
		if t.cmd.entries[h].Held() && t.get(h) != nil {
			sweepRecord(t, h)
		}
	}
	return nil
}

// sweep handles one record with whatever others that takes.
type sweep struct {
	key   statestore.Key
	depth uint8
}

func (e *Engine) sweepOne(ctx context.Context, k statestore.Key) error {
	err := e.submit(ctx, k.Namespace, false, &sweep{key: k, depth: e.depth(ctx, k)}, nil)
	return err
}

// depth is how deep a run lies in its tree, for the order of locks. A run that
// is gone is nowhere.
func (e *Engine) depth(ctx context.Context, k statestore.Key) uint8 {
	if k.Kind != statestore.KindRun {
		return 0
	}
	path, err := e.path(ctx, k.Namespace, k.Name)
	if err != nil || len(path) == 0 {
		return 0
	}
	return uint8(len(path) - 1)
}

func (w *sweep) apply(t *txn) error {
	h, ok := t.want(w.key, statestore.Write, w.depth)
	if !ok {
		return errNeed
	}
	if t.get(h) == nil {
		return nil
	}
	if stored := record[target.Control](t, h); stored != nil {
		return w.control(t, h, stored)
	}
	sweepRecord(t, h)
	return nil
}

// control derives a target's record; one that says nothing any more goes.
func (w *sweep) control(t *txn, h int, stored *target.Control) error {
	name, _, _ := strings.Cut(w.key.Name, sep)
	cfg := t.cmd.policies.of(w.key.Namespace).Target(name)
	c, made := stored.Derive(cfg, t.now)
	if c.Fresh(t.now) {
		t.put(h, nil)
		return nil
	}
	if !t.history(w.key, name, made) {
		return errNeed
	}
	next := c.Stamp(cfg, stored.UpdatedAt)
	if next.NextDue <= t.now { // kept for another reason: look again later
		next.NextDue = t.now.Add(time.Hour)
	}
	t.put(h, next)
	return nil
}

// sweepRecord derives one record, or drops it when its time is over.
func sweepRecord(t *txn, h int) {
	switch r := t.get(h).(type) {
	case *operation.Operation:
		sweepOperation(t, h, r)
	case *budget.Run:
		if next := r.Derive(t.now); next != r {
			t.put(h, next)
			t.durable = true
		}
	case *escalation.Escalation:
		switch next := r.Derive(t.now); {
		case r.Gone(t.now):
			t.put(h, nil)
		case next != r:
			t.put(h, next)
			t.durable = true
			t.emitEscalation(t.cmd.entries[h].Key.Namespace, next, next.Deadline)
		}
	case *deadletter.Letter:
		if r.Expired(t.now) {
			t.put(h, nil)
			t.durable = true
		}
	case *Clock:
	case statestore.Dated:
		if due := r.DueAt(); due != 0 && due <= t.now {
			t.put(h, nil)
		}
	}
}

// sweepOperation turns a lease that is over into a lost permit. An operation
// that may not be made twice asks a person what became of it (R40).
func sweepOperation(t *txn, h int, op *operation.Operation) {
	next, lost := op.Derive(t.now)
	ns, name := t.cmd.entries[h].Key.Namespace, t.cmd.entries[h].Key.Name
	switch {
	case lost && next.State == operation.Locked:
		run := ""
		if path := next.Detail.RunPath; len(path) > 0 {
			run = path[len(path)-1]
		}
		key, ok := t.raise(ns, escalation.Escalation{
			Key: escalation.Key(name), Type: escalation.TypeAmbiguousOutcome, Run: run, Operation: name, Target: next.Permit.Target,
			Reason: string(classify.ReasonLost), Question: question(escalation.TypeAmbiguousOutcome, name, next.Permit.Target),
		}, next.Permit.Expires)
		if !ok {
			return
		}
		edited := next.Edit()
		edited.Detail.Escalation = key
		t.put(h, edited)
		t.durable = true
	case lost:
		t.put(h, next)
	case next.Expires <= t.now:
		t.put(h, nil)
	}
	if lost {
		t.seeLoss(ns, next.Permit, 1)
		t.emit(Event{
			Kind: EventLost, Namespace: ns, Name: name, Target: next.Permit.Target,
			At: next.Permit.Expires, Reason: string(classify.ReasonLost), lost: next,
		})
	}
}

// endOldDrills drops drill namespaces whose hour of real time is over.
func (e *Engine) endOldDrills(ctx context.Context, now instant) error {
	if !e.allowDrills {
		return nil
	}
	namespaces, err := e.store.Namespaces(ctx)
	if err != nil {
		return storeError(err)
	}
	for _, ns := range namespaces {
		if !isDrill(ns) {
			continue
		}
		r, _, err := e.store.Get(ctx, clockKey(ns))
		if err != nil {
			return storeError(err)
		}
		if clock, ok := r.(*Clock); ok && now >= clock.EndsAt {
			if err := e.EndDrill(ctx, ns); err != nil {
				return err
			}
		}
	}
	return nil
}
