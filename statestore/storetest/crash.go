// SPDX-License-Identifier: Apache-2.0

package storetest

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/resilienced/resilienced/rules"
	"github.com/resilienced/resilienced/statestore"
)

func crashTests() []test {
	return []test{
		{"what was acknowledged outlives a killed writer", func(r *rig) { survive(r, 20, 150) }},
		{"a writer killed early leaves a sound store", func(r *rig) { survive(r, 10, 3) }},
	}
}

// The environment of a child: the harness and the place.
const (
	childOf = "RESILIENCED_STORETEST_CHILD"
	childAt = "RESILIENCED_STORETEST_PLACE"
)

// Child turns the process into one that writes to the store at a place until
// it is killed, if a crash test has started it for the harness name. Otherwise
// it does nothing. A TestMain calls it before anything else.
func Child(name string, open OpenFunc) {
	if os.Getenv(childOf) != name {
		return
	}
	err := writeForever(context.Background(), os.Getenv(childAt), open, os.Stdout)
	fmt.Fprintln(os.Stderr, "storetest: child:", err)
	os.Exit(1)
}

// pairKeys are the keys that the child writes together under one id.
func pairKeys(id string) (a, b statestore.Key) {
	return key(task, id), in("mirror", key(plain, id))
}

// writeForever commits pairs from several goroutines and prints each id after
// its durable commit. Every few commits it replaces, deletes or writes what
// need not last.
func writeForever(ctx context.Context, place string, open OpenFunc, acks io.Writer) error {
	store, err := open(ctx, place)
	if err != nil {
		return err
	}
	now, err := store.Now(ctx)
	if err != nil {
		return err
	}
	var mu sync.Mutex
	errs := make(chan error)
	for worker := range 4 {
		go func() {
			for n := 0; ; n++ {
				id := fmt.Sprintf("%x-%d-%d", int64(now), worker, n)
				if err := writePair(ctx, store, id, n); err != nil {
					errs <- err
					return
				}
				mu.Lock()
				_, err := fmt.Fprintln(acks, id)
				mu.Unlock()
				if err != nil {
					errs <- err
					return
				}
			}
		}()
	}
	return <-errs
}

// writePair commits the pair durably. Before it, it now and then commits the
// pair unfinished without waiting for the disk; after it, a passing record.
func writePair(ctx context.Context, store statestore.Store, id string, n int) error {
	ka, kb := pairKeys(id)
	put := func(value int64, d statestore.Durability) error {
		a, b := write(ka), write(kb)
		return store.Update(ctx, []*statestore.Entry{a, b}, func(now rules.Instant) (statestore.Durability, error) {
			a.Put(&Task{N: value, Rank: int64(now), Due: now})
			b.Put(&Plain{N: value, At: now})
			return d, nil
		})
	}
	if n%3 == 0 {
		if err := put(0, statestore.Rebuildable); err != nil {
			return err
		}
	}
	if err := put(int64(n)+1, statestore.Durable); err != nil {
		return err
	}
	passing := write(key(plain, "passing"))
	return store.Update(ctx, []*statestore.Entry{passing}, func(rules.Instant) (statestore.Durability, error) {
		if passing.Record() != nil {
			passing.Put(nil)
		} else {
			passing.Put(&Plain{N: int64(n)})
		}
		return statestore.Rebuildable, nil
	})
}

// survive kills a writer over and over, each time after up to most further
// acknowledged pairs, and looks at what is left.
func survive(r *rig, kills, most int) {
	seed := uint64(time.Now().UnixNano())
	r.Logf("seed %d", seed)
	if r.h.Crash == nil {
		comesBackEmpty(r, most)
		return
	}
	random := rand.New(rand.NewPCG(seed, 6))
	place := r.h.Crash.Place(r.T)
	acked := make(map[string]bool)
	for range kills {
		killAfter(r, place, random.IntN(most+1), acked)
		inspect(r, place, acked)
	}
	r.Logf("%d kills, %d acknowledged pairs", kills, len(acked))
	if len(acked) == 0 && most > 10 {
		r.Fatal("no pair was acknowledged: nothing was tested")
	}
}

