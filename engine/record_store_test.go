// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/resilienced/resilienced/rules/classify"
	"github.com/resilienced/resilienced/statestore"
	"github.com/resilienced/resilienced/statestore/memory"
)

func TestExportLooksBack(t *testing.T) {
	recorded(t, Config{}, func(r *recording) {
		for i := range 10 {
			r.report(r.acquire(AcquireRequest{OperationID: fmt.Sprint("o", i)}), good())
			time.Sleep(time.Hour)
		}
		calls, parts := r.export("n", 3*time.Hour)
		if len(calls) != 3 || calls[0].Operation != "o7" || parts[0].From != calls[0].ReportedAt {
			t.Errorf("%d calls of the last 3 hours", len(calls))
		}
		for _, since := range []time.Duration{-1, callRetention + 1} {
			err := r.engine.ExportCalls(context.Background(), &CallsQuery{Namespace: "n", Since: since}, nil)
			if invalid, ok := errors.AsType[*InvalidError](err); !ok || invalid.Field != "since" {
				t.Errorf("since %v: %v", since, err)
			}
		}
		stop := errors.New("stop")
		if err := r.engine.ExportCalls(context.Background(), &CallsQuery{Namespace: "n"}, func(*CallsPart) error { return stop }); !errors.Is(err, stop) {
			t.Errorf("the reader's error: %v", err)
		}
	})
}

// What one engine recorded, the next one over the same store exports, and goes
// on counting.
func TestRecordingOutlivesItsEngine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memory.New(memory.Config{})
		for round := range 3 {
			e, err := New(context.Background(), Config{Store: store})
			if err != nil {
				t.Fatal(err)
			}
			r := &recording{t, e, store}
			r.report(r.acquire(AcquireRequest{}), good())
			if calls, parts := r.export("n", 0); len(calls) != round+1 || parts[0].Expected != round+1 {
				t.Errorf("round %d: %d calls, %d expected", round, len(calls), parts[0].Expected)
			}
			r.report(r.acquire(AcquireRequest{Namespace: "last"}), ReportRequest{
				Namespace: "last", Signal: classify.Signal{Outcome: classify.OutcomeSuccess, HTTPStatus: 200},
			})
			if err := e.Close(context.Background()); err != nil {
				t.Fatal(err)
			}
			if _, calls := r.chunks("last"); calls != round+1 {
				t.Errorf("round %d: Close left %d calls", round, calls)
			}
			time.Sleep(time.Second)
		}
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
}

// A store that fails for a while loses no call that fits the queue.
func TestRecordingWaitsForItsStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &faulty{Store: memory.New(memory.Config{})}
		e, err := New(context.Background(), Config{Store: store})
		if err != nil {
			t.Fatal(err)
		}
		r := &recording{t, e, store}
		for range 5 {
			r.report(r.acquire(AcquireRequest{}), good())
		}
		store.set(nil, nil, statestore.ErrUnavailable)
		time.Sleep(time.Minute)
		store.set(nil, nil, nil)
		if calls, parts := r.export("n", 0); len(calls) != 5 || parts[0].Missing != 0 {
			t.Errorf("%d calls after an outage", len(calls))
		}
		r.report(r.acquire(AcquireRequest{}), good())
		store.set(nil, func(e *statestore.Entry) bool { return e.Key.Kind == statestore.KindCalls }, nil)
		time.Sleep(time.Minute)
		store.set(nil, nil, nil)
		if calls, parts := r.export("n", 0); len(calls) != 5 || parts[len(parts)-1].Missing != 1 {
			t.Errorf("%d calls and %d missing after the store refused one", len(calls), parts[len(parts)-1].Missing)
		}
		if err := errors.Join(e.Close(context.Background()), store.Close()); err != nil {
			t.Error(err)
		}
	})
}

// Every kind has a name for the output of commands.
func TestKindsHaveNames(t *testing.T) {
	for kind := range Kinds() {
		if strings.HasPrefix(kind.String(), "kind-") {
			t.Errorf("kind %d has no name", kind)
		}
	}
}
