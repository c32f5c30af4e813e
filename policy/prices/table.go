// SPDX-License-Identifier: Apache-2.0

package prices

import (
	"maps"
	"slices"
	"time"

	"github.com/resilienced/resilienced/policy/strict"
	"github.com/resilienced/resilienced/rules/budget"
)

// Currency is that of every table.
const Currency = "USD"

// MaxAge is how old a table may be before somebody should look at it.
const MaxAge = 90 * 24 * time.Hour

const (
	maxPerMillion = 10_000_000_000 // micro-USD for a million tokens: 10 000 dollars
	maxPerCall    = 1_000_000_000  // micro-USD for a call: 1 000 dollars
)

// Table says of names, such as openai/gpt-4o, what they cost. It does not
// change, so any number of goroutines may use it. The zero Table is empty.
type Table struct {
	updated time.Time
	models  map[string]*budget.Price
	at      map[string]strict.Position
}

// Updated is the day of the prices, at midnight UTC; the zero time if nobody
// said.
func (t *Table) Updated() time.Time { return t.updated }

// Dated returns the same prices with another day.
func (t *Table) Dated(day time.Time) *Table {
	y, m, d := day.UTC().Date()
	return &Table{updated: time.Date(y, m, d, 0, 0, 0, 0, time.UTC), models: t.models, at: t.at}
}

// Price returns the price of exactly this name, in micro-USD for a million
// tokens and for a call. It is shared: do not change it.
func (t *Table) Price(name string) (*budget.Price, bool) {
	p, ok := t.models[name]
	return p, ok
}

// Len is how many names have a price.
func (t *Table) Len() int { return len(t.models) }

// Names returns all names that have a price, sorted.
func (t *Table) Names() []string { return slices.Sorted(maps.Keys(t.models)) }

// Position is where the file says the price of a name; none for a table that
// was not read from one.
func (t *Table) Position(name string) strict.Position { return t.at[name] }

// Stale tells whether the table is older than MaxAge. A table without a day is
// not: nobody knows.
func (t *Table) Stale(now time.Time) bool {
	return !t.updated.IsZero() && now.Sub(t.updated) > MaxAge
}
