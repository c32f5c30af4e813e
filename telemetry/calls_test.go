// SPDX-License-Identifier: Apache-2.0

package telemetry

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"google.golang.org/grpc/codes"

	"github.com/resilienced/resilienced/engine"
	pb "github.com/resilienced/resilienced/gen/resilience/v1"
	"github.com/resilienced/resilienced/rules/breaker"
	"github.com/resilienced/resilienced/rules/budget"
	"github.com/resilienced/resilienced/rules/classify"
	"github.com/resilienced/resilienced/rules/deadletter"
	"github.com/resilienced/resilienced/rules/operation"
)

const testPolicy = `
version: 1
targets:
  - {match: "openai/gpt-x", preset: llm, price: {input: 1000000, output: 2000000}}
  - {match: "tool/*", preset: tool, limit: {concurrency: 1}}
  - {match: "watched", preset: tool, limit: {concurrency: 1}, enforcement: DRY_RUN}
`

func inWorld(t *testing.T, policy string, body func(t *testing.T, w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := open(t, nil, policy)
		defer w.close()
		body(t, w)
	})
}

func TestAcquiresAndReportsAreCounted(t *testing.T) {
	inWorld(t, testPolicy, func(_ *testing.T, w *world) {
		ask := engine.AcquireRequest{Target: "openai/gpt-x", OperationID: "o", RequestID: "q", Idempotency: operation.Idempotent}
		first := w.acquire(ask)
		w.acquire(engine.AcquireRequest{Target: "openai/gpt-x", OperationID: "p", DryRun: true})
		time.Sleep(2 * time.Second)
		w.acquire(ask) // the same request again
		failed := engine.ReportRequest{
			PermitID: first.Grant.PermitID,
			Signal:   classify.Signal{Outcome: classify.OutcomeFailure, HTTPStatus: 500, Duration: time.Second},
		}
		d := w.report(failed)
		w.report(failed) // a repeat
		w.acquire(engine.AcquireRequest{Target: "openai/gpt-x", OperationID: "o", Idempotency: operation.Idempotent})
		time.Sleep(d.Answer.Delay)
		second := w.acquire(engine.AcquireRequest{Target: "openai/gpt-x", OperationID: "o", Idempotency: operation.Idempotent})
		w.report(engine.ReportRequest{
			PermitID: second.Grant.PermitID, Signal: good, Model: "gpt-x",
			Usage: budget.Usage{Input: new(int64(1_000_000)), Cached: new(int64(250_000)), Output: new(int64(500_000))},
		})
		w.expect(map[string][]string{
			"resilienced_acquire_total": {
				`{decision="GRANTED",reason="",target="openai/gpt-x"} 3`,
				`{decision="WAIT",reason="BACKOFF",target="openai/gpt-x"} 1`,
			},
			"resilienced_operations_total": {`{target="openai/gpt-x"} 1`},
			"resilienced_report_total": {
				`{outcome="OK",target="openai/gpt-x"} 1`, `{outcome="TRANSIENT",target="openai/gpt-x"} 1`,
			},
			"resilienced_failures_total": {`{reason="SERVER_ERROR",target="openai/gpt-x"} 1`},
			"resilienced_directives_total": {
				`{action="CONTINUE",target="openai/gpt-x"} 1`, `{action="RETRY",target="openai/gpt-x"} 1`,
			},
			"resilienced_call_duration_seconds":  {`{outcome="TRANSIENT",target="openai/gpt-x"} 1`},
			"resilienced_retries_total":          {`{result="allowed",target="openai/gpt-x"} 1`},
			"resilienced_cost_usd_total":         {`{model="gpt-x",target="openai/gpt-x"} 2`},
			"resilienced_unpriced_reports_total": {`{target="openai/gpt-x"} 1`},
			"resilienced_tokens_total": {
				`{model="gpt-x",target="openai/gpt-x",type="cached_input"} 250000`,
				`{model="gpt-x",target="openai/gpt-x",type="input"} 750000`,
				`{model="gpt-x",target="openai/gpt-x",type="output"} 500000`,
			},
			"resilienced_permits_in_flight": nil,
		})
	})
}

func TestRefusalsAreCounted(t *testing.T) {
	inWorld(t, testPolicy, func(_ *testing.T, w *world) {
		w.acquire(engine.AcquireRequest{Target: "tool/a"})
		w.acquire(engine.AcquireRequest{Target: "tool/a", MaxWait: new(time.Duration(0))})
		w.acquire(engine.AcquireRequest{Target: "watched"})
		w.acquire(engine.AcquireRequest{Target: "watched"})
		w.expect(map[string][]string{
			"resilienced_acquire_total": {
				`{decision="DENIED",reason="CONCURRENCY",target="tool/a"} 1`,
				`{decision="GRANTED",reason="",target="tool/a"} 1`,
				`{decision="GRANTED",reason="",target="watched"} 2`,
			},
			"resilienced_would_refuse_total": {`{reason="CONCURRENCY",target="watched"} 1`},
			"resilienced_permits_in_flight":  {`{target="tool/a"} 1`, `{target="watched"} 2`},
		})
	})
}

