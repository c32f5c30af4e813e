// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"strings"

	"github.com/resilienced/resilienced/rules/target"
)

// Setting is one field of a target: its value, and where that comes from.
type Setting struct {
	Field  string // as a policy writes it, such as retry.max_attempts
	Value  string
	Source string // file:line, preset llm, or what it follows from
}

// Explain returns every field of a target with its value and its source, in
// the order in which a policy is written down.
func (p *Policy) Explain(name string) []Setting {
	if p.over != nil {
		return p.over.explain(name, p.over.base.Explain(name))
	}
	var e *entry
	for _, candidate := range p.entries {
		if candidate.match.text == name && !isGlob(name) {
			e = candidate
		}
	}
	if e == nil {
		e = p.matching(name)
	}
	settings, base, source := p.head(e)
	c, notes := p.build(base, e)
	for _, f := range p.schema.fields {
		from := source
		if f.path == "idempotent" {
			from = "kind " + c.Kind
		}
		if pos, ok := p.origin(e, f.path); ok {
			from = p.line(pos)
		}
		if note, ok := notes[f.path]; ok {
			from = note
		}
		settings = append(settings, Setting{f.path, f.show(&c), from})
	}
	if len(c.Rules) > 0 {
		settings = append(settings, p.explainRules(e, c))
	}
	return settings
}

// head explains which entry it is, and returns what it starts from.
func (p *Policy) head(e *entry) ([]Setting, target.Config, string) {
	if e == nil {
		const why = "no entry matches"
		return []Setting{{"kind", kindDefault, why}}, llm(), "preset " + presetLLM
	}
	return []Setting{
		{"match", e.match.text, p.line(e.match.pos)},
		{"preset", e.preset.text, p.line(e.preset.pos)},
		{"kind", e.kind.text, p.line(e.kind.pos)},
	}, e.base(), "preset " + e.preset.text
}

func (p *Policy) explainRules(e *entry, c target.Config) Setting {
	var ids []string
	for _, r := range c.Rules {
		ids = append(ids, r.ID)
	}
	source := "classification"
	if e != nil && len(e.rules) > 0 {
		source = p.line(e.rulesAt)
	}
	return Setting{"classification", strings.Join(ids, ", "), source}
}
