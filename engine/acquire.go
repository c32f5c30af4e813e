// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"errors"
	"slices"

	"github.com/resilienced/resilienced/policy"
	"github.com/resilienced/resilienced/rules/admit"
	"github.com/resilienced/resilienced/rules/budget"
	"github.com/resilienced/resilienced/rules/fallback"
	"github.com/resilienced/resilienced/rules/operation"
	"github.com/resilienced/resilienced/rules/retry"
	"github.com/resilienced/resilienced/rules/target"
	"github.com/resilienced/resilienced/statestore"
)

// acquire is the command of one Acquire.
type acquire struct {
	req    *AcquireRequest
	policy *policy.Policy
	epoch  uint64
	pass   instant // everything passes until then
	chain  *fallback.Chain
	path   []string // of the run, root first
	random uint64

	op     int
	runs   int // handle of the root; the others follow
	levels []levelKeys
	task   int // -1: the operation is its own
	repeat int // -1: no fingerprint

	result  *AcquireResult
	granted *operation.Operation // nil unless granted
	lost    *operation.Operation // as it was found, with a lease that had just ended
	cmd     command
	world   admit.World
	query   admit.Query
	room    chainRoom
	facts   AcquireFacts
}

// chainRoom is room for the common case: a single target and a run or two.
type chainRoom struct {
	keys   [1]levelKeys
	levels [1]admit.Level
	runs   [2]*budget.Run
}

// levelKeys are the handles of one level of a chain.
type levelKeys struct {
	config   *target.Config
	control  int
	tally    int // only in a drill
	cooldown int // a shared one, or the control's own
	tallyKey statestore.Key
}

// Acquire asks for the right to make one attempt. A refusal is an answer, not
// an error. A grant whose caller is gone when it is committed is given back.
func (e *Engine) Acquire(ctx context.Context, req *AcquireRequest) (*AcquireResult, error) {
	until := e.commits.patience(ctx, acquirePatience)
	if err := e.enter(ctx, until, req.Namespace); err != nil {
		return nil, err
	}
	a := e.acquires.Get().(*acquire) //nolint:forcetypeassert // the pool holds nothing else
	defer e.endAcquire(a)
	a.req, a.random, a.result, a.cmd.until = req, e.draw(), &AcquireResult{}, until
	for again := true; again; {
		a.cmd.begin(ctx, e, req.Namespace, false, a)
		err := e.prepareAcquire(ctx, a)
		if _, invalid := errors.AsType[*InvalidError](err); invalid && e.outdated(ctx, &a.cmd) {
			continue
		}
		if err != nil {
			return nil, err
		}
		a.plan(&a.cmd)
		if again, err = e.attempt(&a.cmd); err != nil { //nolint:contextcheck // a transaction outlives its callers
			return nil, err
		}
	}
	a.complete(e)
	a.recordLost(e)
	e.observeAcquire(a)
	if a.granted != nil && ctx.Err() != nil && !req.DryRun {
		e.giveBack(a) //nolint:contextcheck // the caller's is over
		return nil, context.Cause(ctx)
	}
	e.logAcquire(a)
	return a.result, nil
}

// endAcquire makes the command ready for its next use, unless its caller left
// it in flight.
func (e *Engine) endAcquire(a *acquire) {
	if !a.cmd.spent() {
		return
	}
	kept := a.cmd.kept
	*a = acquire{}
	a.cmd.kept = kept
	e.acquires.Put(a)
}

// prepareAcquire resolves what needs no transaction: the policy, the chain,
// the operation's name and the run's ancestors.
func (e *Engine) prepareAcquire(ctx context.Context, a *acquire) error {
	set := a.cmd.policies
	a.policy, a.epoch = set.of(a.req.Namespace), set.epochOf(a.req.Namespace)
	a.pass = set.above.pass(a.req.Namespace)
	a.chain = a.policy.Single(a.req.Target)
	if a.req.Chain != "" {
		chain, ok := a.policy.Chain(a.req.Chain)
		if !ok {
			return &InvalidError{Field: "chain", Why: "the policy names no chain " + quote(a.req.Chain)}
		}
		a.chain = chain
	}
	if p := a.req.PinLevel; p != nil && *p >= len(a.chain.Levels) {
		return &InvalidError{Field: "pin_level", Why: "the chain has no such level"}
	}
	if a.req.OperationID == "" {
		a.req.OperationID = operationFor(a.req.RequestID)
	}
	if a.req.RunID != "" {
		path, err := e.pathUntil(ctx, a.cmd.until, a.req.Namespace, a.req.RunID, false)
		if err != nil {
			return err
		}
		a.path = path
	}
	return nil
}

