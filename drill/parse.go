// SPDX-License-Identifier: Apache-2.0

package drill

import (
	"math"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/resilienced/resilienced/drill/enum"
	pb "github.com/resilienced/resilienced/gen/resilience/v1"
)

// parse reads one scenario. It never fails: what is wrong is in Faults.
func parse(file string, data []byte) Scenario {
	p := &parser{file: file}
	s := Scenario{File: file}
	if root := p.document(data); root != nil {
		p.scenario(root, &s)
	}
	s.Faults = p.faults
	return s
}

func (p *parser) scenario(root *yaml.Node, s *Scenario) {
	known := []string{"id", "title", "targets", "chains", "runs", "steps"}
	for _, e := range p.entries(root, "a scenario") {
		switch e.name {
		case "id":
			s.ID = p.text(e.value, "id")
			s.named = s.ID != ""
		case "title":
			if !isNull(e.value) {
				s.Title = p.text(e.value, "title")
			}
		case "targets":
			s.targets = p.targets(e.value)
		case "chains":
			s.chains = p.chains(e.value)
		case "runs":
			s.runs = p.runs(e.value)
		case "steps":
			s.steps = p.steps(e.value)
		default:
			p.fail(e.key, "a scenario has no %q%s", shorten(e.name), didYouMean(e.name, known))
		}
	}
	if len(p.faults) > 0 {
		return
	}
	if !s.named {
		p.fail(nil, "the scenario has no id")
	}
	if len(s.steps) == 0 {
		p.fail(nil, "the scenario has no steps")
	}
}

func (p *parser) targets(n *yaml.Node) []targetSpec {
	var all []targetSpec
	for _, e := range p.entries(n, "targets") {
		all = append(all, p.target(e))
	}
	return all
}

func (p *parser) target(in entry) targetSpec {
	t := targetSpec{name: in.name}
	overrides := p.overrides(&t)
	for _, e := range p.entries(in.value, "a target") {
		if read, ok := overrides[e.name]; ok {
			read(e.value, e.name)
			continue
		}
		p.fail(e.key, "a target has no %q%s", shorten(e.name), didYouMean(e.name, keys(overrides)))
	}
	if t.kind == "" {
		p.fail(in.key, "target %q has no kind (llm, tool, fast or action)", shorten(in.name))
	}
	return t
}

// milli is how many milli-tokens a token has.
const milli = 1000

// overrides are the keys of a target, each with what reads it into t.
func (p *parser) overrides(t *targetSpec) map[string]func(n *yaml.Node, what string) {
	number := func(of **int64) func(*yaml.Node, string) {
		return func(n *yaml.Node, what string) { *of = new(p.number(n, what)) }
	}
	return map[string]func(*yaml.Node, string){
		"kind": func(n *yaml.Node, what string) {
			t.kind = p.word(n, what, []string{"llm", "tool", "fast", "action"})
		},
		"max_attempts": number(&t.maxAttempts),
		"task_budget":  number(&t.taskBudget),
		"consec":       number(&t.consecutive),
		"slots":        number(&t.slots),
		"call_timeout": func(n *yaml.Node, what string) { t.callTimeout = new(p.duration(n, what, time.Millisecond)) },
		"cred":         func(n *yaml.Node, what string) { t.credential = p.text(n, what) },
		"price":        number(&t.price),
		"ctx":          number(&t.context),
		"retry_np":     func(n *yaml.Node, what string) { t.retryNP = new(p.flag(n, what)) },
		"floor": func(n *yaml.Node, what string) {
			tokens := p.number(n, what)
			if tokens > math.MaxInt64/milli || tokens < math.MinInt64/milli {
				p.fail(n, "%s is too large", what)
				return
			}
			t.floor = new(tokens * milli)
		},
		"ratio": number(&t.ratio),
		"enforce": func(n *yaml.Node, what string) {
			t.dryRun = p.word(n, what, []string{"DRY_RUN"}) == "DRY_RUN"
		},
	}
}

