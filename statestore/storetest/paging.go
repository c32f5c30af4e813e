// SPDX-License-Identifier: Apache-2.0

package storetest

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/resilienced/resilienced/rules"
	"github.com/resilienced/resilienced/statestore"
)

// A family is one way that lists are sorted.
type family struct {
	name string
	kind statestore.Kind
	make func(n int64) statestore.Record
}

// families returns both ways: by name, and by rank with many equal ranks.
func families() []family {
	return []family{
		{"by name", plain, func(n int64) statestore.Record { return &Plain{N: n} }},
		{"by order", task, func(n int64) statestore.Record { return &Task{N: n, Rank: n*7%5 - 2, Due: rules.Instant(n)} }},
	}
}

func pagingTests() []test {
	tests := []test{
		{"an empty list is one empty page", emptyList},
		{"a list that fills its last page has no cursor there", exactPages},
		{"extreme orders and ties", extremeOrders},
		{"a new order moves a record", newOrderMoves},
		{"a prefix is no pattern", prefixIsNoPattern},
		{"a prefix of a namespace is another namespace", namespacesNeverMix},
		{"a cursor outlives its record", cursorOutlivesRecord},
		{"a cursor outlives a restart", cursorOutlivesRestart},
		{"a cursor that was made up is refused", madeUpCursor},
		{"a cursor of another kind is refused", foreignCursor(func(q *statestore.Query) { q.Kind = other })},
		{"a cursor of another namespace is refused", foreignCursor(func(q *statestore.Query) { q.Namespace = "acmf" })},
		{"a cursor of another prefix is refused", foreignCursor(func(q *statestore.Query) { q.Prefix = "n" })},
		{"a cursor of the other direction is refused", foreignCursor(func(q *statestore.Query) { q.Descending = true })},
		{"a long list is read in pages of any size", anyPageSize},
	}
	for _, f := range families() {
		for _, down := range []bool{false, true} {
			way := f.name + map[bool]string{false: ", up", true: ", down"}[down]
			tests = append(tests,
				test{way + ": each record once and in order", func(r *rig) { eachOnce(r, f, down) }},
				test{way + ": a prefix", func(r *rig) { eachWithPrefix(r, f, down) }},
				test{way + ": what stays is seen once while others come and go", func(r *rig) { stableOnce(r, f, down) }},
			)
		}
	}
	return tests
}

// fill puts records under all names.
func (r *rig) fill(f family, all []string) map[string]statestore.Record {
	r.Helper()
	records := make(map[statestore.Key]statestore.Record)
	byName := make(map[string]statestore.Record)
	for i, name := range all {
		rec := f.make(int64(i))
		records[key(f.kind, name)], byName[name] = rec, rec
	}
	r.put(records)
	return byName
}

// inOrder returns the names of records as a list has them.
func inOrder(records map[string]statestore.Record, prefix string, down bool) []string {
	var all []string
	for name := range records {
		if strings.HasPrefix(name, prefix) {
			all = append(all, name)
		}
	}
	slices.SortFunc(all, func(a, b string) int {
		x, y := statestore.PositionOf(a, records[a]), statestore.PositionOf(b, records[b])
		return cmp.Or(cmp.Compare(x.Order, y.Order), cmp.Compare(x.Name, y.Name))
	})
	if down {
		slices.Reverse(all)
	}
	return all
}

// wantList wants a list to have exactly these names.
func (r *rig) wantList(q statestore.Query, want []string) {
	r.Helper()
	if got := rowNames(r.list(q)); !slices.Equal(got, want) {
		r.Fatalf("List(%+v) = %q, want %q", q, got, want)
	}
}

func eachOnce(r *rig, f family, down bool) {
	records := r.fill(f, append(names("n", 60), oddNames()...))
	want := inOrder(records, "", down)
	for _, limit := range []int{1, 7, len(want), 1000} {
		r.wantList(statestore.Query{Kind: f.kind, Namespace: "acme", Descending: down, Limit: limit}, want)
	}
}

func eachWithPrefix(r *rig, f family, down bool) {
	all := append(names("a/", 20), names("a", 20)...)
	all = append(all, "", "a", "a/", "a0", "b", "\U0010ffff", "\U0010ffff\U0010ffff")
	// What comes behind \ud7ff is no character, but \ue000 is the next one.
	all = append(all, "\ud7ff", "\ud7ff/1", "\ue000", "\uf8ff")
	records := r.fill(f, all)
	for _, prefix := range []string{"", "a/", "a", "a/0001", "b", "nothing", "\ud7ff", "\ue000", "\U0010ffff"} {
		want := inOrder(records, prefix, down)
		for _, limit := range []int{1, 6, 1000} {
			r.wantList(statestore.Query{Kind: f.kind, Namespace: "acme", Prefix: prefix, Descending: down, Limit: limit}, want)
		}
	}
}