// killAfter starts a child, kills it after n acknowledgements, and collects
// all that it gave.
func killAfter(r *rig, place string, n int, acked map[string]bool) {
	r.Helper()
	self, err := os.Executable()
	r.noError(err)
	child := exec.CommandContext(r.ctx, self, "-test.run=^$")
	child.Env = append(os.Environ(), childOf+"="+r.h.Name, childAt+"="+place)
	var complaint strings.Builder
	child.Stderr = &complaint
	acks, err := child.StdoutPipe()
	r.noError(err)
	r.noError(child.Start())
	lines := bufio.NewReader(acks)
	for killed := false; ; {
		if n--; n < 0 && !killed {
			killed = true
			r.noError(child.Process.Kill())
		}
		line, err := lines.ReadString('\n')
		if err != nil {
			break // a line without its end was not read by anybody
		}
		acked[strings.TrimSuffix(line, "\n")] = true
	}
	if err := child.Wait(); err == nil || complaint.Len() > 0 {
		r.Fatalf("the child ended by itself: %v: %s", err, complaint.String())
	}
}

// inspect opens what a killed process left and compares it with what was
// acknowledged. A database may still be at the one transaction that the process
// had under way, and commit it between two reads; then the second look is whole.
func inspect(r *rig, place string, acked map[string]bool) {
	r.Helper()
	store, err := r.h.Crash.Open(r.ctx, place)
	r.noError(err)
	defer func() { r.noError(store.Close()) }()
	opened := &rig{T: r.T, h: r.h, store: store, ctx: r.ctx}
	if opened.pairs(acked) != nil {
		r.noError(opened.pairs(acked))
	}
}

// pairs says what is wrong with the pairs that are there.
func (r *rig) pairs(acked map[string]bool) error {
	r.Helper()
	tasks := r.list(statestore.Query{Kind: task, Namespace: "acme", Limit: 1000})
	found := make(map[string]int64, len(tasks))
	latest := rules.Instant(0)
	for _, row := range tasks {
		rec := row.Record.(*Task)
		found[row.Name] = rec.N
		latest = max(latest, rec.Due)
	}
	for id := range acked {
		n, err := strconv.ParseInt(id[strings.LastIndexByte(id, '-')+1:], 10, 64)
		r.noError(err)
		if found[id] != n+1 {
			r.Fatalf("pair %s was acknowledged and is now %d, want %d", id, found[id], n+1)
		}
	}
	if now := r.now(); now < latest {
		r.Fatalf("time is %d after a crash, a record is of %d", now, latest)
	}
	mirrored := r.list(statestore.Query{Kind: plain, Namespace: "mirror", Limit: 1000})
	for _, row := range mirrored {
		if n, ok := found[row.Name]; !ok || n != row.Record.(*Plain).N {
			return fmt.Errorf("pair %s is torn", row.Name)
		}
	}
	if n, m := r.count(task, "acme"), r.count(plain, "mirror"); len(mirrored) != len(tasks) || n != len(tasks) || m != len(mirrored) {
		return fmt.Errorf("%d and %d rows, counted %d and %d", len(tasks), len(mirrored), n, m)
	}
	return nil
}

// comesBackEmpty is for a store that outlives nothing: its end is that of its
// process, so the writer runs here, and what comes after it is new.
func comesBackEmpty(r *rig, pairs int) {
	for n := range pairs {
		r.noError(writePair(r.ctx, r.store, strconv.Itoa(n), n))
	}
	r.reopen()
	all, err := r.store.Namespaces(r.ctx)
	r.noError(err)
	if len(all) != 0 {
		r.Fatalf("a new store has the namespaces %q", all)
	}
	r.wantNone(key(task, "0"))
	r.noError(writePair(r.ctx, r.store, "again", 1))
	r.want(in("mirror", key(plain, "again")), &Plain{N: 2, At: r.get(in("mirror", key(plain, "again"))).(*Plain).At})
}
