// SPDX-License-Identifier: Apache-2.0

package memory

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/resilienced/resilienced/rules"
	"github.com/resilienced/resilienced/statestore"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// note is the record of these tests.
type note struct {
	n    int64
	due  rules.Instant
	rank int64
}

func (n *note) DueAt() rules.Instant { return n.due }
func (n *note) OrderBy() int64       { return n.rank }

func noteKey(name string) statestore.Key {
	return statestore.Key{Kind: statestore.KindOperation, Namespace: "acme", Name: name}
}

func put(t *testing.T, s *Store, name string, r statestore.Record) {
	t.Helper()
	e := &statestore.Entry{Key: noteKey(name), Mode: statestore.Write}
	err := s.Update(context.Background(), []*statestore.Entry{e}, func(rules.Instant) (statestore.Durability, error) {
		e.Put(r)
		return statestore.Durable, nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestTimeIsThatOfTheBubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(Config{})
		start, err := s.Now(t.Context())
		if err != nil || start != rules.At(time.Now()) {
			t.Fatalf("time is %v, %v", start.Time(), err)
		}
		time.Sleep(time.Hour)
		err = s.Update(t.Context(), nil, func(now rules.Instant) (statestore.Durability, error) {
			if now.Sub(start) != time.Hour {
				t.Errorf("an hour took %v", now.Sub(start))
			}
			return statestore.Durable, nil
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}

func TestRecordsAreKeptAsTheyAre(t *testing.T) {
	s := New(Config{})
	rec := &note{n: 1}
	put(t, s, "a", rec)
	if got, _, _ := s.Get(t.Context(), noteKey("a")); got != statestore.Record(rec) {
		t.Fatalf("Get = %p, want the pointer that was put, %p", got, rec)
	}
}

func TestLanes(t *testing.T) {
	for given, want := range map[int]int{0: 1, 1: 1, 4: 4} {
		if got := New(Config{Lanes: given}).Lanes(); got != want {
			t.Errorf("Lanes %d gives %d, want %d", given, got, want)
		}
	}
}

func TestAfterClose(t *testing.T) {
	s := New(Config{})
	put(t, s, "a", &note{})
	for range 2 {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	_, _, getErr := s.Get(t.Context(), noteKey("a"))
	_, listErr := s.List(t.Context(), statestore.Query{Limit: 1})
	_, dueErr := s.Due(t.Context(), statestore.DueQuery{Limit: 1})
	_, countErr := s.Count(t.Context(), statestore.KindOperation, "acme")
	_, spacesErr := s.Namespaces(t.Context())
	updateErr := s.Update(t.Context(), nil, func(rules.Instant) (statestore.Durability, error) { return statestore.Durable, nil })
	for i, err := range []error{getErr, listErr, dueErr, countErr, spacesErr, updateErr} {
		if !errors.Is(err, statestore.ErrUnavailable) {
			t.Errorf("call %d returned %v", i, err)
		}
	}
}

// TestQueueStaysSmall moves due times back and forth: stale places must not
// pile up.
func TestQueueStaysSmall(t *testing.T) {
	s := New(Config{})
	const records = 100
	for round := range 200 {
		for i := range records {
			due := rules.Instant(1_000_000 + (round*7919+i*104729)%1000)
			if (round+i)%11 == 0 {
				due = 0
			}
			put(t, s, strconv.Itoa(i), &note{due: due})
		}
	}
	if n := len(s.spaces["acme"].queue.heap); n > 3*records+minStale {
		t.Fatalf("%d places for %d records", n, records)
	}
	for i := range records {
		put(t, s, strconv.Itoa(i), nil)
	}
	if len(s.spaces) != 0 {
		t.Fatalf("%d namespaces are left of none", len(s.spaces))
	}
}

func TestRenewingCostsNoPlace(t *testing.T) {
	s := New(Config{})
	for due := range rules.Instant(1000) {
		put(t, s, "a", &note{due: due + 1})
	}
	if n := len(s.spaces["acme"].queue.heap); n != 1 {
		t.Fatalf("%d places for a lease that was renewed", n)
	}
	keys, err := s.Due(t.Context(), statestore.DueQuery{Until: 2000, Limit: 10})
	if err != nil || len(keys) != 1 || keys[0].Due != 1000 {
		t.Fatalf("Due = %+v, %v", keys, err)
	}
}

// TestOrderIsKeptWhileItIsUsed shows that the hot path does not pay for lists
// that nobody asks for any more.
func TestOrderIsKeptWhileItIsUsed(t *testing.T) {
	s := New(Config{})
	put(t, s, "a", &note{})
	list := func() []statestore.Row {
		page, err := s.List(t.Context(), statestore.Query{Kind: statestore.KindOperation, Namespace: "acme", Limit: 10})
		if err != nil {
			t.Fatal(err)
		}
		return page.Rows
	}
	kept := func() bool { return s.spaces["acme"].families[0].order.tree != nil }
	if kept() {
		t.Fatal("an order is kept before the first list")
	}
	list()
	for i := range freeChanges {
		put(t, s, "a", &note{rank: int64(i + 1)})
	}
	if !kept() {
		t.Fatal("the order was given up at once")
	}
	for i := range 2 * freeChanges {
		put(t, s, "a", &note{rank: int64(i)})
	}
	if kept() {
		t.Fatal("the order is still kept")
	}
	put(t, s, "b", &note{rank: -1})
	if rows := list(); len(rows) != 2 || rows[0].Name != "b" {
		t.Fatalf("List = %+v", rows)
	}
}

func TestUpdateAllocatesNothing(t *testing.T) {
	s := New(Config{})
	records := [2]*note{{n: 1, due: 5}, {n: 2, due: 6}}
	for i := range 4 {
		put(t, s, strconv.Itoa(i), records[0])
	}
	entries := make([]*statestore.Entry, 4)
	for i := range entries {
		entries[i] = &statestore.Entry{Key: noteKey(strconv.Itoa(i)), Mode: statestore.Write}
	}
	turn := 0
	var failure error
	fn := func(rules.Instant) (statestore.Durability, error) {
		turn++
		for _, e := range entries {
			e.Put(records[turn%2])
		}
		return statestore.Durable, failure
	}
	allocated := testing.AllocsPerRun(1000, func() {
		if err := s.Update(t.Context(), entries, fn); err != nil {
			t.Error(err)
		}
	})
	if allocated != 0 {
		t.Errorf("%v allocations an Update", allocated)
	}
}

// TestMemoryPerRecord measures what a record costs besides itself and its
// name.
func TestMemoryPerRecord(t *testing.T) {
	const records, limit = 400_000, 150
	names := make([]string, records)
	values := make([]*note, records)
	for i := range records {
		names[i], values[i] = fmt.Sprintf("op-%016x", i), &note{due: rules.Instant(1 + i)}
	}
	before := heapInUse()
	s := New(Config{})
	for i := range records {
		put(t, s, names[i], values[i])
	}
	each := float64(heapInUse()-before) / records
	t.Logf("%.0f bytes a record", each)
	if each > limit {
		t.Errorf("%.0f bytes a record, want at most %d", each, limit)
	}
	runtime.KeepAlive(s)
	runtime.KeepAlive(names)
	runtime.KeepAlive(values)
}

func heapInUse() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
