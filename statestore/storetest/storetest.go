// SPDX-License-Identifier: Apache-2.0

// Package storetest says what a statestore.Store must do, as tests that every
// store passes. A store's test calls Run with a Harness, and Child from its
// TestMain if the store outlives its process.
//
// There are no exemptions: a store that keeps nothing over a restart runs the
// same tests and shows that it comes back empty and sound.
package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/resilienced/resilienced/rules"
	"github.com/resilienced/resilienced/statestore"
)

// Harness says how the suite gets at a store.
type Harness struct {
	// Name of the store, for the output and for Child.
	Name string
	// Open returns a new and empty store that knows the kinds of Codec. The
	// suite closes it.
	Open func(t *testing.T) statestore.Store
	// Reopen closes a store of Open and opens what it left behind. Nil if
	// nothing outlives Close.
	Reopen func(t *testing.T, s statestore.Store) statestore.Store
	// Crash lets the suite kill a process that uses the store. Nil if nothing
	// outlives the process.
	Crash *Crash
	// Concurrent says that two Updates without a common key may be inside
	// their functions at the same time.
	Concurrent bool
}

// Crash says where a store is that a process can be killed over.
type Crash struct {
	// Place makes room for a store and returns its name.
	Place func(t *testing.T) string
	// Open opens the store at a place, in this process or a child.
	Open OpenFunc
}

// OpenFunc opens the store at a place, and makes it if there is none.
type OpenFunc func(ctx context.Context, place string) (statestore.Store, error)

// Run runs the suite, prints how many tests the store passed through, and
// returns that number. It is the same for every store. If topics are named, it
// runs only those.
func Run(t *testing.T, h Harness, only ...string) int {
	t.Helper()
	var ran atomic.Int64
	for _, topic := range topics() {
		if len(only) > 0 && !slices.Contains(only, topic.name) {
			continue
		}
		t.Run(topic.name, func(t *testing.T) {
			for _, test := range topic.tests {
				t.Run(test.name, func(t *testing.T) {
					ran.Add(1)
					r := newRig(t, h)
					test.run(r)
				})
			}
		})
	}
	fmt.Printf("storetest: %s: %d subtests\n", h.Name, ran.Load())
	return int(ran.Load())
}

type topic struct {
	name  string
	tests []test
}

type test struct {
	name string
	run  func(r *rig)
}

func topics() []topic {
	return []topic{
		{"atomicity", atomicityTests()},
		{"records", recordTests()},
		{"isolation", isolationTests()},
		{"absent", absentTests()},
		{"lost updates", lostUpdateTests()},
		{"lock order", lockOrderTests()},
		{"try", tryTests()},
		{"time", timeTests()},
		{"durability", durabilityTests()},
		{"crash", crashTests()},
		{"paging", pagingTests()},
		{"due", dueTests()},
		{"retention", retentionTests()},
		{"count", countTests()},
		{"namespaces", namespaceTests()},
		{"model", modelTests()},
	}
}

// patience bounds what must not hang.
const patience = 2 * time.Minute

// rig is what one test works with: a new store and short ways to use it.
type rig struct {
	*testing.T
	h     Harness
	store statestore.Store
	ctx   context.Context //nolint:containedctx // it lives as long as the test, like the rig
}

func newRig(t *testing.T, h Harness) *rig {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	r := &rig{T: t, h: h, store: h.Open(t), ctx: ctx}
	t.Cleanup(func() {
		cancel()
		if err := r.store.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return r
}

// outlives reports whether records outlive Close.
func (r *rig) outlives() bool { return r.h.Reopen != nil }

// reopen closes the store and opens what it left, or a new one if that is
// nothing.
func (r *rig) reopen() {
	r.Helper()
	if r.outlives() {
		r.store = r.h.Reopen(r.T, r.store)
		return
	}
	if err := r.store.Close(); err != nil {
		r.Fatalf("Close: %v", err)
	}
	r.store = r.h.Open(r.T)
}

// noError ends the test if err is not nil.
func (r *rig) noError(err error) {
	r.Helper()
	if err != nil {
		r.Fatal(err)
	}
}

// wantError ends the test if err is not want.
func (r *rig) wantError(err, want error) {
	r.Helper()
	if !errors.Is(err, want) {
		r.Fatalf("error = %v, want %v", err, want)
	}
}

// write returns an entry that is to be written.
func write(key statestore.Key) *statestore.Entry {
	return &statestore.Entry{Key: key, Mode: statestore.Write}
}

// read returns an entry that is to be read.
func read(key statestore.Key) *statestore.Entry {
	return &statestore.Entry{Key: key, Mode: statestore.Read}
}

// try returns an entry that is to be written if it is free.
func try(key statestore.Key) *statestore.Entry {
	return &statestore.Entry{Key: key, Mode: statestore.Try}
}

// together runs fn on n goroutines at once and ends the test with their
// errors. fn must not end the test by itself.
func (r *rig) together(n int, fn func(i int) error) {
	r.Helper()
	errs := make([]error, n)
	start := make(chan struct{})
	var group sync.WaitGroup
	for i := range n {
		group.Go(func() {
			<-start
			errs[i] = fn(i)
		})
	}
	close(start)
	group.Wait()
	r.noError(errors.Join(errs...))
}

// commit is update for a goroutine: it returns the error.
func (r *rig) commit(entries []*statestore.Entry, fn func(now rules.Instant)) error {
	return r.store.Update(r.ctx, entries, func(now rules.Instant) (statestore.Durability, error) {
		fn(now)
		return statestore.Rebuildable, nil
	})
}
