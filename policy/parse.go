// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"cmp"
	"slices"
	"strconv"

	"go.yaml.in/yaml/v4"

	"github.com/resilienced/resilienced/rules/classify"
	"github.com/resilienced/resilienced/rules/target"
)

// entry is one element of targets.
type entry struct {
	path    string // targets[2]
	pos     position
	match   named
	pattern glob
	preset  named
	kind    named
	own     []setting[target.Config]
	rules   []classify.Rule
	rulesAt position
	config  target.Config // resolved but for the name
}

// named is a word and where it is.
type named struct {
	text string
	pos  position
}

// read reads the whole file. The order is that of what depends on what, not
// that of the file.
func (p *Policy) read(d *decoder, root *yaml.Node) {
	parts := p.parts(d, root)
	p.readVersion(d, root, parts["version"])
	if n := parts["dry_run"]; n != nil {
		if dry, _ := d.boolean(n, "dry_run"); dry {
			p.dryRun = at(n)
		}
	}
	if n := parts["unknown_targets"]; n != nil {
		i, ok := d.oneOf(n, "unknown_targets", []string{"allow", "deny"})
		p.deny = ok && i == 1
	}
	p.readRuns(d, parts["runs"])
	p.readQuotas(d, parts["quotas"])
	ids := make(map[string]int)
	if n := parts["classification"]; n != nil {
		p.rules = d.rules(n, "classification", ids)
	}
	if n := parts["defaults"]; n != nil {
		p.defaults = p.schema.read(d, n, place{path: "defaults", defaults: true, elsewhere: entryKey})
	}
	if n := parts["targets"]; n != nil {
		p.readTargets(d, n, ids)
	}
	if d.more {
		return // no need to put together what nobody will use
	}
	p.finish(d)
	if n := parts["chains"]; n != nil {
		p.readChains(d, n)
	}
}

// parts returns the values of the keys of the root.
func (p *Policy) parts(d *decoder, root *yaml.Node) map[string]*yaml.Node {
	parts := make(map[string]*yaml.Node)
	var extra []extraKey
	for _, key := range []string{
		"version", "defaults", "targets", "chains", "runs", "quotas", "classification", "unknown_targets", "dry_run",
	} {
		extra = append(extra, extraKey{key, func(n *yaml.Node, _ string) { parts[key] = n }})
	}
	elsewhere := func(key string) string {
		if slices.Contains(p.schema.groups[""], key) {
			return "under defaults or in an entry of targets"
		}
		return entryKey(key)
	}
	newSchema[Policy]().read(d, root, place{extra: extra, elsewhere: elsewhere})
	return parts
}

// entryKey says where the keys belong that only an entry of targets may have.
func entryKey(key string) string {
	if slices.Contains([]string{"match", "preset", "kind", "idempotent", "classification"}, key) {
		return "in an entry of targets"
	}
	return ""
}

func (p *Policy) readVersion(d *decoder, root, n *yaml.Node) {
	if n == nil || isNull(n) {
		if root.Kind == yaml.MappingNode {
			d.fail(at(cmp.Or(n, root)), "version", "the version is missing; begin with version: 1")
		}
		return
	}
	if value, isNumber, _ := decimal(n.Value); !isNumber || n.Style != 0 {
		d.wrongType(n, "version", "1")
	} else if value != 1 {
		d.fail(at(n), "version", "version %s is not known; write 1", n.Value)
	}
}

// readTargets reads the list of entries.
func (p *Policy) readTargets(d *decoder, n *yaml.Node, ids map[string]int) {
	if n.Kind != yaml.SequenceNode {
		d.wrongType(n, "targets", "a list of entries, each with a match and a preset")
		return
	}
	before := make(map[string]*entry)
	for i, item := range n.Content {
		e := &entry{path: "targets[" + strconv.Itoa(i) + "]", pos: at(item)}
		if !p.readEntry(d, item, e, ids) {
			continue
		}
		if twin := before[e.pattern.text]; twin != nil {
			d.fail(e.match.pos, e.path+".match", "the pattern %q is in line %d already (%s); put both into one entry",
				e.match.text, twin.match.pos.line, twin.path)
			continue
		}
		before[e.pattern.text] = e
		p.entries = append(p.entries, e)
	}
}

// readEntry reads one entry. It reports whether it can be matched.
func (p *Policy) readEntry(d *decoder, n *yaml.Node, e *entry, ids map[string]int) bool {
	word := func(to *named) func(*yaml.Node, string) {
		return func(n *yaml.Node, path string) {
			if i, ok := d.oneOf(n, path, presetNames()); ok {
				*to = named{presetNames()[i], at(n)}
			}
		}
	}
	e.own = p.schema.read(d, n, place{path: e.path, extra: []extraKey{
		{"match", func(n *yaml.Node, path string) {
			if s, ok := d.text(n, path); ok {
				e.match, e.pattern = named{s, at(n)}, newGlob(s)
			}
		}},
		{"preset", word(&e.preset)},
		{"kind", word(&e.kind)},
		{"classification", func(n *yaml.Node, path string) {
			e.rules, e.rulesAt = d.rules(n, path, ids), at(n)
		}},
	}})
	if n.Kind != yaml.MappingNode {
		return false
	}
	if !has(n, "match") {
		d.fail(e.pos, e.path, "match is missing; write the name of a target, or a pattern such as openai/*")
	}
	if !has(n, "preset") && !has(n, "kind") {
		d.fail(e.pos, e.path, "preset is missing; write preset: llm, tool, fast, action or strict")
	}
	if e.preset.text == "" {
		e.preset = e.kind
	}
	if e.kind.text == "" {
		e.kind = e.preset
	}
	return e.match.text != "" && e.preset.text != ""
}

// has tells whether a mapping has a key.
func has(n *yaml.Node, key string) bool {
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return true
		}
	}
	return false
}

// finish resolves and checks every entry and what is said of all others.
func (p *Policy) finish(d *decoder) {
	p.unnamed, _ = p.build(llm(), nil)
	p.check(d, nil)
	for _, e := range p.entries {
		e.config, _ = p.build(e.base(), e)
		p.check(d, e)
		if isGlob(e.pattern.text) {
			p.globs = append(p.globs, e)
			continue
		}
		p.literals[e.match.text] = newResolved(e.match.text, &e.config, true)
	}
	slices.SortStableFunc(p.globs, func(a, b *entry) int { return a.pattern.compare(b.pattern) })
}
