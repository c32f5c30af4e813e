// SPDX-License-Identifier: Apache-2.0

package direct

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/resilienced/resilienced/bench/process"
	"github.com/resilienced/resilienced/rules"
	"github.com/resilienced/resilienced/statestore"
)

// Batches writes through a store what batches of a known size write, one after
// the other, to learn what a transaction costs and what each command in it
// adds.
type Batches struct {
	Store statestore.Store
	// Hot and Own say what a command writes beside its operation: one run that
	// all share, or a run for each.
	Hot, Own bool
	// Durability of the transactions.
	Durability statestore.Durability
	// Server is the process whose time, with its children's, is the
	// database's; 0: there is none.
	Server int

	run, granted, done Specimen
	at                 int
}

// Batch is what transactions of one size took.
type Batch struct {
	Commands int
	// Wall is the median of the times, which a stall of the machine does not
	// move. Spread is their coefficient of variation, without the longest
	// hundredth.
	Wall   time.Duration
	Spread float64
	// Ours and Database are the mean of the processor times.
	Ours, Database time.Duration
}

// Prepare gets the records to write and those that must be there.
func (b *Batches) Prepare(ctx context.Context, largest int) error {
	all, err := Specimens(ctx)
	if err != nil {
		return err
	}
	for _, s := range all {
		switch s.What {
		case "run":
			b.run = s
		case "operation, to be tried again":
			b.granted = s // as long as one that holds a permit
		case "operation, idempotent and done (tombstone)":
			b.done = s
		}
	}
	return Fill(ctx, b.Store, largest, func(i int) Row { return b.run.Named(RunOf(i)) }, func(int) {})
}

// Run repeats batches of so many commands for a while. Half of them are like
// batches of Acquires, the others like those of the Reports.
func (b *Batches) Run(ctx context.Context, commands int, long time.Duration) (*Batch, error) {
	m := &Batch{Commands: commands}
	ours := process.SelfTime()
	theirs, err := b.database()
	if err != nil {
		return nil, err
	}
	var walls []time.Duration
	for begun := time.Now(); time.Since(begun) < long || len(walls) < 4; {
		b.at++
		for _, s := range []Specimen{b.granted, b.done} {
			from := time.Now()
			if err := b.update(ctx, commands, s); err != nil {
				return nil, err
			}
			walls = append(walls, time.Since(from))
		}
	}
	n := time.Duration(len(walls))
	after, err := b.database()
	m.Ours, m.Database = (process.SelfTime()-ours)/n, (after-theirs)/n
	slices.Sort(walls)
	m.Wall, m.Spread = walls[len(walls)/2], spread(walls[:max(len(walls)*99/100, 1)])
	return m, err
}

// spread is a coefficient of variation.
func spread(times []time.Duration) float64 {
	var sum, square float64
	for _, d := range times {
		sum += d.Seconds()
		square += d.Seconds() * d.Seconds()
	}
	n := float64(len(times))
	mean := sum / n
	if mean == 0 {
		return 0
	}
	return math.Sqrt(max(square/n-mean*mean, 0)) / mean
}

func (b *Batches) database() (time.Duration, error) {
	if b.Server == 0 {
		return 0, nil
	}
	return process.TreeTime(b.Server)
}

// update is one transaction.
func (b *Batches) update(ctx context.Context, commands int, operation Specimen) error {
	var entries []*statestore.Entry
	records := map[statestore.Key]statestore.Record{}
	put := func(r Row) {
		if _, there := records[r.Key]; !there {
			entries = append(entries, &statestore.Entry{Key: r.Key, Mode: statestore.Write})
			records[r.Key] = r.Record
		}
	}
	for i := range commands {
		put(operation.Named(fmt.Sprintf("op-%s-%020d", strconv.Itoa(b.at), i)))
		switch {
		case b.Hot:
			put(b.run.Named(RunOf(0)))
		case b.Own:
			put(b.run.Named(RunOf(i)))
		}
	}
	return b.Store.Update(ctx, entries, func(rules.Instant) (statestore.Durability, error) {
		for _, e := range entries {
			e.Put(records[e.Key])
		}
		return b.Durability, nil
	})
}
