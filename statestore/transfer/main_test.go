// SPDX-License-Identifier: Apache-2.0

package transfer

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"

	"github.com/resilienced/resilienced/rules"
	"github.com/resilienced/resilienced/statestore"
	"github.com/resilienced/resilienced/statestore/memory"
	"github.com/resilienced/resilienced/statestore/sqlite"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// note is a record that lists sort by name, with a map, whose bytes have no
// order.
type note struct {
	N    int64            `json:"n"`
	Map  map[string]int64 `json:"m,omitempty"`
	Data []byte           `json:"d,omitempty"`
}

// ranked is a record that lists sort by its rank, and that falls due.
type ranked struct {
	N    int64         `json:"n"`
	Rank int64         `json:"r"`
	Due  rules.Instant `json:"due,omitempty"`
}

func (r *ranked) OrderBy() int64       { return r.Rank }
func (r *ranked) DueAt() rules.Instant { return r.Due }

// The kinds of these tests. The server's own records are of kind meta.
const (
	named   = statestore.KindMeta
	ordered = statestore.KindLetter
	strange = statestore.Kind(200)
)

func codec(tb testing.TB, more ...statestore.Kind) *statestore.Codec {
	tb.Helper()
	kinds := Kinds()
	kinds[named] = func() statestore.Record { return new(note) }
	kinds[ordered] = func() statestore.Record { return new(ranked) }
	for _, kind := range more {
		kinds[kind] = func() statestore.Record { return new(note) }
	}
	c, err := statestore.NewStrictCodec(kinds)
	if err != nil {
		tb.Fatal(err)
	}
	return c
}

func inMemory(tb testing.TB) statestore.Store {
	tb.Helper()
	s := memory.New(memory.Config{})
	tb.Cleanup(func() { _ = s.Close() }) // it never fails
	return s
}

func inSQLite(tb testing.TB) statestore.Store {
	tb.Helper()
	s, err := sqlite.Open(context.Background(), sqlite.Config{Path: filepath.Join(tb.TempDir(), "r.db"), Codec: codec(tb, strange), CheckBytes: -1})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := s.Close(); err != nil {
			tb.Error(err)
		}
	})
	return s
}

func key(kind statestore.Kind, ns, name string) statestore.Key {
	return statestore.Key{Kind: kind, Namespace: ns, Name: name}
}

// put writes a record, or with nil removes it.
func put(tb testing.TB, s statestore.Store, k statestore.Key, r statestore.Record) {
	tb.Helper()
	e := &statestore.Entry{Key: k, Mode: statestore.Write}
	err := s.Update(context.Background(), []*statestore.Entry{e}, func(rules.Instant) (statestore.Durability, error) {
		e.Put(r)
		return statestore.Rebuildable, nil
	})
	if err != nil {
		tb.Fatal(err)
	}
}

// fill puts n records of each kind into some namespaces, the server's own too.
func fill(tb testing.TB, s statestore.Store, n int) {
	tb.Helper()
	for _, ns := range []string{"", "acme", "zeta\x1f"} {
		for i := range n {
			put(tb, s, key(named, ns, fmt.Sprintf("n%05d", i)), &note{N: int64(i), Map: map[string]int64{"a": 1, "b": int64(i), "c": 3}})
			put(tb, s, key(ordered, ns, fmt.Sprintf("n%05d", i)), &ranked{N: int64(i), Rank: int64((i*7919)%n) - 3, Due: rules.Instant(i)})
		}
	}
}

// failing is a target that takes so many changes and then no more.
type failing struct {
	statestore.Store
	left int
}

var errCut = errors.New("the cable was cut")

func (f *failing) Update(ctx context.Context, entries []*statestore.Entry, fn statestore.Func) error {
	if f.left--; f.left < 0 {
		return errCut
	}
	return f.Store.Update(ctx, entries, fn)
}
