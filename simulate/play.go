// SPDX-License-Identifier: Apache-2.0

package simulate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/resilienced/resilienced/engine"
	"github.com/resilienced/resilienced/policy"
	"github.com/resilienced/resilienced/rules/admit"
	"github.com/resilienced/resilienced/statestore/memory"
)

// lookEvery is after how many events cancelling is looked for and progress is
// told.
const lookEvery = 512

// player plays the calls under one policy.
type player struct {
	calls  []*engine.Call
	events []event
	worths []worth
	policy *policy.Policy
	runs   map[string]AgentRun
	told   func(calls int) // of progress

	engine    *engine.Engine
	namespace string
	started   map[string]bool // runs
	flying    map[int32]permit
	counter   *counter
}

// permit is what a report needs of a grant.
type permit struct {
	id    string
	fence uint64
}

// play returns what the policy makes of the calls.
func (p *player) play(ctx context.Context) (c *counter, err error) {
	p.counter = newCounter(len(p.calls))
	p.started, p.flying = map[string]bool{}, map[int32]permit{}
	store := memory.New(memory.Config{})
	p.engine, err = engine.New(ctx, engine.Config{
		Store: store, AllowDrills: true, Replay: true, NoSweeper: true, OnEvent: p.counter.event,
	})
	if err != nil {
		return nil, errors.Join(err, store.Close())
	}
	defer func() { err = errors.Join(err, p.engine.Close(context.WithoutCancel(ctx)), store.Close()) }()
	if p.namespace, err = p.engine.StartReplay(ctx, p.events[0].at, p.policy); err != nil {
		return nil, fmt.Errorf("start the simulation: %w", err)
	}
	if err := p.all(ctx); err != nil {
		return nil, err
	}
	p.counter.finish(p.events[len(p.events)-1].at)
	return p.counter, nil
}

func (p *player) all(ctx context.Context) error {
	played := 0
	for i, e := range p.events {
		if i%lookEvery == 0 {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			p.told(played)
			played = 0
		}
		if err := p.engine.AdvanceTo(ctx, p.namespace, e.at); err != nil {
			return fmt.Errorf("move the clock to %s: %w", e.at.Time().Format(time.RFC3339Nano), err)
		}
		if e.report {
			if err := p.report(ctx, e.call); err != nil {
				return err
			}
			continue
		}
		if err := p.acquire(ctx, e.call); err != nil {
			return err
		}
		played++
	}
	p.told(played)
	return nil
}

// acquire asks for one call, and reports it if its end was in the same
// instant.
func (p *player) acquire(ctx context.Context, i int32) error {
	call := p.calls[i]
	if why, err := p.start(ctx, call.Run, 0); err != nil || why != nil {
		if why != nil {
			p.counter.refuse(call, p.worths[i], *why)
		}
		return err
	}
	r, err := p.engine.Acquire(ctx, p.request(i))
	if err != nil {
		return fmt.Errorf("call %d of %q: %w", i+1, call.Target, err)
	}
	switch {
	case r.Grant == nil:
		p.counter.refuse(call, p.worths[i], refusal{
			outcome: r.Decision, reason: r.Reason, rule: r.Rule, blockedBy: r.BlockedBy,
		})
		return nil
	case r.Grant.Target != call.Target:
		return p.move(ctx, i, r)
	}
	p.counter.grant(int(i), call, p.worths[i], r.Would)
	p.flying[i] = permit{r.Grant.PermitID, r.Grant.Fence}
	if call.ReportedAt == call.AcquiredAt {
		return p.report(ctx, i)
	}
	return nil
}

