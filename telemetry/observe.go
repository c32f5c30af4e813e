// SPDX-License-Identifier: Apache-2.0

package telemetry

import (
	"github.com/resilienced/resilienced/engine"
	"github.com/resilienced/resilienced/rules/admit"
	"github.com/resilienced/resilienced/rules/classify"
	"github.com/resilienced/resilienced/rules/operation"
)

// microsPerUSD turns the money of the records into that of the metrics.
const microsPerUSD = 1e6

// Acquired implements engine.Observer.
func (m *Metrics) Acquired(f *engine.AcquireFacts) {
	if f.Decision != admit.Granted {
		m.refused(f)
		return
	}
	t := m.target(f.Namespace, f.Target)
	t.granted.Inc()
	if f.Would.Refused() && !f.Repeat { // on another level it would have been granted
		t.wouldRefuse(f.Would.Reason).Inc()
	}
	switch {
	case f.Repeat:
	case f.Attempt == 1:
		t.operations.Inc()
	case !f.Promised && !f.Would.Refused(): // the promised ones were counted with their directive
		t.retryAllowed.Inc()
	}
}

func (m *Metrics) refused(f *engine.AcquireFacts) {
	var t *target
	switch f.Reason {
	case admit.TargetUnknown, admit.Quota: // a name that was just made up
		t = m.known(f.Target)
	default:
		t = m.target(f.Namespace, f.Target)
	}
	t.refused(f.Decision, f.Reason).Inc()
	switch f.Reason {
	case admit.AttemptsExhausted, admit.TaskRetryBudget, admit.FleetRetryBudget:
		t.retryDenied.Inc()
	default:
	}
}

// Reported implements engine.Observer.
func (m *Metrics) Reported(f *engine.ReportFacts) {
	if !f.Booked {
		return
	}
	t, a := m.target(f.Namespace, f.Target), f.Answer
	o := t.outcome(a.Class)
	o.reports.Inc()
	if f.Duration > 0 {
		o.duration.Observe(f.Duration.Seconds())
	}
	if a.Class != classify.OK {
		t.failed(a.Reason).Inc()
	}
	if a.Action != operation.ActionUnspecified {
		t.directive(a.Action).Inc()
	}
	if a.Action == operation.Retry {
		t.retryAllowed.Inc()
	}
	if a.RetryDenied != "" {
		t.retryDenied.Inc()
	}
	m.used(t, f)
}

// used counts money and tokens. Nothing that is unknown is counted as zero.
func (m *Metrics) used(t *target, f *engine.ReportFacts) {
	u := &f.Usage
	charged := f.Answer.Certainty != classify.NotSent && f.Answer.Certainty != classify.Rejected
	if !f.CostKnown && charged {
		t.unpriced.Inc()
	}
	if !f.CostKnown && u.Input == nil && u.Output == nil {
		return
	}
	x := m.model(t, f.Model)
	if f.CostKnown && f.Currency == "USD" {
		x.cost.Add(float64(f.Cost) / microsPerUSD)
	}
	if u.Input != nil {
		cached := int64(0)
		if u.Cached != nil {
			cached = min(*u.Cached, *u.Input)
			x.cached.Add(float64(cached))
		}
		x.input.Add(float64(*u.Input - cached))
	}
	if u.Output != nil {
		x.output.Add(float64(*u.Output))
	}
}

// PermitsChanged implements engine.Observer.
func (m *Metrics) PermitsChanged(namespace, name string, by int) {
	m.target(namespace, name).inFlight.Add(float64(by))
}