func (p *parser) chains(n *yaml.Node) []chainSpec {
	var all []chainSpec
	for _, e := range p.entries(n, "chains") {
		c := chainSpec{name: e.name}
		for _, item := range p.items(e.value, "a chain") {
			text := p.text(item, "a level")
			if text == "" {
				continue
			}
			target, kind, found := cutLast(text, ":")
			if !found || target == "" {
				p.fail(item, "a level is written target:KIND, not %q", shorten(text))
				continue
			}
			if kinds := enum.Words(pb.LevelKind(0)); !slices.Contains(kinds, kind) {
				p.fail(item, "a level's kind cannot be %q%s", shorten(kind), didYouMean(kind, kinds))
			}
			c.levels = append(c.levels, levelSpec{target, kind})
		}
		if len(c.levels) == 0 {
			p.fail(e.key, "chain %q has no levels", shorten(e.name))
		}
		all = append(all, c)
	}
	return all
}

// cutLast cuts text around the last sep: a target's name may hold one.
func cutLast(text, sep string) (before, after string, found bool) {
	i := strings.LastIndex(text, sep)
	if i < 0 {
		return text, "", false
	}
	return text[:i], text[i+len(sep):], true
}

// runs reads the runs and puts parents before their children.
func (p *parser) runs(n *yaml.Node) []runSpec {
	waiting := p.entries(n, "runs")
	specs := make(map[string]runSpec, len(waiting))
	for _, e := range waiting {
		specs[e.name] = p.run(e)
	}
	var ordered []runSpec
	placed := map[string]bool{"": true}
	for len(waiting) > 0 {
		rest := waiting[:0:0]
		for _, e := range waiting {
			r := specs[e.name]
			if _, ok := specs[r.parent]; !ok && r.parent != "" {
				p.fail(e.key, "run %q has the parent %q, which is not in runs%s",
					shorten(e.name), shorten(r.parent), didYouMean(r.parent, keys(specs)))
				r.parent = ""
			}
			if !placed[r.parent] {
				rest = append(rest, e)
				continue
			}
			placed[r.id] = true
			ordered = append(ordered, r)
		}
		if len(rest) == len(waiting) {
			p.fail(rest[0].key, "run %q is its own ancestor", shorten(rest[0].name))
			break
		}
		waiting = rest
	}
	return ordered
}

func (p *parser) run(in entry) runSpec {
	r := runSpec{id: in.name}
	for _, e := range p.entries(in.value, "a run") {
		switch e.name {
		case "cap":
			r.costCap = new(p.number(e.value, "cap"))
		case "parent":
			r.parent = p.text(e.value, "parent")
		default:
			p.fail(e.key, "a run has no %q%s", shorten(e.name), didYouMean(e.name, []string{"cap", "parent"}))
		}
	}
	return r
}

func (p *parser) steps(n *yaml.Node) []step {
	known := verbs()
	var all []step
	for _, item := range p.items(n, "steps") {
		all = append(all, p.step(item, known))
	}
	return all
}

func (p *parser) step(n *yaml.Node, known map[string]verb) step {
	s := step{line: n.Line}
	var expect *yaml.Node
	for _, e := range p.entries(n, "a step") {
		v, ok := known[e.name]
		switch {
		case e.name == "expect":
			expect = e.value
		case !ok:
			p.fail(e.key, "there is no verb %q%s", shorten(e.name), didYouMean(e.name, keys(known)))
			return s
		case s.verb != "":
			p.fail(e.key, "a step has one verb; this one has %s and %s", s.verb, e.name)
			return s
		default:
			s.verb, s.args = e.name, p.args(v, e)
		}
	}
	if s.verb == "" {
		p.fail(n, "a step needs a verb")
		return s
	}
	if expect != nil {
		s.expect = p.expect(known[s.verb], expect)
	}
	return s
}

// keys returns the keys of a map in order.
func keys[V any](m map[string]V) []string {
	all := make([]string, 0, len(m))
	for k := range m {
		all = append(all, k)
	}
	slices.Sort(all)
	return all
}
