// SPDX-License-Identifier: Apache-2.0

package suite

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/resilienced/resilienced/bench/page"
	"github.com/resilienced/resilienced/bench/sitting"
)

// sharedEngine holds the engine on PostgreSQL, without RPC, against one update
// of a hot row in a transaction.
func (s *Suite) sharedEngine(ctx context.Context) error {
	s.sections = append(s.sections, page.Section{Title: "(h) The engine on PostgreSQL without RPC", Parts: []page.Part{{
		Text: fmt.Sprintf("A command is an Acquire or a Report. The limit is an UPDATE of one hot row a transaction, from %d connections; the control is that limit against itself on another table. "+
			"One commit is such an update by one connection alone.", max(s.shared.bestHot, 1)),
	}}})
	tables := map[string]*page.Table{}
	for _, callers := range s.cfg.Size.Callers {
		all := s.workloads(callers)
		r, err := s.again(ctx, func(ctx context.Context) (*sitting.Result, error) { return s.sharedEngineSitting(ctx, callers, all) })
		if err != nil {
			return err
		}
		for _, w := range all {
			t := tables[w.name]
			if t == nil {
				t = &page.Table{Head: []string{"callers", "commands ÷ updates", "commands/s", "updates/s", "commands a commit", "p50 / p99", "in commits", "control"}}
				tables[w.name] = t
				s.sections = append(s.sections, page.Section{Title: capital(w.name), Nested: true, Parts: []page.Part{{Table: t}}})
			}
			t.Add(strconv.Itoa(callers), ratio(r, w.name, updateA, commands), figure(r, w.name, commands, page.Count), figure(r, updateA, commands, page.Count),
				figure(r, w.name, callsPerCommit, page.Plain), latency(r, w.name), inCommits(r, w.name), control(r))
			s.shared.points.note(r, w, 1, callers)
		}
		if callers == cappedAt {
			s.sharedEngineGoals(r, all)
		}
	}
	return nil
}

func (s *Suite) sharedEngineSitting(ctx context.Context, callers int, all []workload) (r *sitting.Result, err error) {
	var open benches
	defer func() { err = errors.Join(err, open.end(ctx)) }()
	subjects, err := s.bare(ctx, &open)
	if err != nil {
		return nil, err
	}
	e, err := s.fresh(ctx, sharedKind)
	if err != nil {
		return nil, err
	}
	open.ends(e.Close)
	for _, w := range all {
		if err := e.CappedRuns(ctx, w.runs); err != nil {
			return nil, err
		}
		subjects = append(subjects, s.under(w.name, callers, e.Pairs(w.asks), e.Read))
	}
	if err := s.warm(ctx, subjects); err != nil {
		return nil, err
	}
	return sitting.Plan{
		Name: fmt.Sprintf("engine on PostgreSQL, %d callers", callers), Rounds: s.cfg.Size.Rounds,
		Subjects: subjects, Control: [2]string{updateA, updateB},
	}.Hold(ctx)
}

func (s *Suite) sharedEngineGoals(r *sitting.Result, all []workload) {
	at := fmt.Sprintf(", %d callers", cappedAt)
	capped, many := all[0].name, all[2].name
	s.goal(r, page.Goal{
		What: "(h) commands on " + capped + " ÷ updates of one hot row" + at, Want: 10,
		Got: r.Ratio(capped, updateA, commands).Median,
	})
	s.goal(r, page.Goal{
		What: "(h) commands a commit, " + capped + at, Want: 50,
		Got: r.Figure(capped, callsPerCommit).Median,
	})
	s.goal(r, page.Goal{
		What: "(h) " + capped + " ÷ " + many + at, Want: 0.8,
		Got: r.Ratio(capped, many, commands).Median,
	})
}

// capital makes the first letter a capital.
func capital(text string) string {
	if text == "" || text[0] < 'a' || text[0] > 'z' {
		return text
	}
	return string(text[0]-'a'+'A') + text[1:]
}

// point is one figure of a curve.
type point struct {
	rate, batch, p50, p99 float64 // commands a second, a commit; nanoseconds
	void                  bool
}

// at is where a point is.
type at struct {
	replicas int
	workload string
	callers  int
}

// points are what was measured of the engine without RPC.
type points map[at]point

func (p points) note(r *sitting.Result, w workload, replicas, callers int) {
	p.put(r, w.name, w, replicas, callers)
}

// put notes the figures of a subject.
func (p points) put(r *sitting.Result, subject string, w workload, replicas, callers int) {
	p[at{replicas, w.name, callers}] = point{
		rate: r.Figure(subject, commands).Median, batch: r.Figure(subject, callsPerCommit).Median,
		p50: r.Figure(subject, p50).Median, p99: r.Figure(subject, p99).Median, void: r.Void(),
	}
}