// plan names the records that an Acquire starts with.
func (a *acquire) plan(c *command) {
	ns := a.req.Namespace
	c.wants = slices.Grow(c.wants, 3+len(a.path)+len(a.chain.Levels))
	for i, run := range a.path {
		if h := c.key(runKey(ns, run), statestore.Write, uint8(i)); i == 0 {
			a.runs = h
		}
	}
	a.levels = a.room.keys[:]
	if len(a.chain.Levels) > 1 {
		a.levels = make([]levelKeys, len(a.chain.Levels))
	}
	for i, l := range a.chain.Levels {
		a.levels[i] = planLevel(c, ns, a.policy.Target(l.Target), a.req.Credential)
	}
	a.op = c.key(operationKey(ns, a.req.OperationID), statestore.Write, 0)
	a.task, a.repeat = -1, -1
	if a.req.TaskID != "" {
		a.task = c.key(taskKey(ns, a.req.RunID, a.req.TaskID), statestore.Read, 0)
	}
	if a.req.Fingerprint != "" && a.req.RunID != "" {
		a.repeat = c.key(repeatKey(ns, a.req.RunID, a.req.Fingerprint), statestore.Read, 0)
	}
}

// planLevel names the records of one level. A level that a grant surely
// changes is held from the start.
func planLevel(c *command, ns string, cfg *target.Config, credential string) levelKeys {
	mode := statestore.Read
	if cfg.Limit.Concurrency > 0 || cfg.Limit.Rate > 0 {
		mode = statestore.Write
	}
	k := levelKeys{config: cfg, tallyKey: tallyKey(ns, cfg.Name)}
	k.control = c.key(controlKey(ns, cfg, credential), mode, 0)
	k.cooldown = k.control
	if shared, ok := cooldownKey(ns, cfg); ok {
		k.cooldown = c.key(shared, statestore.Read, 0)
	}
	if isDrill(ns) {
		k.tally = c.key(k.tallyKey, statestore.Write, 0)
	}
	return k
}

func (a *acquire) apply(t *txn) error {
	*a.result, a.granted, a.lost = AcquireResult{Now: t.now}, nil, nil
	op, repeated, err := a.operation(t)
	if err != nil || repeated {
		return err
	}
	w := a.look(t, op)
	for _, run := range w.Runs {
		if run == nil {
			return ErrRunUnknown
		}
	}
	q := a.ask(op)
	d := a.decide(t, q, w)
	if d.Outcome == admit.Granted && !a.req.DryRun {
		a.grant(t, &d, w, q)
	}
	a.answer(t, &d, w)
	a.sight(t, &d)
	return nil
}

// decide asks the policy's bounds, and then the rules.
func (a *acquire) decide(t *txn, q *admit.Query, w *admit.World) admit.Decision {
	refused := a.refusedByPolicy(t, w.Op)
	if refused == nil {
		return admit.Decide(q, w)
	}
	if refused.Reason == admit.Quota && t.engine.full(a, w.Op) || !w.Observed(q.Start(w)) {
		return *refused
	}
	return admit.Anyway(q, w, refused)
}

// operation reads the operation and answers a repeat of the same Acquire.
func (a *acquire) operation(t *txn) (*operation.Operation, bool, error) {
	op := record[operation.Operation](t, a.op)
	if op == nil {
		return nil, false, nil
	}
	if op.Expires != 0 && t.now >= op.Expires && !op.Live(t.now) && op.Permit != nil && op.Permit.State != operation.PermitActive {
		return nil, false, nil // past its retention: as if it had gone
	}
	if p := op.Permit; p != nil && a.req.RequestID != "" && p.RequestID == a.req.RequestID {
		if p.Hash != a.req.Hash {
			return nil, false, &MismatchError{Field: "request_id", Recorded: "a grant of " + p.Target + " to operation " + a.req.OperationID}
		}
		if p.State != operation.PermitReleased { // what was given back is decided anew
			a.repeatGrant(t, op)
			return op, true, nil
		}
	}
	op, lost := op.Derive(t.now)
	if lost {
		a.lost = op
	}
	return op, false, nil
}

// refusedByPolicy is what stands before every rule: a target that the policy
// does not know, and quotas.
func (a *acquire) refusedByPolicy(t *txn, op *operation.Operation) *admit.Decision {
	refuse := func(r admit.Reason, rule, blocker string) *admit.Decision {
		return &admit.Decision{
			Outcome: admit.Denied, Action: operation.Stop, Reason: r, Rule: rule, BlockedBy: blocker, Terminal: r == admit.TargetUnknown,
		}
	}
	if a.req.Chain == "" && a.policy.UnknownTargetsDenied() && !a.policy.Named(a.req.Target) {
		return refuse(admit.TargetUnknown, "unknown_targets", a.req.Target)
	}
	if over := t.engine.over(a, op, a.policy.Quotas()); over != "" {
		return refuse(admit.Quota, over, a.req.Namespace)
	}
	return nil
}

