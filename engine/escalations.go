// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"errors"
	"time"

	"github.com/resilienced/resilienced/rules/escalation"
	"github.com/resilienced/resilienced/statestore"
)

// raise makes an escalation, or folds it into an earlier one of its kind, and
// returns its key. It reports false if records are missing.
func (t *txn) raise(ns string, e escalation.Escalation, now instant) (string, bool) {
	own, ok := t.want(escalationKey(ns, e.Key), statestore.Write, 0)
	if !ok {
		return "", false
	}
	if old := record[escalation.Escalation](t, own); old != nil && !old.Gone(now) {
		return t.foldInto(own, old, now), true
	}
	name := escalation.FoldName(e.Type, e.Target, e.Reason)
	if name == "" {
		return t.open(ns, own, e, now), true
	}
	fold, ok := t.want(statestore.Key{Kind: statestore.KindFold, Namespace: ns, Name: name}, statestore.Write, 0)
	if !ok {
		return "", false
	}
	if f := record[escalation.Fold](t, fold); f != nil {
		first, ok := t.want(escalationKey(ns, f.Key), statestore.Write, 0)
		if !ok {
			return "", false
		}
		old := record[escalation.Escalation](t, first)
		if old != nil {
			old = old.Derive(now)
		}
		if f.Takes(now, old) {
			return t.foldInto(first, old, now), true
		}
	}
	t.put(fold, &escalation.Fold{Key: e.Key, Since: now})
	return t.open(ns, own, e, now), true
}

// foldInto counts one more occurrence; a final escalation stays as it is.
func (t *txn) foldInto(handle int, old *escalation.Escalation, now instant) string {
	if derived := old.Derive(now); !derived.Final() {
		t.put(handle, derived.Again(now))
		t.durable = true
	}
	return old.Key
}

func (t *txn) open(ns string, handle int, e escalation.Escalation, now instant) string {
	raised := escalation.Raise(e, now)
	t.put(handle, raised)
	t.durable = true
	t.emitEscalation(ns, raised, now)
	return raised.Key
}

func (t *txn) emitEscalation(ns string, e *escalation.Escalation, at instant) {
	t.emit(Event{
		Kind: EventEscalation, Namespace: ns, Name: e.Key, Target: e.Target, State: e.State.String(),
		Reason: string(e.Type), At: at,
	})
}

// GetEscalation reads an escalation by its key, its default applied if the
// deadline is over.
func (e *Engine) GetEscalation(ctx context.Context, ns, key string) (*EscalationView, error) {
	stored, now, err := get[escalation.Escalation](ctx, e, escalationKey(ns, key))
	if err != nil {
		return nil, err
	}
	if stored == nil || stored.Gone(now) {
		return nil, ErrNotFound
	}
	return &EscalationView{Escalation: stored.Derive(now), Now: now}, nil
}

// ListEscalations returns escalations, newest first.
func (e *Engine) ListEscalations(ctx context.Context, q *ListQuery) (Page[*EscalationView], error) {
	return list(ctx, e, q, statestore.KindEscalation, true, func(_ string, r statestore.Record, now instant) *EscalationView {
		stored, ok := r.(*escalation.Escalation)
		if !ok || stored.Gone(now) {
			return nil
		}
		v := &EscalationView{Escalation: stored.Derive(now), Now: now}
		if (q.State != 0 && uint8(v.Escalation.State) != q.State) || (q.Type != "" && string(stored.Type) != q.Type) ||
			(q.Run != "" && stored.Run != q.Run) || (q.Target != "" && stored.Target != q.Target) {
			return nil
		}
		return v
	})
}

// pollEvery is how often a waiting reader looks by itself.
const pollEvery = 5 * time.Second

// WaitDecision returns as soon as an escalation is final, or as it stands when
// the timeout is over. In a drill it answers at once.
func (e *Engine) WaitDecision(ctx context.Context, ns, key string, timeout time.Duration) (*EscalationView, error) {
	wake, stop := e.watchers.watch(EventEscalation, ns)
	defer stop()
	until := time.NewTimer(timeout)
	defer until.Stop()
	for {
		v, err := e.GetEscalation(ctx, ns, key)
		if err != nil || v.Escalation.Final() || isDrill(ns) || timeout <= 0 {
			return v, err
		}
		if err := e.waitUntil(ctx, wake, until.C, v.Escalation.Deadline.Until(v.Now)); err != nil {
			if errors.Is(err, errTimeout) {
				return e.GetEscalation(ctx, ns, key)
			}
			return nil, err
		}
	}
}

var errTimeout = errors.New("engine: waited for long enough")

// waitUntil returns when something may have changed: after a signal, at the
// deadline, or after a while; errTimeout when the caller's time is over.
func (e *Engine) waitUntil(ctx context.Context, wake <-chan struct{}, timeout <-chan time.Time, due time.Duration) error {
	poll := time.NewTimer(max(min(pollEvery, due), time.Millisecond))
	defer poll.Stop()
	select {
	case <-wake:
	case <-poll.C:
	case <-timeout:
		return errTimeout
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-e.quit:
		return ErrUnavailable
	}
	return nil
}
