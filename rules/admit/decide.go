// SPDX-License-Identifier: Apache-2.0

package admit

import (
	"strconv"

	"github.com/resilienced/resilienced/rules/budget"
	"github.com/resilienced/resilienced/rules/operation"
	"github.com/resilienced/resilienced/rules/retry"
)

// arbiter decides one Acquire.
type arbiter struct {
	q     *Query
	w     *World
	would *Would
}

// Decide answers an Acquire. It changes nothing.
func Decide(q *Query, w *World) Decision {
	a := &arbiter{q: q, w: w}
	if w.Observed(a.start()) {
		return a.observe()
	}
	return a.decide()
}

func (a *arbiter) decide() Decision {
	for _, check := range [...]func() (Decision, bool){a.checkRun, a.checkOperation, a.checkRepeats, a.checkAllowances} {
		if d, refused := check(); refused {
			return a.finish(d)
		}
	}
	return a.finish(a.chooseLevel())
}

// refuse withholds a refusal in a dry run and remembers the first.
func (a *arbiter) refuse(dry bool, d Decision) (Decision, bool) {
	if !dry {
		return d, true
	}
	if a.would == nil {
		a.would = &Would{Outcome: d.Outcome, Reason: d.Reason, Rule: d.Rule}
	}
	return Decision{}, false
}

func (a *arbiter) finish(d Decision) Decision {
	if d.Would == nil {
		d.Would = a.would
	}
	if d.Outcome != Granted {
		d.Action = actionFor(&d)
	}
	return d
}

// actionFor is what a refused caller is to do, like a directive.
func actionFor(d *Decision) operation.Action {
	switch {
	case d.Terminal:
		return operation.Stop
	case d.Outcome == Wait, d.Delay > 0:
		return operation.Retry
	}
	switch d.Reason {
	case AttemptsExhausted, TaskRetryBudget, FleetRetryBudget:
		return operation.DeadLetter
	default:
		return operation.Stop
	}
}

// Start is the level at which the operation begins: the one that a FALLBACK
// named, else the pin, else 0 (C4).
func (q *Query) Start(w *World) int {
	last := len(w.Levels) - 1
	if op := w.Op; op != nil && op.Detail != nil && op.Detail.StartLevel > 0 {
		return min(op.Detail.StartLevel, last)
	}
	if q.Pin != nil {
		return min(*q.Pin, last)
	}
	return 0
}

func (a *arbiter) start() int { return a.q.Start(a.w) }

func (a *arbiter) checkRun() (Decision, bool) {
	blocker, state := budget.Blocker(a.w.Runs, a.w.Now)
	if blocker == nil {
		return Decision{}, false
	}
	d := Decision{Outcome: Denied, BlockedBy: blocker.ID, Terminal: true}
	dry := false
	switch state {
	case budget.Stopped:
		d.Reason, d.Rule, d.Detail = RunStopped, "run.state", blocker.FinalReason
	case budget.Completed:
		d.Reason, d.Rule = RunCompleted, "run.state"
	default:
		if a.freeLate(blocker) {
			return Decision{}, false
		}
		d.Reason, d.Rule = RunExhausted, "run.caps"
		d.Detail = "spent and assumed have reached a cap of run " + blocker.ID
		dry = a.w.Dry(a.w.Levels[a.start()].Config.DryBudget)
	}
	return a.refuse(dry, d)
}

// freeLate: a call that costs nothing may go on in an exhausted run if the
// policy says so.
func (a *arbiter) freeLate(r *budget.Run) bool {
	if !r.ZeroCostLate {
		return false
	}
	cost, _, known := a.question(a.start()).Cost()
	return known && cost == 0
}

func (a *arbiter) checkOperation() (Decision, bool) {
	op := a.w.Op
	if op == nil {
		return Decision{}, false
	}
	d := Decision{Outcome: Denied, BlockedBy: a.q.Operation, Terminal: true, Rule: "operation.state"}
	switch op.State {
	case operation.Locked:
		d.Reason, d.Detail = OutcomeUnknown, "an attempt may have taken effect; a person has to decide"
		return d, true
	case operation.Stopped:
		d.Reason, d.Detail = OperationFinal, "an earlier answer ended this operation"
		return d, true
	case operation.Succeeded:
		if op.Idempotency != operation.Idempotent {
			d.Reason, d.Detail = AlreadySucceeded, "the operation has its result"
			return d, true
		}
	case operation.Open, operation.DeadLettered:
	}
	dry := a.w.Dry(a.w.Levels[a.start()].Config.DryRetry)
	if op.Live(a.w.Now) {
		d.Reason, d.Rule, d.Terminal = InFlight, "operation.permit", false
		d.Delay = op.Permit.Expires.Until(a.w.Now)
		return d, true
	}
	if tried, allowed := op.Tried(a.start()), a.Allowed(a.start()); tried >= allowed {
		d.Reason, d.Rule, d.Terminal = AttemptsExhausted, "retry.max_attempts", false
		d.Detail = strconv.Itoa(tried) + " of " + strconv.Itoa(allowed) + " attempts are used"
		return a.refuse(dry, d)
	}
	if op.Detail != nil && op.Detail.NotBefore > a.w.Now {
		return a.refuse(dry, Decision{
			Outcome: Wait, Reason: Backoff, Rule: "retry.backoff", BlockedBy: a.q.Operation,
			Delay: op.Detail.NotBefore.Until(a.w.Now),
		})
	}
	return Decision{}, false
}

