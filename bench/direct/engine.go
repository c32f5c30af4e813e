// SPDX-License-Identifier: Apache-2.0

package direct

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"time"

	"github.com/resilienced/resilienced/bench/load"
	"github.com/resilienced/resilienced/engine"
	"github.com/resilienced/resilienced/rules/admit"
	"github.com/resilienced/resilienced/rules/budget"
	"github.com/resilienced/resilienced/rules/classify"
	"github.com/resilienced/resilienced/rules/operation"
	"github.com/resilienced/resilienced/statestore"
	"github.com/resilienced/resilienced/statestore/memory"
	"github.com/resilienced/resilienced/statestore/sqlite"
)

// Policy is the policy of every measurement: one preset, and quotas that no
// measurement reaches, because an operation's record outlives it by a minute.
const Policy = `version: 1
targets:
  - {match: "openai/*", preset: llm}
quotas: {targets: unlimited, runs: unlimited, operations: unlimited}
`

// Target is what every measurement asks for.
const Target = "openai/gpt-x"

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

// OpenMemory opens an engine on the memory store.
func OpenMemory(ctx context.Context) (*Engine, error) { return open(ctx, memory.New(memory.Config{})) }

// OpenSQLite opens an engine on a SQLite file in a folder.
func OpenSQLite(ctx context.Context, folder string) (*Engine, error) {
	codec, err := statestore.NewCodec(engine.Kinds())
	if err != nil {
		return nil, err
	}
	store, err := sqlite.Open(ctx, sqlite.Config{Path: filepath.Join(folder, "engine.db"), Codec: codec})
	if err != nil {
		return nil, err
	}
	return open(ctx, store)
}

func open(ctx context.Context, store statestore.Store) (*Engine, error) {
	e, err := engine.New(ctx, engine.Config{Store: store})
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

// Pairs are callers that make an Acquire and its Report, each on the run that
// runs names; empty: on none.
func (d *Engine) Pairs(runs func(caller int) string) load.Callers {
	return func(caller int) load.Op {
		p := d.Pair(runs(caller), Target)
		return func(ctx context.Context, laps *load.Laps) error {
			permit, err := p.Acquire(ctx)
			laps.Lap()
			if err != nil {
				return err
			}
			err = p.Report(ctx, permit)
			laps.Lap()
			return err
		}
	}
}

// Pair makes pairs of calls for one caller.
type Pair struct {
	engine         *Engine
	run, target    string
	cost, estimate int64
}

// Pair returns a maker of pairs on a run, or on none, for a target.
func (d *Engine) Pair(run, target string) *Pair {
	return &Pair{engine: d, run: run, target: target, cost: Cost, estimate: Estimate}
}

// Acquire acquires a permit for a new operation and returns its id.
func (p *Pair) Acquire(ctx context.Context) (string, error) {
	req := &engine.AcquireRequest{
		Namespace: namespace, RunID: p.run, Target: p.target, Idempotency: operation.Idempotent, Reporter: "agent-7",
	}
	if p.run != "" {
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
	if p.run != "" {
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

// RunOf names the run of a caller that has one for itself.
func RunOf(caller int) string { return "run-" + strconv.Itoa(caller) }
