// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"cmp"
	"slices"
	"strconv"

	"go.yaml.in/yaml/v4"

	"github.com/resilienced/resilienced/policy/glob"
	"github.com/resilienced/resilienced/policy/strict"
	"github.com/resilienced/resilienced/rules/target"
)

// entry is one element of targets.
type entry struct {
	path    string // targets[2]
	pos     strict.Position
	match   named
	pattern glob.Pattern
	preset  named
	kind    named
	own     []strict.Setting[target.Config]
	rules   ruleList
	config  target.Config // resolved but for the name
}

// named is a word and where it is.
type named struct {
	text string
	pos  strict.Position
}

// rootKeys are the keys of a policy, in the order of the example.
func rootKeys() []string {
	return []string{
		"version", "defaults", "targets", "chains", "runs", "quotas", "classification", "prices", "unknown_targets", "dry_run",
	}
}

// read reads the whole file. The order is that of what depends on what, not
// that of the file.
func (p *Policy) read(d *strict.Decoder, root *yaml.Node) {
	parts := p.parts(d, root)
	part := func(key string, read func(n *yaml.Node)) {
		if n := parts[key]; n != nil {
			p.at[key] = strict.At(n)
			read(n)
		}
	}
	ids := make(map[string]int)
	p.readVersion(d, root, parts["version"])
	part("dry_run", func(n *yaml.Node) {
		if dry, _ := d.Boolean(n, "dry_run"); dry {
			p.dryRun = strict.At(n)
		}
	})
	part("unknown_targets", func(n *yaml.Node) {
		i, ok := d.OneOf(n, "unknown_targets", unknownWords())
		p.deny = ok && i == 1
	})
	part("runs", func(n *yaml.Node) { p.readRuns(d, n) })
	part("quotas", func(n *yaml.Node) { p.readQuotas(d, n) })
	part("prices", func(n *yaml.Node) { p.readPrices(d, n) })
	part("classification", func(n *yaml.Node) { p.rules = readRules(d, n, "classification", ids) })
	part("defaults", func(n *yaml.Node) {
		p.defaults = p.schema.Read(d, n, strict.Place{Path: "defaults", Defaults: true, Elsewhere: entryKey})
	})
	part("targets", func(n *yaml.Node) { p.readTargets(d, n, ids) })
	if d.TooMany() {
		return // no need to put together what nobody will use
	}
	p.finish(d)
	part("chains", func(n *yaml.Node) { p.readChains(d, n) })
}

func unknownWords() []string { return []string{"allow", "deny"} }

// parts returns the values of the keys of the root.
func (p *Policy) parts(d *strict.Decoder, root *yaml.Node) map[string]*yaml.Node {
	parts := make(map[string]*yaml.Node)
	var extra []strict.Key
	for _, key := range rootKeys() {
		extra = append(extra, strict.Key{Name: key, Read: func(n *yaml.Node, _ string) { parts[key] = n }})
	}
	elsewhere := func(key string) string {
		if slices.Contains(p.schema.Group(""), key) {
			return "under defaults or in an entry of targets"
		}
		return entryKey(key)
	}
	strict.New[Policy]().Read(d, root, strict.Place{Extra: extra, Elsewhere: elsewhere})
	return parts
}

// entryKey says where the keys belong that only an entry of targets may have.
func entryKey(key string) string {
	if slices.Contains([]string{"match", "preset", "kind", "idempotent", "classification"}, key) {
		return "in an entry of targets"
	}
	return ""
}

func (p *Policy) readVersion(d *strict.Decoder, root, n *yaml.Node) {
	if n == nil || strict.IsNull(n) {
		if root.Kind == yaml.MappingNode {
			d.Fail(strict.At(cmp.Or(n, root)), "version", "the version is missing; begin with version: 1")
		}
		return
	}
	if value, isNumber, _ := strict.Decimal(n.Value); !isNumber || n.Style != 0 {
		d.WrongType(n, "version", "1")
	} else if value != 1 {
		d.Fail(strict.At(n), "version", "version %s is not known; write 1", n.Value)
	}
}

// readTargets reads the list of entries.
func (p *Policy) readTargets(d *strict.Decoder, n *yaml.Node, ids map[string]int) {
	if n.Kind != yaml.SequenceNode {
		d.WrongType(n, "targets", "a list of entries, each with a match and a preset")
		return
	}
	before := make(map[string]*entry)
	for i, item := range n.Content {
		e := &entry{path: "targets[" + strconv.Itoa(i) + "]", pos: strict.At(item)}
		if !p.readEntry(d, item, e, ids) {
			continue
		}
		if twin := before[e.pattern.String()]; twin != nil {
			d.Fail(e.match.pos, e.path+".match", "the pattern %q is in line %d already (%s); put both into one entry",
				e.match.text, twin.match.pos.Line, twin.path)
			continue
		}
		before[e.pattern.String()] = e
		p.entries = append(p.entries, e)
	}
}

// readEntry reads one entry. It reports whether it can be matched.
func (p *Policy) readEntry(d *strict.Decoder, n *yaml.Node, e *entry, ids map[string]int) bool {
	word := func(to *named) func(*yaml.Node, string) {
		return func(n *yaml.Node, path string) {
			if i, ok := d.OneOf(n, path, presetNames()); ok {
				*to = named{presetNames()[i], strict.At(n)}
			}
		}
	}
	e.own = p.schema.Read(d, n, strict.Place{Path: e.path, Extra: []strict.Key{
		{Name: "match", Read: func(n *yaml.Node, path string) {
			if s, ok := d.Text(n, path); ok {
				e.match, e.pattern = named{s, strict.At(n)}, glob.New(s)
			}
		}},
		{Name: "preset", Read: word(&e.preset)},
		{Name: "kind", Read: word(&e.kind)},
		{Name: "classification", Read: func(n *yaml.Node, path string) { e.rules = readRules(d, n, path, ids) }},
	}})
	if n.Kind != yaml.MappingNode {
		return false
	}
	if !strict.Has(n, "match") {
		d.Fail(e.pos, e.path, "match is missing; write the name of a target, or a pattern such as openai/*")
	}
	if !strict.Has(n, "preset") && !strict.Has(n, "kind") {
		d.Fail(e.pos, e.path, "preset is missing; write preset: llm, tool, fast, action or strict")
	}
	if e.preset.text == "" {
		e.preset = e.kind
	}
	if e.kind.text == "" {
		e.kind = e.preset
	}
	return e.match.text != "" && e.preset.text != ""
}

// finish resolves and checks every entry and what is said of all others.
func (p *Policy) finish(d *strict.Decoder) {
	p.unnamed, _ = p.build(llm(), nil)
	p.check(d, nil)
	for _, e := range p.entries {
		e.config, _ = p.build(e.base(), e)
		p.check(d, e)
		if glob.Has(e.pattern.String()) {
			p.globs = append(p.globs, e)
			continue
		}
		p.literals[e.match.text] = p.newResolved(e.match.text, &e.config, true)
	}
	slices.SortStableFunc(p.globs, func(a, b *entry) int { return a.pattern.Compare(b.pattern) })
}
