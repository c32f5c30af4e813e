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
	"github.com/resilienced/resilienced/bench/process"
	"github.com/resilienced/resilienced/bench/sitting"
)

// The subjects of the durable measurement, besides the echoes.
const (
	memoryName = string(process.Memory)
	sqliteName = string(process.SQLite)
	commitName = "one commit"
)

// hotRun is the one run that all callers share.
const hotRun = "hot"

// cappedAt is the number of callers at which design §8 sets the goals of
// durable work.
const cappedAt = 256

// interval is the time from one commit to the next, in nanoseconds.
func interval(r *load.Result) float64 {
	if r.Used.Commits == 0 {
		return 0
	}
	return float64(r.Window) / float64(r.Used.Commits)
}

// inIntervals is a latency in units of the time between the commits.
func inIntervals(latency sitting.Metric) sitting.Metric {
	return func(r *load.Result) float64 {
		if d := interval(r); d > 0 {
			return latency(r) / d
		}
		return 0
	}
}

// callsPerCommit is how many calls one transaction carries.
func callsPerCommit(r *load.Result) float64 {
	if c := r.Commits(); c > 0 {
		return 1 / c
	}
	return 0
}

// durable holds Acquire and Report on SQLite against the same on memory.
func (s *Suite) durable(ctx context.Context) error {
	s.sections = append(s.sections, page.Section{Title: "(c) Acquire and Report, SQLite against memory", Parts: []page.Part{{Text: "" +
		"An operation is an Acquire and its Report; the latencies are of one call. " +
		"\"One commit\" is a transaction that updates one row and waits for the disk, made by one caller alone, with the store's SQLite settings and on its disk, in the same sitting. " +
		"Memory in units of that commit shows what the RPCs alone cost on this machine. Without a run nothing is durable, and no call waits for the disk."}}})
	for _, run := range []string{"", hotRun} {
		title := "Without a run"
		if run != "" {
			title = "On one hot capped run"
		}
		t := &page.Table{Head: []string{
			"callers", "SQLite ÷ memory", "SQLite/s", "memory/s", "SQLite p50 / p99", "memory p50 / p99",
			"one commit", "SQLite p50, p99 in commits", "memory p50, p99 in commits", "calls a commit", "time between commits", "SQLite p50, p99 in those", "SQLite CPU ÷ memory", "control",
		}}
		for _, callers := range s.cfg.Size.Callers {
			r, err := s.again(ctx, func(ctx context.Context) (*sitting.Result, error) { return s.durableSitting(ctx, callers, run) })
			if err != nil {
				return err
			}
			s.rates[sqliteName+run+strconv.Itoa(callers)] = r.Figure(sqliteName, (*load.Result).Rate).Median
			addDurable(t, r, callers)
			if run != "" && callers == cappedAt {
				s.durableGoals(r)
			}
		}
		s.sections = append(s.sections, page.Section{Title: title, Nested: true, Parts: []page.Part{{Table: t}}})
	}
	return nil
}

func (s *Suite) durableSitting(ctx context.Context, callers int, run string) (r *sitting.Result, err error) {
	var f fleet
	defer func() { err = errors.Join(err, f.close()) }()
	closed := s.closed(callers)
	subjects, err := s.echoSubjects(&f, closed, func(c *client) load.Callers { return c.pairs(run) })
	if err != nil {
		return nil, err
	}
	for _, kind := range []process.Kind{process.Memory, process.SQLite} {
		v, err := f.add(s.serve(ctx, kind, callers))
		if err != nil {
			return nil, err
		}
		if run != "" {
			if err := v.client.startRun(ctx, run); err != nil {
				return nil, err
			}
		}
		subjects = append(subjects, v.subject(string(kind), closed, v.client.pairs(run)))
	}
	updates, err := s.updates(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, updates.Close()) }()
	subjects = append(subjects, s.committing(commitName, updates, 1))
	if err := s.warm(ctx, subjects); err != nil {
		return nil, err
	}
	word := "no run"
	if run != "" {
		word = "one capped run"
	}
	return sitting.Plan{
		Name: fmt.Sprintf("Acquire and Report, %s, %d callers", word, callers), Rounds: s.cfg.Size.Rounds,
		Subjects: subjects, Control: [2]string{echoA, echoB},
	}.Hold(ctx)
}

// updates opens a file for bare commits.
func (s *Suite) updates(ctx context.Context) (*direct.Updates, error) {
	folder, err := os.MkdirTemp(s.cfg.Folder, "updates-")
	if err != nil {
		return nil, err
	}
	return direct.OpenUpdates(ctx, folder)
}

// committing is the subject of bare commits.
func (s *Suite) committing(name string, u *direct.Updates, callers int) sitting.Subject {
	closed := s.closed(callers)
	return sitting.Subject{Name: name, Slice: func(ctx context.Context) (*load.Result, error) {
		return closed.Run(ctx, u.Callers, nil)
	}}
}

func addDurable(t *page.Table, r *sitting.Result, callers int) {
	t.Add(strconv.Itoa(callers),
		ratio(r, sqliteName, memoryName, (*load.Result).Rate),
		figure(r, sqliteName, (*load.Result).Rate, page.Count), figure(r, memoryName, (*load.Result).Rate, page.Count),
		latency(r, sqliteName), latency(r, memoryName), figure(r, commitName, p50, page.Time),
		inCommits(r, sqliteName), inCommits(r, memoryName),
		figure(r, sqliteName, callsPerCommit, page.Plain), figure(r, sqliteName, interval, page.Time),
		figure(r, sqliteName, inIntervals(p50), page.Plain)+", "+figure(r, sqliteName, inIntervals(p99), page.Plain),
		ratio(r, sqliteName, memoryName, (*load.Result).CPU), control(r))
}

// inCommits is a cell with p50 and p99 in units of one bare commit.
func inCommits(r *sitting.Result, of string) string {
	return page.Plain(commitsOf(r, of, p50)) + ", " + page.Plain(commitsOf(r, of, p99))
}

// commitsOf is a latency in units of one bare commit.
func commitsOf(r *sitting.Result, of string, latency sitting.Metric) float64 {
	one := r.Figure(commitName, p50).Median
	if one == 0 {
		return 0
	}
	return r.Figure(of, latency).Median / one
}

func (s *Suite) durableGoals(r *sitting.Result) {
	at := fmt.Sprintf(", one hot capped run, %d callers", cappedAt)
	s.goal(r, page.Goal{
		What: "(c) Acquire and Report, SQLite ÷ memory" + at, Want: 0.6,
		Got: r.Ratio(sqliteName, memoryName, (*load.Result).Rate).Median,
	})
	s.goal(r, page.Goal{
		What: "(c) p50 of a call on SQLite" + at, Unit: " commits", Want: 2.5, AtMost: true,
		Got: commitsOf(r, sqliteName, p50),
	})
	s.goal(r, page.Goal{
		What: "(c) p99 of a call on SQLite" + at, Unit: " commits", Want: 5, AtMost: true,
		Got: commitsOf(r, sqliteName, p99),
	})
}
