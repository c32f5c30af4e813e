// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"strconv"
	"strings"

	"github.com/resilienced/resilienced/policy/glob"
	"github.com/resilienced/resilienced/policy/strict"
	"github.com/resilienced/resilienced/rules/classify"
	"github.com/resilienced/resilienced/rules/target"
)

// Setting is one field of a target: its value, and where that comes from.
type Setting struct {
	Field  string // as a policy writes it, such as retry.max_attempts
	Value  string
	Source string // file:line, preset llm, default, or what it follows from
}

// Explain returns every field of a target with its value and its source, in
// the order in which a policy is written down; then the operator's rules that
// classify its failures, in the order in which they are tried; then the levels
// of chains that the target is.
func (p *Policy) Explain(name string) []Setting {
	if p.over != nil {
		return p.over.explain(name, p.over.base.Explain(name))
	}
	e := p.entryOf(name)
	c, sources := p.sources(e)
	c.Name = name
	if c.Price == nil {
		p.tablePrice(name, &c, sources)
	}
	settings := p.head(e)
	settings = append(settings, p.show(&c, sources)...)
	return append(settings, p.levels(name)...)
}

// entryOf is the entry that holds for a name; nil if none matches.
func (p *Policy) entryOf(name string) *entry {
	if p.literals[name] != nil {
		for _, candidate := range p.entries {
			if candidate.match.text == name && !glob.Has(name) {
				return candidate
			}
		}
	}
	return p.matching(name)
}

// head explains which entry it is.
func (p *Policy) head(e *entry) []Setting {
	if e == nil {
		return []Setting{{"kind", kindDefault, "no entry matches"}}
	}
	return []Setting{
		{"match", e.match.text, p.line(e.match.pos)},
		{"preset", e.preset.text, p.line(e.preset.pos)},
		{"kind", e.kind.text, p.line(e.kind.pos)},
	}
}

// sources puts an entry together, or with nil what no entry matches, and says
// of each field where its value comes from.
func (p *Policy) sources(e *entry) (target.Config, map[string]string) {
	base, preset, kind := llm(), "preset "+presetLLM, "no entry matches"
	if e != nil {
		base, preset, kind = e.base(), "preset "+e.preset.text, "kind "+e.kind.text
	}
	c, notes := p.build(base, e)
	sources := make(map[string]string, len(p.schema.Fields))
	for _, f := range p.schema.Fields {
		sources[f.Path] = preset
		if f.Path == "idempotent" {
			sources[f.Path] = "kind " + c.Kind
		}
		if pos, ok := p.origin(e, f.Path); ok {
			sources[f.Path] = p.line(pos)
		}
		if note, ok := notes[f.Path]; ok {
			sources[f.Path] = note
		}
	}
	for i, r := range c.Rules {
		sources["classification."+r.ID] = p.line(p.ruleAt(e, i))
	}
	sources[retryUndeclared] = kind
	sources[exact] = "default"
	if c.Exact {
		sources[exact] = "drill"
	}
	return c, sources
}

// ruleAt is where the i-th rule of a target is: one of its entry, or else of
// the file.
func (p *Policy) ruleAt(e *entry, i int) strict.Position {
	if e != nil {
		if i < len(e.rules.at) {
			return e.rules.at[i]
		}
		i -= len(e.rules.at)
	}
	return p.rules.at[i]
}

// What a target has that no field of a policy sets.
const (
	// retryUndeclared: operations are retried whose caller did not say that
	// they are idempotent.
	retryUndeclared = "retry_undeclared"
	// exact: nothing is spread or rounded, for drills.
	exact = "exact"
)

// show lists everything that a target has but its name and kind.
func (p *Policy) show(c *target.Config, sources map[string]string) []Setting {
	var settings []Setting
	add := func(field, value string) { settings = append(settings, Setting{field, value, sources[field]}) }
	for _, f := range p.schema.Fields {
		add(f.Path, f.Show(c))
	}
	add(retryUndeclared, strconv.FormatBool(c.RetryUndeclared))
	add(exact, strconv.FormatBool(c.Exact))
	for _, r := range c.Rules {
		add("classification."+r.ID, showRule(&r))
	}
	return settings
}

// showRule writes a rule on one line.
func showRule(r *classify.Rule) string {
	var parts []string
	for _, f := range ruleSchema().Fields {
		if value := f.Show(r); f.Path != "id" && value != "" && value != strict.Unknown && value != "0s" {
			parts = append(parts, f.Path+": "+value)
		}
	}
	return strings.Join(parts, "; ")
}

// ChainsOf returns the names of the chains that a target is a level of, sorted.
func (p *Policy) ChainsOf(name string) []string {
	var names []string
	for _, chain := range p.ChainNames() {
		for _, l := range p.chains[chain].Levels {
			if l.Target == name {
				names = append(names, chain)
				break
			}
		}
	}
	return names
}

// levels are the levels of chains that a target is.
func (p *Policy) levels(name string) []Setting {
	var settings []Setting
	for _, chain := range p.ChainNames() {
		for i, l := range p.chains[chain].Levels {
			if l.Target == name {
				path := levelPath(chain, i)
				settings = append(settings, Setting{path, showLevel(l), p.line(p.at[path])})
			}
		}
	}
	return settings
}
