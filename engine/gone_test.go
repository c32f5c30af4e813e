// SPDX-License-Identifier: Apache-2.0

package engine_test

import (
	"testing"

	"github.com/resilienced/resilienced/engine"
	"github.com/resilienced/resilienced/rules"
	"github.com/resilienced/resilienced/rules/classify"
	"github.com/resilienced/resilienced/rules/deadletter"
	"github.com/resilienced/resilienced/rules/operation"
	"github.com/resilienced/resilienced/statestore"
)

// TestAForgottenOperationLeavesALetter: a crash may take the last second of
// grants that nothing durable hangs on. The payload of a failure that is
// reported afterwards is kept all the same.
func TestAForgottenOperationLeavesALetter(t *testing.T) {
	inStoreBubble(t, engine.Config{NoSweeper: true}, func(t *testing.T, e *engine.Engine, s statestore.Store) {
		granted := mustAcquire(t, e, engine.AcquireRequest{Target: "tool/a", OperationID: "o", Idempotency: operation.Idempotent})
		lost := &statestore.Entry{Key: statestore.Key{Kind: statestore.KindOperation, Namespace: "n", Name: "o"}, Mode: statestore.Write}
		err := s.Update(t.Context(), []*statestore.Entry{lost}, func(rules.Instant) (statestore.Durability, error) {
			if lost.Record() == nil {
				t.Error("there is no operation to lose")
			}
			lost.Put(nil)
			return statestore.Rebuildable, nil
		})
		if err != nil {
			t.Fatal(err)
		}
		letters := func() (found []*deadletter.Letter) {
			page, err := s.List(t.Context(), statestore.Query{Kind: statestore.KindLetter, Namespace: "n", Limit: 10})
			if err != nil {
				t.Fatal(err)
			}
			for _, row := range page.Rows {
				found = append(found, row.Record.(*deadletter.Letter))
			}
			return found
		}
		report := func(s classify.Signal, envelope *deadletter.Envelope, letter string, kept int) {
			t.Helper()
			r, err := e.Report(t.Context(), &engine.ReportRequest{Namespace: "n", PermitID: granted.Grant.PermitID, Signal: s, Envelope: envelope})
			if err != nil {
				t.Fatal(err)
			}
			if a := r.Answer; a.NotCounted != "PERMIT_GONE" || a.Letter != letter || a.Action == operation.Retry || r.Counted {
				t.Errorf("%+v", a)
			}
			if n := len(letters()); n != kept {
				t.Errorf("%d letters, want %d", n, kept)
			}
		}
		failed := classify.Signal{Outcome: classify.OutcomeFailure, HTTPStatus: 500}
		payload := &deadletter.Envelope{Payload: []byte("work")}
		report(classify.Signal{Outcome: classify.OutcomeSuccess}, payload, "", 0)
		report(classify.Signal{Outcome: classify.OutcomeReleased}, payload, "", 0)
		report(failed, nil, "", 0)
		report(failed, payload, "dl:o", 1)
		report(failed, payload, "dl:o", 1) // it repeats
		letter := letters()[0]
		if letter.Policy != deadletter.Manual || letter.State != deadletter.Open || string(letter.Envelope.Payload) != "work" || letter.Target != "tool/a" {
			t.Errorf("%+v", letter)
		}
	})
}
