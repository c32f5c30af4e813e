// SPDX-License-Identifier: Apache-2.0

package telemetry

import (
	"context"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/resilienced/resilienced/engine"
	pb "github.com/resilienced/resilienced/gen/resilience/v1"
	"github.com/resilienced/resilienced/rules/admit"
	"github.com/resilienced/resilienced/rules/budget"
	"github.com/resilienced/resilienced/rules/classify"
	"github.com/resilienced/resilienced/rules/operation"
	"github.com/resilienced/resilienced/statestore/memory"
)

// counted is one call of each kind, as an engine tells of it.
func counted(m *Metrics) func() {
	granted := &engine.AcquireFacts{Namespace: "n", Target: "x", Decision: admit.Granted, Attempt: 1}
	refused := &engine.AcquireFacts{Namespace: "n", Target: "x", Decision: admit.Denied, Reason: admit.BreakerOpen}
	answer := &operation.Answer{Class: classify.Transient, Reason: classify.ReasonTimeout, Action: operation.Retry}
	report := &engine.ReportFacts{
		Namespace: "n", Target: "x", Answer: answer, Booked: true, Duration: time.Second, Model: "unknown",
		Usage: budget.Usage{Input: new(int64(7)), Output: new(int64(5))}, Cost: 12, CostKnown: true, Currency: "USD",
	}
	call := m.Method(pb.PermitService_Acquire_FullMethodName)
	return func() {
		m.PermitsChanged("n", "x", 1)
		m.Acquired(granted)
		m.Acquired(refused)
		m.Reported(report)
		m.PermitsChanged("n", "x", -1)
		call.Done(codes.OK, time.Millisecond)
	}
}

// Counting a call allocates nothing.
func TestCountingAllocatesNothing(t *testing.T) {
	count := counted(New(Config{}))
	count() // makes the series
	if n := testing.AllocsPerRun(100, count); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// BenchmarkCounting is all that the metrics do for a grant, a refusal and a
// report, without the engine.
func BenchmarkCounting(b *testing.B) {
	count := counted(New(Config{}))
	b.ReportAllocs()
	for b.Loop() {
		count()
	}
}

// BenchmarkObserved is an Acquire and its Report in the engine, with and
// without metrics.
func BenchmarkObserved(b *testing.B) {
	for _, c := range []struct {
		name    string
		metrics *Metrics
	}{{"off", nil}, {"on", New(Config{})}} {
		b.Run(c.name, func(b *testing.B) {
			ctx := context.Background()
			cfg := engine.Config{Store: memory.New(memory.Config{}), NoSweeper: true}
			if c.metrics != nil {
				cfg.Observer, cfg.OnEvent = c.metrics, c.metrics.Event
			}
			e, err := engine.New(ctx, cfg)
			if err != nil {
				b.Fatal(err)
			}
			defer func() {
				if err := e.Close(ctx); err != nil {
					b.Error(err)
				}
			}()
			b.ReportAllocs()
			for b.Loop() {
				r, err := e.Acquire(ctx, &engine.AcquireRequest{Namespace: "n", Target: "x", Idempotency: operation.Idempotent})
				if err != nil || r.Grant == nil {
					b.Fatal(r, err)
				}
				_, err = e.Report(ctx, &engine.ReportRequest{
					Namespace: "n", PermitID: r.Grant.PermitID, Usage: budget.Usage{Cost: new(int64(1))},
					Signal: classify.Signal{Outcome: classify.OutcomeSuccess, HTTPStatus: 200, Duration: time.Millisecond},
				})
				if err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
