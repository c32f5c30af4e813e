// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"sync"

	"github.com/resilienced/resilienced/rules/operation"
)

// EventKind says what happened.
type EventKind string

// The kinds of event.
const (
	EventTransition EventKind = "breaker_transition"
	EventLetter     EventKind = "dead_letter"
	EventEscalation EventKind = "escalation"
	EventRun        EventKind = "run"
	EventPolicy     EventKind = "policy"
	EventLost       EventKind = "permit_lost"
)

// Event is one thing that a committed command brought about.
type Event struct {
	Kind       EventKind
	Namespace  string
	Name       string // of the record: target, letter, escalation or run
	Target     string
	State      string // of the record afterwards
	Reason     string
	At         instant
	Transition transition // of a breaker

	lost *operation.Operation // with the permit whose lease ended, for the recording
}

// watchers tells waiting readers that something changed. A signal may be
// missed or come twice: readers read the record again and also look by
// themselves from time to time.
type watchers struct {
	mu   sync.Mutex
	next int
	by   map[int]watcher
}

type watcher struct {
	kind      EventKind
	namespace string
	wake      chan struct{}
}

func newWatchers() *watchers { return &watchers{by: map[int]watcher{}} }

// watch returns a channel that is signalled after events of one kind in a
// namespace, and the function that ends it.
func (w *watchers) watch(kind EventKind, namespace string) (<-chan struct{}, func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.next++
	id, wake := w.next, make(chan struct{}, 1)
	w.by[id] = watcher{kind, namespace, wake}
	return wake, func() {
		w.mu.Lock()
		delete(w.by, id)
		w.mu.Unlock()
	}
}

func (w *watchers) signal(e *Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, one := range w.by {
		if one.kind == e.Kind && one.namespace == e.Namespace {
			nudge(one.wake)
		}
	}
}

// signalAll wakes every waiting reader.
func (w *watchers) signalAll() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, one := range w.by {
		nudge(one.wake)
	}
}

// publish hands a committed event on.
func (e *Engine) publish(event Event) {
	if event.lost != nil {
		e.record.lost(event.Namespace, event.Name, event.lost)
		event.lost = nil
	}
	e.watchers.signal(&event)
	e.teller.note(&event)
	if e.onEvent != nil {
		e.onEvent(event)
	}
}
