// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/resilienced/resilienced/policy"
	"github.com/resilienced/resilienced/rules/breaker"
	"github.com/resilienced/resilienced/rules/target"
	"github.com/resilienced/resilienced/statestore"
)

// GetTarget reads a target. One that nobody has used reads as a fresh one.
func (e *Engine) GetTarget(ctx context.Context, ns, name, credential string) (*TargetView, error) {
	set, err := e.fresh(ctx)
	if err != nil {
		return nil, err
	}
	v, err := e.target(ctx, ns, set.of(ns).Target(name), credential)
	if err == nil && v.Now < set.above.pass(ns) {
		v.Observed = policy.Observes(&target.Config{DryBreaker: true, DryBudget: true, DryLimit: true, DryRetry: true})
	}
	return v, err
}

// target reads a target by the policy's numbers for it.
func (e *Engine) target(ctx context.Context, ns string, cfg *target.Config, credential string) (*TargetView, error) {
	name := cfg.Name
	stored, now, err := get[target.Control](ctx, e, controlKey(ns, cfg, credential))
	if err != nil {
		return nil, err
	}
	if stored == nil {
		stored = &target.Control{}
	}
	past, _, err := get[History](ctx, e, historyKey(controlKey(ns, cfg, credential)))
	if err != nil {
		return nil, err
	}
	v := &TargetView{Name: name, Kind: cfg.Kind, Config: cfg, Stored: stored.Breaker.Phase, Now: now, Observed: policy.Observes(cfg)}
	var made []breaker.Transition
	v.Control, made = stored.Derive(cfg, now)
	v.Transitions = past.newest(made)
	v.Cooldown = v.Control.Cooldown
	if shared, ok := cooldownKey(ns, cfg); ok {
		common, _, err := get[target.Control](ctx, e, shared)
		if err != nil {
			return nil, err
		}
		if common != nil {
			v.Cooldown = common.Cooldown
		}
	}
	tally, err := e.readTally(ctx, ns, name)
	if err != nil {
		return nil, err
	}
	v.Window = tally.Counts(cfg, v.Control.Breaker.Generation, now)
	v.FleetMilli = cfg.Retry.Available(tally.Deposits, v.Control.Withdrawals, now)
	return v, nil
}

// readTally copies a target's tally.
func (e *Engine) readTally(ctx context.Context, ns, name string) (*target.Tally, error) {
	if isDrill(ns) {
		stored, _, err := get[target.Tally](ctx, e, tallyKey(ns, name))
		if stored == nil {
			stored = &target.Tally{}
		}
		return stored, err
	}
	if err := e.followStripes(ctx, e.commits.patience(ctx, otherPatience)); err != nil {
		return nil, err
	}
	e.tallies.mu.Lock()
	defer e.tallies.mu.Unlock()
	if t := e.tallies.at(tallyKey(ns, name)); t != nil {
		return t.Clone(), nil
	}
	return &target.Tally{}, nil
}

// targetNames are the targets that a namespace has used or that its policy
// names.
func (e *Engine) targetNames(ctx context.Context, ns string, p *policy.Policy) ([]string, error) {
	controls, _, err := e.controls(ctx, ns)
	if err != nil {
		return nil, err
	}
	return e.namesBeside(ctx, ns, p, controls)
}

// namesBeside are the names of targets with a control record and of all others
// that a namespace has used or that its policy names.
func (e *Engine) namesBeside(ctx context.Context, ns string, p *policy.Policy, controls map[string]*target.Control) ([]string, error) {
	names := append(p.TargetNames(), e.tallies.names(ns)...)
	names = slices.AppendSeq(names, maps.Keys(controls))
	_, err := e.scan(ctx, statestore.KindTally, ns, func(row statestore.Row) { names = append(names, row.Name) })
	slices.Sort(names)
	return slices.Compact(names), err
}

// controls reads the control records of a namespace's targets in one go, and
// the time that they are of.
func (e *Engine) controls(ctx context.Context, ns string) (map[string]*target.Control, instant, error) {
	all := map[string]*target.Control{}
	now, err := e.scan(ctx, statestore.KindTarget, ns, func(row statestore.Row) {
		if c, ok := row.Record.(*target.Control); ok {
			all[row.Name] = c
		}
	})
	if err == nil && isDrill(ns) {
		now, err = e.drillNow(ctx, ns)
	}
	return all, now, err
}

// scan reads the rows of a kind that are a target's own.
func (e *Engine) scan(ctx context.Context, kind statestore.Kind, ns string, add func(statestore.Row)) (now instant, err error) {
	q := statestore.Query{Kind: kind, Namespace: ns, Limit: maxPage}
	for scanned := 0; scanned < maxScan; {
		page, err := e.store.List(ctx, q)
		if err != nil {
			return 0, storeError(err)
		}
		now, scanned = page.Now, scanned+len(page.Rows)
		for _, row := range page.Rows {
			if !strings.Contains(row.Name, sep) {
				add(row)
			}
		}
		if q.After = page.Cursor; q.After == "" {
			break
		}
	}
	return now, nil
}

