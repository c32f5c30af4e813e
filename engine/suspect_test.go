// SPDX-License-Identifier: Apache-2.0

package engine_test

import (
	"context"
	"testing"

	"github.com/resilienced/resilienced/engine"
	"github.com/resilienced/resilienced/rules/classify"
	"github.com/resilienced/resilienced/rules/operation"
	"github.com/resilienced/resilienced/statestore"
	"github.com/resilienced/resilienced/statestore/memory"
)

// TestSuspectsAreKeptOnce: a record does not grow with every failed attempt.
// Observed, an operation is attempted as often as its caller likes.
func TestSuspectsAreKeptOnce(t *testing.T) {
	store := memory.New(memory.Config{})
	e, err := engine.New(t.Context(), engine.Config{Store: store, Observe: true})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := e.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	}()
	const text = "version: 1\ntargets: [{match: x, preset: llm, credential: k}]\n"
	if _, err := e.ApplyFile(t.Context(), "p.yaml", []byte(text)); err != nil {
		t.Fatal(err)
	}
	for range 20 {
		r := mustAcquire(t, e, engine.AcquireRequest{Target: "x", OperationID: "o"})
		mustReport(t, e, r.Grant.PermitID, classify.Signal{Outcome: classify.OutcomeFailure, HTTPStatus: 401})
	}
	r, _, err := store.Get(t.Context(), statestore.Key{Kind: statestore.KindOperation, Namespace: "n", Name: "o"})
	if err != nil {
		t.Fatal(err)
	}
	op, ok := r.(*operation.Operation)
	if !ok || op.Attempts != 20 || len(op.Detail.Suspect) != 1 {
		t.Errorf("%+v", r)
	}
}
