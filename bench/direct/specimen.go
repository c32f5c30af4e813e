// SPDX-License-Identifier: Apache-2.0

package direct

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/resilienced/resilienced/engine"
	"github.com/resilienced/resilienced/rules/breaker"
	"github.com/resilienced/resilienced/rules/budget"
	"github.com/resilienced/resilienced/rules/classify"
	"github.com/resilienced/resilienced/rules/deadletter"
	"github.com/resilienced/resilienced/rules/operation"
	"github.com/resilienced/resilienced/statestore"
)

// Specimen is a record as the engine makes it.
type Specimen struct {
	What string // it is
	Kind statestore.Kind
	// Name is of the kind's usual length, without what tells one from another.
	Name   string
	Record statestore.Record
	// Holds is how many of what it is about one record holds: calls in a chunk.
	Holds int
}

// payload is how much a caller gives along to be kept if its call fails.
const payload = 1 << 10

// recordedCalls is how many calls the specimen of a recording holds.
const recordedCalls = 256

// Specimens makes one of each record that grows with the load: an engine in
// memory is given calls that go well and calls that fail, and its records are
// read.
func Specimens(ctx context.Context) (found []Specimen, err error) {
	d, err := Open(ctx, Place{Kind: Memory})
	if err != nil {
		return nil, err
	}
	// The engine writes what it holds back when it is closed.
	defer func() { err = errors.Join(err, d.Store.Close()) }()
	names, err := d.live(ctx)
	if err = errors.Join(err, d.Engine.Close(ctx)); err != nil {
		return nil, err
	}
	for _, w := range []struct {
		what string
		kind statestore.Kind
		name string // empty: any of the kind
	}{
		{"run", statestore.KindRun, RunOf(0)},
		{"target, control", statestore.KindTarget, TargetOf(0)},
		{"target, tally of one replica", statestore.KindTally, TargetOf(0)},
		{"operation, idempotent and done (tombstone)", statestore.KindOperation, names.done},
		{"operation, not idempotent and done", statestore.KindOperation, names.kept},
		{"operation, to be tried again", statestore.KindOperation, names.failed},
		{"dead letter with a payload of 1 KiB", statestore.KindLetter, ""},
		{"escalation", statestore.KindEscalation, ""},
		{"decision", statestore.KindDecision, ""},
		{"transitions of a target", statestore.KindTransition, ""},
		{"observation of a target, 5 minutes", statestore.KindObservation, ""},
		{"recorded calls", statestore.KindCalls, ""},
	} {
		s, err := d.specimen(ctx, w.kind, w.name)
		if err != nil {
			return nil, fmt.Errorf("direct: %s: %w", w.what, err)
		}
		s.What = w.what
		found = append(found, *s)
	}
	return found, nil
}

// specimen reads a record of a kind.
func (d *Engine) specimen(ctx context.Context, kind statestore.Kind, name string) (*Specimen, error) {
	page, err := d.Store.List(ctx, statestore.Query{Kind: kind, Namespace: namespace, Prefix: name, Limit: 100})
	if err != nil {
		return nil, err
	}
	for _, row := range page.Rows {
		if name != "" && row.Name != name {
			continue
		}
		s := &Specimen{Kind: kind, Name: row.Name, Record: row.Record, Holds: 1}
		if c, ok := row.Record.(*engine.CallChunk); ok {
			s.Holds = c.Count
		}
		return s, nil
	}
	return nil, errors.New("there is no such record")
}

// lived are operations of one engine's life.
type lived struct{ done, kept, failed string }

// live is a short life: a run, calls of all kinds, a breaker that is turned.
func (d *Engine) live(ctx context.Context) (l lived, err error) {
	if err := d.CappedRun(ctx, RunOf(0)); err != nil {
		return l, err
	}
	well := classify.Signal{Outcome: classify.OutcomeSuccess, HTTPStatus: 200, Duration: 850 * time.Millisecond}
	busy := classify.Signal{Outcome: classify.OutcomeFailure, HTTPStatus: 503, Duration: 850 * time.Millisecond}
	bad := classify.Signal{Outcome: classify.OutcomeFailure, HTTPStatus: 500, Duration: 850 * time.Millisecond, Message: "upstream connect error or disconnect before headers"}
	for range recordedCalls {
		if l.done, err = d.once(ctx, operation.Idempotent, well); err != nil {
			return l, err
		}
	}
	if l.kept, err = d.once(ctx, operation.NonIdempotent, well); err != nil {
		return l, err
	}
	if _, err = d.once(ctx, operation.NonIdempotent, bad); err != nil {
		return l, err
	}
	if l.failed, err = d.once(ctx, operation.Idempotent, busy); err != nil {
		return l, err
	}
	// A target that was opened and closed has a record that a success does not
	// change.
	for i, mode := range []breaker.Phase{breaker.ForcedOpen, breaker.Closed} {
		if _, err := d.SetBreaker(ctx, &engine.SetBreakerRequest{
			Namespace: namespace, RequestID: "turn-" + strconv.Itoa(i), Target: TargetOf(0), Mode: mode, Actor: "bench", Reason: "maintenance",
		}); err != nil {
			return l, err
		}
	}
	return l, nil
}

// once makes an Acquire and a Report and returns the operation's id.
func (d *Engine) once(ctx context.Context, i operation.Idempotency, signal classify.Signal) (string, error) {
	estimate, cost := Estimate, Cost
	got, err := d.Acquire(ctx, &engine.AcquireRequest{
		Namespace: namespace, RunID: RunOf(0), Target: TargetOf(0), Idempotency: i, Reporter: "agent-7",
		Estimate: budget.Estimate{Cost: &estimate},
	})
	if err != nil {
		return "", err
	}
	if got.Grant == nil {
		return "", fmt.Errorf("direct: refused: %s", got.Reason)
	}
	_, err = d.Report(ctx, &engine.ReportRequest{
		Namespace: namespace, PermitID: got.Grant.PermitID, Signal: signal, Usage: budget.Usage{Cost: &cost},
		Envelope: &deadletter.Envelope{Payload: noise(payload), ContentType: "application/json"},
	})
	return got.Grant.Operation, err
}

// noise is bytes that no store can make smaller.
func noise(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{}).Read(b) // which never fails
	return b
}
