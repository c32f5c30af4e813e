// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"slices"
	"time"

	"github.com/resilienced/resilienced/policy"
	"github.com/resilienced/resilienced/rules"
	"github.com/resilienced/resilienced/rules/admit"
	"github.com/resilienced/resilienced/rules/budget"
	"github.com/resilienced/resilienced/rules/classify"
	"github.com/resilienced/resilienced/rules/directive"
	"github.com/resilienced/resilienced/rules/fallback"
	"github.com/resilienced/resilienced/rules/operation"
	"github.com/resilienced/resilienced/rules/retry"
	"github.com/resilienced/resilienced/rules/target"
	"github.com/resilienced/resilienced/statestore"
)

// report is the command of one Report.
type report struct {
	req    *ReportRequest
	claims *claims
	policy *policy.Policy
	epoch  uint64
	pass   instant // everything passes until then
	path   []string
	random uint64

	op   int
	runs int
	own  levelKeys // of the permit's target

	// Filled by apply.
	permit  *operation.Permit    // the one that is reported
	newest  bool                 // it is the operation's newest
	booked  bool                 // it was lost, and counted as such
	settled *operation.Operation // before the report; nil if it changes nothing
	result  *ReportResult

	cmd   command
	world admit.World
	query admit.Query
	facts directive.Facts
	told  ReportFacts
	room  chainRoom
}

// Report takes in how a call went and answers with the directive.
func (e *Engine) Report(ctx context.Context, req *ReportRequest) (*ReportResult, error) {
	until := e.commits.patience(ctx, reportPatience)
	if err := e.enter(ctx, until, req.Namespace); err != nil {
		return nil, err
	}
	r := e.reports.Get().(*report) //nolint:forcetypeassert // the pool holds nothing else
	defer e.endReport(r)
	r.result, r.cmd.until = &ReportResult{}, until
	for again := true; again; {
		r.cmd.begin(ctx, e, req.Namespace, true, r)
		err := e.prepareReport(ctx, r, req)
		if err != nil {
			return nil, err
		}
		r.plan(&r.cmd)
		if again, err = e.attempt(&r.cmd); err != nil { //nolint:contextcheck // a transaction outlives its callers
			return nil, err
		}
	}
	r.result.DecisionID = r.decision()
	e.observeReport(r)
	e.logReport(r)
	e.record.reported(r)
	return r.result, nil
}

// left is what remains to be done when the caller of a Report has left.
func (r *report) left(e *Engine) { e.record.reported(r) }

// endReport makes the command ready for its next use, unless its caller left
// it in flight.
func (e *Engine) endReport(r *report) {
	if !r.cmd.spent() {
		return
	}
	kept := r.cmd.kept
	*r = report{}
	r.cmd.kept = kept
	e.reports.Put(r)
}

func (e *Engine) prepareReport(ctx context.Context, r *report, req *ReportRequest) error {
	c, err := e.claimsFor(req.Namespace, req.PermitID, req.Fence)
	if err != nil {
		return err
	}
	set := r.cmd.policies
	r.req, r.claims, r.policy, r.epoch, r.random = req, c, set.of(req.Namespace), set.epochOf(req.Namespace), e.draw()
	r.pass = set.above.pass(req.Namespace)
	if c.Run != "" {
		r.path, err = e.pathUntil(ctx, r.cmd.until, req.Namespace, c.Run, true)
	}
	return err
}

// claimsFor reads a permit id that a caller sent.
func (e *Engine) claimsFor(ns, id string, fence uint64) (*claims, error) {
	c, ok := e.permits.decode(id)
	if !ok || c.Namespace != ns {
		return nil, ErrPermitForged
	}
	if fence != 0 && fence != c.Fence {
		return nil, &InvalidError{Field: "fence", Why: "it is not the fence of this permit; send back both as they came"}
	}
	return c, nil
}

func (r *report) plan(c *command) {
	ns := r.req.Namespace
	for i, run := range r.path {
		if h := c.key(runKey(ns, run), statestore.Write, uint8(i)); i == 0 {
			r.runs = h
		}
	}
	r.own = planLevel(c, ns, r.policy.Target(r.claims.Target), r.claims.Credential)
	if r.claims.Flags != 0 {
		c.wants[r.own.control].mode = statestore.Write
	}
	r.op = c.key(operationKey(ns, r.claims.Operation), statestore.Write, 0)
}

func (r *report) apply(t *txn) error {
	*r.result, r.settled = ReportResult{Now: t.now}, nil
	op := record[operation.Operation](t, r.op)
	if op == nil {
		return r.gone(t, false)
	}
	stored := op.Permit
	op, lost := op.Derive(t.now)
	if !r.find(op, t.now) {
		return r.gone(t, t.now < op.Expires)
	}
	r.booked = !r.newest || stored.State == operation.PermitLost
	if done, err := r.repeated(t, op); done || err != nil {
		return err
	}
	if lost && !r.newest {
		t.seeLoss(r.req.Namespace, op.Permit, 1)
	}
	verdict := r.classify(t)
	if r.req.Signal.Outcome == classify.OutcomeReleased {
		return r.released(t, op)
	}
	return r.settle(t, op, verdict)
}