// A repeat of an observed refusal is none, and neither is a call that would have
// been granted on another level.
func TestObservedRefusalsAreCountedOnce(t *testing.T) {
	const text = `version: 1
dry_run: true
targets: [{match: a, preset: llm}, {match: b, preset: llm}]
chains: {c: {levels: [{target: a, kind: PRIMARY}, {target: b, kind: CROSS_PROVIDER}]}}
`
	inWorld(t, text, func(t *testing.T, w *world) {
		if _, err := w.engine.SetBreaker(t.Context(), &engine.SetBreakerRequest{Namespace: "n", Target: "a", Mode: breaker.ForcedOpen}); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			w.acquire(engine.AcquireRequest{Target: "a", RequestID: "q", Hash: 1})
			time.Sleep(time.Millisecond)
		}
		if r := w.acquire(engine.AcquireRequest{Chain: "c"}); r.Would == nil || r.Grant.Target != "a" {
			t.Fatalf("%+v", r)
		}
		w.expect(map[string][]string{"resilienced_would_refuse_total": {`{reason="FORCED_OPEN",target="a"} 1`}})
	})
}

// Retries that no directive promised are counted where they are decided.
func TestUnpromisedRetries(t *testing.T) {
	inWorld(t, testPolicy, func(t *testing.T, w *world) {
		req := engine.AcquireRequest{Target: "openai/gpt-x", OperationID: "o", Idempotency: operation.Idempotent, Lease: time.Second}
		for i := range 4 {
			if r := w.acquire(req); (r.Grant != nil) != (i < 3) {
				t.Fatalf("attempt %d: %+v", i+1, r)
			}
			time.Sleep(time.Minute) // the lease is over: the permit is lost
		}
		w.expect(map[string][]string{
			"resilienced_retries_total":      {`{result="allowed",target="openai/gpt-x"} 2`, `{result="denied",target="openai/gpt-x"} 1`},
			"resilienced_permits_lost_total": {`{target="openai/gpt-x"} 2`}, // nobody has looked at the third
			"resilienced_permits_in_flight":  {`{target="openai/gpt-x"} 1`},
		})
		if _, err := w.engine.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.expect(map[string][]string{
			"resilienced_permits_lost_total": {`{target="openai/gpt-x"} 3`},
			"resilienced_permits_in_flight":  nil,
		})
	})
}

