// SPDX-License-Identifier: Apache-2.0

package telemetry

import (
	"strings"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/resilienced/resilienced/rules/admit"
	"github.com/resilienced/resilienced/rules/breaker"
	"github.com/resilienced/resilienced/rules/classify"
	"github.com/resilienced/resilienced/rules/operation"
)

// target holds the handles of one target, or of all that are not told apart.
type target struct {
	name string
	v    *vectors

	granted, operations, lost, unpriced prometheus.Counter
	retryAllowed, retryDenied           prometheus.Counter
	inFlight                            prometheus.Gauge

	refusals family[refusal, prometheus.Counter]
	would    family[admit.Reason, prometheus.Counter]
	outcomes family[classify.Class, outcome]
	failures family[classify.Reason, prometheus.Counter]
	actions  family[operation.Action, prometheus.Counter]
	letters  family[string, prometheus.Counter]
	models   family[string, *model]
}

type refusal struct {
	decision admit.Outcome
	reason   admit.Reason
}

// outcome is what one class of report counts in.
type outcome struct {
	reports  prometheus.Counter
	duration prometheus.Observer
}

// model is what the calls of one model count in.
type model struct {
	cost, input, cached, output prometheus.Counter
}

func (m *Metrics) newTarget(name string) *target {
	v := &m.v
	// An alert looks at these: their first increment must be seen as one.
	for _, from := range [...]breaker.Phase{breaker.Closed, breaker.HalfOpen} {
		v.transitions.WithLabelValues(name, from.String(), breaker.Open.String())
	}
	v.failures.WithLabelValues(name, string(classify.ReasonQuotaExhausted))
	return &target{
		name: name, v: v,
		granted:    v.acquires.WithLabelValues(name, admit.Granted.String(), ""),
		operations: v.operations.WithLabelValues(name), lost: v.lost.WithLabelValues(name),
		unpriced: v.unpriced.WithLabelValues(name), inFlight: v.inFlight.WithLabelValues(name),
		retryAllowed: v.retries.WithLabelValues(name, "allowed"), retryDenied: v.retries.WithLabelValues(name, "denied"),
	}
}

// known returns the handles of a target that is told apart already, else those
// of all others.
func (m *Metrics) known(name string) *target {
	if t, ok := m.targets.all()[name]; ok {
		return t
	}
	return m.other
}

// target returns the handles of a target, and makes them if there is room.
func (m *Metrics) target(namespace, name string) *target {
	if t, ok := m.targets.all()[name]; ok {
		return t
	}
	named := m.named(namespace, name)
	if (!named && m.unnamed.Load() >= maxUnnamed) || !utf8.ValidString(name) {
		return m.other
	}
	t, ok := m.targets.add(name, maxTargets, func() *target {
		if !named {
			m.unnamed.Add(1)
		}
		return m.newTarget(name)
	})
	if !ok {
		return m.other
	}
	return t
}

// named tells whether a policy knows the target.
func (m *Metrics) named(namespace, name string) bool {
	s := m.source.Load()
	return s != nil && (*s).Named(namespace, name)
}

// refused is the counter of a refusal.
func (t *target) refused(d admit.Outcome, r admit.Reason) prometheus.Counter {
	key := refusal{d, r}
	if c, ok := t.refusals.all()[key]; ok {
		return c
	}
	c, ok := t.refusals.add(key, maxReasons, func() prometheus.Counter {
		return t.v.acquires.WithLabelValues(t.name, d.String(), string(r))
	})
	if !ok {
		return t.v.acquires.WithLabelValues(t.name, d.String(), Other)
	}
	return c
}

// wouldRefuse is the counter of an observed refusal.
func (t *target) wouldRefuse(r admit.Reason) prometheus.Counter {
	return counterOf(&t.would, r, t.v.would, t.name)
}

// failed is the counter of a reason.
func (t *target) failed(r classify.Reason) prometheus.Counter {
	return counterOf(&t.failures, r, t.v.failures, t.name)
}

// letter is the counter of dead letters with a reason.
func (t *target) letter(reason string) prometheus.Counter {
	return counterOf(&t.letters, reason, t.v.letters, t.name)
}

// counterOf is the counter of a target and one more label.
func counterOf[K ~string](f *family[K, prometheus.Counter], key K, v *prometheus.CounterVec, name string) prometheus.Counter {
	if c, ok := f.all()[key]; ok {
		return c
	}
	c, ok := f.add(key, maxReasons, func() prometheus.Counter { return v.WithLabelValues(name, string(key)) })
	if !ok {
		return v.WithLabelValues(name, Other)
	}
	return c
}

// directive is the counter of an action.
func (t *target) directive(a operation.Action) prometheus.Counter {
	if c, ok := t.actions.all()[a]; ok {
		return c
	}
	c, _ := t.actions.add(a, maxReasons, func() prometheus.Counter { return t.v.directives.WithLabelValues(t.name, a.String()) })
	return c
}

// outcome is what a class of report counts in.
func (t *target) outcome(c classify.Class) outcome {
	if o, ok := t.outcomes.all()[c]; ok {
		return o
	}
	o, _ := t.outcomes.add(c, maxReasons, func() outcome {
		return outcome{t.v.reports.WithLabelValues(t.name, c.String()), t.v.callDuration.WithLabelValues(t.name, c.String())}
	})
	return o
}

// model is what the calls of a model count in. Only names that an operator
// wrote, or the target's own, become a label.
func (m *Metrics) model(t *target, name string) *model {
	if x, ok := t.models.all()[name]; ok {
		return x
	}
	if name != "" && name != Other && !m.knownModel(t, name) {
		return m.model(t, Other)
	}
	limit := maxModels
	if name == Other {
		limit++
	}
	x, ok := t.models.add(name, limit, func() *model {
		tokens := func(kind string) prometheus.Counter { return t.v.tokens.WithLabelValues(t.name, name, kind) }
		return &model{t.v.cost.WithLabelValues(t.name, name), tokens("input"), tokens("cached_input"), tokens("output")}
	})
	if !ok {
		return m.model(t, Other)
	}
	return x
}

func (m *Metrics) knownModel(t *target, name string) bool {
	if name == t.name || name == lastPart(t.name) {
		return true
	}
	names := m.names.Load()
	if names == nil {
		return false
	}
	_, ok := (*names)[name]
	return ok
}

// learnNames reads anew which names the policies give. It is asked at a
// scrape: a model that a new policy names is told apart from then on.
func (m *Metrics) learnNames(s Source) {
	names := map[string]struct{}{}
	for _, name := range s.TargetNames() {
		names[name] = struct{}{}
		names[lastPart(name)] = struct{}{}
	}
	m.names.Store(&names)
}

// lastPart is what follows the last slash of a target's name.
func lastPart(name string) string { return name[strings.LastIndexByte(name, '/')+1:] }
