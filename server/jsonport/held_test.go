// SPDX-License-Identifier: Apache-2.0

package jsonport

import (
	"context"
	"sync"

	"github.com/resilienced/resilienced/statestore"
	"github.com/resilienced/resilienced/statestore/memory"
)

// held is a store whose next transaction waits until it is let go. It commits
// whatever became of its caller, as a database does.
type held struct {
	statestore.Store

	mu    sync.Mutex
	gate  chan struct{} // nil: nothing waits
	count int
}

func newHeld() *held { return &held{Store: memory.New(memory.Config{})} }

func (h *held) hold() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.gate = make(chan struct{})
}

func (h *held) release() {
	h.mu.Lock()
	defer h.mu.Unlock()
	close(h.gate)
	h.gate = nil
}

// grants is how many transactions waited.
func (h *held) grants() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.count
}

func (h *held) Update(ctx context.Context, entries []*statestore.Entry, fn statestore.Func) error {
	h.mu.Lock()
	gate := h.gate
	if gate != nil {
		h.count++
	}
	h.mu.Unlock()
	if gate != nil {
		<-gate
	}
	return h.Store.Update(context.WithoutCancel(ctx), entries, fn)
}
