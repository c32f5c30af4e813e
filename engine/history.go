// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/resilienced/resilienced/rules"
	"github.com/resilienced/resilienced/rules/breaker"
	"github.com/resilienced/resilienced/rules/target"
	"github.com/resilienced/resilienced/statestore"
)

// A target's history is a head with the newest transitions and, behind it, a
// ring of chunks that are written once. So a transition rewrites a few dozen
// rows however long the history is, and nothing has to be deleted to bound it:
//
//	head: 20 to 39 transitions ── 20 oldest at a time ──▶ ring of 49 chunks
const (
	chunkLength = 20
	maxChunks   = 49
	// MaxTransitions is how many transitions of a target are kept at least,
	// and shown at most. Older ones are dropped before HistoryRetention is over.
	MaxTransitions = (maxChunks + 1) * chunkLength
	// HistoryRetention is how long a transition is kept.
	HistoryRetention = 30 * 24 * time.Hour
	// shownTransitions is how many a target's view has.
	shownTransitions = 20
)

// History is the head of a target's history, or one of its chunks. Oldest
// first.
type History struct {
	Transitions []transition `json:"t"`
	Chunks      uint64       `json:"c,omitempty"` // of a head: how many it has filled in all
}

// DueAt is when the whole record may go.
func (h *History) DueAt() rules.Instant {
	if len(h.Transitions) == 0 {
		return 0
	}
	return h.Transitions[len(h.Transitions)-1].At.Add(HistoryRetention)
}

// with returns the head with more transitions behind its own.
func (h *History) with(made []transition) *History {
	next := &History{}
	if h != nil {
		next.Transitions = append(make([]transition, 0, len(h.Transitions)+len(made)), h.Transitions...)
		next.Chunks = h.Chunks
	}
	next.Transitions = append(next.Transitions, made...)
	return next
}

// newest returns what a target's view shows, with transitions that are due and
// not written yet.
func (h *History) newest(due []transition) []transition {
	all := latestFirst(h.with(due).Transitions)
	return all[:min(len(all), shownTransitions)]
}

// latestFirst sorts transitions and drops repeats: what was derived from a
// target's record may have been written before the history was read.
func latestFirst(all []transition) []transition {
	slices.SortStableFunc(all, func(a, b transition) int {
		switch {
		case a.Generation > b.Generation:
			return -1
		case a.Generation < b.Generation:
			return 1
		}
		return 0
	})
	return slices.CompactFunc(all, func(a, b transition) bool { return a.Generation == b.Generation })
}

// historyKey names the head of a target's history.
func historyKey(control statestore.Key) statestore.Key {
	return statestore.Key{Kind: statestore.KindTransition, Namespace: control.Namespace, Name: control.Name}
}

// chunkKey names a place in the ring. No credential is named like it, since no
// name that a caller gives holds a separator.
func chunkKey(control statestore.Key, chunk uint64) statestore.Key {
	k := historyKey(control)
	k.Name = fmt.Sprintf("%s%s%s%02d", k.Name, sep, sep, chunk%maxChunks)
	return k
}

// turned returns the transitions that time has brought about and nobody has
// written yet. Ask before the record is put.
func (t *txn) turned(k *levelKeys) []transition {
	stored := record[target.Control](t, k.control)
	if stored == nil || !stored.Pending(t.now) {
		return nil
	}
	_, made := stored.Derive(k.config, t.now)
	return made
}

// putControl stores a target's record with the transitions that led to it;
// false if that takes more records than are there yet.
func (t *txn) putControl(k *levelKeys, c target.Control, made []transition) bool {
	key := t.cmd.wants[k.control].key
	_, held := t.want(key, statestore.Write, 0)
	if !t.history(key, k.config.Name, made) || !held {
		return false
	}
	t.put(k.control, c.Stamp(k.config, t.now))
	return true
}

