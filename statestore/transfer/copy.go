// SPDX-License-Identifier: Apache-2.0

package transfer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/resilienced/resilienced/rules"
	"github.com/resilienced/resilienced/statestore"
)

// Options are what a copy needs besides the stores.
type Options struct {
	// Codec knows every kind of the source.
	Codec *statestore.Codec
	// From names the source; a copy goes on only under the same name.
	From string
	// ClockWait is how long to wait for the target's clock to pass the source's
	// time.
	ClockWait time.Duration
	// Progress is told after each page; nil: nobody listens.
	Progress func(Progress)
}

// Result is what a copy did.
type Result struct {
	// Resumed: the target held an unfinished copy of the same source.
	Resumed bool
	// Written records were put into the target, Equal ones were there already,
	// and Removed ones the source no longer has.
	Written, Equal, Removed int
	// Families compare the stores after the copy.
	Families []Compared
}

// Copy makes the target say what the source says, and proves it. The target
// must be empty, or hold an unfinished copy under the same name, which goes on.
// After an error the target keeps its mark, and the same Copy goes on with it;
// a target that was refused (ErrNotEmpty, ErrOtherSource) is not touched.
func Copy(ctx context.Context, from Source, to statestore.Store, o Options) (*Result, error) {
	if err := source(from).err(Unfinished(ctx, from)); err != nil {
		return nil, err
	}
	c := &copying{from: source(from), there: target(to), to: to, o: o, result: &Result{}}
	all, counts, err := families(ctx, c.from, o.Codec)
	if err != nil {
		return nil, err
	}
	if err := c.begin(ctx); err != nil {
		return nil, err
	}
	c.meter = newMeter(o.Progress, PhaseCopy, total(counts))
	for _, f := range all {
		if err := walk(ctx, c.from, f, func(rows []statestore.Row) error { return c.page(ctx, f, rows) }, nil); err != nil {
			return c.result, err
		}
	}
	if c.result.Resumed {
		if err := c.removeRest(ctx, counts); err != nil {
			return c.result, err
		}
	}
	if c.result.Families, err = Verify(ctx, from, to, o.Codec, o.Progress); err != nil {
		return c.result, err
	}
	return c.result, c.there.err(change(ctx, to, func(rules.Instant) *Mark { return nil }))
}

// copying is one Copy under way.
type copying struct {
	from   side
	there  side // the target, as it is read
	to     statestore.Store
	o      Options
	meter  *meter
	result *Result
}

// begin makes sure that the target may be written, and marks it.
func (c *copying) begin(ctx context.Context) error {
	m, err := markOf(ctx, c.there)
	if err != nil {
		return err
	}
	if m != nil && m.From != c.o.From {
		return fmt.Errorf("%w: it was begun at %s from %s and not from %s; go on with that source, or give an empty target",
			ErrOtherSource, m.At.Time().UTC().Format(time.RFC3339), m.From, c.o.From)
	}
	if m == nil {
		spaces, err := c.there.Namespaces(ctx)
		if err != nil {
			return err
		}
		if len(spaces) > 0 {
			return fmt.Errorf("%w: it has records in %d namespaces, which a copy would mix up with the source's; "+
				"give an empty one, or compare the two with --verify-only if a copy came to its end before", ErrNotEmpty, len(spaces))
		}
	}
	if err := c.awaitClock(ctx); err != nil {
		return err
	}
	c.result.Resumed = m != nil
	if m != nil {
		return nil
	}
	return c.there.err(change(ctx, c.to, func(now rules.Instant) *Mark { return &Mark{From: c.o.From, At: now} }))
}

// clockStep is how often the target's clock is looked at.
const clockStep = 50 * time.Millisecond