func TestEventsAreCounted(t *testing.T) {
	inWorld(t, "", func(t *testing.T, w *world) {
		ctx := t.Context()
		if _, err := w.engine.StartRun(ctx, &engine.StartRunRequest{Namespace: "n", RunID: "r", Caps: budget.Caps{Cost: new(int64(10))}}); err != nil {
			t.Fatal(err)
		}
		g := w.acquire(engine.AcquireRequest{Target: "x", RunID: "r", Estimate: budget.Estimate{Cost: new(int64(1))}})
		w.report(engine.ReportRequest{PermitID: g.Grant.PermitID, Signal: good, Usage: budget.Usage{Cost: new(int64(12))}})
		g = w.acquire(engine.AcquireRequest{Target: "x"})
		w.report(engine.ReportRequest{
			PermitID: g.Grant.PermitID, Envelope: &deadletter.Envelope{},
			Signal: classify.Signal{Outcome: classify.OutcomeFailure, HTTPStatus: 401},
		})
		w.acquire(engine.AcquireRequest{Target: "pay", Idempotency: operation.NonIdempotent, Lease: time.Second})
		time.Sleep(2 * time.Minute)
		if _, err := w.engine.Sweep(ctx); err != nil {
			t.Fatal(err)
		}
		if _, err := w.engine.SetBreaker(ctx, &engine.SetBreakerRequest{
			Namespace: "n", RequestID: "q", Target: "x", Mode: breaker.ForcedOpen, Actor: "me", Reason: "test",
		}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.engine.ApplyFile(ctx, "p.yaml", []byte(testPolicy)); err != nil {
			t.Fatal(err)
		}
		w.expect(map[string][]string{
			"resilienced_runs_exhausted_total":       {`{limit="cost_micros"} 1`},
			"resilienced_runs_overrun_total":         {`{} 1`},
			"resilienced_runs_active":                nil,
			"resilienced_dead_letters_created_total": {`{reason="AUTH",target="x"} 1`},
			"resilienced_dead_letters_open":          {`{target="x"} 1`},
			"resilienced_escalations_total":          {`{state="OPEN",type="ambiguous_outcome"} 1`, `{state="OPEN",type="auth_failure"} 1`},
			"resilienced_escalations_open":           {`{type="ambiguous_outcome"} 1`, `{type="auth_failure"} 1`},
			"resilienced_breaker_transitions_total":  {`{from="CLOSED",target="x",to="FORCED_OPEN"} 1`},
			"resilienced_breaker_state": {
				`{state="CLOSED",target="pay"} 1`, `{state="FORCED_OPEN",target="x"} 1`,
			},
			"resilienced_policy_changes_total":          {`{} 1`},
			"resilienced_config_epoch":                  {`{} 1`},
			"resilienced_config_last_reload_successful": {`{} 1`},
		})
		time.Sleep(24 * time.Hour)
		if _, err := w.engine.Sweep(ctx); err != nil {
			t.Fatal(err)
		}
		w.expect(map[string][]string{
			"resilienced_escalations_total": {
				`{state="DEFAULTED",type="ambiguous_outcome"} 1`, `{state="DEFAULTED",type="auth_failure"} 1`,
				`{state="OPEN",type="ambiguous_outcome"} 1`, `{state="OPEN",type="auth_failure"} 1`,
			},
			"resilienced_escalations_open": nil,
		})
	})
}

// Money in another currency is no dollars, and a drill is nobody's outage.
func TestWhatIsNotCounted(t *testing.T) {
	inWorld(t, "", func(t *testing.T, w *world) {
		ctx := t.Context()
		if _, err := w.engine.StartRun(ctx, &engine.StartRunRequest{Namespace: "n", RunID: "r", Currency: "EUR"}); err != nil {
			t.Fatal(err)
		}
		g := w.acquire(engine.AcquireRequest{Target: "x", RunID: "r"})
		w.report(engine.ReportRequest{PermitID: g.Grant.PermitID, Signal: good, Usage: budget.Usage{Cost: new(int64(5_000_000))}})
		d, err := w.engine.StartDrill(ctx, "q", time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		g = w.acquire(engine.AcquireRequest{Namespace: d.Namespace, Target: "drilled"})
		w.report(engine.ReportRequest{Namespace: d.Namespace, PermitID: g.Grant.PermitID, Signal: bad})
		if _, err := w.engine.SetBreaker(ctx, &engine.SetBreakerRequest{
			Namespace: d.Namespace, RequestID: "q", Target: "drilled", Mode: breaker.ForcedOpen, Actor: "me", Reason: "test",
		}); err != nil {
			t.Fatal(err)
		}
		w.expect(map[string][]string{
			"resilienced_cost_usd_total":            nil,
			"resilienced_report_total":              {`{outcome="OK",target="x"} 1`},
			"resilienced_breaker_transitions_total": nil,
			"resilienced_breaker_state":             {`{state="CLOSED",target="x"} 1`},
		})
	})
}

func TestMethodsAreCounted(t *testing.T) {
	m := New(Config{})
	acquire, watch := m.Method(pb.PermitService_Acquire_FullMethodName), m.Method(pb.TargetService_WatchTargets_FullMethodName)
	acquire.Done(codes.OK, 300*time.Microsecond)
	acquire.Done(codes.Code(99), time.Minute)
	watch.Done(codes.Unavailable, time.Second)
	families := scrape(t, m.Handler())
	for name, want := range map[string]string{
		"grpc_server_handled_total": `{grpc_code="OK",grpc_method="Acquire",grpc_service="resilience.v1.PermitService",grpc_type="unary"} 1
{grpc_code="Unavailable",grpc_method="WatchTargets",grpc_service="resilience.v1.TargetService",grpc_type="server_stream"} 1
{grpc_code="Unknown",grpc_method="Acquire",grpc_service="resilience.v1.PermitService",grpc_type="unary"} 1`,
		"resilienced_acquire_duration_seconds": `{} 2`,
	} {
		if got := strings.Join(series(families, name), "\n"); got != want {
			t.Errorf("%s:\n%s\nwant\n%s", name, got, want)
		}
	}
}

// The names and help texts are as Prometheus wants them.
func TestLint(t *testing.T) {
	inWorld(t, testPolicy, func(t *testing.T, w *world) {
		g := w.acquire(engine.AcquireRequest{Target: "openai/gpt-x"})
		w.report(engine.ReportRequest{PermitID: g.Grant.PermitID, Signal: good, Usage: budget.Usage{Input: new(int64(1))}})
		problems, err := testutil.GatherAndLint(w.metrics.registry)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range problems {
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
	})
}

// Counting is done by many goroutines at once, and loses nothing.
func TestConcurrentCounting(t *testing.T) {
	w := open(t, nil, "")
	defer w.close()
	const workers, each = 8, 50
	var all sync.WaitGroup
	for i := range workers {
		all.Go(func() {
			for k := range each {
				g := w.acquire(engine.AcquireRequest{Target: fmt.Sprintf("t%d", k%7), Namespace: "n"})
				if g.Grant == nil {
					t.Errorf("refused: %+v", g)
					return
				}
				w.report(engine.ReportRequest{PermitID: g.Grant.PermitID, Signal: good, Model: fmt.Sprint("m", i)})
				if k%10 == 0 {
					scrape(t, w.metrics.Handler())
				}
			}
		})
	}
	all.Wait()
	families := scrape(t, w.metrics.Handler())
	var sum float64
	for _, m := range families["resilienced_report_total"].GetMetric() {
		sum += m.GetCounter().GetValue()
	}
	if sum != workers*each || len(series(families, "resilienced_permits_in_flight")) != 0 {
		t.Errorf("%v reports counted, want %d; in flight %v", sum, workers*each, series(families, "resilienced_permits_in_flight"))
	}
}
