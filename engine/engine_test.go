// SPDX-License-Identifier: Apache-2.0

package engine_test

import (
	"context"
	"strconv"
	"testing"
	"time"

	"github.com/resilienced/resilienced/engine"
	"github.com/resilienced/resilienced/rules/admit"
	"github.com/resilienced/resilienced/rules/budget"
	"github.com/resilienced/resilienced/rules/classify"
	"github.com/resilienced/resilienced/rules/operation"
	"github.com/resilienced/resilienced/statestore/memory"
)

func open(tb testing.TB) *engine.Engine {
	tb.Helper()
	store := memory.New(memory.Config{})
	e, err := engine.New(context.Background(), engine.Config{Store: store, AllowDrills: true})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := e.Close(context.Background()); err != nil {
			tb.Error(err)
		}
		if err := store.Close(); err != nil {
			tb.Error(err)
		}
	})
	return e
}

func TestCappedRunSettles(t *testing.T) {
	e, ctx := open(t), context.Background()
	if _, err := e.StartRun(ctx, &engine.StartRunRequest{Namespace: "n", RunID: "r", Caps: budget.Caps{Cost: new(int64(1000))}}); err != nil {
		t.Fatal(err)
	}
	acquire := func(op string, cost int64) *engine.AcquireResult {
		t.Helper()
		r, err := e.Acquire(ctx, &engine.AcquireRequest{
			Namespace: "n", RunID: "r", OperationID: op, Target: "x", Estimate: budget.Estimate{Cost: &cost},
			Idempotency: operation.Idempotent, RequestID: op,
		})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	a := acquire("a", 600)
	if a.Decision != admit.Granted {
		t.Fatalf("a: %+v", a)
	}
	if again := acquire("a", 600); again.Grant == nil || again.Grant.PermitID != a.Grant.PermitID {
		t.Fatalf("a repeat got another grant: %+v", again)
	}
	if b := acquire("b", 600); b.Decision != admit.Denied || b.Reason != admit.RunBudget || b.BlockedBy != "r" {
		t.Fatalf("b: %+v", b)
	}
	rep, err := e.Report(ctx, &engine.ReportRequest{
		Namespace: "n", PermitID: a.Grant.PermitID, Signal: classify.Signal{Outcome: classify.OutcomeSuccess, HTTPStatus: 200, Duration: time.Second},
		Usage: budget.Usage{Cost: new(int64(100))},
	})
	if err != nil {
		t.Fatal(err)
	}
	if rep.Answer.Action != operation.Continue || rep.Run.Run.Spent.Cost != 100 || rep.Run.Run.Reserved.Cost != 0 {
		t.Fatalf("report: %+v %+v", rep, rep.Run.Run)
	}
}

func BenchmarkAcquireReport(b *testing.B) {
	for _, capped := range []bool{false, true} {
		b.Run("capped="+strconv.FormatBool(capped), func(b *testing.B) {
			e, ctx := open(b), context.Background()
			run := ""
			if capped {
				run = "r"
				if _, err := e.StartRun(ctx, &engine.StartRunRequest{Namespace: "n", RunID: "r", Caps: budget.Caps{Cost: new(int64(1 << 50))}}); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					r, err := e.Acquire(ctx, &engine.AcquireRequest{Namespace: "n", RunID: run, Target: "x", Idempotency: operation.Idempotent, Estimate: budget.Estimate{Cost: new(int64(1))}})
					if err != nil || r.Decision != admit.Granted {
						b.Fatal(err, r)
					}
					if _, err := e.Report(ctx, &engine.ReportRequest{Namespace: "n", PermitID: r.Grant.PermitID, Signal: classify.Signal{Outcome: classify.OutcomeSuccess, HTTPStatus: 200, Duration: time.Millisecond}, Usage: budget.Usage{Cost: new(int64(1))}}); err != nil {
						b.Fatal(err)
					}
				}
			})
		})
	}
}
