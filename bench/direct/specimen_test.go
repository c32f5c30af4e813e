// SPDX-License-Identifier: Apache-2.0

package direct_test

import (
	"reflect"
	"slices"
	"strconv"
	"testing"

	"github.com/resilienced/resilienced/bench/direct"
	"github.com/resilienced/resilienced/engine"
	"github.com/resilienced/resilienced/rules/budget"
	"github.com/resilienced/resilienced/statestore"
)

func TestSpecimens(t *testing.T) {
	codec, err := statestore.NewCodec(engine.Kinds())
	if err != nil {
		t.Fatal(err)
	}
	all, err := direct.Specimens(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range all {
		row := s.Named(s.Name)
		c, err := codec.Columns(row.Key, row.Record)
		if err != nil {
			t.Fatalf("%s: %v", s.What, err)
		}
		if len(c.Body) == 0 || s.Holds < 1 || (s.Kind == statestore.KindCalls) != (s.Holds > 200) {
			t.Errorf("%s: %d bytes, holds %d", s.What, len(c.Body), s.Holds)
		}
		if a, b := s.Copy(1).Key, s.Copy(2).Key; a == b || len(a.Name) != len(b.Name) {
			t.Errorf("%s: copies are named %q and %q", s.What, a.Name, b.Name)
		}
	}
}

// What is filled in is there, and an engine works on it.
func TestFill(t *testing.T) {
	all, err := direct.Specimens(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	const runs = 2500
	place := direct.Place{Kind: direct.SQLite, Folder: t.TempDir()}
	e := started(t, place)
	told := 0
	err = direct.Fill(t.Context(), e.Store, runs, func(i int) direct.Row { return all[0].Named(direct.RunOf(i)) }, func(done int) { told = done })
	if err != nil || told != runs {
		t.Fatalf("%d of %d records, %v", told, runs, err)
	}
	n, err := e.Store.Count(t.Context(), statestore.KindRun, "default")
	if err != nil || n != runs {
		t.Fatalf("the store counts %d runs, %v", n, err)
	}
	for _, i := range []int{0, 1, runs - 1} {
		p := e.Pair(direct.Ask{Run: direct.RunOf(i), Target: direct.Target})
		permit, err := p.Acquire(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Report(t.Context(), permit); err != nil {
			t.Fatal(err)
		}
		v, err := e.GetRun(t.Context(), "default", direct.RunOf(i))
		if err != nil {
			t.Fatal(err)
		}
		if got := v.Run.ID + strconv.FormatInt(v.Run.Spent.Cost-all[0].Record.(*budget.Run).Spent.Cost, 10); got != direct.RunOf(i)+"80" {
			t.Errorf("run and what it spent: %s", got)
		}
	}
}

// A call that goes well on a target that was filled in only reads its control
// record, so that all its calls cost the same.
func TestFilledTargetsStay(t *testing.T) {
	all, err := direct.Specimens(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	e := started(t, direct.Place{Kind: direct.SQLite, Folder: t.TempDir()})
	i := slices.IndexFunc(all, func(s direct.Specimen) bool { return s.Kind == statestore.KindTarget })
	row := all[i].Named(direct.TargetOf(7))
	if err := direct.Fill(t.Context(), e.Store, 1, func(int) direct.Row { return row }, func(int) {}); err != nil {
		t.Fatal(err)
	}
	p := e.Pair(direct.Ask{Target: direct.TargetOf(7)})
	permit, err := p.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Report(t.Context(), permit); err != nil {
		t.Fatal(err)
	}
	after, _, err := e.Store.Get(t.Context(), row.Key)
	if err != nil || !reflect.DeepEqual(after, row.Record) {
		t.Errorf("the record was %+v and is %+v, %v", row.Record, after, err)
	}
}
