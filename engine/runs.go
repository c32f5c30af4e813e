// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"crypto/rand"
	"math"
	"slices"

	"github.com/resilienced/resilienced/rules/budget"
	"github.com/resilienced/resilienced/statestore"
)

// StartRun makes a run. It is idempotent by the run's id too: the same content
// returns the run as it stands, other content is a mismatch.
func (e *Engine) StartRun(ctx context.Context, req *StartRunRequest) (*RunView, error) {
	if req.RunID == "" {
		req.RunID = "run-" + rand.Text()
		if req.RequestID != "" {
			req.RunID = derived("run-", req.RequestID)
		}
	}
	path := []string{req.RunID}
	if req.Parent != "" {
		ancestors, err := e.path(ctx, req.Namespace, req.Parent)
		if err != nil {
			return nil, &InvalidError{Field: "parent_run_id", Why: "there is no run " + quote(req.Parent) + "; start it first"}
		}
		if slices.Contains(ancestors, req.RunID) {
			return nil, &InvalidError{Field: "parent_run_id", Why: "a run cannot be its own ancestor"}
		}
		if path = append(slices.Clone(ancestors), req.RunID); len(path) > budget.MaxDepth {
			return nil, &InvalidError{Field: "parent_run_id", Why: "runs nest at most 8 deep"}
		}
	}
	var fresh *budget.Run
	runs, ns := 0, req.Namespace
	w := &once[RunView]{method: "StartRun", requestID: req.RequestID, hash: req.Hash}
	w.body = func(t *txn) (*RunView, error) {
		own := runs + len(path) - 1
		if old := record[budget.Run](t, own); old != nil {
			if old.Hash != req.Hash {
				return nil, &MismatchError{Field: "run_id", Recorded: "a run with other caps, parent or labels"}
			}
			return runView(t.derivedRuns(runs, len(path), nil), t.now), nil
		}
		above := t.derivedRuns(runs, len(path)-1, nil)
		if slices.Contains(above, nil) {
			return nil, ErrRunUnknown
		}
		if blocker, state := budget.Blocker(above, t.now); blocker != nil && state >= budget.Stopped {
			return nil, ErrRunFinal
		}
		if !e.quotas.spare(ns, statestore.KindRun, t.cmd.policies.of(ns).Quotas()) {
			return nil, ErrQuota
		}
		run := *fresh
		run.CreatedAt, run.UpdatedAt = t.now, t.now
		t.put(own, &run)
		t.durable = true
		return runView(append(above, &run), t.now), nil
	}
	return runOnce(ctx, e, ns, w, func(c *command) {
		fresh = newRun(req, c.policies.of(ns).RunDefaults(), path, c.policies.epochOf(ns))
		runs = planRuns(c, ns, path)
	})
}

// newRun fills the policy's defaults into what a caller asked for.
func newRun(req *StartRunRequest, d budget.Defaults, path []string, epoch uint64) *budget.Run {
	r := &budget.Run{
		ID: req.RunID, Path: path, Caps: req.Caps, Currency: req.Currency, SoftPercent: req.SoftPercent, OnLost: d.OnLost,
		ZeroCostLate: d.ZeroCostLate, Labels: req.Labels, Hash: req.Hash, Policy: epoch,
	}
	if !req.Unlimited {
		r.Caps = withDefaults(req.Caps, d.Caps)
	}
	if r.Currency == "" {
		r.Currency = d.Currency
	}
	if r.SoftPercent == 0 {
		r.SoftPercent = d.SoftPercent
	}
	return r
}

// withDefaults fills the dimensions that have no cap of their own.
func withDefaults(own, base budget.Caps) budget.Caps {
	for _, d := range [...]struct {
		own  **int64
		base *int64
	}{{&own.Cost, base.Cost}, {&own.Tokens, base.Tokens}, {&own.Calls, base.Calls}, {&own.WallMS, base.WallMS}} {
		if *d.own == nil {
			*d.own = d.base
		}
	}
	return own
}

// planRuns holds a run and its ancestors and returns the handle of the root.
func planRuns(c *command, ns string, path []string) int {
	root := 0
	for i, run := range path {
		if h := c.key(runKey(ns, run), statestore.Write, uint8(i)); i == 0 {
			root = h
		}
	}
	return root
}

// GetRun reads a run, its ancestors taken into account.
func (e *Engine) GetRun(ctx context.Context, ns, id string) (*RunView, error) {
	path, err := e.path(ctx, ns, id)
	if err != nil {
		return nil, err
	}
	runs := make([]*budget.Run, len(path))
	var now instant
	for i, name := range path {
		stored, at, err := get[budget.Run](ctx, e, runKey(ns, name))
		if err != nil {
			return nil, err
		}
		if stored == nil {
			return nil, ErrRunUnknown
		}
		now = at
		runs[i] = stored.Derive(at)
	}
	return runView(runs, now), nil
}