// history appends transitions to a target's history and emits their events.
// Its keys do not depend on the instant, so that a command that runs again for
// them wants the same ones.
func (t *txn) history(control statestore.Key, name string, made []transition) bool {
	if len(made) == 0 {
		return true
	}
	h, ok := t.want(historyKey(control), statestore.Write, 0)
	if !ok {
		return false
	}
	head := record[History](t, h).with(made)
	for len(head.Transitions) >= 2*chunkLength {
		c, ok := t.want(chunkKey(control, head.Chunks), statestore.Write, 0)
		if !ok {
			return false
		}
		t.put(c, &History{Transitions: slices.Clone(head.Transitions[:chunkLength])})
		head.Transitions = slices.Clone(head.Transitions[chunkLength:])
		head.Chunks++
	}
	t.put(h, head)
	for _, m := range made {
		if m.To == breaker.Open {
			t.see(sighting{kind: sawOpening, namespace: control.Namespace, target: name, at: m.At})
		}
		t.emit(Event{
			Kind: EventTransition, Namespace: control.Namespace, Name: control.Name, Target: name, At: m.At,
			Transition: m, Reason: m.Cause.String(),
		})
	}
	return true
}

// TransitionsQuery asks for a page of a target's history.
type TransitionsQuery struct {
	Namespace  string
	Target     string
	Credential string  // empty: the target as a whole
	Since      instant // 0: no bound
	PageSize   int
	PageToken  string
}

// ListTransitions returns a target's history, newest first: at most
// MaxTransitions of the last HistoryRetention, with what is due by now. Over
// all pages each transition is seen once, whatever is added meanwhile.
func (e *Engine) ListTransitions(ctx context.Context, q *TransitionsQuery) (Page[breaker.Transition], error) {
	page := Page[breaker.Transition]{}
	set, err := e.fresh(ctx)
	if err != nil {
		return page, err
	}
	cfg := set.of(q.Namespace).Target(q.Target)
	key := controlKey(q.Namespace, cfg, q.Credential)
	list := statestore.Query{
		Kind: statestore.KindTransition, Namespace: q.Namespace, Prefix: key.Name, Descending: true, After: q.PageToken,
	}
	from, more, err := list.Start()
	if err != nil {
		return page, storeError(err)
	}
	if !more {
		from.Order = math.MaxInt64
	}
	all, now, err := e.transitions(ctx, key, cfg)
	if err != nil {
		return page, err
	}
	since := max(q.Since, now.Add(-HistoryRetention)+1)
	size := q.PageSize
	if size <= 0 {
		size = defaultPage
	}
	size = min(size, maxPage)
	for _, t := range all[:min(len(all), MaxTransitions)] {
		if t.Generation >= uint64(from.Order) || t.At < since {
			continue
		}
		if len(page.Items) == size {
			last := page.Items[size-1]
			page.Next = list.CursorAt(statestore.Position{Order: int64(last.Generation)})
			break
		}
		page.Items = append(page.Items, t)
	}
	return page, nil
}

// transitions reads all that is kept of a target, newest first. The target is
// read before its head and the head before its chunks: what moves on between
// two reads is then seen twice at most and never missed.
func (e *Engine) transitions(ctx context.Context, key statestore.Key, cfg *target.Config) ([]transition, rules.Instant, error) {
	stored, now, err := get[target.Control](ctx, e, key)
	if err != nil {
		return nil, 0, err
	}
	head, _, err := get[History](ctx, e, historyKey(key))
	if err != nil {
		return nil, 0, err
	}
	var due []transition
	if stored != nil {
		_, due = stored.Derive(cfg, now)
	}
	all := head.with(due)
	for i := range min(all.Chunks, maxChunks) {
		chunk, _, err := get[History](ctx, e, chunkKey(key, all.Chunks-1-i))
		if err != nil {
			return nil, 0, err
		}
		if chunk != nil { // else it is past its retention
			all.Transitions = append(all.Transitions, chunk.Transitions...)
		}
	}
	return latestFirst(all.Transitions), now, nil
}
