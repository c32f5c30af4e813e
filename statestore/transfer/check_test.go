// SPDX-License-Identifier: Apache-2.0

package transfer

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/resilienced/resilienced/statestore"
)

// damaged is a store in which some records cannot be read.
type damaged struct {
	statestore.Store
	broken []statestore.Key
	hidden int // records that are counted and not listed
	stuck  bool
}

func (d *damaged) List(ctx context.Context, q statestore.Query) (statestore.Page, error) {
	page, err := d.Store.List(ctx, q)
	for _, row := range page.Rows {
		k := key(q.Kind, q.Namespace, row.Name)
		if slices.Contains(d.broken, k) {
			at := statestore.PositionOf(row.Name, row.Record)
			if d.stuck {
				at = statestore.Position{Order: -100, Name: "0"}
			}
			return statestore.Page{}, &statestore.RecordError{Key: k, At: at, Err: statestore.ErrNotADatabase}
		}
	}
	return page, err
}

func (d *damaged) Count(ctx context.Context, kind statestore.Kind, ns string) (int, error) {
	n, err := d.Store.Count(ctx, kind, ns)
	if n > 0 {
		n += d.hidden
	}
	return n, err
}

func TestCheckNamesEachDamagedRecord(t *testing.T) {
	s := inMemory(t)
	fill(t, s, 600)
	broken := []statestore.Key{
		key(named, "", "n00000"), key(named, "", "n00001"), key(named, "acme", "n00599"), key(ordered, "acme", "n00300"),
	}
	r, err := Check(t.Context(), &damaged{Store: s, broken: broken}, CheckOptions{Codec: codec(t)})
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Problems) != 4 || r.Records != 6*600-4 || r.More != 0 {
		t.Errorf("%d records, %q", r.Records, r.Problems)
	}
	for i, p := range r.Problems {
		if e, ok := errors.AsType[*statestore.RecordError](p); !ok || !slices.Contains(broken, e.Key) {
			t.Errorf("problem %d: %v", i, p)
		}
	}
}

func TestCheckIsBounded(t *testing.T) {
	s := inMemory(t)
	fill(t, s, 200)
	var broken []statestore.Key
	for _, row := range must(s.List(t.Context(), statestore.Query{Kind: named, Limit: 1000})).Rows {
		broken = append(broken, key(named, "", row.Name))
	}
	r, err := Check(t.Context(), &damaged{Store: s, broken: broken}, CheckOptions{Codec: codec(t)})
	if err != nil || len(r.Problems) != mostProblems || r.More != 100 {
		t.Errorf("%d problems and %d more, %v", len(r.Problems), r.More, err)
	}
}

// A record whose place is damaged too would be met again and again.
func TestCheckEndsWhereThereIsNoWayPast(t *testing.T) {
	s := inMemory(t)
	fill(t, s, 20)
	_, err := Check(t.Context(), &damaged{Store: s, broken: []statestore.Key{key(ordered, "acme", "n00003")}, stuck: true}, CheckOptions{Codec: codec(t)})
	if !errors.Is(err, statestore.ErrNotADatabase) {
		t.Errorf("%v", err)
	}
}

func TestCheckFindsWhatIsNotListed(t *testing.T) {
	s := inMemory(t)
	put(t, s, key(named, "acme", "n"), &note{})
	r, err := Check(t.Context(), &damaged{Store: s, hidden: 2}, CheckOptions{Codec: codec(t)})
	if err != nil || len(r.Problems) != 1 || !strings.Contains(r.Problems[0].Error(), "1 records of kind meta are listed where 3 are counted") {
		t.Errorf("%+v, %v", r, err)
	}
	r, err = Check(t.Context(), &damaged{Store: s, hidden: 2}, CheckOptions{Codec: codec(t), Served: true})
	if err != nil || len(r.Problems) != 0 {
		t.Errorf("of a store that is served: %+v, %v", r, err)
	}
}

func TestCheckOfWhatIsWell(t *testing.T) {
	s := inSQLite(t)
	fill(t, s, 5)
	put(t, s, key(strange, "acme", "s"), &note{})
	put(t, s, markKey(), &Mark{From: "x"})
	r, err := Check(t.Context(), s, CheckOptions{Codec: codec(t)})
	if err != nil || r.Records != 30 || len(r.Families) != 6 || r.Mark == nil || r.Now == 0 {
		t.Errorf("%+v, %v", r, err)
	}
	if len(r.Problems) != 1 || !errors.Is(r.Problems[0], ErrUnknownKind) {
		t.Errorf("%v", r.Problems)
	}
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}
