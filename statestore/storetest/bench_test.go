// SPDX-License-Identifier: Apache-2.0

package storetest_test

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/resilienced/resilienced/rules"
	"github.com/resilienced/resilienced/statestore"
	"github.com/resilienced/resilienced/statestore/memory"
	"github.com/resilienced/resilienced/statestore/sqlite"
	"github.com/resilienced/resilienced/statestore/storetest"
	"github.com/resilienced/resilienced/test/pgserver"
)

// benchStores opens one new store of each kind, with its own defaults.
func benchStores() map[string]func(b *testing.B) statestore.Store {
	return map[string]func(b *testing.B) statestore.Store{
		"memory": func(*testing.B) statestore.Store { return memory.New(memory.Config{}) },
		"sqlite": func(b *testing.B) statestore.Store {
			b.Helper()
			codec, err := storetest.Codec()
			if err != nil {
				b.Fatal(err)
			}
			s, err := sqlite.Open(b.Context(), sqlite.Config{Path: filepath.Join(b.TempDir(), "records.db"), Codec: codec})
			if err != nil {
				b.Fatal(err)
			}
			return s
		},
		"postgres": func(b *testing.B) statestore.Store {
			b.Helper()
			server := startPostgres(b, pgserver.Options{Sync: true})
			s, err := openPostgres(b.Context(), newDatabase(b, server)+" resilienced")
			if err != nil {
				b.Fatal(err)
			}
			return s
		},
	}
}

// loads are which records a transaction of n entries writes next.
func loads() map[string]func(turn, i int) int {
	return map[string]func(turn, i int) int{
		// The same records again and again.
		"hot": func(_, i int) int { return i },
		// Records that lie all over the store.
		"spread": func(turn, i int) int { return (turn*7919 + i*104729) % 20_000 },
		// A new record each time, with a random name.
		"new": func(turn, i int) int { return turn<<10 + i },
	}
}

func BenchmarkUpdate(b *testing.B) {
	for _, store := range []string{"memory", "sqlite", "postgres"} {
		for _, d := range []statestore.Durability{statestore.Durable, statestore.Rebuildable} {
			waits := map[statestore.Durability]string{statestore.Durable: "durable", statestore.Rebuildable: "rebuildable"}[d]
			for _, load := range []string{"hot", "spread", "new"} {
				for _, n := range []int{1, 4, 128} {
					b.Run(fmt.Sprintf("%s/%s/%s/%d", store, waits, load, n), func(b *testing.B) {
						warm := 20_000 / n
						if store == "postgres" { // each is two round trips and a flush
							warm = min(warm, 400)
						}
						benchUpdate(b, benchStores()[store](b), d, loads()[load], n, warm)
					})
				}
			}
		}
	}
}

func benchUpdate(b *testing.B, s statestore.Store, d statestore.Durability, pick func(turn, i int) int, n, warm int) {
	b.Helper()
	defer func() {
		if err := s.Close(); err != nil {
			b.Error(err)
		}
	}()
	entries := make([]*statestore.Entry, n)
	for i := range entries {
		entries[i] = &statestore.Entry{Mode: statestore.Write}
	}
	names := make(map[int]string)
	// No record is written twice in a row, and all have a time.
	records := make([]*storetest.Timed, 1021)
	for i := range records {
		records[i] = &storetest.Timed{N: int64(i), Due: rules.Instant(1 + i)}
	}
	turn := 0
	step := func() {
		for i := range entries {
			at := pick(turn, i)
			name, ok := names[at]
			if !ok {
				name = fmt.Sprintf("op-%016x", uint64(at)*0x9e3779b97f4a7c15)
				if at < 20_000 {
					names[at] = name
				}
			}
			entries[i].Key = statestore.Key{Kind: statestore.KindOperation, Namespace: "acme", Name: name}
		}
		err := s.Update(b.Context(), entries, func(rules.Instant) (statestore.Durability, error) {
			for _, e := range entries {
				e.Put(records[turn%len(records)])
			}
			return d, nil
		})
		if err != nil {
			b.Fatal(err)
		}
		turn++
	}
	for range warm {
		step()
	}
	b.ReportAllocs()
	for b.Loop() {
		step()
	}
}
