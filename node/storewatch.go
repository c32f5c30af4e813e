// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"

	"github.com/resilienced/resilienced/statestore"
)

// watched is a store that remembers why it takes no changes, for /readyz, and
// logs when that begins and ends. The calls that fail meanwhile are counted and
// sampled elsewhere.
type watched struct {
	statestore.Store
	log *slog.Logger
	why atomic.Pointer[refusal]
}

// refusal is a reason that does not go away by asking again.
type refusal struct {
	sentinel error
	text     string // for everybody who may read /readyz
}

func refusals() []refusal {
	return []refusal{
		{statestore.ErrFull, "the database's disk is full: make room there; reads still work"},
		{statestore.ErrReadOnly, "the database takes no changes: name the primary in --store, or make the file and its folder writable"},
		{statestore.ErrNotADatabase, "the database is damaged: see the server's log, keep a copy of it and restore a backup"},
	}
}

// watchStore watches a store. What it returns is a Notifier if the store is.
func watchStore(s statestore.Store, log *slog.Logger) (statestore.Store, *watched) {
	w := &watched{Store: s, log: log}
	if n, shared := s.(statestore.Notifier); shared {
		return &watchedNotifier{w, n}, w
	}
	return w, w
}

// watchedNotifier is a watched store that several processes share.
type watchedNotifier struct {
	*watched
	statestore.Notifier
}

// Update implements statestore.Store.
func (w *watched) Update(ctx context.Context, entries []*statestore.Entry, fn statestore.Func) error {
	err := w.Store.Update(ctx, entries, fn)
	switch {
	case err != nil:
		w.failed(ctx, err)
	case w.why.Load() != nil:
		if before := w.why.Swap(nil); before != nil {
			w.log.InfoContext(ctx, "the store takes changes again")
		}
	}
	return err
}

// failed remembers a refusal. An error of the body of a transaction is none.
func (w *watched) failed(ctx context.Context, err error) {
	for _, r := range refusals() {
		if !errors.Is(err, r.sentinel) {
			continue
		}
		if before := w.why.Swap(&r); before == nil || before.text != r.text {
			w.log.ErrorContext(ctx, "the store takes no changes", slog.String("do", r.text), slog.Any("error", err))
		}
		return
	}
}

// trouble says why the store takes no changes, or returns "".
func (w *watched) trouble() string {
	if r := w.why.Load(); r != nil {
		return r.text
	}
	return ""
}
