// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/resilienced/resilienced/statestore"
)

// once is a piece of work whose answer is kept under its request id, so that
// a repeat is given it again (G3).
type once[T any] struct {
	method    string
	requestID string
	hash      uint64
	key       int
	body      func(t *txn) (*T, error)
	result    *T
}

// runOnce runs an operator's request; a repeat with the same id and content
// gets the first answer, one with other content ErrMismatch. An empty id makes
// it unrepeatable. A request that fails does not use up its id.
func runOnce[T any](ctx context.Context, e *Engine, ns string, w *once[T], plan func(*command)) (*T, error) {
	if err := e.enter(ctx, e.commits.patience(ctx, otherPatience), ns); err != nil {
		return nil, err
	}
	err := e.submit(ctx, ns, false, w, func(c *command) {
		if plan != nil {
			plan(c)
		}
		if w.requestID != "" {
			w.key = c.key(statestore.Key{Kind: statestore.KindRequest, Namespace: ns, Name: w.method + sep + w.requestID}, statestore.Write, 0)
		}
	})
	if err != nil {
		return nil, err // a caller that left may not look at what is under way
	}
	return w.result, nil
}

func (w *once[T]) apply(t *txn) error {
	w.result = nil
	if w.requestID == "" {
		var err error
		w.result, err = w.body(t)
		return err
	}
	if kept := record[Request](t, w.key); kept != nil && t.now < kept.DueAt() {
		if kept.Hash != w.hash {
			return &MismatchError{Field: "request_id", Recorded: "another " + w.method}
		}
		w.result = new(T)
		if err := json.Unmarshal(kept.Answer, w.result); err != nil {
			return fmt.Errorf("%w: kept answer: %w", ErrInternal, err)
		}
		return nil
	}
	result, err := w.body(t)
	if err != nil || t.missing {
		return err
	}
	answer, err := json.Marshal(result)
	if err != nil {
		return fmt.Errorf("%w: keep answer: %w", ErrInternal, err)
	}
	t.put(w.key, &Request{Hash: w.hash, Answer: answer, At: t.now})
	w.result = result
	return nil
}