// find looks for the reported permit: the operation's newest, or one that was
// lost before.
func (r *report) find(op *operation.Operation, now instant) bool {
	if r.newest = op.Permit != nil && op.Permit.Fence == r.claims.Fence; r.newest {
		r.permit = op.Permit
	} else {
		r.permit = op.Lost(r.claims.Fence)
	}
	return r.permit != nil && !r.permit.Gone(now)
}

// repeated answers a Report that was taken in before.
func (r *report) repeated(t *txn, op *operation.Operation) (bool, error) {
	if !r.newest || (r.permit.State != operation.PermitSettled && r.permit.State != operation.PermitReleased) {
		return false, nil
	}
	if op.ReportHash != r.req.Hash {
		recorded := "a release"
		if op.Answer != nil {
			recorded = string(op.Answer.Reason) + ", rule " + op.Answer.Rule
		} else if r.permit.State == operation.PermitSettled {
			recorded = "a success"
		}
		return true, &MismatchError{Field: "permit_id", Recorded: recorded}
	}
	switch {
	case op.Answer != nil:
		r.result.Answer = *op.Answer
	case r.permit.State == operation.PermitReleased:
		r.result.Answer = givenBack()
	default:
		r.result.Answer = plainSuccess()
	}
	c := t.control(&r.own)
	r.finish(t, &c)
	return true, nil
}

// plainSuccess is the answer that a tombstone does not keep.
func plainSuccess() operation.Answer {
	return operation.Answer{
		Rule: "R01", Class: classify.OK, Reason: classify.ReasonOK, Certainty: classify.Processed, Action: operation.Continue,
	}
}

// givenBack is the answer to a release.
func givenBack() operation.Answer {
	return operation.Answer{Reason: classify.ReasonReleased, Class: classify.Aborted, Action: operation.Stop}
}

// classify reads the signal with what the policy knows of the target.
func (r *report) classify(t *txn) classify.Verdict {
	cfg := r.own.config
	signal := r.req.Signal
	if r.permit != nil {
		signal.Duration = min(signal.Duration, max(t.now.Sub(r.permit.GrantedAt), 0))
	}
	return classify.Classify(signal, classify.Context{
		Kind: cfg.Kind, SlowFailsAfter: cfg.SlowFailsAfter, Rejected503: cfg.Rejected503, RefusalIsPolicy: cfg.RefusalIsPolicy,
		TrustHints: cfg.TrustHints, HardWait: cfg.Retry.HardWait, Wall: t.now.Time().Unix(),
	}, cfg.Rules)
}

func answerOf(v *classify.Verdict) operation.Answer {
	return operation.Answer{Rule: v.Rule, Class: v.Class, Reason: v.Reason, Certainty: v.Certainty}
}

// settle is the whole of a Report: money, slot, vote, directive, letter.
func (r *report) settle(t *txn, op *operation.Operation, v classify.Verdict) error {
	r.settled = op
	runs := t.derivedRuns(r.runs, len(r.path), r.room.runs[:])
	for i := range runs {
		if runs[i] == nil {
			return ErrRunUnknown
		}
		runs[i] = runs[i].Settle(r.settlement(&v), t.now)
		t.put(r.runs+i, runs[i])
		t.durable = true
	}
	r.result.Booked = true
	r.sight(t, &v)
	ballot := r.vote(t, op, &v)
	next := r.counted(op, &v)
	if !r.newest {
		return r.late(t, next, runs, ballot, &v)
	}
	f, ok := r.gather(t, next, runs, &ballot.control, &v)
	if !ok {
		return errNeed
	}
	d := directive.Decide(f)
	return r.carry(t, next, ballot, f, &d)
}

// settlement is what the report books.
func (r *report) settlement(v *classify.Verdict) budget.Settlement {
	s := budget.Settlement{Reserved: r.permit.Reserved, Until: r.permit.Account, Spent: budget.Amounts{Calls: 1}}
	usage := r.req.Usage
	charged := v.Certainty != classify.NotSent && v.Certainty != classify.Rejected
	if cost, known := usage.Price(r.own.config.Price); known {
		s.Spent.Cost = cost
	} else if charged {
		s.Assumed.Cost = r.permit.Reserved.Cost
	}
	if tokens, known := usage.Tokens(); known {
		s.Spent.Tokens = tokens
	} else if charged {
		s.Assumed.Tokens = r.permit.Reserved.Tokens
	}
	return s
}

