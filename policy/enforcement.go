// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"slices"
	"strings"

	"github.com/resilienced/resilienced/policy/glob"
	"github.com/resilienced/resilienced/rules/target"
)

// Enforcement is what stands above the policy's own words on which rules
// refuse and which are only computed. The zero Enforcement changes nothing.
type Enforcement struct {
	// Observe: nothing is enforced but what an entry enforces.
	Observe bool
	// Entries decide for the targets that they match, the most specific first.
	// Of two that are equally specific the one whose pattern sorts first
	// decides.
	Entries []Override
}

// Override switches all rules of some targets.
type Override struct {
	Match   string // a pattern as in a policy
	Enforce bool   // false: observe
	Source  string // what Explain says, such as an operator's name
}

// observeSource is what Explain says of the server's own switch.
const observeSource = "server --observe"

// overlay is an Enforcement made ready for a policy.
type overlay struct {
	base     *Policy
	observe  bool
	literals map[string]*Override
	globs    []overrideGlob // the most specific first
}

type overrideGlob struct {
	pattern glob.Pattern
	*Override
}

// With returns the policy under an enforcement. p itself does not change.
func (p *Policy) With(e Enforcement) *Policy {
	if !e.Observe && len(e.Entries) == 0 {
		return p
	}
	o := &overlay{base: p, observe: e.Observe, literals: make(map[string]*Override)}
	for _, entry := range e.Entries {
		pattern := glob.New(entry.Match)
		if entry.Match = pattern.String(); glob.Has(entry.Match) {
			o.globs = append(o.globs, overrideGlob{pattern, &entry})
		} else {
			o.literals[entry.Match] = &entry
		}
	}
	slices.SortFunc(o.globs, func(a, b overrideGlob) int {
		if order := a.pattern.Compare(b.pattern); order != 0 {
			return order
		}
		return strings.Compare(a.Match, b.Match)
	})
	next := *p
	next.over, next.cache = o, newCache()
	next.literals = make(map[string]*resolved, len(p.literals))
	for name, r := range p.literals {
		next.literals[name] = o.resolve(r)
	}
	return &next
}

// of returns the entry that decides for a target, or nil.
func (o *overlay) of(name string) *Override {
	if entry := o.literals[name]; entry != nil {
		return entry
	}
	for i := range o.globs {
		if o.globs[i].pattern.Match(name) {
			return o.globs[i].Override
		}
	}
	return nil
}

// resolve returns what the policy says of a name, with the overlay's switches.
func (o *overlay) resolve(r *resolved) *resolved {
	dry, source := o.decides(r.config.Name)
	if source == "" {
		return r
	}
	next := *r
	for _, flag := range dryFlags() {
		*flag(&next.config) = dry
	}
	return &next
}

// decides says whether a target is observed and who says so; an empty source
// leaves it to the policy.
func (o *overlay) decides(name string) (dry bool, source string) {
	if entry := o.of(name); entry != nil {
		return !entry.Enforce, entry.Source
	}
	if o.observe {
		return true, observeSource
	}
	return false, ""
}

// explain puts the overlay's switches into what the policy explains.
func (o *overlay) explain(name string, settings []Setting) []Setting {
	dry, source := o.decides(name)
	if source == "" {
		return settings
	}
	for i, s := range settings {
		if strings.HasPrefix(s.Field, enforcementPrefix) {
			settings[i].Value, settings[i].Source = enforcementWords()[0], source
			if dry {
				settings[i].Value = enforcementWords()[1]
			}
		}
	}
	return settings
}

// Observes names the groups of rules of a target that are only computed:
// breaker, budget, limit and retry, in this order.
func Observes(c *target.Config) []string {
	var names []string
	for _, name := range enforcementKeys() {
		if *dryFlags()[name](c) {
			names = append(names, name)
		}
	}
	return names
}
