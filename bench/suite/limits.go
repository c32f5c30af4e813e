// SPDX-License-Identifier: Apache-2.0

package suite

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/resilienced/resilienced/bench/direct"
	"github.com/resilienced/resilienced/bench/load"
	"github.com/resilienced/resilienced/bench/page"
	"github.com/resilienced/resilienced/bench/sitting"
)

// limits measures what PostgreSQL does without us: updates of one row, updates
// of many, and NOTIFY.
func (s *Suite) limits(ctx context.Context) error {
	t := &page.Table{Head: []string{"connections", "one hot row/s", "p50 / p99", "rows of their own/s", "p50 / p99"}}
	fastest := 0.0
	for _, callers := range s.cfg.Size.Connections {
		hot, spread, err := s.bareUpdates(ctx, callers)
		if err != nil {
			return err
		}
		t.Add(strconv.Itoa(callers), page.Count(hot.Rate()), times(hot), page.Count(spread.Rate()), times(spread))
		if hot.Rate() > fastest {
			fastest, s.shared.bestHot = hot.Rate(), callers
		}
		s.say("bare updates, %d connections: %s/s hot, %s/s spread", callers, page.Count(hot.Rate()), page.Count(spread.Rate()))
	}
	bell, err := s.bareBell(ctx)
	if err != nil {
		return err
	}
	s.sections = append(s.sections, page.Section{Title: "(g) PostgreSQL without us", Parts: []page.Part{
		{Text: "One UPDATE in a transaction of its own, in one round trip, with pgx. The limit below is one hot row with the number of connections at which it is fastest."},
		{Table: t},
		{Text: fmt.Sprintf("NOTIFY, from before it is sent until another connection hears it: p50 %s, p99 %s.", page.Time(bell.Quantile(50)), page.Time(bell.Quantile(99)))},
	}})
	return nil
}

// times is a cell with p50 and p99.
func times(r *load.Result) string {
	return page.Time(r.Quantile(50)) + " / " + page.Time(r.Quantile(99))
}

func (s *Suite) bareUpdates(ctx context.Context, callers int) (hot, spread *load.Result, err error) {
	rows, err := s.rows(ctx, callers)
	if err != nil {
		return nil, nil, err
	}
	defer func() { err = errors.Join(err, rows.Close(ctx)) }()
	closed := s.closed(callers)
	closed.Warm, closed.For = s.cfg.Size.Warm, 4*closed.For
	if hot, err = closed.Run(ctx, rows.Hot, nil); err != nil {
		return nil, nil, err
	}
	spread, err = closed.Run(ctx, rows.Spread, nil)
	return hot, spread, err
}

func (s *Suite) bareBell(ctx context.Context) (r *load.Result, err error) {
	bell, err := s.bell(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, bell.Close(ctx)) }()
	return bell.Slice(ctx, 4*s.cfg.Size.Rings)
}

func (s *Suite) bell(ctx context.Context) (*direct.Bell, error) {
	dsn, err := s.shared.server.NewDatabase(ctx)
	if err != nil {
		return nil, err
	}
	return direct.OpenBell(ctx, dsn)
}

// bare adds two subjects that update a hot row each, from the best number of
// connections, and one that does so alone: the limit, its control, and one
// commit.
func (s *Suite) bare(ctx context.Context, b *benches) ([]sitting.Subject, error) {
	callers := max(s.shared.bestHot, 1)
	var subjects []sitting.Subject
	for _, c := range []struct {
		name    string
		callers int
	}{{updateA, callers}, {updateB, callers}, {commitName, 1}} {
		rows, err := s.rows(ctx, c.callers)
		if err != nil {
			return nil, err
		}
		b.ends(rows.Close)
		subjects = append(subjects, s.under(c.name, c.callers, rows.Hot, nil))
	}
	return subjects, nil
}

// under is a subject under a closed loop.
func (s *Suite) under(name string, callers int, ops load.Callers, probe load.Probe) sitting.Subject {
	closed := s.closed(callers)
	return sitting.Subject{Name: name, Slice: func(ctx context.Context) (*load.Result, error) {
		return closed.Run(ctx, ops, probe)
	}}
}

// benches are what a sitting has open.
type benches struct{ close []func(context.Context) error }

// ends notes how something is closed.
func (b *benches) ends(f func(context.Context) error) { b.close = append(b.close, f) }

// end closes what is open, the last first.
func (b *benches) end(ctx context.Context) error {
	var errs []error
	for _, f := range slices.Backward(b.close) {
		errs = append(errs, f(ctx))
	}
	return errors.Join(errs...)
}
