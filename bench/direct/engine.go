// SPDX-License-Identifier: Apache-2.0

package direct

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/resilienced/resilienced/bench/load"
	"github.com/resilienced/resilienced/engine"
	"github.com/resilienced/resilienced/rules/admit"
	"github.com/resilienced/resilienced/rules/budget"
	"github.com/resilienced/resilienced/rules/classify"
	"github.com/resilienced/resilienced/rules/operation"
	"github.com/resilienced/resilienced/statestore"
)

// Policy is the policy of every measurement: one preset, slots where they are
// asked for, and limits and quotas that no measurement reaches, because an
// operation's record outlives it by a minute.
const Policy = `version: 1
targets:
  - {match: "openai/*", preset: llm}
  - {match: "slotted/*", preset: llm, limit: {concurrency: 2000}}
quotas: {targets: unlimited, runs: unlimited, operations: unlimited}
`

// What measurements ask for.
const (
	Target  = "openai/gpt-x"
	Slotted = "slotted/gpt-x" // a slot for each call
)

// Cap is the cap in micro-USD of a capped run: never reached, always checked.
const Cap = int64(1e15)

// Cost is what a call costs in micro-USD, and Estimate what is reserved.
const (
	Cost     = int64(80)
	Estimate = int64(100)
)

const namespace = "default"

// Engine is an engine with its store. Close it.
type Engine struct {
	*engine.Engine
	Store statestore.Store
}

// Open opens an engine at a place.
func Open(ctx context.Context, p Place) (*Engine, error) {
	store, err := p.Store(ctx)
	if err != nil {
		return nil, err
	}
	return open(ctx, store, p.Replica)
}

func open(ctx context.Context, store statestore.Store, replica string) (*Engine, error) {
	e, err := engine.New(ctx, engine.Config{Store: store, Replica: replica})
	if err != nil {
		return nil, errors.Join(err, store.Close())
	}
	d := &Engine{Engine: e, Store: store}
	if _, err := e.ApplyFile(ctx, "bench.yaml", []byte(Policy)); err != nil {
		return nil, errors.Join(err, d.Close(ctx))
	}
	return d, nil
}

// Close closes the engine and its store.
func (d *Engine) Close(ctx context.Context) error {
	return errors.Join(d.Engine.Close(ctx), d.Store.Close())
}

// Read is a load.Probe of the commits.
func (d *Engine) Read(context.Context) (load.Reading, error) {
	return load.Reading{Commits: d.Store.Commits()}, nil
}

// CappedRun starts a run with a cap.
func (d *Engine) CappedRun(ctx context.Context, id string) error {
	limit := Cap
	_, err := d.StartRun(ctx, &engine.StartRunRequest{Namespace: namespace, RunID: id, Caps: budget.Caps{Cost: &limit}})
	return err
}

// CappedRuns starts runs with a cap, many at a time, so that they share commits.
// A start that the store was too slow for is made again.
func (d *Engine) CappedRuns(ctx context.Context, ids []string) error {
	const together = 256
	work := make(chan string)
	failed := make(chan error, together)
	for range together {
		go func() {
			var laps load.Laps
			var err error
			for id := range work {
				if err == nil {
					err = laps.Insist(ctx, Passes, func(ctx context.Context) error { return d.CappedRun(ctx, id) })
				}
			}
			failed <- err
		}()
	}
	for _, id := range ids {
		work <- id
	}
	close(work)
	var errs []error
	for range together {
		errs = append(errs, <-failed)
	}
	return errors.Join(errs...)
}

// Pair makes pairs of calls for one caller.
type Pair struct {
	Ask            // of the next pair
	engine         *Engine
	cost, estimate int64
}

// Pair returns a maker of pairs.
func (d *Engine) Pair(a Ask) *Pair {
	return &Pair{Ask: a, engine: d, cost: Cost, estimate: Estimate}
}

// Acquire acquires a permit for a new operation and returns its id.
func (p *Pair) Acquire(ctx context.Context) (string, error) {
	req := &engine.AcquireRequest{
		Namespace: namespace, RunID: p.Run, Target: p.Target, Idempotency: operation.Idempotent, Reporter: "agent-7",
	}
	if p.Run != "" {
		req.Estimate = budget.Estimate{Cost: &p.estimate}
	}
	r, err := p.engine.Acquire(ctx, req)
	if err != nil {
		return "", err
	}
	if r.Decision != admit.Granted || r.Grant == nil {
		return "", fmt.Errorf("direct: refused: %s", r.Reason)
	}
	return r.Grant.PermitID, nil
}

// Report reports that the call went well.
func (p *Pair) Report(ctx context.Context, permit string) error {
	req := &engine.ReportRequest{
		Namespace: namespace, PermitID: permit,
		Signal: classify.Signal{Outcome: classify.OutcomeSuccess, HTTPStatus: 200, Duration: 850 * time.Millisecond},
	}
	if p.Run != "" {
		req.Usage = budget.Usage{Cost: &p.cost}
	}
	r, err := p.engine.Report(ctx, req)
	if err != nil {
		return err
	}
	if r.Answer.Action != operation.Continue {
		return fmt.Errorf("direct: a success is answered with %d", r.Answer.Action)
	}
	return nil
}
