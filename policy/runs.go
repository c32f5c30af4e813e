// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"strings"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/resilienced/resilienced/rules/budget"
)

// runSchema is what may be said of runs that bring no numbers of their own.
func runSchema() *schema[budget.Defaults] {
	type runs = budget.Defaults
	s := newSchema(
		capField("caps.cost_micros", 0, budget.MaxAmount, func(r *runs, v *int64) { r.Caps.Cost = v }),
		capField("caps.tokens", 0, budget.MaxAmount, func(r *runs, v *int64) { r.Caps.Tokens = v }),
		capField("caps.calls", 0, budget.MaxAmount, func(r *runs, v *int64) { r.Caps.Calls = v }),
		wallField("caps.wall", func(r *runs, v *int64) { r.Caps.WallMS = v }),
		numberField("soft_percent", 1, 100, func(r *runs) *int { return &r.SoftPercent }),
		currencyField("currency", func(r *runs) string { return r.Currency }, func(r *runs, code string) { r.Currency = code }),
		enumField("on_lost", []string{"CHARGE_ESTIMATE", "CHARGE_ZERO"},
			[]budget.OnLost{budget.ChargeEstimate, budget.ChargeZero}, func(r *runs) *budget.OnLost { return &r.OnLost }),
		flagField("allow_zero_cost_when_exhausted", func(r *runs) *bool { return &r.ZeroCostLate }),
	)
	s.words["caps"] = word[runs]{read: func(d *decoder, n *yaml.Node, path string) []setting[runs] {
		if n.Kind != yaml.ScalarNode || n.Value != unlimited {
			d.wrongType(n, path, "a mapping of "+strings.Join(s.groups["caps"], ", ")+", or unlimited")
		}
		return nil
	}}
	return s
}

// wallField is a cap on the time since a run was made.
func wallField[T any](path string, set func(*T, *int64)) *field[T] {
	return &field[T]{
		path: path,
		read: func(d *decoder, n *yaml.Node, path string) (func(*T), bool) {
			if n.Kind == yaml.ScalarNode && n.Value == unlimited {
				return func(t *T) { set(t, nil) }, true
			}
			value, ok := d.duration(n, path, tick, maxDuration, false)
			ms := int64(value / time.Millisecond)
			return func(t *T) { set(t, &ms) }, ok
		},
	}
}

func (p *Policy) readRuns(d *decoder, n *yaml.Node) {
	if n == nil {
		return
	}
	for _, s := range runSchema().read(d, n, place{path: "runs"}) {
		s.apply(&p.runs)
	}
}

func (p *Policy) readQuotas(d *decoder, n *yaml.Node) {
	if n == nil {
		return
	}
	quota := func(path string, of func(*Quotas) *int64) *field[Quotas] {
		return capField(path, 1, budget.MaxAmount, func(q *Quotas, v *int64) {
			*of(q) = 0
			if v != nil {
				*of(q) = *v
			}
		})
	}
	s := newSchema(
		quota("targets", func(q *Quotas) *int64 { return &q.Targets }),
		quota("runs", func(q *Quotas) *int64 { return &q.Runs }),
		quota("operations", func(q *Quotas) *int64 { return &q.Operations }),
		quota("namespaces", func(q *Quotas) *int64 { return &q.Namespaces }),
	)
	for _, s := range s.read(d, n, place{path: "quotas"}) {
		s.apply(&p.quotas)
	}
}
