// SPDX-License-Identifier: Apache-2.0

package transfer

import (
	"context"
	"errors"
	"fmt"

	"github.com/resilienced/resilienced/rules"
	"github.com/resilienced/resilienced/statestore"
)

// CheckOptions are what a check needs besides the store.
type CheckOptions struct {
	// Codec reads the records.
	Codec *statestore.Codec
	// Served: a service writes meanwhile, so numbers need not agree.
	Served bool
	// Progress is told after each page; nil: nobody listens.
	Progress func(Progress)
}

// mostProblems bounds how many problems a report lists one by one.
const mostProblems = 100

// Counted is a family with what it holds.
type Counted struct {
	Family
	Digest
}

// Report is what a check found.
type Report struct {
	// Now is the store's time, or the floor of it where the store is only read.
	Now rules.Instant
	// Mark is set if the store is an unfinished copy.
	Mark *Mark
	// Families are those with records, by namespace and kind.
	Families []Counted
	// Records is their sum.
	Records int
	// Problems are what is wrong, at most mostProblems of them. More counts the
	// rest.
	Problems []error
	More     int
}

func (r *Report) problem(err error) {
	if len(r.Problems) == mostProblems {
		r.More++
		return
	}
	r.Problems = append(r.Problems, err)
}

// Check reads every record of a store. What is wrong with records is in the
// report; the error says that the store could not be read.
func Check(ctx context.Context, s Source, o CheckOptions) (*Report, error) {
	r := &Report{}
	var err error
	if r.Now, err = s.Now(ctx); err != nil {
		return nil, err
	}
	if r.Mark, err = markOf(ctx, s); err != nil {
		return nil, err
	}
	all, counts, err := families(ctx, side{Source: s}, o.Codec)
	if errors.Is(err, ErrUnknownKind) {
		r.problem(err)
	} else if err != nil {
		return nil, err
	}
	m := newMeter(o.Progress, PhaseCheck, total(counts))
	for _, f := range all {
		d, err := checkFamily(ctx, s, Counted{f, Digest{Records: counts[f]}}, o, m, r)
		if err != nil {
			return nil, err
		}
		r.Families = append(r.Families, Counted{f, d})
		r.Records += d.Records
	}
	return r, nil
}

// checkFamily reads one family. A record whose index entry is lost is not
// listed, and so the number tells.
func checkFamily(ctx context.Context, s Source, f Counted, o CheckOptions, m *meter, r *Report) (Digest, error) {
	d, unreadable := newDigester(o.Codec), 0
	err := walk(ctx, s, f.Family, func(rows []statestore.Row) error {
		m.add(len(rows))
		return d.add(rows)
	}, func(broken *statestore.RecordError) {
		unreadable++
		m.add(1)
		r.problem(fmt.Errorf("%w; %s", broken, cure(broken)))
	})
	if err != nil {
		return Digest{}, err
	}
	if listed := d.records + unreadable; listed != f.Records && !o.Served {
		r.problem(fmt.Errorf("%w: of namespace %q %d records of kind %s are listed where %d are counted; keep a copy of the store, and restore a backup",
			statestore.ErrNotADatabase, f.Namespace, listed, f.Kind, f.Records))
	}
	return d.digest(), nil
}

// cure says what to do about a record that cannot be read.
func cure(err error) string {
	if errors.Is(err, statestore.ErrNewerSchema) {
		return "use the version that wrote it"
	}
	return "keep a copy of the store, and restore a backup"
}
