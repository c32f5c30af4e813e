// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"strings"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/resilienced/resilienced/policy/strict"
	"github.com/resilienced/resilienced/rules/budget"
)

// runSchema is what may be said of runs that bring no numbers of their own.
func runSchema() *strict.Schema[budget.Defaults] {
	type runs = budget.Defaults
	amount := func(path string, of func(*runs) **int64) *strict.Field[runs] {
		return strict.Cap(path, 0, budget.MaxAmount,
			func(r *runs) *int64 { return *of(r) }, func(r *runs, v *int64) { *of(r) = v })
	}
	s := strict.New(
		amount("caps.cost_micros", func(r *runs) **int64 { return &r.Caps.Cost }),
		amount("caps.tokens", func(r *runs) **int64 { return &r.Caps.Tokens }),
		amount("caps.calls", func(r *runs) **int64 { return &r.Caps.Calls }),
		wallField("caps.wall", func(r *runs) **int64 { return &r.Caps.WallMS }),
		strict.Number("soft_percent", 1, 100, func(r *runs) *int { return &r.SoftPercent }),
		strict.Currency("currency", func(r *runs) string { return r.Currency }, func(r *runs, code string) { r.Currency = code }),
		strict.Enum("on_lost", []string{"CHARGE_ESTIMATE", "CHARGE_ZERO"},
			[]budget.OnLost{budget.ChargeEstimate, budget.ChargeZero}, func(r *runs) *budget.OnLost { return &r.OnLost }),
		strict.Flag("allow_zero_cost_when_exhausted", func(r *runs) *bool { return &r.ZeroCostLate }),
	)
	s.Words["caps"] = strict.Word[runs]{Read: func(d *strict.Decoder, n *yaml.Node, path string) []strict.Setting[runs] {
		if n.Kind != yaml.ScalarNode || n.Value != strict.Unlimited {
			d.WrongType(n, path, "a mapping of "+strings.Join(s.Group("caps"), ", ")+", or unlimited")
		}
		return nil
	}, JSON: strict.EnumJSON(strict.Unlimited)}
	return s
}

// wallField is a cap on the time since a run was made.
func wallField[T any](path string, of func(*T) **int64) *strict.Field[T] {
	return &strict.Field[T]{
		Path: path,
		Read: func(d *strict.Decoder, n *yaml.Node, path string) (func(*T), bool) {
			if n.Kind == yaml.ScalarNode && n.Value == strict.Unlimited {
				return func(t *T) { *of(t) = nil }, true
			}
			value, ok := d.Duration(n, path, tick, strict.MaxDuration, false)
			ms := int64(value / time.Millisecond)
			return func(t *T) { *of(t) = &ms }, ok
		},
		Show: func(t *T) string {
			if ms := *of(t); ms != nil {
				return strict.FormatDuration(time.Duration(*ms) * time.Millisecond)
			}
			return strict.Unlimited
		},
		JSON: strict.AnyOf(strict.DurationJSON(tick, strict.MaxDuration, false), strict.EnumJSON(strict.Unlimited)),
	}
}

// defaultRuns is what holds of runs unless a file says otherwise.
func defaultRuns() budget.Defaults { return budget.Defaults{SoftPercent: 80, Currency: "USD"} }

// readRuns reads what holds for runs that bring no numbers of their own.
func (p *Policy) readRuns(d *strict.Decoder, n *yaml.Node) {
	for _, s := range runSchema().Read(d, n, strict.Place{Path: "runs"}) {
		s.Apply(&p.runs)
		p.at["runs."+s.Field.Path] = s.Pos
	}
}

// quotaSchema is how many records there may be.
func quotaSchema() *strict.Schema[Quotas] {
	quota := func(path string, of func(*Quotas) *int64) *strict.Field[Quotas] {
		get := func(q *Quotas) *int64 {
			if *of(q) == 0 {
				return nil
			}
			return of(q)
		}
		return strict.Cap(path, 1, budget.MaxAmount, get, func(q *Quotas, v *int64) {
			*of(q) = 0
			if v != nil {
				*of(q) = *v
			}
		})
	}
	return strict.New(
		quota("targets", func(q *Quotas) *int64 { return &q.Targets }),
		quota("runs", func(q *Quotas) *int64 { return &q.Runs }),
		quota("operations", func(q *Quotas) *int64 { return &q.Operations }),
		quota("namespaces", func(q *Quotas) *int64 { return &q.Namespaces }),
	)
}

// defaultQuotas are those that hold unless a file says otherwise.
func defaultQuotas() Quotas {
	return Quotas{Targets: 10_000, Runs: 1_000_000, Operations: 1_000_000, Namespaces: 10_000}
}

func (p *Policy) readQuotas(d *strict.Decoder, n *yaml.Node) {
	for _, s := range quotaSchema().Read(d, n, strict.Place{Path: "quotas"}) {
		s.Apply(&p.quotas)
		p.at["quotas."+s.Field.Path] = s.Pos
	}
}