// awaitClock returns when the target's time has passed the source's.
func (c *copying) awaitClock(ctx context.Context) error {
	told, err := c.from.Now(ctx)
	if err != nil {
		return err
	}
	m := newMeter(c.o.Progress, PhaseWait, 0)
	for {
		now, err := c.there.Now(ctx)
		if err != nil {
			return err
		}
		lag := told.Sub(now)
		if lag < 0 {
			return nil
		}
		if lag > c.o.ClockWait-time.Since(m.begun) {
			return fmt.Errorf("%w: by %s, and time must not go back for leases and caps; set the clock of the target's machine by NTP, "+
				"or wait for that long", ErrClockBehind, lag.Round(time.Millisecond))
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(min(lag+1, clockStep)):
		}
		m.add(0)
	}
}

// batchBytes bounds what one transaction writes.
const batchBytes = 1 << 20

// page brings one page of the source into the target.
func (c *copying) page(ctx context.Context, f Family, rows []statestore.Row) error {
	start, size := 0, 0
	bodies := make([][]byte, len(rows))
	for i, row := range rows {
		body, err := c.o.Codec.Canonical(row.Record)
		if err != nil {
			return c.from.err(err)
		}
		if bodies[i] = body; i > start && size+len(body) > batchBytes {
			if err := c.write(ctx, f, rows[start:i], bodies[start:i]); err != nil {
				return err
			}
			start, size = i, 0
		}
		size += len(body)
	}
	return c.write(ctx, f, rows[start:], bodies[start:])
}

// errForeign: only a copy may write to a target with a mark.
var errForeign = errors.New("somebody else writes to the target; end that, and run the copy again")

// write makes the target say what the rows say. It need not wait for the disk:
// what a crash loses is found missing when the copy goes on.
func (c *copying) write(ctx context.Context, f Family, rows []statestore.Row, bodies [][]byte) error {
	entries := make([]*statestore.Entry, len(rows))
	for i, row := range rows {
		entries[i] = &statestore.Entry{Key: statestore.Key{Kind: f.Kind, Namespace: f.Namespace, Name: row.Name}, Mode: statestore.Write}
	}
	written := 0
	err := c.to.Update(ctx, entries, func(rules.Instant) (statestore.Durability, error) {
		written = 0 // it may be called again
		for i, e := range entries {
			if e.Record() != nil {
				if !c.result.Resumed {
					return statestore.Rebuildable, errForeign
				}
				there, err := c.o.Codec.Canonical(e.Record())
				if err != nil {
					return statestore.Rebuildable, err
				}
				if bytes.Equal(there, bodies[i]) {
					continue
				}
			}
			e.Put(rows[i].Record)
			written++
		}
		return statestore.Rebuildable, nil
	})
	if err != nil {
		return c.there.err(err)
	}
	c.result.Written += written
	c.result.Equal += len(rows) - written
	c.meter.add(len(rows))
	return nil
}

// removeRest takes away what an earlier attempt copied and the source no
// longer has. The target then has everything of the source, so the numbers say
// where such records are.
func (c *copying) removeRest(ctx context.Context, counts map[Family]int) error {
	theirs, theirCounts, err := families(ctx, c.there, c.o.Codec)
	if err != nil {
		return err
	}
	for _, f := range theirs {
		if theirCounts[f] <= counts[f] {
			continue
		}
		if err := walk(ctx, c.there, f, func(rows []statestore.Row) error { return c.remove(ctx, f, rows) }, nil); err != nil {
			return err
		}
	}
	return nil
}

// remove takes away those of the rows that the source does not have.
func (c *copying) remove(ctx context.Context, f Family, rows []statestore.Row) error {
	var gone []*statestore.Entry
	for _, row := range rows {
		key := statestore.Key{Kind: f.Kind, Namespace: f.Namespace, Name: row.Name}
		r, _, err := c.from.Get(ctx, key)
		if err != nil {
			return err
		}
		if r == nil {
			gone = append(gone, &statestore.Entry{Key: key, Mode: statestore.Write})
		}
	}
	if len(gone) == 0 {
		return nil
	}
	err := c.to.Update(ctx, gone, func(rules.Instant) (statestore.Durability, error) {
		for _, e := range gone {
			e.Put(nil)
		}
		return statestore.Rebuildable, nil
	})
	if err != nil {
		return c.there.err(err)
	}
	c.result.Removed += len(gone)
	return nil
}
