// SPDX-License-Identifier: Apache-2.0

package suite

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/resilienced/resilienced/bench/direct"
	"github.com/resilienced/resilienced/bench/load"
	"github.com/resilienced/resilienced/bench/page"
	"github.com/resilienced/resilienced/bench/sitting"
)

// The subjects of the replicas' measurement.
const (
	oneA  = "1 replica"
	oneB  = "1 replica again"
	three = "3 replicas"

	replicated = 3
)

// replicas holds three engines on one PostgreSQL against one.
func (s *Suite) replicas(ctx context.Context) error {
	s.sections = append(s.sections, page.Section{Title: "(j) Three replicas against one", Parts: []page.Part{{Text: "" +
		"Engines without RPC in one process, each with connections and lanes of its own, on one PostgreSQL; the same callers are spread over them. " +
		"All share the machine's processors, so what three replicas gain is what one lane leaves idle. The control is one replica against one replica on another database."}}})
	for i := range s.workloads(1) {
		t := &page.Table{Head: []string{
			"callers", "3 replicas ÷ 1", "commands/s, 3", "commands/s, 1", "commands a commit, 3", "commands a commit, 1", "p50 / p99, 3", "p50 / p99, 1", "control",
		}}
		name := ""
		for _, callers := range s.cfg.Size.Callers {
			if callers == 1 {
				continue
			}
			w := s.workloads(callers)[i]
			name = w.name
			r, err := s.again(ctx, func(ctx context.Context) (*sitting.Result, error) { return s.replicasSitting(ctx, callers, w) })
			if err != nil {
				return err
			}
			t.Add(strconv.Itoa(callers), ratio(r, three, oneA, commands), figure(r, three, commands, page.Count), figure(r, oneA, commands, page.Count),
				figure(r, three, callsPerCommit, page.Plain), figure(r, oneA, callsPerCommit, page.Plain), latency(r, three), latency(r, oneA), control(r))
			s.shared.points.put(r, three, w, replicated, callers)
			if callers == cappedAt {
				s.goal(r, page.Goal{
					What: fmt.Sprintf("(j) 3 replicas ÷ 1, %s, %d callers", w.name, callers), Want: wanted(i),
					Got: r.Ratio(three, oneA, commands).Median,
				})
			}
		}
		s.sections = append(s.sections, page.Section{Title: capital(name), Nested: true, Parts: []page.Part{{Table: t}}})
	}
	return nil
}

// wanted is what three replicas are to reach of one's throughput on the i-th
// workload. No loss is a loss that is not more than the control may show.
func wanted(i int) float64 {
	const hotKey, gain, noLoss = 0.8, 1, 0.95
	return []float64{hotKey, hotKey, gain, noLoss}[i]
}

func (s *Suite) replicasSitting(ctx context.Context, callers int, w workload) (r *sitting.Result, err error) {
	var open benches
	defer func() { err = errors.Join(err, open.end(ctx)) }()
	var subjects []sitting.Subject
	for _, c := range []struct {
		name string
		many int
	}{{oneA, 1}, {oneB, 1}, {three, replicated}} {
		group, err := s.group(ctx, &open, c.many)
		if err != nil {
			return nil, err
		}
		if err := group[0].CappedRuns(ctx, w.runs); err != nil {
			return nil, err
		}
		subjects = append(subjects, s.under(c.name, callers, group.pairs(w.asks), group.Read))
	}
	if err := s.warm(ctx, subjects); err != nil {
		return nil, err
	}
	return sitting.Plan{
		Name: fmt.Sprintf("replicas, %s, %d callers", w.name, callers), Rounds: s.cfg.Size.Rounds,
		Subjects: subjects, Control: [2]string{oneA, oneB},
	}.Hold(ctx)
}

// group is engines on one store.
type group []*direct.Engine

// group opens engines at one fresh place.
func (s *Suite) group(ctx context.Context, open *benches, many int) (group, error) {
	p, err := s.place(ctx, sharedKind)
	if err != nil {
		return nil, err
	}
	return groupAt(ctx, open, p, many)
}

func groupAt(ctx context.Context, open *benches, p direct.Place, many int) (group, error) {
	var all group
	for i := range many {
		p.Replica = "replica-" + strconv.Itoa(i)
		e, err := direct.Open(ctx, p)
		if err != nil {
			return nil, err
		}
		open.ends(e.Close)
		all = append(all, e)
	}
	return all, nil
}

// pairs spreads callers over the engines.
func (g group) pairs(asks direct.Asks) load.Callers {
	return func(caller int) load.Op { return g[caller%len(g)].Pairs(asks)(caller) }
}

// Read is a load.Probe of the commits of all.
func (g group) Read(ctx context.Context) (load.Reading, error) {
	var sum load.Reading
	for _, e := range g {
		r, err := e.Read(ctx)
		if err != nil {
			return sum, err
		}
		sum.Commits += r.Commits
	}
	return sum, nil
}
