// SPDX-License-Identifier: Apache-2.0

package suite

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"

	"github.com/resilienced/resilienced/bench/direct"
	"github.com/resilienced/resilienced/bench/load"
	"github.com/resilienced/resilienced/bench/page"
	"github.com/resilienced/resilienced/bench/sitting"
)

// The subjects of the engine's measurement.
const (
	updateA = "one update"
	updateB = "one update again"
	hot     = "one hot run"
	spread  = "a run for each caller"
)

// commands are Acquires and Reports a second.
func commands(r *load.Result) float64 { return float64(r.Calls) / r.Window.Seconds() }

// engine holds the engine on SQLite, without RPC, against one update of a hot
// row in a transaction.
func (s *Suite) engine(ctx context.Context) error {
	best, search, err := s.bestUpdates(ctx)
	if err != nil {
		return err
	}
	t := &page.Table{Head: []string{
		"callers", "commands ÷ updates", "commands/s, one hot run", "updates/s", "hot run ÷ a run for each caller",
		"commands a commit, hot", "commands a commit, spread", "p50 / p99, hot", "control",
	}}
	for _, callers := range s.cfg.Size.Callers {
		r, err := s.again(ctx, func(ctx context.Context) (*sitting.Result, error) { return s.engineSitting(ctx, callers, best) })
		if err != nil {
			return err
		}
		t.Add(strconv.Itoa(callers), ratio(r, hot, updateA, commands),
			figure(r, hot, commands, page.Count), figure(r, updateA, commands, page.Count), ratio(r, hot, spread, commands),
			figure(r, hot, callsPerCommit, page.Plain), figure(r, spread, callsPerCommit, page.Plain), latency(r, hot), control(r))
		if callers == cappedAt {
			s.engineGoals(r)
		}
	}
	s.sections = append(s.sections, page.Section{Title: "(d) The engine on SQLite without RPC", Parts: []page.Part{
		{Text: fmt.Sprintf("A command is an Acquire or a Report; all are on capped runs and durable. The limit is an UPDATE of one hot row a transaction, from %d callers, which was the best number of them (%s). The control is that limit against itself on another file.", best, search)},
		{Table: t},
	}})
	return nil
}

// bestUpdates finds the number of callers at which bare updates are fastest.
func (s *Suite) bestUpdates(ctx context.Context) (best int, search string, err error) {
	fastest := 0.0
	for _, callers := range []int{1, 4, 16} {
		u, err := s.updates(ctx)
		if err != nil {
			return 0, "", err
		}
		closed := s.closed(callers)
		closed.For *= 2
		r, err := closed.Run(ctx, u.Callers, nil)
		if err = errors.Join(err, u.Close()); err != nil {
			return 0, "", err
		}
		if r.Rate() > fastest {
			best, fastest = callers, r.Rate()
		}
		if search != "" {
			search += ", "
		}
		search += fmt.Sprintf("%d: %s/s", callers, page.Count(r.Rate()))
	}
	return best, search, nil
}

func (s *Suite) engineSitting(ctx context.Context, callers, best int) (r *sitting.Result, err error) {
	folder, err := os.MkdirTemp(s.cfg.Folder, "engine-")
	if err != nil {
		return nil, err
	}
	e, err := direct.Open(ctx, direct.Place{Kind: direct.SQLite, Folder: folder})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, e.Close(ctx)) }()
	if err := e.CappedRun(ctx, hotRun); err != nil {
		return nil, err
	}
	for i := range callers {
		if err := e.CappedRun(ctx, direct.RunOf(i)); err != nil {
			return nil, err
		}
	}
	var subjects []sitting.Subject
	for _, name := range []string{updateA, updateB} {
		u, err := s.updates(ctx)
		if err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, u.Close()) }()
		subjects = append(subjects, s.committing(name, u, best))
	}
	closed := s.closed(callers)
	on := func(name string, asks direct.Asks) sitting.Subject {
		return sitting.Subject{Name: name, Slice: func(ctx context.Context) (*load.Result, error) {
			return closed.Run(ctx, e.Pairs(asks), e.Read)
		}}
	}
	subjects = append(subjects, on(hot, direct.Always(direct.Ask{Run: hotRun, Target: direct.Target})), on(spread, direct.EachItsRun))
	if err := s.warm(ctx, subjects); err != nil {
		return nil, err
	}
	return sitting.Plan{
		Name: fmt.Sprintf("engine, %d callers", callers), Rounds: s.cfg.Size.Rounds,
		Subjects: subjects, Control: [2]string{updateA, updateB},
	}.Hold(ctx)
}

func (s *Suite) engineGoals(r *sitting.Result) {
	at := fmt.Sprintf(", %d callers", cappedAt)
	s.goal(r, page.Goal{
		What: "(d) commands on one hot capped run ÷ updates of one hot row" + at, Want: 10,
		Got: r.Ratio(hot, updateA, commands).Median,
	})
	s.goal(r, page.Goal{
		What: "(d) commands a commit, one hot capped run" + at, Want: 50,
		Got: r.Figure(hot, callsPerCommit).Median,
	})
	s.goal(r, page.Goal{
		What: "(d) one hot run ÷ a run for each caller" + at, Want: 0.8,
		Got: r.Ratio(hot, spread, commands).Median,
	})
}