// Allowed is how many attempts an operation has on a level.
func (a *arbiter) Allowed(level int) int {
	return Allowed(a.q.MaxAttempts, a.w.Levels[level].Config.Retry, level)
}

// Allowed is how many attempts an operation has on a level: all of them on the
// first, one and the policy's retries on a deeper one (G4).
func Allowed(maxAttempts int, c retry.Config, level int) int {
	if level == 0 {
		return maxAttempts
	}
	return 1 + c.RetriesPerLevel
}

// checkRepeats is the repeat guard (design §6). An attempt that a directive
// promised is bounded by its own allowances.
func (a *arbiter) checkRepeats() (Decision, bool) {
	limited := a.w.Levels[0].Config.MaxIdentical
	promised := a.w.Op != nil && a.w.Op.Detail != nil && a.w.Op.Detail.Promised
	if limited <= 0 || a.w.Identical < limited || promised {
		return Decision{}, false
	}
	return a.refuse(a.w.Dry(a.w.Levels[0].Config.DryRetry), Decision{
		Outcome: Denied, Reason: RepeatedFailure, Rule: "max_identical_failures", BlockedBy: a.w.Levels[0].Config.Name,
		Terminal: true, Detail: "this call failed " + strconv.Itoa(a.w.Identical) + " times in this run; change it",
	})
}

// checkAllowances charges an attempt that no directive promised (C6).
func (a *arbiter) checkAllowances() (Decision, bool) {
	if !a.Pays() {
		return Decision{}, false
	}
	level := a.start()
	cfg := a.w.Levels[level].Config
	d := Decision{Outcome: Denied, BlockedBy: cfg.Name}
	if used := TaskUsed(a.w, cfg.Name); used >= a.q.TaskBudget {
		d.Reason, d.Rule = TaskRetryBudget, "task_retry_budget"
		d.Detail = strconv.Itoa(used) + " of " + strconv.Itoa(a.q.TaskBudget) + " retries of the task are used"
		return a.refuse(a.w.Dry(cfg.DryRetry), d)
	}
	cost := RetryCost(a.w.Op)
	if left := Available(a.w, level); left < cost {
		d.Reason, d.Rule = FleetRetryBudget, "fleet_retry_ratio"
		d.Detail = strconv.FormatInt(left, 10) + " milli-tokens are left, a retry takes " + strconv.FormatInt(cost, 10)
		return a.refuse(a.w.Dry(cfg.DryRetry), d)
	}
	return Decision{}, false
}

// Pays reports whether the attempt is a retry that no directive promised.
func (a *arbiter) Pays() bool {
	op := a.w.Op
	return op != nil && op.Attempts > 0 && (op.Detail == nil || !op.Detail.Promised)
}

// TaskUsed is how many retries the operation's task has used on a target; an
// operation without a task is its own.
func TaskUsed(w *World, target string) int {
	if w.Task != nil {
		return w.Task.Count(target)
	}
	if w.Op != nil && w.Op.Detail != nil {
		return w.Op.Detail.TaskUsed
	}
	return 0
}

// RetryCost is what the operation's next retry takes from the fleet's budget.
func RetryCost(op *operation.Operation) int64 {
	if op != nil && op.Detail != nil && op.Detail.Throttled {
		return retry.CostThrottle
	}
	return retry.CostTransient
}

// Available is the fleet's retry budget of a level, in milli-tokens.
func Available(w *World, level int) int64 {
	l := &w.Levels[level]
	var deposits []retry.Entry
	if l.Tally != nil {
		deposits = l.Tally.Deposits
	}
	return l.Config.Retry.Available(deposits, l.Control.Withdrawals, w.Now)
}
