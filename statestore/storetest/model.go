// SPDX-License-Identifier: Apache-2.0

package storetest

import (
	"errors"
	"maps"
	"reflect"
	"slices"
	"strings"

	"pgregory.net/rapid"

	"github.com/resilienced/resilienced/rules"
	"github.com/resilienced/resilienced/statestore"
)

func modelTests() []test {
	return []test{
		{"random histories agree with a map", func(r *rig) { agreesWithMap(r, []string{"a", "a/b", ""}, []string{"", "x", "x%", "y"}) }},
		{"random histories over few keys agree with a map", func(r *rig) { agreesWithMap(r, []string{"a"}, []string{"x", "y"}) }},
	}
}

func agreesWithMap(r *rig, spaces, all []string) {
	rapid.Check(r.T, func(t *rapid.T) {
		m := &machine{rig: r, store: r.h.Open(r.T), model: make(map[statestore.Key]statestore.Record), spaces: spaces, names: all}
		defer func() { m.must(t, m.store.Close()) }()
		t.Repeat(map[string]func(*rapid.T){
			"update":     m.update,
			"get":        m.get,
			"list":       m.list,
			"due":        m.due,
			"count":      m.count,
			"namespaces": m.namespaces,
			"reopen":     m.reopen,
		})
	})
}

// machine drives a store and a map side by side.
type machine struct {
	rig     *rig
	store   statestore.Store
	model   map[statestore.Key]statestore.Record
	commits uint64
	last    rules.Instant
	spaces  []string
	names   []string
}