// request is the Acquire of a recorded call.
func (p *player) request(i int32) *engine.AcquireRequest {
	call := p.calls[i]
	r := &engine.AcquireRequest{
		Namespace: p.namespace, RunID: call.Run, TaskID: call.Task, OperationID: call.Operation, Target: call.Target,
		Idempotency: call.Idempotency, Estimate: call.Estimate, Credential: call.Credential, Reporter: call.Reporter,
		Fingerprint: call.Fingerprint,
	}
	if r.OperationID == "" {
		r.OperationID = "call-" + strconv.Itoa(int(i))
	}
	switch {
	case call.Chain == "":
	case p.onChain(call):
		level := call.Level
		r.Target, r.Chain, r.PinLevel = "", call.Chain, &level
	default: // attempts on other levels are not attempts on this target
		r.OperationID += " on " + call.Target
	}
	cfg := p.policy.Target(call.Target)
	if took := call.ReportedAt.Sub(call.AcquiredAt); call.ReportedAt != 0 && !call.Late && took >= cfg.CallTimeout+cfg.LeaseMargin {
		r.Lease = took + time.Second // it was kept alive until its report
	}
	return r
}

// onChain reports whether the chain of a call has its target on its level.
func (p *player) onChain(call *engine.Call) bool {
	c, ok := p.policy.Chain(call.Chain)
	return ok && call.Level >= 0 && call.Level < len(c.Levels) && c.Levels[call.Level].Target == call.Target
}

// move counts a call that the chain sends to another level, and takes the
// grant back: how it would have gone there is unknown.
func (p *player) move(ctx context.Context, i int32, r *engine.AcquireResult) error {
	call := p.calls[i]
	_, err := p.engine.Release(ctx, &engine.ReleaseRequest{Namespace: p.namespace, PermitID: r.Grant.PermitID, Fence: r.Grant.Fence})
	if err != nil {
		return fmt.Errorf("call %d of %q: %w", i+1, call.Target, err)
	}
	why := refusal{outcome: admit.Denied, reason: r.Reason, rule: r.Rule, moved: true}
	if at := slices.IndexFunc(r.Skipped, func(s admit.Skip) bool { return s.Level == call.Level }); at >= 0 {
		why.reason = r.Skipped[at].Reason
	}
	if why.reason == admit.None { // a directive has sent the operation on
		why.reason = admit.LevelTried
	}
	p.counter.refuse(call, p.worths[i], why)
	return nil
}

// report reports a call that was granted.
func (p *player) report(ctx context.Context, i int32) error {
	held, granted := p.flying[i]
	if !granted {
		return nil
	}
	delete(p.flying, i)
	call := p.calls[i]
	_, err := p.engine.Report(ctx, &engine.ReportRequest{
		Namespace: p.namespace, PermitID: held.id, Fence: held.fence, Signal: call.Signal, Usage: call.Usage, Hash: uint64(i) + 1,
	})
	if err != nil {
		return fmt.Errorf("report of call %d of %q: %w", i+1, call.Target, err)
	}
	return nil
}

// maxDepth is how deep runs nest at most; the engine says so more exactly.
const maxDepth = 64

// start starts a run at the first sight of it, its ancestors before it. A
// refusal comes back if there are more runs than the policy's quota.
func (p *player) start(ctx context.Context, id string, depth int) (*refusal, error) {
	if id == "" || p.started[id] {
		return nil, nil //nolint:nilnil // neither a refusal nor an error
	}
	run := p.runs[id]
	if depth > maxDepth {
		return nil, fmt.Errorf("run %q is its own ancestor", id)
	}
	if run.Parent != "" {
		if why, err := p.start(ctx, run.Parent, depth+1); err != nil || why != nil {
			return why, err
		}
	}
	_, err := p.engine.StartRun(ctx, &engine.StartRunRequest{Namespace: p.namespace, RunID: id, Parent: run.Parent, Caps: run.Caps})
	if errors.Is(err, engine.ErrQuota) {
		return &refusal{outcome: admit.Denied, reason: admit.Quota, rule: "quotas.runs", blockedBy: p.namespace}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("run %q: %w", id, err)
	}
	p.started[id] = true
	return nil, nil //nolint:nilnil // neither a refusal nor an error
}
