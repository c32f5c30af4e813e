// SPDX-License-Identifier: Apache-2.0

package telemetry

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/resilienced/resilienced/engine"
	"github.com/resilienced/resilienced/rules/budget"
	"github.com/resilienced/resilienced/rules/escalation"
)

// vectors are the metrics that calls and events count in.
type vectors struct {
	acquires, would, operations    *prometheus.CounterVec
	reports, failures, directives  *prometheus.CounterVec
	callDuration                   *prometheus.HistogramVec
	retries                        *prometheus.CounterVec
	cost, tokens, unpriced         *prometheus.CounterVec
	inFlight                       *prometheus.GaugeVec
	lost, transitions              *prometheus.CounterVec
	exhausted, overrun, assumed    *prometheus.CounterVec
	letters, escalations, policies *prometheus.CounterVec
	acquireDuration                *prometheus.HistogramVec
	handled                        *prometheus.CounterVec
	handling                       *prometheus.HistogramVec
	spansLost                      *prometheus.CounterVec
}

// Buckets in seconds: of our own answers, of any call to us, of guarded calls.
func acquireBuckets() []float64 {
	return []float64{50e-6, 100e-6, 250e-6, 500e-6, 1e-3, 2.5e-3, 5e-3, 10e-3, 25e-3, 50e-3, 100e-3}
}

func handlingBuckets() []float64 {
	return []float64{100e-6, 500e-6, 1e-3, 5e-3, 25e-3, 100e-3, 500e-3, 1, 5, 30}
}

func callBuckets() []float64 {
	return []float64{0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 60, 120, 300}
}

func newVectors(d *definer) vectors {
	return vectors{
		acquires: d.counter("resilienced_acquire_total",
			"Acquires that were answered, by decision (GRANTED, WAIT, DENIED) and reason. A grant has no reason. Dry runs are not counted.",
			"target", "decision", "reason"),
		acquireDuration: d.histogram("resilienced_acquire_duration_seconds",
			"How long an Acquire took inside the server, from after its decoding to its answer.", acquireBuckets()),
		would: d.counter("resilienced_would_refuse_total",
			"Acquires that were granted only because the rule that would have refused them is observed and not enforced.",
			"target", "reason"),
		operations: d.counter("resilienced_operations_total",
			"First attempts that were granted: logical calls, their retries not counted.", "target"),
		reports: d.counter("resilienced_report_total",
			"Reports that were taken in, by what the server made of the signal. A repeat of a report is not counted.",
			"target", "outcome"),
		failures: d.counter("resilienced_failures_total",
			"Reports that were taken in and not OK, by fine reason, such as RATE_LIMITED or TIMEOUT.", "target", "reason"),
		directives: d.counter("resilienced_directives_total",
			"What reports were answered with: CONTINUE, RETRY, FALLBACK, DEAD_LETTER, ESCALATE or STOP.", "target", "action"),
		callDuration: d.histogram("resilienced_call_duration_seconds",
			"How long the guarded calls took, as their reporters say, but never longer than since the grant.", callBuckets(),
			"target", "outcome"),
		retries: d.counter("resilienced_retries_total",
			"Retries that were allowed, by a directive or at an Acquire that no directive promised, and retries that a budget or a limit denied.",
			"target", "result"),
		cost: d.counter("resilienced_cost_usd_total",
			"What calls cost, in USD, as far as the caller or a price said. Other currencies are not counted. A model that no policy names is __other__.",
			"target", "model"),
		tokens: d.counter("resilienced_tokens_total",
			"Tokens that calls used, by type: input (without cached ones), cached_input, output.", "target", "model", "type"),
		unpriced: d.counter("resilienced_unpriced_reports_total",
			"Reports of calls that may have cost something and of which neither the caller nor a price said how much.", "target"),
		inFlight: d.gauge("resilienced_permits_in_flight",
			"Permits that this process granted and that were not yet reported, released or lost. Permits from before its start are not counted.",
			"target"),
		lost: d.counter("resilienced_permits_lost_total",
			"Permits whose lease ended without a report. What they had reserved is booked as assumed.", "target"),
		transitions: d.counter("resilienced_breaker_transitions_total",
			"Changes of a breaker's state.", "target", "from", "to"),
		exhausted: d.counter("resilienced_runs_exhausted_total",
			"Runs that reached a cap, by the cap: cost_micros, tokens, calls or wall. A run whose time is over is counted when its next call is reported.",
			"limit"),
		overrun: d.counter("resilienced_runs_overrun_total",
			"Runs whose known spending went more than 10 % over their cost cap."),
		assumed: d.counter("resilienced_runs_assumed_total",
			"Runs of whose spending more than 20 % came to be only assumed, because reports or prices were missing."),
		letters: d.counter("resilienced_dead_letters_created_total",
			"Operations that were dead-lettered, also again, by the reason of their last failure.", "target", "reason"),
		escalations: d.counter("resilienced_escalations_total",
			"Escalations that came into a state: OPEN when one is raised, DEFAULTED when its deadline went by without an answer.",
			"type", "state"),
		policies: d.counter("resilienced_policy_changes_total",
			"Policies that were applied, by a file or by a person."),
		handled: d.counter("grpc_server_handled_total",
			"Calls of the API that ended, by status code.", "grpc_type", "grpc_service", "grpc_method", "grpc_code"),
		handling: d.histogram("grpc_server_handling_seconds",
			"How long calls of the API took inside the server.", handlingBuckets(), "grpc_type", "grpc_service", "grpc_method"),
		spansLost: d.counter("resilienced_trace_spans_failed_total",
			"Spans that the trace collector did not take. Spans that did not fit into the queue meanwhile are not counted."),
	}
}