// must ends the case if err is not nil.
func (m *machine) must(t *rapid.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// later ends the case if time went back.
func (m *machine) later(t *rapid.T, now rules.Instant) {
	t.Helper()
	if now < m.last {
		t.Fatalf("time went back from %d to %d", m.last, now)
	}
	m.last = now
}

func (m *machine) drawKind(t *rapid.T) statestore.Kind {
	return rapid.SampledFrom([]statestore.Kind{plain, timed, ranked, task}).Draw(t, "kind")
}

func (m *machine) drawKey(t *rapid.T) statestore.Key {
	return statestore.Key{
		Kind:      m.drawKind(t),
		Namespace: rapid.SampledFrom(m.spaces).Draw(t, "namespace"),
		Name:      rapid.SampledFrom(m.names).Draw(t, "name"),
	}
}

// drawRecord returns a record for a kind, or nil for a deletion.
func drawRecord(t *rapid.T, kind statestore.Kind) statestore.Record {
	if rapid.IntRange(0, 3).Draw(t, "delete") == 0 {
		return nil
	}
	n := rapid.Int64().Draw(t, "n")
	rank := rapid.Int64Range(-2, 2).Draw(t, "rank")
	at := rules.Instant(rapid.Int64Range(0, 4).Draw(t, "due"))
	return map[statestore.Kind]statestore.Record{
		timed:  &Timed{N: n, Due: at},
		ranked: &Ranked{N: n, Rank: rank},
		task:   &Task{N: n, Rank: rank, Due: at},
		plain:  &Plain{N: n, Text: rapid.String().Draw(t, "text")},
	}[kind]
}

// plan is what a transaction does to one entry.
type plan struct {
	entry  *statestore.Entry
	change bool
	record statestore.Record
}

func (m *machine) drawPlans(t *rapid.T) (plans []plan, allHeld bool) {
	keys := rapid.SliceOfNDistinct(rapid.Custom(m.drawKey), 0, 5, rapid.ID).Draw(t, "keys")
	allHeld = true
	for _, k := range keys {
		p := plan{entry: &statestore.Entry{Key: k}}
		p.entry.Mode = rapid.SampledFrom([]statestore.Mode{statestore.Write, statestore.Write, statestore.Try, statestore.Read}).Draw(t, "mode")
		// A read entry is changed now and then, which must be refused.
		chance := 1
		if p.entry.Mode == statestore.Read {
			chance = 9
		}
		if p.change = rapid.IntRange(0, chance).Draw(t, "change") == 0; p.change {
			p.record = drawRecord(t, k.Kind)
			allHeld = allHeld && p.entry.Mode != statestore.Read
		}
		plans = append(plans, p)
	}
	return plans, allHeld
}

func (m *machine) update(t *rapid.T) {
	plans, allHeld := m.drawPlans(t)
	durability := statestore.Durability(rapid.IntRange(0, 1).Draw(t, "durability"))
	end := rapid.SampledFrom([]string{"commit", "commit", "commit", "error", "panic"}).Draw(t, "end")
	entries := make([]*statestore.Entry, len(plans))
	for i := range plans {
		entries[i] = plans[i].entry
	}
	var err error
	wrong := ""
	panicked := recovered(func() {
		err = m.store.Update(m.rig.ctx, entries, func(now rules.Instant) (statestore.Durability, error) {
			m.later(t, now)
			for _, p := range plans {
				if !reflect.DeepEqual(p.entry.Record(), m.model[p.entry.Key]) || p.entry.Held() != (p.entry.Mode != statestore.Read) {
					wrong = "an entry was loaded wrong: " + p.entry.Key.Name
				}
				if p.change {
					p.entry.Put(p.record)
				}
			}
			switch end {
			case "error":
				return durability, errStop
			case "panic":
				panic(errStop)
			}
			return durability, nil
		})
	})
	if wrong != "" {
		t.Fatal(wrong)
	}
	m.judge(t, plans, allHeld, end, err, panicked)
}

// judge compares the end of a transaction with what it should be, and brings
// the model up to date.
func (m *machine) judge(t *rapid.T, plans []plan, allHeld bool, end string, err error, panicked any) {
	switch {
	case end == "panic":
		if panicked != errStop { //nolint:errorlint // a value that was panicked with
			t.Fatalf("recovered %v", panicked)
		}
	case end == "error":
		if !errors.Is(err, errStop) {
			t.Fatalf("error = %v, want that of fn", err)
		}
	case !allHeld:
		if !errors.Is(err, statestore.ErrNotHeld) {
			t.Fatalf("error = %v, want ErrNotHeld", err)
		}
	default:
		m.must(t, err)
		m.apply(plans)
	}
	if got := m.store.Commits(); got != m.commits {
		t.Fatalf("Commits = %d, want %d", got, m.commits)
	}
}

func (m *machine) apply(plans []plan) {
	changed := false
	for _, p := range plans {
		if !p.change {
			continue
		}
		_, was := m.model[p.entry.Key]
		changed = changed || was || p.record != nil
		if p.record == nil {
			delete(m.model, p.entry.Key)
		} else {
			m.model[p.entry.Key] = p.record
		}
	}
	if changed {
		m.commits++
	}
}

func (m *machine) get(t *rapid.T) {
	k := m.drawKey(t)
	got, now, err := m.store.Get(m.rig.ctx, k)
	m.must(t, err)
	m.later(t, now)
	if want := m.model[k]; !reflect.DeepEqual(got, want) {
		t.Fatalf("Get(%+v) = %+v, want %+v", k, got, want)
	}
}

func (m *machine) list(t *rapid.T) {
	q := statestore.Query{
		Kind:       m.drawKind(t),
		Namespace:  rapid.SampledFrom(m.spaces).Draw(t, "namespace"),
		Prefix:     rapid.SampledFrom([]string{"", "x", "x%", "z"}).Draw(t, "prefix"),
		Descending: rapid.Bool().Draw(t, "descending"),
		Limit:      rapid.IntRange(1, 5).Draw(t, "limit"),
	}
	records := make(map[string]statestore.Record)
	for k, rec := range m.model {
		if k.Kind == q.Kind && k.Namespace == q.Namespace {
			records[k.Name] = rec
		}
	}
	want := inOrder(records, q.Prefix, q.Descending)
	for first := true; first || q.After != ""; first = false {
		page, err := m.store.List(m.rig.ctx, q)
		m.must(t, err)
		m.later(t, page.Now)
		for _, row := range page.Rows {
			if len(want) == 0 || row.Name != want[0] || !reflect.DeepEqual(row.Record, records[row.Name]) {
				t.Fatalf("List(%+v) has %+v, want %q next", q, row, want)
			}
			want = want[1:]
		}
		q.After = page.Cursor
	}
	if len(want) > 0 {
		t.Fatalf("List(%+v) leaves out %q", q, want)
	}
}

func (m *machine) due(t *rapid.T) {
	q := statestore.DueQuery{
		Namespace: rapid.SampledFrom(append([]string{""}, m.spaces...)).Draw(t, "namespace"),
		Except:    rapid.SampledFrom([]string{"", "", "a/", "a"}).Draw(t, "except"),
		Until:     rules.Instant(rapid.Int64Range(0, 5).Draw(t, "until")),
		Limit:     rapid.IntRange(1, 8).Draw(t, "limit"),
	}
	if q.Namespace != "" {
		q.Except = ""
	}
	var times []rules.Instant
	for k, rec := range m.model {
		dated, _ := rec.(statestore.Dated)
		out := q.Namespace != "" && k.Namespace != q.Namespace || q.Except != "" && strings.HasPrefix(k.Namespace, q.Except)
		if dated != nil && !out && dated.DueAt() != 0 && dated.DueAt() <= q.Until {
			times = append(times, dated.DueAt())
		}
	}
	slices.Sort(times)
	times = times[:min(len(times), q.Limit)]
	keys, err := m.store.Due(m.rig.ctx, q)
	m.must(t, err)
	seen := make(map[statestore.Key]bool)
	for i, k := range keys {
		dated, _ := m.model[k.Key].(statestore.Dated)
		if i >= len(times) || k.Due != times[i] || dated == nil || dated.DueAt() != k.Due || seen[k.Key] {
			t.Fatalf("Due(%+v) = %+v, want the times %d", q, keys, times)
		}
		seen[k.Key] = true
	}
	if len(keys) < len(times) {
		t.Fatalf("Due(%+v) = %+v, want the times %d", q, keys, times)
	}
}

func (m *machine) count(t *rapid.T) {
	kind, space := m.drawKind(t), rapid.SampledFrom(m.spaces).Draw(t, "namespace")
	want := 0
	for k := range m.model {
		if k.Kind == kind && k.Namespace == space {
			want++
		}
	}
	got, err := m.store.Count(m.rig.ctx, kind, space)
	m.must(t, err)
	if got != want {
		t.Fatalf("Count(%d, %q) = %d, want %d", kind, space, got, want)
	}
}

func (m *machine) namespaces(t *rapid.T) {
	spaces := make(map[string]bool)
	for k := range m.model {
		spaces[k.Namespace] = true
	}
	got, err := m.store.Namespaces(m.rig.ctx)
	m.must(t, err)
	if want := slices.Sorted(maps.Keys(spaces)); !slices.Equal(got, want) {
		t.Fatalf("Namespaces = %q, want %q", got, want)
	}
}

func (m *machine) reopen(t *rapid.T) {
	// Restarts are slow; one in a few is enough.
	if rapid.IntRange(0, 4).Draw(t, "restart") > 0 {
		return
	}
	m.commits = 0
	if m.rig.outlives() {
		m.store = m.rig.h.Reopen(m.rig.T, m.store)
		return
	}
	m.must(t, m.store.Close())
	m.store = m.rig.h.Open(m.rig.T)
	m.model = make(map[statestore.Key]statestore.Record)
	m.last = 0
}
