// SPDX-License-Identifier: Apache-2.0

package model

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/resilienced/resilienced/engine"
)

// pair gives every command to both sides and stops at the first difference.
type pair struct {
	model *world
	live  *live
	trace []string
	runs  []string
	ops   map[string]bool
}

func newPair(e []*engine.Engine, s *scenario) (*pair, error) {
	l, err := newLive(e, s)
	if err != nil {
		return nil, err
	}
	p := &pair{model: newWorld(s), live: l, ops: map[string]bool{}, trace: strings.Split(s.yaml(), "\n")}
	for _, r := range s.Runs {
		p.runs = append(p.runs, r.ID)
		p.trace = append(p.trace, fmt.Sprintf("run %s parent=%q cap=%s calls=%s", r.ID, r.Parent, show(r.Cap), show(r.Calls)))
	}
	return p, nil
}

func show[T any](v *T) string {
	if v == nil {
		return "-"
	}
	return fmt.Sprint(*v)
}

// differs is the error of a step whose answers are not the same.
func (p *pair) differs(what string, live, model any) error {
	return fmt.Errorf("%s\n  engine: %+v\n  model:  %+v\n%s", what, live, model, strings.Join(p.trace, "\n"))
}

func same[T comparable](p *pair, what string, live T, err error, model T) error {
	if err != nil {
		return fmt.Errorf("%s: %w\n%s", what, err, strings.Join(p.trace, "\n"))
	}
	if live != model {
		return p.differs(what, live, model)
	}
	return nil
}

func (p *pair) acquire(s *acquireStep) (acquireAnswer, error) {
	p.ops[s.Op] = true
	m := p.model.acquire(s)
	l, err := p.live.acquire(s)
	p.trace = append(p.trace, fmt.Sprintf("%v acquire %s %s%s run=%s task=%s idem=%s est=%s max=%d wait=%v deadline=%v pin=%s request=%s => %s %s permit=%d %s", p.model.now, s.Op, s.Target,
		s.Chain, s.Run, s.Task, s.Idem, show(s.Est), s.MaxAttempts, s.MaxWait, s.Deadline, show(s.Pin), s.Request, m.Decision, m.Reason, m.Permit, m.Target))
	return m, same(p, "acquire "+s.Op, l, err, m)
}

func (p *pair) report(s *reportStep) (reportAnswer, error) {
	m := p.model.report(s)
	l, err := p.live.report(s)
	sig := fmt.Sprintf("%+v", s.Sig)
	if s.Sig.RetryAfter != nil {
		sig += " after " + s.Sig.RetryAfter.String()
	}
	p.trace = append(p.trace, fmt.Sprintf("%v report %d (%s on %s) %s %v cost=%s => %s %s %v", p.model.now, s.Permit,
		p.model.permits[s.Permit-1].op.name, p.model.permits[s.Permit-1].target.name, sig, s.Dur, show(s.Cost), m.Reason, m.Action, m.Delay))
	return m, same(p, "report", l, err, m)
}

func (p *pair) advance(d time.Duration) error {
	p.model.advance(d)
	p.trace = append(p.trace, fmt.Sprintf("advance %v to %v", d, p.model.now))
	return p.live.advance(d)
}

func (p *pair) setBreaker(target, mode string) (string, error) {
	m := p.model.setBreaker(target, mode)
	l, err := p.live.setBreaker(target, mode)
	p.trace = append(p.trace, fmt.Sprintf("%v set_breaker %s %s", p.model.now, target, mode))
	return m, same(p, "set_breaker", l, err, m)
}

func (p *pair) adjust(id string, delta int64) error {
	p.trace = append(p.trace, fmt.Sprintf("adjust %s %d", id, delta))
	l, err := p.live.adjust(id, delta)
	return same(p, "run_adjust", l, err, p.model.adjust(id, delta))
}

func (p *pair) stop(id, final string) error {
	p.trace = append(p.trace, fmt.Sprintf("stop %s %s", id, final))
	l, err := p.live.stop(id, final)
	return same(p, "run_stop", l, err, p.model.stop(id, final))
}

// compare looks at everything that both sides show.
func (p *pair) compare() error {
	for name := range p.model.targets {
		l, err := p.live.breaker(name)
		if err := same(p, "breaker "+name, l, err, p.model.breaker(name)); err != nil {
			return err
		}
		fleet, err := p.live.fleet(name)
		if err := same(p, "fleet budget of "+name, fleet, err, int64(p.model.targets[name].fleet(p.model.now))); err != nil {
			return err
		}
	}
	for _, id := range p.runs {
		l, err := p.live.run(id)
		if err := same(p, "run "+id, l, err, p.model.run(id)); err != nil {
			return err
		}
	}
	for op := range p.ops {
		l, err := p.live.letter(op)
		if err := same(p, "letter "+op, l, err, p.model.letter(op)); err != nil {
			return err
		}
		e, err := p.live.escalation("esc:" + op)
		if err := same(p, "escalation "+op, e, err, p.model.escalation("esc:"+op)); err != nil {
			return err
		}
	}
	return nil
}

// reportable are the numbers of the grants whose report says something new, or
// says it again.
func (p *pair) reportable() []int {
	var numbers []int
	for _, g := range p.model.permits {
		if g.state != "SETTLED" && g.state != "RELEASED" || g.state == "SETTLED" && (g.op.last == g && p.model.operation(g.op.name) == g.op) {
			numbers = append(numbers, g.number)
		}
	}
	slices.Reverse(numbers)
	return numbers[:min(len(numbers), 8)]
}