// prepare makes the series that alerts look at, so that their first increment
// is seen as one.
func (m *Metrics) prepare() {
	for _, limit := range [...]string{
		string(budget.DimensionCost), string(budget.DimensionTokens), string(budget.DimensionCalls), budget.LimitWall,
	} {
		m.v.exhausted.WithLabelValues(limit)
	}
	m.v.overrun.WithLabelValues()
	m.v.assumed.WithLabelValues()
	m.v.policies.WithLabelValues()
	m.v.spansLost.WithLabelValues()
	m.v.acquireDuration.WithLabelValues()
	for _, kind := range escalationTypes() {
		for _, state := range [...]escalation.State{escalation.Open, escalation.Defaulted} {
			m.v.escalations.WithLabelValues(string(kind), state.String())
		}
	}
}

// escalationTypes are the types that an escalation may have.
func escalationTypes() []escalation.Type {
	return []escalation.Type{
		escalation.TypeCustomerWaiting, escalation.TypeRefund, escalation.TypeIrreversibleWrite,
		escalation.TypeAmbiguousClassification, escalation.TypeAmbiguousOutcome, escalation.TypeBudgetIncrease,
		escalation.TypeUnknownError, escalation.TypeAuthFailure,
	}
}

// Event counts an event of the engine. It is quick and does not block.
func (m *Metrics) Event(e engine.Event) {
	if engine.IsDrill(e.Namespace) {
		return
	}
	switch e.Kind {
	case engine.EventTransition:
		from, to := e.Transition.From.String(), e.Transition.To.String()
		m.v.transitions.WithLabelValues(m.target(e.Namespace, e.Target).name, from, to).Inc()
	case engine.EventLetter:
		m.target(e.Namespace, e.Target).letter(e.Reason).Inc()
	case engine.EventLost:
		m.target(e.Namespace, e.Target).lost.Inc()
	case engine.EventEscalation:
		m.v.escalations.WithLabelValues(e.Reason, e.State).Inc()
	case engine.EventPolicy:
		m.v.policies.WithLabelValues().Inc()
	case engine.EventRun:
		m.runEvent(&e)
	}
}

// SpansFailed counts spans that the trace collector did not take.
func (m *Metrics) SpansFailed(n int) { m.v.spansLost.WithLabelValues().Add(float64(n)) }

// runEvent counts what became of a run; operators' methods are events too and
// are not counted.
func (m *Metrics) runEvent(e *engine.Event) {
	switch e.State {
	case engine.RunExhausted:
		m.v.exhausted.WithLabelValues(e.Reason).Inc()
	case engine.RunOverrun:
		m.v.overrun.WithLabelValues().Inc()
	case engine.RunAssumed:
		m.v.assumed.WithLabelValues().Inc()
	}
}
