// SPDX-License-Identifier: Apache-2.0

package simulate_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/resilienced/resilienced/engine"
	"github.com/resilienced/resilienced/rules"
	"github.com/resilienced/resilienced/rules/budget"
	"github.com/resilienced/resilienced/rules/classify"
	"github.com/resilienced/resilienced/rules/operation"
	"github.com/resilienced/resilienced/simulate"
)

// start is when the recordings of these tests begin.
var start = rules.At(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)) //nolint:gochecknoglobals // a constant

// calls gives a recording to a simulation.
func calls(list ...*engine.Call) func(func(*engine.Call, error) bool) {
	return func(yield func(*engine.Call, error) bool) {
		for _, c := range list {
			if !yield(c, nil) {
				return
			}
		}
	}
}

// call is a call of an operation of its own that cost a dollar.
func call(i int, at time.Duration, status int) *engine.Call {
	c := &engine.Call{
		AcquiredAt: start.Add(at), ReportedAt: start.Add(at + 100*time.Millisecond), Target: "api",
		Operation: fmt.Sprintf("o%d", i), Idempotency: operation.Idempotent,
		Signal: classify.Signal{Outcome: classify.OutcomeSuccess, HTTPStatus: status, Duration: 100 * time.Millisecond},
		Usage:  budget.Usage{Cost: new(int64(1_000_000))},
	}
	if status >= 400 {
		c.Signal.Outcome = classify.OutcomeFailure
	}
	return c
}

func text(s string) simulate.Policy { return simulate.Policy{Text: []byte(s)} }

func BenchmarkRun(b *testing.B) {
	const n = 50_000
	list := make([]*engine.Call, 0, n)
	for i := range n {
		status := 200
		if i%50 == 0 {
			status = 503
		}
		c := call(i, time.Duration(i)*20*time.Millisecond, status)
		c.Target = fmt.Sprintf("api/%d", i%20)
		c.Run = fmt.Sprintf("run-%d", i/100)
		list = append(list, c)
	}
	b.ReportAllocs()
	for b.Loop() {
		r, err := simulate.Run(b.Context(), simulate.Input{Calls: calls(list...), New: text("version: 1")})
		if err != nil {
			b.Fatal(err)
		}
		if r.Calls != n {
			b.Fatal(r.Calls)
		}
	}
	b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "calls/s")
}