// stableOnce lists over and over while a goroutine makes, replaces and deletes
// records that sort between those that stay.
func stableOnce(r *rig, f family, down bool) {
	stay := names("s", 40)
	r.fill(f, stay)
	seen := func() error {
		times := make(map[string]int)
		q := statestore.Query{Kind: f.kind, Namespace: "acme", Descending: down, Limit: 7}
		for {
			page, err := r.store.List(r.ctx, q)
			if err != nil {
				return err
			}
			for _, row := range page.Rows {
				times[row.Name]++
			}
			if q.After = page.Cursor; q.After == "" {
				break
			}
		}
		for _, name := range stay {
			if times[name] != 1 {
				return fmt.Errorf("%s was seen %d times", name, times[name])
			}
		}
		return nil
	}
	r.together(3, func(i int) error {
		random := rand.New(rand.NewPCG(uint64(i), 7))
		for n := range 60 {
			if i > 0 {
				if err := seen(); err != nil {
					return err
				}
				continue
			}
			entries := []*statestore.Entry{
				write(key(f.kind, fmt.Sprintf("s%05dx", random.IntN(40)))), // comes and goes
				write(key(f.kind, stay[random.IntN(40)])),                  // is replaced where it is
			}
			err := r.commit(entries, func(rules.Instant) {
				if entries[0].Record() == nil {
					entries[0].Put(f.make(int64(n)))
				} else {
					entries[0].Put(nil)
				}
				entries[1].Put(again(entries[1].Record()))
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// again returns a copy that sorts where the record does.
func again(rec statestore.Record) statestore.Record {
	if t, ok := rec.(*Task); ok {
		return &Task{N: t.N + 100, Rank: t.Rank, Due: t.Due + 1}
	}
	return &Plain{N: rec.(*Plain).N + 100}
}

func emptyList(r *rig) {
	for _, f := range families() {
		for _, down := range []bool{false, true} {
			page, err := r.store.List(r.ctx, statestore.Query{Kind: f.kind, Namespace: "acme", Descending: down, Limit: 5})
			r.noError(err)
			if len(page.Rows) != 0 || page.Cursor != "" || page.Now == 0 {
				r.Fatalf("List = %+v", page)
			}
		}
	}
}

func exactPages(r *rig) {
	r.fill(families()[0], names("n", 6))
	q := statestore.Query{Kind: plain, Namespace: "acme", Limit: 3}
	for _, last := range []bool{false, true} {
		page, err := r.store.List(r.ctx, q)
		r.noError(err)
		if len(page.Rows) != 3 || (page.Cursor == "") != last {
			r.Fatalf("%d rows and cursor %q, last page: %v", len(page.Rows), page.Cursor, last)
		}
		q.After = page.Cursor
	}
}

func extremeOrders(r *rig) {
	records := map[string]statestore.Record{
		"z": &Ranked{Rank: math.MinInt64}, "y": &Ranked{Rank: -1}, "b": &Ranked{}, "a": &Ranked{},
		"": &Ranked{}, "x": &Ranked{Rank: math.MaxInt64}, "w": &Ranked{Rank: math.MaxInt64}, "v": &Ranked{Rank: math.MinInt64},
	}
	for name, rec := range records {
		r.putOne(key(ranked, name), rec)
	}
	for _, down := range []bool{false, true} {
		for _, limit := range []int{1, 2, 3, 100} {
			q := statestore.Query{Kind: ranked, Namespace: "acme", Descending: down, Limit: limit}
			r.wantList(q, inOrder(records, "", down))
		}
	}
}

func newOrderMoves(r *rig) {
	q := statestore.Query{Kind: ranked, Namespace: "acme", Limit: 2}
	for _, name := range []string{"a", "b", "c"} {
		r.putOne(key(ranked, name), &Ranked{Rank: 5})
	}
	r.wantList(q, []string{"a", "b", "c"})
	r.putOne(key(ranked, "a"), &Ranked{Rank: 6})
	r.wantList(q, []string{"b", "c", "a"})
	r.putOne(key(ranked, "c"), &Ranked{})
	r.wantList(q, []string{"c", "b", "a"})
	r.remove(key(ranked, "b"))
	r.putOne(key(ranked, "b"), &Ranked{Rank: 7})
	r.wantList(q, []string{"c", "a", "b"})
}

func prefixIsNoPattern(r *rig) {
	r.fill(families()[0], []string{"a%", "a%b", "a_", "a_b", "axb", "ab", "a*", "[a]", "A%"})
	q := statestore.Query{Kind: plain, Namespace: "acme", Limit: 10}
	for prefix, want := range map[string][]string{"a%": {"a%", "a%b"}, "a_": {"a_", "a_b"}, "a*": {"a*"}, "[a": {"[a]"}, "%": nil} {
		q.Prefix = prefix
		r.wantList(q, want)
	}
}

func namespacesNeverMix(r *rig) {
	spaces := []string{"", "a", "a/b", "A", "a%", "ab"}
	for _, f := range families() {
		for i, space := range spaces {
			for n := range 3 {
				r.putOne(in(space, key(f.kind, fmt.Sprint(i, n))), f.make(int64(n)))
			}
		}
		for i, space := range spaces {
			rows := r.list(statestore.Query{Kind: f.kind, Namespace: space, Limit: 2})
			got := rowNames(rows)
			slices.Sort(got)
			if want := []string{fmt.Sprint(i, 0), fmt.Sprint(i, 1), fmt.Sprint(i, 2)}; !slices.Equal(got, want) {
				r.Fatalf("namespace %q lists %q, want %q", space, got, want)
			}
		}
	}
}

func cursorOutlivesRecord(r *rig) {
	for _, f := range families() {
		for _, down := range []bool{false, true} {
			records := r.fill(f, names("n", 9))
			want := inOrder(records, "", down)
			q := statestore.Query{Kind: f.kind, Namespace: "acme", Descending: down, Limit: 4}
			page, err := r.store.List(r.ctx, q)
			r.noError(err)
			r.remove(key(f.kind, want[3]))
			q.After, q.Limit = page.Cursor, 100
			page, err = r.store.List(r.ctx, q)
			r.noError(err)
			if got := rowNames(page.Rows); !slices.Equal(got, want[4:]) {
				r.Fatalf("the rest is %q, want %q", got, want[4:])
			}
		}
	}
}

func cursorOutlivesRestart(r *rig) {
	r.fill(families()[1], names("n", 9))
	q := statestore.Query{Kind: task, Namespace: "acme", Limit: 4}
	page, err := r.store.List(r.ctx, q)
	r.noError(err)
	q.After = page.Cursor
	before, err := r.store.List(r.ctx, q)
	r.noError(err)
	r.reopen()
	after, err := r.store.List(r.ctx, q)
	r.noError(err)
	want := rowNames(before.Rows)
	if !r.outlives() {
		want = nil
	}
	if got := rowNames(after.Rows); !slices.Equal(got, want) {
		r.Fatalf("the second page is %q after a restart, want %q", got, want)
	}
}

func madeUpCursor(r *rig) {
	r.fill(families()[0], names("n", 5))
	page, err := r.store.List(r.ctx, statestore.Query{Kind: plain, Namespace: "acme", Limit: 2})
	r.noError(err)
	last := page.Cursor[len(page.Cursor)-1]
	turned := page.Cursor[:len(page.Cursor)-2] + string([]byte{last ^ 1, last})
	for _, token := range []string{"x", "n00001", "////", page.Cursor[1:], page.Cursor + "AAAA", turned} {
		_, err := r.store.List(r.ctx, statestore.Query{Kind: plain, Namespace: "acme", Limit: 2, After: token})
		r.wantError(err, statestore.ErrBadCursor)
	}
}

func foreignCursor(change func(q *statestore.Query)) func(r *rig) {
	return func(r *rig) {
		r.fill(families()[0], names("n", 5))
		q := statestore.Query{Kind: plain, Namespace: "acme", Limit: 2}
		page, err := r.store.List(r.ctx, q)
		r.noError(err)
		q.After = page.Cursor
		_, err = r.store.List(r.ctx, q)
		r.noError(err)
		change(&q)
		_, err = r.store.List(r.ctx, q)
		r.wantError(err, statestore.ErrBadCursor)
	}
}

func anyPageSize(r *rig) {
	records := r.fill(families()[1], names("n", 1000))
	for _, limit := range []int{0, 1, 37, 333, 999, 1000} {
		q := statestore.Query{Kind: task, Namespace: "acme", Limit: max(limit, 1)}
		if limit < 37 {
			q.Prefix = "n0001"
		}
		r.wantList(q, inOrder(records, q.Prefix, false))
	}
}
