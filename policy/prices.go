// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/resilienced/resilienced/policy/glob"
	"github.com/resilienced/resilienced/policy/prices"
	"github.com/resilienced/resilienced/policy/strict"
	"github.com/resilienced/resilienced/rules/budget"
)

// priceSection is what a policy says of prices.
type priceSection struct {
	byDefault *prices.Table // nil: table: none
	own       *prices.Table // the models of the file
	aliases   map[string]alias
}

// alias is a name that has the price of another.
type alias struct {
	model string
	pos   strict.Position
}

func tableWords() []string { return []string{"default", "none"} }

// newPriceSection is what holds unless a file says otherwise.
func newPriceSection() priceSection {
	return priceSection{own: &prices.Table{}, byDefault: prices.Default()}
}

func (p *Policy) readPrices(d *strict.Decoder, n *yaml.Node) {
	var r prices.Reader
	var aliases *yaml.Node
	extra := append([]strict.Key{{Name: "table", Read: func(n *yaml.Node, path string) {
		p.at["prices.table"] = strict.At(n)
		switch i, ok := d.OneOf(n, path, tableWords()); {
		case ok && i == 0:
			p.prices.byDefault = prices.Default()
		case ok:
			p.prices.byDefault = nil
		}
	}}}, r.Keys(d)...)
	extra = append(extra, strict.Key{Name: "aliases", Read: func(n *yaml.Node, _ string) { aliases = n }})
	strict.New[Policy]().Read(d, n, strict.Place{Path: "prices", Extra: extra})
	r.Finish(d, n, "prices")
	p.at["prices.updated"] = r.Position()
	p.prices.own = r.Table()
	if aliases != nil {
		p.readAliases(d, aliases)
	}
}

// readAliases reads the mapping of names to those whose prices they have.
func (p *Policy) readAliases(d *strict.Decoder, n *yaml.Node) {
	const path = "prices.aliases"
	if n.Kind != yaml.MappingNode {
		d.WrongType(n, path, "a mapping of targets to names that have a price, such as my/model: openai/gpt-4o")
		return
	}
	p.prices.aliases = make(map[string]alias, len(n.Content)/2)
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		here := strict.Join(path, key.Value)
		name, ok := d.Name(key, here)
		model, isText := d.Text(value, here)
		if !ok || !isText {
			continue
		}
		if glob.Has(name) {
			d.Fail(strict.At(key), here, "%q is a pattern; an alias is for one target, so write one name", name)
		}
		if _, _, found := p.prices.model(model); !found {
			d.Fail(strict.At(value), here, "no price of %q is known%s", model, cmp.Or(p.prices.meant(model), "; write it under prices.models"))
		}
		p.prices.aliases[name] = alias{model, strict.At(value)}
	}
}

// meant asks for the model that a name was most likely meant to be.
func (s *priceSection) meant(model string) string {
	if s.byDefault == nil {
		if _, ok := prices.Default().Price(model); ok {
			return "; the default table has it, so write prices.table: default"
		}
		return strict.DidYouMean(model, s.own.Names())
	}
	return strict.DidYouMean(model, slices.Concat(s.own.Names(), s.byDefault.Names()))
}

// model is the price of exactly this name: in the file, or else in the default
// table.
func (s *priceSection) model(name string) (p *budget.Price, table *prices.Table, ok bool) {
	for _, t := range []*prices.Table{s.own, s.byDefault} {
		if t == nil {
			continue
		}
		if p, ok := t.Price(name); ok {
			return p, t, true
		}
	}
	return nil, nil, false
}

// of is the price of a target that no entry gives one, nil if it is unknown.
func (s *priceSection) of(target string) (*budget.Price, bool) {
	if a, ok := s.aliases[target]; ok {
		target = a.model
	}
	p, _, ok := s.model(target)
	return p, ok
}

// priceSource says where the price of a target comes from that no entry gives
// one.
func (p *Policy) priceSource(target string) string {
	a, isAlias := p.prices.aliases[target]
	name := target
	if isAlias {
		name = a.model
	}
	_, table, ok := p.prices.model(name)
	if !ok {
		return ""
	}
	source := "default table of " + table.Updated().Format(time.DateOnly)
	if table == p.prices.own {
		source = p.line(table.Position(name))
	}
	if isAlias {
		return fmt.Sprintf("alias of %s (%s), %s", name, p.line(a.pos), source)
	}
	return source
}

// PricesAsOf is the day of the oldest table that a price may come from. The
// default table counts as long as it has a name that the file does not price.
// It reports false if there is no table.
func (p *Policy) PricesAsOf() (time.Time, bool) {
	var oldest time.Time
	for _, t := range []*prices.Table{p.prices.own, p.prices.byDefault} {
		if t == nil || t.Len() == 0 || t == p.prices.byDefault && p.prices.covered() {
			continue
		}
		if oldest.IsZero() || t.Updated().Before(oldest) {
			oldest = t.Updated()
		}
	}
	return oldest, !oldest.IsZero()
}

// covered tells whether the file prices all that the default table does.
func (s *priceSection) covered() bool {
	for _, name := range s.byDefault.Names() {
		if _, ok := s.own.Price(name); !ok {
			return false
		}
	}
	return true
}

// Stale tells whether prices are older than 90 days.
func (p *Policy) Stale(now time.Time) bool {
	day, ok := p.PricesAsOf()
	return ok && now.Sub(day) > prices.MaxAge
}

// Prices returns every name that has a price by a table or an alias, with the
// price, which is shared, and where it comes from. Prices that entries give are
// not among them.
func (p *Policy) Prices() []NamedPrice {
	names := make(map[string]bool)
	for _, t := range []*prices.Table{p.prices.own, p.prices.byDefault} {
		if t != nil {
			for _, name := range t.Names() {
				names[name] = true
			}
		}
	}
	for name := range p.prices.aliases {
		names[name] = true
	}
	list := make([]NamedPrice, 0, len(names))
	for name := range names {
		price, _ := p.prices.of(name)
		list = append(list, NamedPrice{Name: name, Price: *price, Source: p.priceSource(name)})
	}
	slices.SortFunc(list, func(a, b NamedPrice) int { return cmp.Compare(a.Name, b.Name) })
	return list
}

// NamedPrice is the price of one name, and where it comes from.
type NamedPrice struct {
	Name   string
	Price  budget.Price
	Source string // file:line, a table, or an alias
}
