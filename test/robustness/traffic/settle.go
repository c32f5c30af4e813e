// SPDX-License-Identifier: Apache-2.0

package traffic

import (
	"context"
	"fmt"
	"sync"
	"time"

	pb "github.com/resilienced/resilienced/gen/resilience/v1"
	"github.com/resilienced/resilienced/test/robustness/history"
)

const (
	settlers = 8
	// cureTime is how long an open breaker is looked after at most.
	cureTime = 15 * time.Second
	// leftTime is when a grant to nobody is back for sure, if all is well.
	leftTime = 3500 * time.Millisecond
	// leaseTime is how long leases are waited for at most.
	leaseTime = 15 * time.Second
)

// Settle asks again for everything that has no answer, and for some of what
// has, and then reads everything. Nobody else may make calls.
func (t *Traffic) Settle(ctx context.Context) {
	since := time.Now()
	t.each(ctx, t.open.take(), (*caller).resolve)
	t.each(ctx, t.recent.take(), (*caller).remind)
	t.each(ctx, t.payments.take(), func(c *caller, ctx context.Context, e *entry) { c.payAgain(ctx, e, "finally") })
	t.each(ctx, t.open.take(), (*caller).resolve) // what was granted by that
	t.each(ctx, t.letters.take(), (*caller).find)
	var all sync.WaitGroup
	for target := range t.moods {
		all.Go(func() { t.caller(settler).cure(ctx, target) })
	}
	if t.cfg.Left {
		all.Go(func() { t.caller(settler).takeLeft(ctx, since) })
	}
	all.Wait()
	t.read(ctx)
}

// each lets several clients do something with all entries.
func (t *Traffic) each(ctx context.Context, entries []*entry, do func(*caller, context.Context, *entry)) {
	queue := make(chan *entry, len(entries))
	for _, e := range entries {
		queue <- e
	}
	close(queue)
	var all sync.WaitGroup
	for id := range settlers {
		all.Go(func() {
			c := t.caller(id)
			for e := range queue {
				do(c, ctx, e)
			}
		})
	}
	all.Wait()
}

// resolve learns what became of an entry, and gives back what it got.
func (c *caller) resolve(ctx context.Context, e *entry) {
	if e.tell != nil {
		c.report(ctx, e)
		return
	}
	if c.acquire(ctx, e); e.permit == nil {
		return
	}
	e.use(history.Unused, 0)
	c.report(ctx, e)
}

// remind repeats what was answered.
func (c *caller) remind(ctx context.Context, e *entry) {
	if e.permit == nil || e.tell == nil || e.tell.want.Use == history.Unused {
		return // it would be decided anew
	}
	c.acquire(ctx, e)
	c.report(ctx, e)
}

// find reads a dead letter.
func (c *caller) find(ctx context.Context, e *entry) {
	if e.tell == nil || e.tell.letter == "" {
		return
	}
	want := history.Event{RPC: history.GetLetter, Actor: "writer", Request: e.want.Request, Letter: e.tell.letter}
	c.repeated(ctx, want, func(ctx context.Context, w *wire, got *history.Event) error {
		resp, err := w.letters.GetDeadLetter(ctx, &pb.GetDeadLetterRequest{Key: &pb.GetDeadLetterRequest_DeadLetterId{DeadLetterId: e.tell.letter}})
		if err == nil {
			got.Digest = digest(resp.GetDeadLetter().GetEnvelope().GetPayload())
		}
		return err
	})
}

// cure calls a target that is well now, until its breaker is closed.
func (c *caller) cure(ctx context.Context, target string) {
	ctx, cancel := context.WithTimeout(ctx, cureTime)
	defer cancel()
	for n := 0; ctx.Err() == nil; n++ {
		e := c.entry(history.Nurse, fmt.Sprintf("%s-%d", target, n), "", 500*time.Millisecond)
		e.want.Target = target
		if c.acquire(ctx, e); e.permit == nil {
			c.pause(ctx, 100*time.Millisecond)
			continue
		}
		e.use(history.Unpriced, 0)
		if c.report(ctx, e).State == "CLOSED" {
			return
		}
	}
}

// takeLeft takes the slots that were left, once what was granted to nobody must
// be back. That they are there, the check of slots looks at.
func (c *caller) takeLeft(ctx context.Context, since time.Time) {
	c.pause(ctx, time.Until(since.Add(leftTime)))
	for n := range leftLimit {
		e := c.entry("leaver", fmt.Sprintf("%s-last-%d", c.cfg.Name, n), "tool/left", time.Second)
		c.acquire(ctx, e)
	}
}

// read waits until nothing is reserved any more, and reads the balance of
// every run.
func (t *Traffic) read(ctx context.Context) {
	c := t.caller(settler)
	var runs []string
	roots := map[string]bool{}
	events, err := t.cfg.Recorder.Events()
	if err != nil {
		return
	}
	for _, e := range events {
		if e.RPC == history.StartRun && e.Outcome == history.OK {
			runs = append(runs, e.Runs[0])
			roots[e.Runs[len(e.Runs)-1]] = true
		}
	}
	waiting, cancel := context.WithTimeout(ctx, leaseTime)
	defer cancel()
	for root := range roots {
		for c.reserved(waiting, root) && waiting.Err() == nil {
			c.pause(waiting, 200*time.Millisecond)
		}
	}
	var all []*entry
	for _, run := range runs {
		all = append(all, &entry{want: history.Event{RPC: history.GetRun, Actor: "auditor", Runs: []string{run}}})
	}
	t.each(ctx, all, func(c *caller, ctx context.Context, e *entry) {
		c.repeated(ctx, e.want, func(ctx context.Context, w *wire, got *history.Event) error {
			resp, err := w.runs.GetRun(ctx, &pb.GetRunRequest{RunId: e.want.Runs[0]})
			if r := resp.GetRun(); err == nil {
				got.Sums = sums(r.GetSpent(), r.GetReserved(), r.GetAssumed())
			}
			return err
		})
	})
}

// reserved reports whether a run has live permits. It is not taken down.
func (c *caller) reserved(ctx context.Context, run string) bool {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	resp, err := c.wires[c.at].runs.GetRun(ctx, &pb.GetRunRequest{RunId: run})
	if err != nil {
		c.at = (c.at + 1) % len(c.wires)
		return true
	}
	return resp.GetRun().GetReserved().GetCalls() > 0
}
