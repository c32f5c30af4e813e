// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/resilienced/resilienced/policy/glob"
	"github.com/resilienced/resilienced/policy/prices"
	"github.com/resilienced/resilienced/policy/strict"
	"github.com/resilienced/resilienced/rules/target"
)

// Change is one thing that two policies say differently.
type Change struct {
	// Where is what it is about: policy, runs, quotas, "target openai/*" for an
	// entry by its pattern, "targets that no entry matches", targets, "chain
	// answer", classification, prices.
	Where string
	// Path is the field there, as a policy writes it.
	Path string
	// Old and New are the values; empty for what is not there.
	Old, New string
	// OldSource and NewSource are where they come from, as in Setting.
	OldSource, NewSource string
}

// part is one thing that a policy is about, with all that it says of it.
type part struct {
	where    string
	settings []Setting
}

// Diff returns what next says differently from old, once both are resolved:
// comments, order and the way in which values are written make no difference
// where they change nothing. The order is that of next's parts, and always the
// same. What an entry changes that only one of them has is told against what
// its pattern had before, or has then.
func Diff(old, next *Policy) []Change {
	patterns := make(map[string]bool)
	for _, p := range []*Policy{old, next} {
		for _, e := range p.entries {
			patterns[e.pattern.String()] = true
		}
	}
	chains := slices.Compact(slices.Sorted(slices.Values(slices.Concat(old.ChainNames(), next.ChainNames()))))
	sorted := slices.Sorted(maps.Keys(patterns))
	was, is := old.partsOf(sorted, chains), next.partsOf(sorted, chains)
	var changes []Change
	for i := range is {
		changes = append(changes, compare(was[i], is[i])...)
	}
	return append(changes, reordered(old, next)...)
}

// partsOf lists everything that the policy says, for these patterns and chains.
func (p *Policy) partsOf(patterns, chains []string) []part {
	parts := []part{
		{"policy", p.fileSettings()},
		{"runs", showAll(p, "runs", runSchema(), &p.runs)},
		{"quotas", showAll(p, "quotas", quotaSchema(), &p.quotas)},
		{"targets that no entry matches", p.entrySettings(nil, "")},
	}
	byPattern := make(map[string]*entry, len(p.entries))
	for _, e := range p.entries {
		byPattern[e.pattern.String()] = e
	}
	for _, pattern := range patterns {
		e, own := byPattern[pattern]
		if !own {
			e = p.matching(pattern)
		}
		parts = append(parts, part{"target " + pattern, p.entrySettings(e, pattern)})
	}
	for _, name := range chains {
		parts = append(parts, part{"chain " + name, p.chainSettings(name)})
	}
	return append(parts, part{"classification", p.ruleSettings(p.rules)}, part{"prices", p.priceSettings()})
}

// compare lists what is different in one part.
func compare(was, is part) []Change {
	before := make(map[string]Setting, len(was.settings))
	for _, s := range was.settings {
		before[s.Field] = s
	}
	var changes []Change
	seen := make(map[string]bool, len(is.settings))
	for _, s := range is.settings {
		seen[s.Field] = true
		if b := before[s.Field]; b.Value != s.Value {
			changes = append(changes, Change{is.where, s.Field, b.Value, s.Value, b.Source, s.Source})
		}
	}
	for _, s := range was.settings {
		if !seen[s.Field] && s.Value != "" {
			changes = append(changes, Change{is.where, s.Field, s.Value, "", s.Source, ""})
		}
	}
	return changes
}

// fileSettings are those of the whole file.
func (p *Policy) fileSettings() []Setting {
	unknown := unknownWords()[0]
	if p.deny {
		unknown = unknownWords()[1]
	}
	return []Setting{
		{"unknown_targets", unknown, p.line(p.at["unknown_targets"])},
		{"dry_run", strconv.FormatBool(p.DryRun()), p.line(p.dryRun)},
	}
}

// showAll lists the fields of a schema with where the file says them.
func showAll[T any](p *Policy, path string, s *strict.Schema[T], value *T) []Setting {
	var settings []Setting
	for _, f := range s.Fields {
		settings = append(settings, Setting{f.Path, f.Show(value), p.line(p.at[path+"."+f.Path])})
	}
	return settings
}

