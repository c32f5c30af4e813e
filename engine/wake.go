// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/resilienced/resilienced/statestore"
)

// Replicas tell each other of changes that readers wait for, so that these need
// not wait for their next look. Nothing depends on it: a message may be lost.
//
//	message: line*    line: kind TAB namespace LF
//	an empty message, or "*": look at everything
const (
	tellAll = "*"
	// maxTold is how many changes of different kind or namespace are told apart
	// in one message; beyond that everything is to be looked at.
	maxTold = 64
	// maxMessage is the most that a Notifier takes.
	maxMessage = 4096
	// tellPause is the least time between two messages. What happens meanwhile
	// shares the next one.
	tellPause = 2 * time.Millisecond
	// followLimit bounds the load of a policy that another replica told of.
	followLimit = 5 * time.Second
)

// news is what one line of a message says.
type news struct {
	kind      EventKind
	namespace string
}

// teller collects what the other replicas are to be told.
type teller struct {
	notifier statestore.Notifier // nil: there are no others
	wake     chan struct{}
	follow   chan struct{} // a policy has changed

	mu      sync.Mutex
	pending map[news]struct{}
}

func newTeller(s statestore.Store) *teller {
	n, _ := s.(statestore.Notifier)
	return &teller{notifier: n, wake: make(chan struct{}, 1), follow: make(chan struct{}, 1), pending: map[news]struct{}{}}
}

// told are the kinds of event that somebody may wait for.
func told(k EventKind) bool {
	switch k {
	case EventTransition, EventEscalation, EventLetter, EventRun, EventPolicy:
		return true
	case EventLost:
	}
	return false
}

// note adds a change to the next message. It never waits.
func (w *teller) note(e *Event) {
	if w.notifier == nil || !told(e.Kind) {
		return
	}
	w.mu.Lock()
	if len(w.pending) <= maxTold {
		w.pending[news{e.Kind, e.Namespace}] = struct{}{}
	}
	w.mu.Unlock()
	nudge(w.wake)
}

// nudge leaves a sign in a channel that holds one.
func nudge(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// message is what is to be told now; empty if that is nothing.
func (w *teller) message() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	many := len(w.pending) > maxTold
	var text strings.Builder
	for c := range w.pending {
		text.WriteString(string(c.kind) + "\t" + c.namespace + "\n")
	}
	clear(w.pending)
	if many || text.Len() > maxMessage {
		return tellAll
	}
	return text.String()
}

// tellLoop sends what was noted.
func (e *Engine) tellLoop() {
	w := e.teller
	pause := time.NewTimer(0)
	defer pause.Stop()
	for {
		select {
		case <-e.quit:
			return
		case <-pause.C:
		}
		select {
		case <-e.quit:
			return
		case <-w.wake:
		}
		if m := w.message(); m != "" {
			w.notifier.Notify(m)
		}
		pause.Reset(tellPause)
	}
}

// hearLoop wakes this replica's readers by what others tell, until the store's
// connection is closed.
func (e *Engine) hearLoop() {
	for {
		select {
		case <-e.quit:
			return
		case m, ok := <-e.teller.notifier.Notifications():
			if !ok {
				return
			}
			e.hear(m)
		}
	}
}

// hear takes in a message. Lines that this version does not know say nothing.
func (e *Engine) hear(message string) {
	if message == "" || message == tellAll {
		e.watchers.signalAll()
		nudge(e.teller.follow)
		return
	}
	for line := range strings.Lines(message) {
		kind, namespace, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		if !ok {
			continue
		}
		e.watchers.signal(&Event{Kind: EventKind(kind), Namespace: namespace})
		if EventKind(kind) == EventPolicy {
			nudge(e.teller.follow)
		}
	}
}

// followLoop loads policies that others have applied, before the next command
// needs them.
func (e *Engine) followLoop() {
	for {
		select {
		case <-e.quit:
			return
		case <-e.teller.follow:
		}
		ctx, cancel := context.WithTimeout(e.background, followLimit)
		if _, err := e.fresh(ctx); err != nil {
			e.log.Warn("the policy that another replica applied could not be loaded; the next command does it", "error", err)
		}
		cancel()
	}
}