// ListRuns returns runs by name. A descendant's state takes its own record
// into account and, when it is read alone, its ancestors too.
func (e *Engine) ListRuns(ctx context.Context, q *ListRunsQuery) (Page[*RunView], error) {
	lq := &ListQuery{Namespace: q.Namespace, PageSize: q.PageSize, PageToken: q.PageToken}
	return list(ctx, e, lq, statestore.KindRun, false, func(name string, r statestore.Record, _ instant) *RunView {
		stored, ok := r.(*budget.Run)
		if !ok || (q.Parent != "" && (len(stored.Path) < 2 || stored.Path[len(stored.Path)-2] != q.Parent)) {
			return nil
		}
		v, err := e.GetRun(ctx, q.Namespace, name)
		if err != nil || (q.State != 0 && v.State != q.State) {
			return nil
		}
		return v
	})
}

// changeRun changes one run, its ancestors read for the answer.
func (e *Engine) changeRun(ctx context.Context, ns, id, method, requestID string, hash uint64,
	change func(t *txn, path []*budget.Run) error,
) (*RunView, error) {
	path, err := e.path(ctx, ns, id)
	if err != nil {
		return nil, err
	}
	runs := 0
	w := &once[RunView]{method: method, requestID: requestID, hash: hash}
	w.body = func(t *txn) (*RunView, error) {
		derived := t.derivedRuns(runs, len(path), nil)
		if slices.Contains(derived, nil) {
			return nil, ErrRunUnknown
		}
		if err := change(t, derived); err != nil {
			return nil, err
		}
		for i, r := range derived {
			t.put(runs+i, r)
		}
		t.durable = true
		leaf := derived[len(derived)-1]
		t.emit(Event{Kind: EventRun, Namespace: ns, Name: id, State: method, Reason: leaf.FinalReason, At: t.now})
		return runView(derived, t.now), nil
	}
	return runOnce(ctx, e, ns, w, func(c *command) { runs = planRuns(c, ns, path) })
}

// AdjustRun changes the caps of a run that has not ended.
func (e *Engine) AdjustRun(ctx context.Context, req *AdjustRunRequest) (*RunView, error) {
	return e.changeRun(ctx, req.Namespace, req.RunID, "AdjustRun", req.RequestID, req.Hash, func(t *txn, path []*budget.Run) error {
		run := *path[len(path)-1]
		if run.Final != 0 {
			return ErrRunFinal
		}
		run.UpdatedAt = t.now
		if req.Caps != nil {
			run.Caps = *req.Caps
		} else if err := addToCaps(&run.Caps, req.Delta); err != nil {
			return err
		}
		path[len(path)-1] = &run
		return nil
	})
}

// addToCaps adds a delta to the caps that are set.
func addToCaps(caps *budget.Caps, delta budget.Amounts) error {
	for _, d := range [...]struct {
		name  string
		limit **int64
		delta int64
	}{{"cost_micros", &caps.Cost, delta.Cost}, {"tokens", &caps.Tokens, delta.Tokens}, {"calls", &caps.Calls, delta.Calls}} {
		if d.delta == 0 {
			continue
		}
		if *d.limit == nil {
			return &InvalidError{Field: "delta." + d.name, Why: "the run has no such cap; set one with caps"}
		}
		sum, ok := addChecked(**d.limit, d.delta)
		if !ok {
			return &InvalidError{Field: "delta." + d.name, Why: "the cap would be below zero or too large"}
		}
		*d.limit = &sum
	}
	return nil
}

func addChecked(a, b int64) (int64, bool) {
	if b > 0 && a > math.MaxInt64-b {
		return 0, false
	}
	return a + b, a+b >= 0
}

// StopRun ends a run: it and its descendants get no further permits.
func (e *Engine) StopRun(ctx context.Context, req *EndRunRequest) (*RunView, error) {
	return e.endRun(ctx, req, "StopRun", budget.Stopped)
}

// FinishRun marks a run as done.
func (e *Engine) FinishRun(ctx context.Context, req *EndRunRequest) (*RunView, error) {
	return e.endRun(ctx, req, "FinishRun", budget.Completed)
}

func (e *Engine) endRun(ctx context.Context, req *EndRunRequest, method string, final budget.State) (*RunView, error) {
	return e.changeRun(ctx, req.Namespace, req.RunID, method, req.RequestID, req.Hash, func(t *txn, path []*budget.Run) error {
		run := *path[len(path)-1]
		if run.Final == final {
			return nil
		}
		if run.Final != 0 {
			return ErrRunFinal
		}
		run.Final, run.FinalReason, run.FinalBy, run.FinalAt, run.UpdatedAt = final, req.Reason, req.Actor, t.now, t.now
		path[len(path)-1] = &run
		return nil
	})
}

// ReconcileRun replaces what a run assumed by what was charged, on the run and
// on its ancestors.
func (e *Engine) ReconcileRun(ctx context.Context, req *ReconcileRunRequest) (*RunView, error) {
	return e.changeRun(ctx, req.Namespace, req.RunID, "ReconcileRun", req.RequestID, req.Hash, func(t *txn, path []*budget.Run) error {
		assumed := path[len(path)-1].Assumed
		for _, d := range [...]budget.Dimension{budget.DimensionCost, budget.DimensionTokens, budget.DimensionCalls} {
			if req.Replaces.In(d) > assumed.In(d) {
				return &InvalidError{Field: "replaces." + string(d), Why: "it is more than the run assumes"}
			}
		}
		for i, r := range path {
			path[i] = r.Reconcile(req.Replaces, req.Actual, t.now)
		}
		return nil
	})
}
