// SPDX-License-Identifier: Apache-2.0

package suite

import (
	"context"
	"errors"
	"fmt"

	"github.com/resilienced/resilienced/bench/direct"
	"github.com/resilienced/resilienced/bench/load"
	"github.com/resilienced/resilienced/bench/page"
	"github.com/resilienced/resilienced/bench/sitting"
)

// The subjects of the trip's measurement.
const (
	bellA    = "NOTIFY"
	bellB    = "NOTIFY again"
	tripName = "a breaker turns"
)

// trip measures how long it takes until every replica's watchers know that a
// breaker has turned.
func (s *Suite) trip(ctx context.Context) error {
	r, err := s.again(ctx, s.tripSitting)
	if err != nil {
		return err
	}
	t := &page.Table{Head: []string{"what", "times", "p50", "p99"}}
	quantiles := map[string]float64{}
	for _, name := range []string{bellA, tripName} {
		all := load.NewLatency()
		for _, slice := range r.Slices(name) {
			all.Merge(slice.Latency)
		}
		quantiles[name] = float64(all.ValueAtQuantile(99))
		t.Add(name, page.Count(float64(all.TotalCount())), page.Time(float64(all.ValueAtQuantile(50))), page.Time(quantiles[name]))
	}
	if limit := quantiles[bellA]; limit > 0 {
		s.goal(r, page.Goal{What: "(k) a turned breaker known to 3 replicas ÷ bare NOTIFY, p99", Want: 5, AtMost: true, Got: quantiles[tripName] / limit})
	}
	s.sections = append(s.sections, page.Section{Title: "(k) News of a breaker", Parts: []page.Part{
		{Text: fmt.Sprintf("Three replicas. A breaker is turned at one; timed is from its answer, which follows the commit, until the watchers of both others have been told what the store has. "+
			"Decisions do not wait for this news: each reads the breaker in its own transaction. NOTIFY is from before it is sent until another connection hears it. Control %s.", control(r))},
		{Table: t},
	}})
	return nil
}

func (s *Suite) tripSitting(ctx context.Context) (r *sitting.Result, err error) {
	var open benches
	defer func() { err = errors.Join(err, open.end(ctx)) }()
	engines, err := s.group(ctx, &open, replicated)
	if err != nil {
		return nil, err
	}
	trips, err := direct.OpenTrips(ctx, engines)
	if err != nil {
		return nil, err
	}
	open.ends(func(context.Context) error { return trips.Close() })
	subjects := []sitting.Subject{{Name: tripName, Slice: func(ctx context.Context) (*load.Result, error) {
		return trips.Slice(ctx, s.cfg.Size.Rings)
	}}}
	for _, name := range []string{bellA, bellB} {
		bell, err := s.bell(ctx)
		if err != nil {
			return nil, err
		}
		open.ends(bell.Close)
		subjects = append(subjects, sitting.Subject{Name: name, Slice: func(ctx context.Context) (*load.Result, error) {
			return bell.Slice(ctx, s.cfg.Size.Rings)
		}})
	}
	if err := s.warm(ctx, subjects); err != nil {
		return nil, err
	}
	return sitting.Plan{Name: "news of a breaker", Rounds: s.cfg.Size.Rounds, Subjects: subjects, Control: [2]string{bellA, bellB}}.Hold(ctx)
}
