// SPDX-License-Identifier: Apache-2.0

package prices

import (
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/resilienced/resilienced/policy/glob"
	"github.com/resilienced/resilienced/policy/strict"
	"github.com/resilienced/resilienced/rules/budget"
)

// Read reads a table: a document with prices, and in it updated and models, as
// WriteYAML writes it. What is wrong with it comes as a *strict.Error, all at
// once; file is the name that its problems give to the text.
func Read(file string, text []byte) (*Table, error) {
	d := strict.NewDecoder(file, strict.Kind{Name: "price table", Begin: "prices:", Fewer: "leave out the models that you do not use"})
	var r Reader
	if root := d.Document(text); root != nil {
		found := false
		strict.New[Table]().Read(d, root, strict.Place{Extra: []strict.Key{{Name: "prices", Read: func(n *yaml.Node, path string) {
			found = true
			strict.New[Table]().Read(d, n, strict.Place{Path: path, Extra: r.Keys(d)})
			r.Finish(d, n, path)
		}}}})
		if !found && root.Kind == yaml.MappingNode {
			d.Fail(strict.At(root), "", "prices is missing; write prices, and under it updated and models")
		}
	}
	if err := d.Err(); err != nil {
		return nil, err
	}
	return r.Table(), nil
}

// Reader reads the keys updated and models of a mapping. The zero Reader is
// ready for use, for one mapping.
type Reader struct {
	table  Table
	dateAt strict.Position
	models *yaml.Node
	isDate bool // updated is there, right or wrong
}

// Table returns what was read. It is empty if there were no models.
func (r *Reader) Table() *Table { return &r.table }

// Position is where the day was written.
func (r *Reader) Position() strict.Position { return r.dateAt }

// Keys are the two keys.
func (r *Reader) Keys(d *strict.Decoder) []strict.Key {
	return []strict.Key{
		{Name: "updated", Read: func(n *yaml.Node, path string) {
			r.isDate, r.dateAt = true, strict.At(n)
			r.table.updated, _ = readDay(d, n, path)
		}},
		{Name: "models", Read: func(n *yaml.Node, path string) {
			r.models = n
			r.read(d, n, path)
		}},
	}
}

// Finish notes what is missing, once the mapping n was read.
func (r *Reader) Finish(d *strict.Decoder, n *yaml.Node, path string) {
	switch {
	case n.Kind != yaml.MappingNode:
	case r.models != nil && !r.isDate:
		d.Fail(strict.At(r.models), strict.Join(path, "models"), "prices need their day; write updated beside models, such as updated: 2026-11-01")
	case r.models == nil && r.isDate:
		d.Fail(r.dateAt, strict.Join(path, "updated"), "this has no effect without prices; write models too")
	}
}

// The first and the last day that a table may be of.
var firstDay, lastDay = time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2099, 12, 31, 0, 0, 0, 0, time.UTC) //nolint:gochecknoglobals // Read-only: time has no constants.

func readDay(d *strict.Decoder, n *yaml.Node, path string) (time.Time, bool) {
	if n.Kind != yaml.ScalarNode || strict.IsNull(n) {
		d.WrongType(n, path, "a day, such as 2026-11-01")
		return time.Time{}, false
	}
	day, err := time.Parse(time.DateOnly, n.Value)
	if err != nil || day.Before(firstDay) || day.After(lastDay) {
		d.Fail(strict.At(n), path, "%q is not a day from %s to %s; write one such as 2026-11-01",
			n.Value, firstDay.Format(time.DateOnly), lastDay.Format(time.DateOnly))
		return time.Time{}, false
	}
	return day, true
}

// read reads the mapping of names to prices.
func (r *Reader) read(d *strict.Decoder, n *yaml.Node, path string) {
	if n.Kind != yaml.MappingNode {
		d.WrongType(n, path, "a mapping of names to prices, such as openai/gpt-x: {input: 2500000, output: 10000000}")
		return
	}
	s := Schema()
	r.table.models = make(map[string]*budget.Price, len(n.Content)/2)
	r.table.at = make(map[string]strict.Position, len(n.Content)/2)
	for i := 0; i+1 < len(n.Content) && !d.TooMany(); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		here := strict.Join(path, key.Value)
		name, ok := d.Name(key, here)
		if !ok {
			continue
		}
		if glob.Has(name) {
			d.Fail(strict.At(key), here, "%q is a pattern; a price is for one name, so write the price into the entry of targets", name)
			continue
		}
		p := &budget.Price{Currency: Currency}
		problems := d.Count()
		for _, set := range s.Read(d, value, strict.Place{Path: here}) {
			set.Apply(p)
		}
		if problem := useless(p); problem != "" && d.Count() == problems {
			d.Fail(strict.At(value), here, "%s", problem)
		}
		r.table.models[name], r.table.at[name] = p, strict.At(key)
	}
}

// useless says why nothing can be worked out from a price; "" if it can.
func useless(p *budget.Price) string {
	switch {
	case p.CachedInput != nil && p.Input == nil:
		return "cached_input says nothing without input; write input too"
	case p.Input == nil && p.Output == nil && p.PerCall == nil:
		return "there is no price here; write input and output, or per_call, or remove the model"
	}
	return ""
}

// Schema is what may be said of the price of a model.
func Schema() *strict.Schema[budget.Price] {
	return strict.New(
		amount("input", maxPerMillion, func(p *budget.Price) **int64 { return &p.Input }),
		amount("output", maxPerMillion, func(p *budget.Price) **int64 { return &p.Output }),
		amount("cached_input", maxPerMillion, func(p *budget.Price) **int64 { return &p.CachedInput }),
		amount("per_call", maxPerCall, func(p *budget.Price) **int64 { return &p.PerCall }),
	)
}

// amount is a field in whole micro-USD. Of what is not whole it says which
// unit is meant, since dollars are the likeliest mistake.
func amount(path string, most int64, of func(*budget.Price) **int64) *strict.Field[budget.Price] {
	f := strict.Optional(path, most,
		func(p *budget.Price) *int64 { return *of(p) }, func(p *budget.Price, v *int64) { *of(p) = v })
	read := f.Read
	f.Read = func(d *strict.Decoder, n *yaml.Node, path string) (func(*budget.Price), bool) {
		if n.Kind == yaml.ScalarNode && !strict.IsNull(n) {
			if _, whole, _ := strict.Decimal(n.Value); !whole || n.Style != 0 {
				d.WrongType(n, path, "whole micro-USD in decimal digits, without quotes: 2.50 dollars are 2500000")
				return nil, false
			}
		}
		return read(d, n, path)
	}
	return f
}

// JSON is the JSON Schema of the two keys.
func JSON(describe strict.Describe) map[string]strict.JSON {
	return map[string]strict.JSON{
		"updated": {"type": "string", "pattern": "^20[2-9][0-9]-[01][0-9]-[0-3][0-9]$"},
		"models":  strict.MapJSON(Schema().JSON(strict.Place{}, nil, describe)),
	}
}
