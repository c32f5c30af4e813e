// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/resilienced/resilienced/policy/glob"
	"github.com/resilienced/resilienced/policy/strict"
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
func chainSchema() *strict.Schema[fallback.Chain] {
	type chain = fallback.Chain
	get := func(c *chain) *int64 {
		if c.ContentPolicy == nil {
			return nil
		}
		index := int64(*c.ContentPolicy)
		return &index
	}
	return strict.New(
		strict.Enum("on_exhausted", []string{"DEAD_LETTER", "ESCALATE", "STOP"},
			[]fallback.Exhausted{fallback.ThenDeadLetter, fallback.ThenEscalate, fallback.ThenStop},
			func(c *chain) *fallback.Exhausted { return &c.OnExhausted }),
		strict.Optional("content_policy_level", maxLevels-1, get, func(c *chain, v *int64) {
			index := int(*v)
			c.ContentPolicy = &index
		}),
		strict.Flag("sustained_jumps", func(c *chain) *bool { return &c.SustainedJump }),
	)
}

func levelSchema() *strict.Schema[fallback.Level] {
	type level = fallback.Level
	return strict.New(
		strict.Text("target", func(l *level) *string { return &l.Target }),
		strict.Enum("kind", kindNames(), kindValues(), func(l *level) *fallback.Kind { return &l.Kind }),
		strict.Number("cost_rank", 1, maxCount, func(l *level) *int { return &l.CostRank }),
	)
}

// readChains reads the mapping of chains.
func (p *Policy) readChains(d *strict.Decoder, n *yaml.Node) {
	if n.Kind != yaml.MappingNode {
		d.WrongType(n, "chains", "a mapping of names to chains")
		return
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		path := strict.Join("chains", key.Value)
		name, ok := d.Name(key, path)
		if !ok {
			continue
		}
		c := &fallback.Chain{Name: name}
		p.readChain(d, n.Content[i+1], path, c)
		p.chains[name] = c
		p.at[path] = strict.At(key)
	}
}

// readChain reads a chain: a list of levels, or a mapping with levels in it.
func (p *Policy) readChain(d *strict.Decoder, n *yaml.Node, path string, c *fallback.Chain) {
	if n.Kind == yaml.SequenceNode {
		p.readLevels(d, n, path, c)
		return
	}
	if n.Kind != yaml.MappingNode {
		d.WrongType(n, path, "a list of levels, such as [openai/a:PRIMARY, other/b:CROSS_PROVIDER], or a mapping with levels")
		return
	}
	settings := chainSchema().Read(d, n, strict.Place{Path: path, Extra: []strict.Key{
		{Name: "levels", Read: func(n *yaml.Node, path string) { p.readLevels(d, n, path, c) }},
	}})
	if !strict.Has(n, "levels") {
		d.Fail(strict.At(n), path, "levels is missing; write the list of levels")
		return
	}
	for _, s := range settings {
		s.Apply(c)
		p.at[strict.Join(path, s.Field.Path)] = s.Pos
		if s.Field.Path == "content_policy_level" && *c.ContentPolicy >= len(c.Levels) && len(c.Levels) > 0 {
			d.Fail(s.Pos, path+".content_policy_level", "there is no level %d; the levels are 0 to %d", *c.ContentPolicy, len(c.Levels)-1)
		}
	}
}

