// SPDX-License-Identifier: Apache-2.0

package suite

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"

	"github.com/resilienced/resilienced/bench/direct"
	"github.com/resilienced/resilienced/bench/page"
	"github.com/resilienced/resilienced/bench/sitting"
	"github.com/resilienced/resilienced/statestore"
)

// The subjects of the growth's measurement, and how many callers it has.
const (
	fewA = "few"
	fewB = "few again"
	many = "many"

	growthCallers = 64
)

// growth holds stores that are full against stores that are nearly empty.
func (s *Suite) growth(ctx context.Context) error {
	t := &page.Table{Head: []string{"store", "p99, many ÷ few", "p50, many ÷ few", "commands, many ÷ few", "p50 / p99, few", "p50 / p99, many", "filled in", "bytes a record in our process", "bytes a record in the store", "log a call, few and many", "control"}}
	size := s.cfg.Size
	word := fmt.Sprintf("%s runs and %s targets against %s and %s", page.Count(float64(size.Many.Runs)), page.Count(float64(size.Many.Targets)), page.Count(float64(size.Few.Runs)), page.Count(float64(size.Few.Targets)))
	for _, kind := range []direct.Kind{direct.SQLite, direct.Postgres} {
		var b *brim
		r, err := s.again(ctx, func(ctx context.Context) (r *sitting.Result, err error) {
			r, b, err = s.growthSitting(ctx, kind)
			return r, err
		})
		if err != nil {
			return fmt.Errorf("%s: %w", kind, err)
		}
		t.Add(string(kind), ratio(r, many, fewA, p99), ratio(r, many, fewA, p50), ratio(r, many, fewA, commands), latency(r, fewA), latency(r, many),
			b.took.Round(time.Second).String(), page.Count(b.resident), page.Count(b.stored), b.log(), control(r))
		s.goal(r, page.Goal{What: fmt.Sprintf("(l) p99 on %s, %s", kind, word), Want: 1.2, AtMost: true, Got: r.Ratio(many, fewA, p99).Median})
		s.goal(r, page.Goal{What: fmt.Sprintf("(l) resident bytes per idle record, %s", kind), Want: 1024, AtMost: true, Got: b.resident})
	}
	s.sections = append(s.sections, page.Section{Title: "(l) Growth", Parts: []page.Part{
		{Text: fmt.Sprintf("%s. A target has a control record and a tally. %d callers go round all of them on engines without RPC, so that nearly every pair is on records that were idle. "+
			"The resident bytes are what our process's heap has grown by since the full store was opened, after the sitting and a collection; the stored ones are the store's files with their indexes. "+
			"What PostgreSQL writes to its log was measured in one more slice of each.", capital(word), growthCallers)},
		{Table: t},
	}})
	return nil
}

// brim is what was learned from filling a store.
type brim struct {
	took             time.Duration
	resident, stored float64            // bytes a record
	wal              map[string]float64 // of PostgreSQL: bytes a call, by subject
}

// log is a cell with what was written to the log.
func (b *brim) log() string {
	if b.wal == nil {
		return "–"
	}
	return bytesText(b.wal[fewA]) + ", " + bytesText(b.wal[many])
}

func (s *Suite) growthSitting(ctx context.Context, kind direct.Kind) (r *sitting.Result, b *brim, err error) {
	var open benches
	defer func() { err = errors.Join(err, open.end(ctx)) }()
	var subjects []sitting.Subject
	b = &brim{}
	before, records := 0.0, 0
	for _, c := range []struct {
		name string
		size Growth
	}{{fewA, s.cfg.Size.Few}, {fewB, s.cfg.Size.Few}, {many, s.cfg.Size.Many}} {
		begun := time.Now()
		p, err := s.place(ctx, kind)
		if err != nil {
			return nil, nil, err
		}
		if records, err = s.fill(ctx, p, c.size); err != nil {
			return nil, nil, err
		}
		b.took = time.Since(begun)
		before = heap()
		e, err := direct.Open(ctx, p)
		if err != nil {
			return nil, nil, err
		}
		open.ends(e.Close)
		subjects = append(subjects, s.under(c.name, growthCallers, e.Pairs(direct.Over(c.size.Runs, c.size.Targets)), e.Read))
		if b.stored, err = s.bytesAt(ctx, p); err != nil {
			return nil, nil, err
		}
	}
	if err := s.warm(ctx, subjects); err != nil {
		return nil, nil, err
	}
	r, err = sitting.Plan{
		Name: fmt.Sprintf("growth on %s", kind), Rounds: s.cfg.Size.Rounds, Subjects: subjects, Control: [2]string{fewA, fewB},
	}.Hold(ctx)
	if err == nil && kind == direct.Postgres {
		err = s.logged(ctx, b, subjects)
	}
	b.resident = max(heap()-before, 0) / float64(records)
	b.stored /= float64(records)
	return r, b, err
}

// logged measures, in one more slice of each subject, what PostgreSQL writes to
// its log.
func (s *Suite) logged(ctx context.Context, b *brim, subjects []sitting.Subject) error {
	server, err := s.postmaster(ctx)
	if err != nil {
		return err
	}
	b.wal = map[string]float64{}
	for _, subject := range subjects {
		before, err := s.used(ctx, server)
		if err != nil {
			return err
		}
		r, err := subject.Slice(ctx)
		if err != nil {
			return err
		}
		after, err := s.used(ctx, server)
		if err != nil {
			return err
		}
		// Those in the warm-up are not counted, so it is a little too much.
		b.wal[subject.Name] = (after.wal - before.wal) / float64(max(r.Calls, 1))
	}
	return nil
}

// heap is what this process's heap holds.
func heap() float64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc)
}

// fill fills a place with runs and targets, and says with how many records.
func (s *Suite) fill(ctx context.Context, p direct.Place, size Growth) (records int, err error) {
	all, err := direct.Specimens(ctx)
	if err != nil {
		return 0, err
	}
	// An engine makes what every store has before it is filled.
	e, err := direct.Open(ctx, p)
	if err != nil {
		return 0, err
	}
	if err := e.Close(ctx); err != nil {
		return 0, err
	}
	store, err := p.Store(ctx)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	for _, one := range all {
		n, name := size.Targets, direct.TargetOf
		switch one.Kind {
		case statestore.KindRun:
			n, name = size.Runs, direct.RunOf
		case statestore.KindTarget, statestore.KindTally:
		default:
			continue
		}
		told := 0
		err := direct.Fill(ctx, store, n, func(i int) direct.Row { return one.Named(name(i)) }, func(done int) {
			if part := 10 * done / n; part > told && n >= 100_000 {
				told = part
				s.say("%s: %s of %s records of kind %q", p.Kind, page.Count(float64(done)), page.Count(float64(n)), one.What)
			}
		})
		if err != nil {
			return 0, fmt.Errorf("fill in %s: %w", one.What, err)
		}
		records += n
	}
	return records, s.settle(ctx, p)
}

// settle lets a store do what it would do sooner or later.
func (s *Suite) settle(ctx context.Context, p direct.Place) error {
	if p.Kind != direct.Postgres {
		return nil
	}
	_, err := s.shared.server.Exec(ctx, p.Database(), "VACUUM ANALYZE;\nCHECKPOINT")
	return err
}