// entrySettings are what an entry gives the names of a pattern; nil is what no
// entry matches. A single name has the price that a table says.
func (p *Policy) entrySettings(e *entry, pattern string) []Setting {
	var settings []Setting
	switch {
	case pattern == "":
	case e == nil:
		settings = append([]Setting{{"match", "", ""}}, p.head(nil)...)
	default:
		settings = p.head(e)
		settings[0].Value = e.pattern.String()
	}
	c, sources := p.sources(e)
	c.Rules = nil
	if c.Price == nil && !glob.Has(pattern) {
		p.tablePrice(pattern, &c, sources)
	}
	settings = append(settings, p.show(&c, sources)...)
	if e != nil {
		settings = append(settings, p.ruleSettings(e.rules)...)
	}
	return settings
}

// tablePrice gives a target the price that tables and aliases say, if any.
func (p *Policy) tablePrice(name string, c *target.Config, sources map[string]string) {
	price, ok := p.prices.of(name)
	if !ok {
		return
	}
	c.Price = price
	for _, key := range p.schema.Group("price") {
		sources["price."+key] = p.priceSource(name)
	}
}

// ruleSettings are the rules of a list, and their order.
func (p *Policy) ruleSettings(list ruleList) []Setting {
	var settings []Setting
	var ids []string
	for i, r := range list.rules {
		ids = append(ids, r.ID)
		settings = append(settings, Setting{"classification." + r.ID, showRule(&r), p.line(list.at[i])})
	}
	if len(ids) == 0 {
		return nil
	}
	return append(settings, Setting{"classification", strings.Join(ids, ", "), p.line(list.at[0])})
}

// chainSettings are the levels and fields of a chain; none if there is none.
func (p *Policy) chainSettings(name string) []Setting {
	c, ok := p.chains[name]
	if !ok {
		return nil
	}
	var settings []Setting
	for i, l := range c.Levels {
		settings = append(settings, Setting{
			"levels[" + strconv.Itoa(i) + "]", l.Target + ": " + showLevel(l), p.line(p.at[levelPath(name, i)]),
		})
	}
	return append(settings, showAll(p, strict.Join("chains", name), chainSchema(), c)...)
}

// priceSettings are the tables and aliases. Of the default table it is said
// whether there is one, and of which day.
func (p *Policy) priceSettings() []Setting {
	table := tableWords()[1]
	if p.prices.byDefault != nil {
		table = tableWords()[0] + " of " + p.prices.byDefault.Updated().Format(time.DateOnly)
	}
	settings := []Setting{{"table", table, p.line(p.at["prices.table"])}}
	own := p.prices.own
	if own.Len() > 0 {
		settings = append(settings, Setting{"updated", own.Updated().Format(time.DateOnly), p.line(p.at["prices.updated"])})
	}
	for _, name := range own.Names() {
		price, _ := own.Price(name)
		settings = append(settings, Setting{strict.Join("models", name), prices.Line(price), p.line(own.Position(name))})
	}
	for _, name := range slices.Sorted(maps.Keys(p.prices.aliases)) {
		a := p.prices.aliases[name]
		settings = append(settings, Setting{strict.Join("aliases", name), a.model, p.line(a.pos)})
	}
	return settings
}

// reordered lists the pairs of entries of the same rank that changed places and
// match some name both: the one written first holds.
func reordered(old, next *Policy) []Change {
	was := make(map[string]int, len(old.globs))
	for i, e := range old.globs {
		was[e.pattern.String()] = i
	}
	var changes []Change
	work := maxWork
	for i, first := range next.globs {
		before, both := was[first.pattern.String()]
		for _, second := range next.globs[i+1:] {
			if !both || first.pattern.Compare(second.pattern) != 0 || work < 0 {
				break
			}
			work -= len(first.match.text) * len(second.match.text)
			at, both := was[second.pattern.String()]
			if !both || at > before || !first.pattern.Overlaps(second.pattern) {
				continue
			}
			o, n := old.globs[at], old.globs[before]
			changes = append(changes, Change{
				"targets", "order", o.match.text + " before " + n.match.text, first.match.text + " before " + second.match.text,
				old.line(o.match.pos), next.line(first.match.pos),
			})
		}
	}
	slices.SortFunc(changes, func(a, b Change) int { return cmp.Or(cmp.Compare(a.New, b.New), cmp.Compare(a.Old, b.Old)) })
	return changes
}
