// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/resilienced/resilienced/rules/fallback"
)

// maxLevels is how many levels a chain may have.
const maxLevels = 16

func kindNames() []string {
	var names []string
	for k := fallback.Primary; k <= fallback.HumanQueue; k++ {
		names = append(names, k.String())
	}
	return names
}

func kindValues() []fallback.Kind {
	var kinds []fallback.Kind
	for k := fallback.Primary; k <= fallback.HumanQueue; k++ {
		kinds = append(kinds, k)
	}
	return kinds
}

// chainSchema is what may be said of a chain besides its levels.
func chainSchema() *schema[fallback.Chain] {
	type chain = fallback.Chain
	get := func(c *chain) *int64 {
		if c.ContentPolicy == nil {
			return nil
		}
		index := int64(*c.ContentPolicy)
		return &index
	}
	return newSchema(
		enumField("on_exhausted", []string{"DEAD_LETTER", "ESCALATE", "STOP"},
			[]fallback.Exhausted{fallback.ThenDeadLetter, fallback.ThenEscalate, fallback.ThenStop},
			func(c *chain) *fallback.Exhausted { return &c.OnExhausted }),
		optionalField("content_policy_level", maxLevels-1, get, func(c *chain, v *int64) {
			index := int(*v)
			c.ContentPolicy = &index
		}),
		flagField("sustained_jumps", func(c *chain) *bool { return &c.SustainedJump }),
	)
}

func levelSchema() *schema[fallback.Level] {
	type level = fallback.Level
	return newSchema(
		textField("target", func(l *level) *string { return &l.Target }),
		enumField("kind", kindNames(), kindValues(), func(l *level) *fallback.Kind { return &l.Kind }),
		numberField("cost_rank", 1, maxCount, func(l *level) *int { return &l.CostRank }),
	)
}

// readChains reads the mapping of chains.
func (p *Policy) readChains(d *decoder, n *yaml.Node) {
	if n.Kind != yaml.MappingNode {
		d.wrongType(n, "chains", "a mapping of names to chains")
		return
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		path := join("chains", key.Value)
		name, ok := d.name(key, path)
		if !ok {
			continue
		}
		c := &fallback.Chain{Name: name}
		p.readChain(d, n.Content[i+1], path, c)
		p.chains[name] = c
	}
}

// readChain reads a chain: a list of levels, or a mapping with levels in it.
func (p *Policy) readChain(d *decoder, n *yaml.Node, path string, c *fallback.Chain) {
	if n.Kind == yaml.SequenceNode {
		p.readLevels(d, n, path, c)
		return
	}
	if n.Kind != yaml.MappingNode {
		d.wrongType(n, path, "a list of levels, such as [openai/a:PRIMARY, other/b:CROSS_PROVIDER], or a mapping with levels")
		return
	}
	settings := chainSchema().read(d, n, place{path: path, extra: []extraKey{
		{"levels", func(n *yaml.Node, path string) { p.readLevels(d, n, path, c) }},
	}})
	if !has(n, "levels") {
		d.fail(at(n), path, "levels is missing; write the list of levels")
		return
	}
	for _, s := range settings {
		s.apply(c)
		if s.field.path == "content_policy_level" && *c.ContentPolicy >= len(c.Levels) && len(c.Levels) > 0 {
			d.fail(s.pos, path+".content_policy_level", "there is no level %d; the levels are 0 to %d", *c.ContentPolicy, len(c.Levels)-1)
		}
	}
}

// readLevels reads the list of levels.
func (p *Policy) readLevels(d *decoder, n *yaml.Node, path string, c *fallback.Chain) {
	switch {
	case n.Kind != yaml.SequenceNode:
		d.wrongType(n, path, "a list of levels")
		return
	case len(n.Content) == 0:
		d.fail(at(n), path, "a chain needs a level at least; write one, such as openai/a:PRIMARY")
		return
	case len(n.Content) > maxLevels:
		d.fail(at(n.Content[maxLevels]), path, "a chain has at most %d levels; remove the rest", maxLevels)
		return
	}
	seen := make(map[string]int)
	highest := fallback.Kind(0)
	for i, item := range n.Content {
		here := path + "[" + strconv.Itoa(i) + "]"
		l := readLevel(d, item, here)
		c.Levels = append(c.Levels, l)
		p.checkLevel(d, item, here, l)
		if before, twice := seen[l.Target]; twice && l.Target != "" {
			d.fail(at(item), here, "the target %q is level %d already; a chain tries each once, so remove one", l.Target, before)
		}
		seen[l.Target] = i
		if l.Kind != 0 && l.Kind < highest {
			d.fail(at(item), here, "%s comes after %s; kinds never go back along a chain, so move this level up", l.Kind, highest)
		}
		highest = max(highest, l.Kind)
	}
}

// readLevel reads a level: target:KIND, or a mapping.
func readLevel(d *decoder, n *yaml.Node, path string) fallback.Level {
	var l fallback.Level
	if n.Kind != yaml.ScalarNode {
		for _, s := range levelSchema().read(d, n, place{path: path}) {
			s.apply(&l)
		}
		for _, key := range []string{"target", "kind"} {
			if n.Kind == yaml.MappingNode && !has(n, key) {
				d.fail(at(n), path, "%s is missing; a level has a target and a kind", key)
			}
		}
		return l
	}
	s, ok := d.text(n, path)
	if !ok {
		return l
	}
	i := strings.LastIndexByte(s, ':')
	if i < 0 {
		d.fail(at(n), path, "%q has no kind; write it behind a colon, such as %s:PRIMARY", s, s)
		return l
	}
	if i == 0 {
		d.fail(at(n), path, "%q has no target; write it before the colon", s)
		return l
	}
	kind := *n
	kind.Value = s[i+1:]
	if k, ok := d.oneOf(&kind, path, kindNames()); ok {
		l.Kind = kindValues()[k]
	}
	l.Target = s[:i]
	return l
}

// checkLevel notes a level whose target cannot be called.
func (p *Policy) checkLevel(d *decoder, n *yaml.Node, path string, l fallback.Level) {
	switch {
	case l.Target == "":
	case isGlob(l.Target):
		d.fail(at(n), path, "%q is a pattern; a chain names targets, so write one name", l.Target)
	case p.deny && l.Kind != fallback.HumanQueue && p.literals[l.Target] == nil && p.matching(l.Target) == nil:
		d.fail(at(n), path, "no entry of targets matches %q and unknown_targets is deny; add an entry", l.Target)
	}
}