// readLevels reads the list of levels.
func (p *Policy) readLevels(d *strict.Decoder, n *yaml.Node, path string, c *fallback.Chain) {
	switch {
	case n.Kind != yaml.SequenceNode:
		d.WrongType(n, path, "a list of levels")
		return
	case len(n.Content) == 0:
		d.Fail(strict.At(n), path, "a chain needs a level at least; write one, such as openai/a:PRIMARY")
		return
	case len(n.Content) > maxLevels:
		d.Fail(strict.At(n.Content[maxLevels]), path, "a chain has at most %d levels; remove the rest", maxLevels)
		return
	}
	seen := make(map[string]int)
	highest := fallback.Kind(0)
	for i, item := range n.Content {
		here := path + "[" + strconv.Itoa(i) + "]"
		l := readLevel(d, item, here)
		p.at[levelPath(c.Name, i)] = strict.At(item)
		c.Levels = append(c.Levels, l)
		p.checkLevel(d, item, here, l)
		if before, twice := seen[l.Target]; twice && l.Target != "" {
			d.Fail(strict.At(item), here, "the target %q is level %d already; a chain tries each once, so remove one", l.Target, before)
		}
		seen[l.Target] = i
		if l.Kind != 0 && l.Kind < highest {
			d.Fail(strict.At(item), here, "%s comes after %s; kinds never go back along a chain, so move this level up; or did you mean %q?",
				l.Kind, highest, highest.String())
		}
		highest = max(highest, l.Kind)
	}
}

// readLevel reads a level: target:KIND, or a mapping.
func readLevel(d *strict.Decoder, n *yaml.Node, path string) fallback.Level {
	var l fallback.Level
	if n.Kind != yaml.ScalarNode {
		for _, s := range levelSchema().Read(d, n, strict.Place{Path: path}) {
			s.Apply(&l)
		}
		for _, key := range []string{"target", "kind"} {
			if n.Kind == yaml.MappingNode && !strict.Has(n, key) {
				d.Fail(strict.At(n), path, "%s is missing; a level has a target and a kind", key)
			}
		}
		return l
	}
	s, ok := d.Text(n, path)
	if !ok {
		return l
	}
	i := strings.LastIndexByte(s, ':')
	if i < 0 {
		d.Fail(strict.At(n), path, "%q has no kind; write it behind a colon, such as %s:PRIMARY", s, s)
		return l
	}
	if i == 0 {
		d.Fail(strict.At(n), path, "%q has no target; write it before the colon", s)
		return l
	}
	kind := *n
	kind.Value = s[i+1:]
	if k, ok := d.OneOf(&kind, path, kindNames()); ok {
		l.Kind = kindValues()[k]
	}
	l.Target = s[:i]
	return l
}

// levelPath is where the level of a chain is noted, in whichever form the
// chain is written.
func levelPath(chain string, i int) string {
	return strict.Join("chains", chain) + ".levels[" + strconv.Itoa(i) + "]"
}

// checkLevel notes a level whose target cannot be called.
func (p *Policy) checkLevel(d *strict.Decoder, n *yaml.Node, path string, l fallback.Level) {
	switch {
	case l.Target == "":
	case glob.Has(l.Target):
		d.Fail(strict.At(n), path, "%q is a pattern; a chain names targets, so write one name", l.Target)
	case p.deny && p.nowhere(l):
		d.Fail(strict.At(n), path, "no entry of targets matches %q and unknown_targets is deny%s",
			l.Target, cmp.Or(p.meant(l.Target), "; add an entry"))
	}
}

// nowhere tells whether no entry matches the target of a level that is called.
func (p *Policy) nowhere(l fallback.Level) bool {
	return l.Kind != fallback.HumanQueue && l.Target != "" && !glob.Has(l.Target) &&
		p.literals[l.Target] == nil && p.matching(l.Target) == nil
}

// meant asks for the target that a name was most likely meant to be: one that
// an entry names, or one whose beginning is nearly that of a pattern.
func (p *Policy) meant(name string) string {
	if near := strict.DidYouMean(name, p.TargetNames()); near != "" {
		return near
	}
	group, rest, ok := strings.Cut(name, "/")
	if !ok {
		return ""
	}
	var groups []string
	for _, e := range p.entries {
		if before, _, ok := strings.Cut(e.match.text, "/"); ok && !glob.Has(before) {
			groups = append(groups, before+"/"+rest)
		}
	}
	slices.Sort(groups)
	return strict.DidYouMean(group+"/"+rest, slices.Compact(groups))
}

// showLevel writes a level on one line, without its target.
func showLevel(l fallback.Level) string {
	if l.CostRank == 0 {
		return l.Kind.String()
	}
	return l.Kind.String() + ", cost_rank " + strconv.Itoa(l.CostRank)
}
