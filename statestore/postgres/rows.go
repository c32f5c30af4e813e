// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/resilienced/resilienced/rules"
	"github.com/resilienced/resilienced/statestore"
)

// keyArrays are keys as a statement takes them, and where they come from.
type keyArrays struct {
	kinds             []int16
	namespaces, names []string
	from              []int // the index of the entry
}

func (k *keyArrays) add(i int, key statestore.Key) {
	k.kinds = append(k.kinds, int16(key.Kind))
	k.namespaces = append(k.namespaces, key.Namespace)
	k.names = append(k.names, key.Name)
	k.from = append(k.from, i)
}

// args are the arguments of the statements that take keys. No keys are empty
// arrays, not NULL.
func (k *keyArrays) args() []any {
	if len(k.from) == 0 {
		return []any{[]int16{}, []string{}, []string{}}
	}
	return []any{k.kinds, k.namespaces, k.names}
}

// rowArrays are rows as a statement takes them. The zero rowArrays has none.
type rowArrays struct {
	keyArrays
	ords, dues []*int64
	bodies     [][]byte
	states     []*string
	// sums are the columns of the amounts, for runs alone: hardly another
	// record has any.
	sums [sumColumns][]*int64
}

// sumColumns is how many columns the amounts take.
const sumColumns = 10

func (r *rowArrays) addRow(i int, key statestore.Key, c statestore.Columns, facts rules.Facts) {
	r.add(i, key)
	r.ords = append(r.ords, nullable(c.Ord))
	r.dues = append(r.dues, nullable(c.Due))
	r.bodies = append(r.bodies, c.Body)
	var state *string
	if facts.State != "" {
		state = &facts.State
	}
	r.states = append(r.states, state)
	if key.Kind != statestore.KindRun {
		return
	}
	for at, v := range amounts(facts.Sums) {
		r.sums[at] = append(r.sums[at], v)
	}
}

// copyRow adds a row of another rowArrays.
func (r *rowArrays) copyRow(from *rowArrays, i int) {
	r.add(from.from[i], from.key(i))
	r.ords, r.dues = append(r.ords, from.ords[i]), append(r.dues, from.dues[i])
	r.bodies, r.states = append(r.bodies, from.bodies[i]), append(r.states, from.states[i])
	for at, column := range from.sums {
		if column != nil {
			r.sums[at] = append(r.sums[at], column[i])
		}
	}
}

// amounts are the columns of the sums, in the order of the statements.
func amounts(s *rules.Sums) [sumColumns]*int64 {
	if s == nil {
		return [sumColumns]*int64{}
	}
	return [sumColumns]*int64{
		s.Cap, &s.Spent, &s.Assumed, &s.Reserved,
		s.Admitted[0], s.Allowed[0], s.Admitted[1], s.Allowed[1], s.Admitted[2], s.Allowed[2],
	}
}

// args are the arguments of insert and update.
func (r *rowArrays) args(more ...any) []any {
	all := []any{r.kinds, r.namespaces, r.names, r.ords, r.dues, r.bodies, r.states}
	if r.kinds[0] == int16(statestore.KindRun) {
		for _, column := range r.sums {
			all = append(all, column)
		}
	}
	return append(all, more...)
}

func nullable(n statestore.Number) *int64 {
	if !n.Set {
		return nil
	}
	return &n.N
}

// factsOf are a record's facts, if it has any.
func factsOf(r statestore.Record) rules.Facts {
	if f, ok := r.(statestore.Factual); ok {
		return f.Facts()
	}
	return rules.Facts{}
}

// rawRow is a row as the driver reads it.
type rawRow struct {
	ord, due pgtype.Int8
	body     pgtype.DriverBytes
}

func (r *rawRow) record(codec *statestore.Codec, key statestore.Key) (statestore.Record, error) {
	return codec.Record(key, statestore.Columns{
		Ord:  statestore.Number{N: r.ord.Int64, Set: r.ord.Valid},
		Due:  statestore.Number{N: r.due.Int64, Set: r.due.Valid},
		Body: r.body,
	})
}

// changes is what a transaction writes. Runs and other records take different
// statements.
type changes struct {
	inserts, updates [2]rowArrays
	removes          keyArrays
	// guards are keys that the transaction holds and leaves absent.
	guards keyArrays
}

// The indexes of inserts and updates.
const (
	ofRuns = iota
	ofOthers
)

func indexOf(k statestore.Kind) int {
	if k == statestore.KindRun {
		return ofRuns
	}
	return ofOthers
}