// ListTargets returns the targets of a namespace by name. State is a
// breaker.Phase plus one.
func (e *Engine) ListTargets(ctx context.Context, q *ListQuery) (Page[*TargetView], error) {
	set, err := e.fresh(ctx)
	if err != nil {
		return Page[*TargetView]{}, err
	}
	p := set.of(q.Namespace)
	names, err := e.targetNames(ctx, q.Namespace, p)
	if err != nil {
		return Page[*TargetView]{}, err
	}
	size := min(max(q.PageSize, 0), maxPage)
	if size == 0 {
		size = defaultPage
	}
	page := Page[*TargetView]{}
	for _, name := range names {
		if name <= q.PageToken || !strings.HasPrefix(name, q.Prefix) {
			continue
		}
		if len(page.Items) == size {
			page.Next = page.Items[size-1].Name
			break
		}
		v, err := e.target(ctx, q.Namespace, p.Target(name), "")
		if err != nil {
			return page, err
		}
		if q.State == 0 || uint8(v.Control.Breaker.Phase)+1 == q.State {
			page.Items = append(page.Items, v)
		}
	}
	return page, nil
}

// WatchTargets sends every target once and then each one whose breaker
// changed, until ctx ends. A reader that is slow gets the newest state of a
// target and not each one in between.
func (e *Engine) WatchTargets(ctx context.Context, ns, prefix string, send func(v *TargetView, snapshot bool) error) error {
	wake, stop := e.watchers.watch(EventTransition, ns)
	defer stop()
	sent := map[string]uint64{}
	for first := true; ; first = false {
		set, err := e.fresh(ctx)
		if err != nil {
			return err
		}
		if err := e.sendChanged(ctx, ns, prefix, set.of(ns), sent, func(v *TargetView) error { return send(v, first) }); err != nil {
			return err
		}
		if err := e.waitUntil(ctx, wake, nil, pollEvery); err != nil {
			return err
		}
	}
}

// sendChanged sends each target whose breaker has another generation than was
// sent. Only these are read one by one: a watcher of many must not be the last
// to learn of a trip.
func (e *Engine) sendChanged(ctx context.Context, ns, prefix string, p *policy.Policy, sent map[string]uint64, send func(*TargetView) error) error {
	controls, now, err := e.controls(ctx, ns)
	if err != nil {
		return err
	}
	names, err := e.namesBeside(ctx, ns, p, controls)
	if err != nil {
		return err
	}
	for _, name := range names {
		if !strings.HasPrefix(name, prefix) {
			continue
		}
		stored := controls[name]
		if stored == nil {
			stored = &target.Control{}
		}
		derived, _ := stored.Derive(p.Target(name), now)
		if last, seen := sent[name]; seen && last == derived.Breaker.Generation {
			continue
		}
		v, err := e.target(ctx, ns, p.Target(name), "")
		if err != nil {
			return err
		}
		sent[name] = v.Control.Breaker.Generation
		if err := send(v); err != nil {
			return err
		}
	}
	return nil
}

// SetBreaker puts a target's breaker under an operator's hand, or back.
func (e *Engine) SetBreaker(ctx context.Context, req *SetBreakerRequest) (*TargetView, error) {
	var own levelKeys
	type done struct{}
	w := &once[done]{method: "SetBreaker", requestID: req.RequestID, hash: req.Hash}
	w.body = func(t *txn) (*done, error) {
		c := t.control(&own)
		var made *transition
		if req.Mode == breaker.Closed {
			c.Breaker, made = c.Breaker.Reset(t.now)
		} else {
			until := instant(0)
			if req.TTL > 0 {
				until = t.now.Add(req.TTL)
			}
			c.Breaker, made = c.Breaker.Force(req.Mode, until, req.Actor, req.Reason, t.now)
		}
		if !t.putControl(&own, c, append(t.turned(&own), *made)) {
			return nil, errNeed
		}
		t.durable = true
		return &done{}, nil
	}
	if _, err := runOnce(ctx, e, req.Namespace, w, func(c *command) {
		own.config = c.policies.of(req.Namespace).Target(req.Target)
		own.control = c.key(controlKey(req.Namespace, own.config, req.Credential), statestore.Write, 0)
	}); err != nil {
		return nil, err
	}
	return e.GetTarget(ctx, req.Namespace, req.Target, req.Credential)
}

// TargetPolicy is what a policy says of a target.
type TargetPolicy struct {
	Settings []policy.Setting
	Config   *target.Config
	Chains   []string // that it is a level of
}

// ExplainTarget says which numbers hold for a target and where each is from.
func (e *Engine) ExplainTarget(ctx context.Context, ns, name string) (*TargetPolicy, error) {
	set, err := e.fresh(ctx)
	if err != nil {
		return nil, err
	}
	p := set.of(ns)
	return &TargetPolicy{p.Explain(name), p.Target(name), p.ChainsOf(name)}, nil
}