// counted is the operation with the attempt's outcome in its counters.
func (r *report) counted(op *operation.Operation, v *classify.Verdict) *operation.Operation {
	next := op.Edit()
	level := next.Detail.At(r.permit.Level)
	if v.Reason == classify.ReasonTimeout {
		level.Timeouts++
	}
	next.Detail.Throttled = v.Class == classify.Pressure
	if !r.newest {
		next.Detail.Throttled = op.Detail.Throttled
	}
	next.Detail.Found(r.claims.Fence)
	switch v.Reason {
	case classify.ReasonAuth, classify.ReasonForbidden, classify.ReasonQuotaExhausted:
		if c := r.own.config.Credential; c != "" && !slices.Contains(next.Detail.Suspect, c) {
			next.Detail.Suspect = append(slices.Clip(next.Detail.Suspect), c)
		}
	default:
	}
	return next
}

// gather collects what the tree looks at; false if levels of the chain are
// not in the transaction yet.
func (r *report) gather(t *txn, op *operation.Operation, runs []*budget.Run, own *target.Control, v *classify.Verdict) (*directive.Facts, bool) {
	chain := r.chain(op)
	w := &r.world
	*w = admit.World{Now: t.now, Pass: t.now < r.pass, Chain: chain, Runs: runs, Op: op}
	keys := r.room.keys[:]
	if len(chain.Levels) > 1 {
		keys = make([]levelKeys, len(chain.Levels))
	}
	alone := v.Class == classify.OK || v.Class == classify.Aborted || len(chain.Levels) == 1
	for i, l := range chain.Levels {
		keys[i] = r.own
		if l.Target == r.claims.Target || alone {
			continue
		}
		keys[i] = t.wantLevel(r.policy.Target(l.Target))
	}
	if op.Detail.Task != "" {
		h, ok := t.want(taskKey(r.req.Namespace, r.claims.Run, op.Detail.Task), statestore.Read, 0)
		if ok {
			if w.Task = record[retry.Task](t, h); w.Task == nil {
				w.Task = &retry.Task{}
			}
		}
	}
	if t.missing { // also what the vote still needs
		return nil, false
	}
	w.Levels = t.levels(chain, keys, r.room.levels[:])
	level := min(r.permit.Level, len(w.Levels)-1)
	for i := range w.Levels {
		if w.Levels[i].Config.Name == r.claims.Target {
			w.Levels[i].Control = *own
			if r.own.cooldown == r.own.control {
				w.Levels[i].Cooldown = own.Cooldown
			}
		}
	}
	r.query = admit.Query{
		Operation: r.claims.Operation, Idempotent: idempotent(op.Idempotency), Deadline: r.remaining(t, op),
		MaxAttempts: op.Detail.MaxAttempts, TaskBudget: op.Detail.TaskBudget, Rand: r.random,
		Estimate: budget.Estimate{Cost: r.permit.Explicit}, Last: &r.permit.Reserved.Cost,
	}
	r.facts = directive.Facts{
		World: w, Verdict: *v, Level: level, Rand: r.random, Reserved: r.permit.Reserved,
		Key: op.Idempotency == operation.IdempotentWithKey, Envelope: r.req.Envelope != nil, Query: &r.query,
	}
	return &r.facts, true
}

// remaining is what is left of the operation's deadline, at least a
// microsecond so that zero keeps meaning "none".
func (r *report) remaining(t *txn, op *operation.Operation) time.Duration {
	if op.Detail.Deadline == 0 {
		return 0
	}
	return max(op.Detail.Deadline.Until(t.now), time.Microsecond)
}

// chain is the operation's chain by the policy of now; the permit's target
// alone if the chain is gone.
func (r *report) chain(op *operation.Operation) *fallback.Chain {
	if op.Detail.Chain != "" {
		if c, ok := r.policy.Chain(op.Detail.Chain); ok && r.permit.Level < len(c.Levels) {
			return c
		}
	}
	return r.policy.Single(r.claims.Target)
}

// wantLevel makes sure that a level's records are in the transaction.
func (t *txn) wantLevel(cfg *target.Config) levelKeys {
	ns := t.cmd.namespace
	k := levelKeys{config: cfg, tallyKey: tallyKey(ns, cfg.Name)}
	k.control, _ = t.want(controlKey(ns, cfg, ""), statestore.Read, 0)
	k.cooldown = k.control
	if shared, ok := cooldownKey(ns, cfg); ok {
		k.cooldown, _ = t.want(shared, statestore.Read, 0)
	}
	if isDrill(ns) {
		k.tally, _ = t.want(k.tallyKey, statestore.Write, 0)
	}
	return k
}

// expired reports whether the permit's lease was over before its report came.
// One that was only superseded still has its own.
func (r *report) expired(now rules.Instant) bool { return now >= r.permit.Expires }
