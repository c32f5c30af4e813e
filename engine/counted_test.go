// SPDX-License-Identifier: Apache-2.0

package engine_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/resilienced/resilienced/engine"
	"github.com/resilienced/resilienced/rules/admit"
	"github.com/resilienced/resilienced/rules/breaker"
	"github.com/resilienced/resilienced/rules/budget"
	"github.com/resilienced/resilienced/rules/classify"
	"github.com/resilienced/resilienced/rules/operation"
	"github.com/resilienced/resilienced/statestore"
	"github.com/resilienced/resilienced/statestore/memory"
)

const countedPolicy = `version: 1
defaults: {breaker: {consecutive_failures: 2}}
targets:
  - {match: "on/*", preset: llm}
  - {match: "seen/*", preset: llm, limit: {concurrency: 1}, enforcement: DRY_RUN}
`

// tally is what the dumb model counts of a target.
type tally struct {
	acquires, granted, reports, failures, cost, early, opened, unpriced int64
	refused, would                                                      map[admit.Reason][3]int64 // calls, cost, tokens
}

// counter is a fleet that keeps its own books of what it asked and was told.
type counter struct {
	t      *rapid.T
	e      *engine.Engine
	store  statestore.Store
	books  map[string]*tally // by namespace and target
	calls  []*call
	newest map[string]*call // by namespace and operation
	n      int
}

// call is a grant in the fleet's books.
type call struct {
	ns, target, permit string
	would              admit.Reason
	estimate           *int64
	expires            time.Time
	reported, assumed  bool
}

func (c *counter) book(ns, target string) *tally {
	k := ns + " " + target
	if c.books[k] == nil {
		c.books[k] = &tally{refused: map[admit.Reason][3]int64{}, would: map[admit.Reason][3]int64{}}
	}
	return c.books[k]
}

func (c *counter) open() {
	e, err := engine.New(context.Background(), engine.Config{Store: c.store, OnEvent: func(ev engine.Event) {
		if ev.Kind == engine.EventTransition && ev.Transition.To == breaker.Open {
			c.book(ev.Namespace, ev.Target).opened++
		}
	}})
	if err != nil {
		c.t.Fatal(err)
	}
	if _, err := e.ApplyFile(context.Background(), "p.yaml", []byte(countedPolicy)); err != nil {
		c.t.Fatal(err)
	}
	c.e = e
}

func (c *counter) close() {
	if err := c.e.Close(context.Background()); err != nil {
		c.t.Fatal(err)
	}
}

func plus(m map[admit.Reason][3]int64, r admit.Reason, calls, cost, tokens int64) {
	sum := m[r]
	m[r] = [3]int64{sum[0] + calls, sum[1] + cost, sum[2] + tokens}
}

func (c *counter) acquire(t *rapid.T) {
	c.n++
	req := engine.AcquireRequest{
		Namespace: rapid.SampledFrom([]string{"n", "m"}).Draw(t, "ns"), RequestID: fmt.Sprint("q", c.n), OperationID: fmt.Sprint("o", c.n),
		Target: rapid.SampledFrom([]string{"on/a", "seen/a", "seen/b"}).Draw(t, "target"), Idempotency: operation.Idempotent, MaxWait: new(time.Duration(0)),
	}
	if rapid.IntRange(0, 3).Draw(t, "again") == 0 {
		req.OperationID = fmt.Sprint("o", rapid.IntRange(max(c.n-3, 1), c.n).Draw(t, "op"))
	}
	if rapid.Bool().Draw(t, "estimate") {
		req.Estimate.Cost = new(rapid.Int64Range(1, 50).Draw(t, "cost"))
	}
	req.DryRun = rapid.IntRange(0, 9).Draw(t, "dry") == 0
	before := ""
	for range rapid.IntRange(1, 3).Draw(t, "repeats") {
		sent := req
		r, err := c.e.Acquire(context.Background(), &sent)
		if err != nil {
			t.Fatal(err)
		}
		if req.DryRun || (r.Grant != nil && r.Grant.PermitID == before) {
			continue
		}
		c.decided(&req, r)
		if r.Grant != nil {
			before = r.Grant.PermitID
		}
	}
}

func (c *counter) decided(req *engine.AcquireRequest, r *engine.AcquireResult) {
	b := c.book(req.Namespace, req.Target)
	b.acquires++
	reason := r.Reason
	if r.Decision == admit.Granted {
		b.granted++
		k := req.Namespace + " " + req.OperationID
		if old := c.newest[k]; old != nil && !old.reported {
			c.assume(old)
		}
		fresh := &call{ns: req.Namespace, target: req.Target, permit: r.Grant.PermitID, estimate: req.Estimate.Cost, expires: time.Now().Add(r.Grant.Lease)}
		if reason = admit.None; r.Would != nil {
			reason = r.Would.Reason
			fresh.would = reason
			plus(b.would, reason, 1, 0, 0)
		}
		c.newest[k], c.calls = fresh, append(c.calls, fresh)
	} else {
		plus(b.refused, reason, 1, 0, 0)
	}
	if reason == admit.Backoff || reason == admit.Cooldown {
		b.early++
	}
}

// assume books what nobody has reported, once.
func (c *counter) assume(p *call) {
	if p.would == "" || p.assumed {
		return
	}
	p.assumed = true
	c.correct(p, 1)
}

func (c *counter) correct(p *call, sign int64) {
	if b := c.book(p.ns, p.target); p.estimate != nil {
		plus(b.would, p.would, 0, sign**p.estimate, 0)
	} else {
		b.unpriced += sign
	}
}