// over names the quota that has no room for the call, or is empty. It is called
// in a transaction.
func (e *Engine) over(a *acquire, op *operation.Operation, limits policy.Quotas) string {
	if op == nil && !e.quotas.spare(a.req.Namespace, statestore.KindOperation, limits) {
		return "quotas.operations"
	}
	if limits.Targets > 0 && !isDrill(a.req.Namespace) &&
		e.tallies.at(a.levels[0].tallyKey) == nil && e.tallies.count[a.req.Namespace] >= limits.Targets {
		return "quotas.targets"
	}
	return ""
}

// full reports whether a call that may not be refused has no room all the same:
// the policy's quotas are let pass up to the built-in ones, so that memory
// stays bounded.
func (e *Engine) full(a *acquire, op *operation.Operation) bool {
	limits, builtIn := a.policy.Quotas(), e.builtIn
	limits.Operations, limits.Targets = max(limits.Operations, builtIn.Operations), max(limits.Targets, builtIn.Targets)
	return e.over(a, op, limits) != ""
}

// look gathers what the rules look at, derived to now.
func (a *acquire) look(t *txn, op *operation.Operation) *admit.World {
	w := &a.world
	*w = admit.World{Now: t.now, Pass: t.now < a.pass, Chain: a.chain, Op: op, Levels: t.levels(a.chain, a.levels, a.room.levels[:])}
	w.Runs = t.derivedRuns(a.runs, len(a.path), a.room.runs[:])
	if a.task >= 0 {
		if w.Task = record[retry.Task](t, a.task); w.Task == nil {
			w.Task = &retry.Task{}
		}
	}
	if a.repeat >= 0 {
		w.Identical = record[Repeat](t, a.repeat).count()
	}
	return w
}

// levels derives every level of a chain.
func (t *txn) levels(chain *fallback.Chain, keys []levelKeys, levels []admit.Level) []admit.Level {
	if len(keys) > len(levels) {
		levels = make([]admit.Level, len(keys))
	}
	levels = levels[:len(keys)]
	for i := range keys {
		k := &keys[i]
		l := &levels[i]
		l.Config, l.Kind, l.CostRank = k.config, chain.Levels[i].Kind, chain.Levels[i].CostRank
		if l.Control = (target.Control{}); t.get(k.control) != nil {
			l.Control = t.control(k)
		}
		l.Cooldown = l.Control.Cooldown
		if k.cooldown != k.control {
			if shared := record[target.Control](t, k.cooldown); shared != nil {
				l.Cooldown = shared.Cooldown
			}
		}
		l.Tally = t.tally(k.tally, k.tallyKey)
	}
	return levels
}

// control reads a target's control record, derived to now.
func (t *txn) control(k *levelKeys) target.Control {
	stored := record[target.Control](t, k.control)
	if stored == nil {
		return target.Control{}
	}
	if !stored.Pending(t.now) {
		return *stored
	}
	c, _ := stored.Derive(k.config, t.now)
	return c
}

// derivedRuns reads a run and its ancestors, derived to now, root first.
func (t *txn) derivedRuns(root, n int, runs []*budget.Run) []*budget.Run {
	if n == 0 {
		return nil
	}
	if n > len(runs) {
		runs = make([]*budget.Run, n)
	}
	runs = runs[:n]
	for i := range runs {
		runs[i] = nil
		if stored := record[budget.Run](t, root+i); stored != nil {
			runs[i] = stored.Derive(t.now)
		}
	}
	return runs
}

// ask fills the policy's numbers into what the caller asked.
func (a *acquire) ask(op *operation.Operation) *admit.Query {
	base := a.levels[0].config
	q := &a.query
	*q = admit.Query{
		Operation: a.req.OperationID, Estimate: a.req.Estimate, Deadline: a.req.Deadline, MaxWait: base.MaxWait,
		Pin: a.req.PinLevel, Credential: a.req.Credential, Reporter: reporterID(a.req.Reporter), Rand: a.random,
		MaxAttempts: base.Retry.MaxAttempts, TaskBudget: base.Retry.TaskBudget,
		Idempotent: idempotent(a.mode(op)),
	}
	if op != nil && op.Detail != nil {
		q.MaxAttempts, q.TaskBudget = op.Detail.MaxAttempts, op.Detail.TaskBudget
	}
	if a.req.MaxAttempts > 0 {
		q.MaxAttempts = min(q.MaxAttempts, a.req.MaxAttempts)
	}
	if a.req.MaxWait != nil {
		q.MaxWait = *a.req.MaxWait
	}
	return q
}

// mode is the operation's idempotency: what it started with, else what the
// caller says, else the target's.
func (a *acquire) mode(op *operation.Operation) operation.Idempotency {
	switch {
	case op != nil:
		return op.Idempotency
	case a.req.Idempotency != operation.Unspecified:
		return a.req.Idempotency
	case a.levels[0].config.Idempotent:
		return operation.Idempotent
	}
	return operation.NonIdempotent
}
