// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"fmt"
	"slices"

	"github.com/resilienced/resilienced/policy/glob"
	"github.com/resilienced/resilienced/policy/prices"
	"github.com/resilienced/resilienced/policy/strict"
	"github.com/resilienced/resilienced/rules/budget"
	"github.com/resilienced/resilienced/rules/fallback"
	"github.com/resilienced/resilienced/rules/target"
)

// Warnings returns what is allowed and most likely not meant, in the order of
// the file:
//
//   - an entry that more specific ones leave no name to;
//   - a level of a chain that no entry matches;
//   - a target without a price in a file whose runs have a cost cap, so that
//     its calls are refused as PRICE_UNKNOWN;
//   - a price in another currency than that of runs with a cost cap;
//   - an alias of a target whose entry gives the price, or that no entry
//     matches.
//
// They are worked out on each call. Of very many patterns, not all are looked
// at.
func (p *Policy) Warnings() []Problem {
	if p.source == nil {
		return nil
	}
	w := warner{Policy: p, work: maxWork}
	w.shadowed()
	w.chainLevels()
	w.unpriced()
	w.unusedAliases()
	slices.SortStableFunc(w.list, strict.Problem.Compare)
	return w.list
}

type warner struct {
	*Policy

	work int // how many more characters may be matched with patterns
	list []Problem
}

func (w *warner) warn(pos strict.Position, path, format string, args ...any) {
	w.list = append(w.list, Problem{
		File: w.file, Line: max(pos.Line, 1), Column: max(pos.Column, 1), Path: path, Text: fmt.Sprintf(format, args...),
	})
}

// maxWork bounds the work of matching names with patterns, in characters.
const maxWork = 10_000_000

// shadowed finds entries all of whose names more specific entries match.
func (w *warner) shadowed() {
	var before []glob.Pattern
	for name := range w.literals {
		before = append(before, glob.New(name))
	}
	for _, e := range w.globs {
		covered, by := e.pattern.CoveredBy(before, &w.work)
		if w.work < 0 {
			return
		}
		if covered {
			w.warn(e.match.pos, e.path+".match", "no name is left to %q: %s matches it first; remove one of them", e.match.text, by)
		}
		before = append(before, e.pattern)
	}
}

// chainLevels finds levels whose targets no entry matches. With unknown_targets
// at deny they are errors.
func (w *warner) chainLevels() {
	w.eachLevel(func(path string, l fallback.Level) {
		if w.nowhere(l) {
			near := w.meant(l.Target)
			if near == "" {
				near = "; add an entry, or it has the numbers of targets that nobody knows"
			}
			w.warn(w.at[path], path, "no entry of targets matches %q%s", l.Target, near)
		}
	})
}

func (w *warner) eachLevel(do func(path string, l fallback.Level)) {
	for _, name := range w.ChainNames() {
		for i, l := range w.chains[name].Levels {
			do(levelPath(name, i), l)
		}
	}
}

// unpriced finds targets that a run with a cost cap may not call.
func (w *warner) unpriced() {
	if w.runs.Caps.Cost == nil {
		return
	}
	priced := w.Prices()
	for _, e := range w.entries {
		if refuses(&e.config) {
			w.entryPrice(e, priced)
		}
		if c := e.config.Price; c != nil && c.Currency != w.runs.Currency && !e.config.DryBudget {
			w.warn(e.match.pos, e.path, "its price is in %s and runs are in %s, so their calls are refused as CURRENCY_MISMATCH; "+
				"nothing is converted, so write one currency", c.Currency, w.runs.Currency)
		}
	}
}

// refuses tells whether calls in a run with a cost cap are refused for want of
// a price, as far as the entry says.
func refuses(c *target.Config) bool {
	return c.Price == nil && !c.DryBudget &&
		(c.UnknownPrice == budget.DenyUnpriced || c.UnknownPrice == budget.UseFallbackPrice && c.DefaultEstimate == nil)
}

func (w *warner) entryPrice(e *entry, priced []NamedPrice) {
	i := slices.IndexFunc(priced, func(n NamedPrice) bool {
		w.work -= len(n.Name) + len(e.match.text)
		return w.work >= 0 && e.pattern.Match(n.Name)
	})
	switch {
	case w.work < 0: // nobody looked
	case i < 0:
		w.warn(e.match.pos, e.path, "it has no price and runs have a cap on cost, so their calls are refused as PRICE_UNKNOWN "+
			"unless the caller brings an estimate; write price, per_call: 0 if it is free, or unknown_price")
	case w.runs.Currency != prices.Currency:
		w.warn(e.match.pos, e.path, "its price is in %s (%s) and runs are in %s, so their calls are refused as CURRENCY_MISMATCH; "+
			"write price in the entry", prices.Currency, priced[i].Source, w.runs.Currency)
	}
}

// unusedAliases finds aliases that say nothing.
func (w *warner) unusedAliases() {
	for name, a := range w.prices.aliases {
		path := strict.Join("prices.aliases", name)
		switch e := w.entryOf(name); {
		case e != nil && e.config.Price != nil:
			w.warn(a.pos, path, "the entry %q gives the price already (%s), and that comes first; remove one",
				e.match.text, e.path)
		case e == nil && w.unnamed.Price != nil:
			w.warn(a.pos, path, "defaults give the price already, and that comes first; remove one")
		case e == nil:
			near := w.meant(name)
			if near == "" {
				near = "; add an entry, or correct the name"
			}
			w.warn(a.pos, path, "no entry of targets matches %q%s", name, near)
		}
	}
}