func (c *counter) report(t *rapid.T) {
	if len(c.calls) == 0 {
		return
	}
	p := c.calls[rapid.IntRange(max(len(c.calls)-6, 0), len(c.calls)-1).Draw(t, "call")]
	req := engine.ReportRequest{Namespace: p.ns, PermitID: p.permit, Hash: 1, Signal: success()}
	switch rapid.IntRange(0, 4).Draw(t, "outcome") {
	case 0, 1:
		req.Signal = failure()
	case 2:
		req.Signal = classify.Signal{Outcome: classify.OutcomeFailure, HTTPStatus: 429, RetryAfter: 5 * time.Second, HasRetryAfter: true}
	}
	if rapid.Bool().Draw(t, "usage") {
		req.Usage = budget.Usage{Cost: new(rapid.Int64Range(0, 99).Draw(t, "spent")), Input: new(rapid.Int64Range(0, 99).Draw(t, "tokens"))}
	}
	for range rapid.IntRange(1, 2).Draw(t, "repeats") {
		sent := req
		if _, err := c.e.Report(context.Background(), &sent); err != nil && !p.reported {
			t.Fatal(err)
		}
		if !p.reported {
			c.settled(p, &req)
		}
	}
}

func (c *counter) settled(p *call, req *engine.ReportRequest) {
	p.reported = true
	b := c.book(p.ns, p.target)
	b.reports++
	if req.Signal.HTTPStatus == 500 {
		b.failures++
	}
	if p.assumed {
		c.correct(p, -1)
	}
	cost, tokens, known := int64(0), int64(0), true
	switch {
	case req.Usage.Cost != nil:
		cost, tokens = *req.Usage.Cost, *req.Usage.Input
	case req.Signal.HTTPStatus == 429: // rejected, so it cost nothing
	case p.estimate != nil:
		cost = *p.estimate
	default:
		known = false
	}
	b.cost += cost
	if p.would != "" {
		plus(b.would, p.would, 0, cost, tokens)
		if !known {
			b.unpriced++
		}
	}
}

// sleep lets time pass, in which leases end and the sweeper sees it.
func (c *counter) sleep(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
	for _, p := range c.newest {
		if !p.reported && !time.Now().Before(p.expires.Add(2*time.Second)) {
			c.assume(p)
		}
	}
}

// compare holds the books against the summary.
func (c *counter) compare(t *rapid.T, ns string) {
	s, err := c.e.SummarizeCalls(context.Background(), ns, 7*24*time.Hour, "")
	if err != nil {
		t.Fatal(err)
	}
	got, want := map[string]string{}, map[string]string{}
	var sum engine.Observation
	for _, target := range s.Targets {
		got[target.Target] = shown(&target)
		sum.Acquires, sum.Reports, sum.Cost = sum.Acquires+target.Acquires, sum.Reports+target.Reports, sum.Cost+target.Cost
	}
	for k, b := range c.books {
		var of, target string
		if _, err := fmt.Sscan(k, &of, &target); err != nil {
			t.Fatal(err)
		}
		if of == ns {
			want[target] = fmt.Sprint(b.acquires, b.granted, b.reports, b.failures, b.cost, b.early, b.opened, b.unpriced, counts(b.refused), counts(b.would))
		}
	}
	if !maps.Equal(got, want) {
		t.Fatalf("%s:\n got %v\nwant %v", ns, got, want)
	}
	if s.Totals.Acquires != sum.Acquires || s.Totals.Reports != sum.Reports || s.Totals.Cost != sum.Cost {
		t.Fatalf("totals %+v are not the sum of the targets", s.Totals)
	}
}

func counts(m map[admit.Reason][3]int64) string {
	var list []string
	for _, r := range slices.Sorted(maps.Keys(m)) {
		list = append(list, fmt.Sprint(r, m[r]))
	}
	return fmt.Sprint(list)
}

func shown(s *engine.CallSummary) string {
	table := func(list []engine.ReasonCount) string {
		m := map[admit.Reason][3]int64{}
		for _, r := range list {
			m[r.Reason] = [3]int64{r.Calls, r.Cost, r.Tokens}
		}
		return counts(m)
	}
	return fmt.Sprint(s.Acquires, s.Granted, s.Reports, s.Failures, s.Cost, s.Early, s.Opened, s.Unpriced, table(s.Refused), table(s.Would))
}

// TestEveryCallIsCountedOnce plays random traffic of two namespaces, with
// repeats, lost and superseded permits, late reports and restarts, against
// books that are kept by hand.
func TestEveryCallIsCountedOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rapid.SyncTest(t, func(t *rapid.T) {
			c := &counter{t: t, store: memory.New(memory.Config{}), books: map[string]*tally{}, newest: map[string]*call{}}
			c.open()
			defer func() { c.close() }()
			t.Repeat(map[string]func(*rapid.T){
				"acquire": c.acquire, "acquire more": c.acquire, "report": c.report, "report more": c.report,
				"wait": func(t *rapid.T) {
					c.sleep(rapid.SampledFrom([]time.Duration{time.Millisecond, time.Second, 40 * time.Second, 4 * time.Minute}).Draw(t, "wait"))
				},
				"restart": func(*rapid.T) {
					c.close()
					c.open()
				},
			})
			c.sleep(10 * time.Minute)
			c.compare(t, "n")
			c.compare(t, "m")
		})
	})
}
