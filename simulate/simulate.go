// SPDX-License-Identifier: Apache-2.0

package simulate

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/resilienced/resilienced/engine"
	"github.com/resilienced/resilienced/policy"
	"github.com/resilienced/resilienced/rules"
)

// Run plays the calls under both policies and compares. A policy that does not
// parse fails with its *policy.ParseError, too many calls with ErrTooMany, and
// a context that ends with its cause. No calls are no error: the Result says
// so and what to do.
func Run(ctx context.Context, in Input) (*Result, error) {
	newer, err := parse(in.New)
	if err != nil {
		return nil, err
	}
	if len(in.Old.Text) == 0 {
		in.Old.Text = []byte("version: 1\n")
	}
	older, err := parse(in.Old)
	if err != nil {
		return nil, fmt.Errorf("the policy to compare with: %w", err)
	}
	runs, err := runsOf(in.Runs)
	if err != nil {
		return nil, err
	}
	calls, err := load(ctx, &in)
	if err != nil {
		return nil, err
	}
	r := &Result{
		Namespace: in.Recording.Namespace, Missing: in.Recording.Missing, Targets: []Target{}, Runs: []StoppedRun{},
	}
	if len(calls) == 0 {
		r.nothing(&in)
		return r, nil
	}
	told := progress(in.Progress, 2*len(calls))
	side := player{calls: calls, events: schedule(calls), worths: worths(calls, newer, older), runs: runs, told: told}
	was, will, err := side.twice(ctx, older, newer)
	if err != nil {
		return nil, err
	}
	r.fill(calls, was, will)
	r.Limits = limits(calls, &in)
	r.Answer = r.answer()
	return r, nil
}

// parse reads a policy for a simulation.
func parse(p Policy) (*policy.Policy, error) {
	return policy.Parse(cmp.Or(p.File, "policy.yaml"), p.Text, policy.Options{Shortest: true})
}

func runsOf(list []AgentRun) (map[string]AgentRun, error) {
	runs := make(map[string]AgentRun, len(list))
	for _, r := range list {
		if _, twice := runs[r.ID]; twice {
			return nil, fmt.Errorf("run %q is given twice", r.ID)
		}
		runs[r.ID] = r
	}
	return runs, nil
}

// progress adds up what both sides played.
func progress(tell func(played, total int), total int) func(int) {
	if tell == nil {
		return func(int) {}
	}
	var mu sync.Mutex
	sum := 0
	return func(n int) {
		mu.Lock()
		defer mu.Unlock()
		sum += n
		tell(sum, total)
	}
}

// twice plays the calls under both policies, side by side.
func (p player) twice(ctx context.Context, older, newer *policy.Policy) (was, will *counter, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	before, after := p, p
	before.policy, after.policy = older, newer
	var wg sync.WaitGroup
	wg.Go(func() {
		var failed error
		if was, failed = before.play(ctx); failed != nil {
			cancel(fmt.Errorf("under the policy to compare with: %w", failed))
		}
	})
	will, err = after.play(ctx)
	if err != nil {
		cancel(err)
	}
	wg.Wait()
	if ctx.Err() != nil {
		return nil, nil, context.Cause(ctx)
	}
	return was, will, nil
}

// fill makes the result of what both sides counted.
func (r *Result) fill(calls []*engine.Call, was, will *counter) {
	changed := map[string]*Target{}
	for i, c := range calls {
		t := changed[c.Target]
		if t == nil {
			t = &Target{Target: c.Target}
			changed[c.Target] = t
		}
		for _, t := range [...]*Target{t, &r.Totals} {
			t.Calls++
			switch {
			case was.granted[i] && !will.granted[i]:
				t.NewlyRefused++
			case !was.granted[i] && will.granted[i]:
				t.NewlyGranted++
			}
		}
		if c.ReportedAt == 0 {
			r.Lost++
		}
	}
	r.Calls = int64(len(calls))
	r.Totals.Old, r.Totals.New = was.totals.result(), will.totals.result()
	for name, t := range changed {
		t.Old, t.New = was.targets[name].result(), will.targets[name].result()
		r.Targets = append(r.Targets, *t)
	}
	slices.SortFunc(r.Targets, mostAffected)
	r.stopped(was, will)
	r.From, r.Until = span(calls)
}

func span(calls []*engine.Call) (from, until *time.Time) {
	first, last := calls[0].AcquiredAt, calls[0].AcquiredAt
	for _, c := range calls {
		first, last = min(first, c.AcquiredAt), max(last, c.AcquiredAt, c.ReportedAt)
	}
	at := func(i rules.Instant) *time.Time { return new(i.Time()) }
	return at(first), at(last)
}

// mostAffected sorts targets: by how far the money moves, then the calls that
// change sides, then the breaker.
func mostAffected(a, b Target) int {
	moved := func(t Target) int64 { return abs(t.New.CostMicros - t.Old.CostMicros) }
	opened := func(t Target) int64 { return abs(t.New.Opened - t.Old.Opened) }
	return cmp.Or(
		cmp.Compare(moved(b), moved(a)),
		cmp.Compare(b.NewlyRefused+b.NewlyGranted, a.NewlyRefused+a.NewlyGranted),
		cmp.Compare(opened(b), opened(a)),
		cmp.Compare(b.New.Denied+b.New.Waits, a.New.Denied+a.New.Waits),
		cmp.Compare(b.Calls, a.Calls),
		cmp.Compare(a.Target, b.Target),
	)
}

func abs(n int64) int64 { return max(n, -n) }

// stopped lists the runs that a cap stopped.
func (r *Result) stopped(was, will *counter) {
	by := map[string]*StoppedRun{}
	row := func(id string) *StoppedRun {
		if by[id] == nil {
			by[id] = &StoppedRun{Run: id}
		}
		return by[id]
	}
	for id, s := range was.runs {
		row(id).Old = s
	}
	for id, s := range will.runs {
		row(id).New = s
	}
	for _, s := range by {
		r.Runs = append(r.Runs, *s)
	}
	slices.SortFunc(r.Runs, func(a, b StoppedRun) int {
		return cmp.Or(cmp.Compare(b.moved(), a.moved()), cmp.Compare(b.calls(), a.calls()), cmp.Compare(a.Run, b.Run))
	})
	r.Runs = r.Runs[:min(len(r.Runs), maxRuns)]
}

// moved is by how much the policies differ in what they keep a run from
// spending, calls in how many calls they refuse it together.
func (s StoppedRun) moved() int64 {
	var was, will int64
	if s.Old != nil {
		was = s.Old.CostMicros
	}
	if s.New != nil {
		will = s.New.CostMicros
	}
	return abs(will - was)
}

func (s StoppedRun) calls() int64 {
	var n int64
	for _, stop := range [...]*RunStop{s.Old, s.New} {
		if stop != nil {
			n += stop.Calls
		}
	}
	return n
}
