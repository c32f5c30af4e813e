// SPDX-License-Identifier: Apache-2.0

// Package directive holds the tree T1 to T10 (semantics §2.3): what a caller is
// to do next, from what became of its call.
package directive

import (
	"time"

	"github.com/resilienced/resilienced/rules"
	"github.com/resilienced/resilienced/rules/admit"
	"github.com/resilienced/resilienced/rules/budget"
	"github.com/resilienced/resilienced/rules/classify"
	"github.com/resilienced/resilienced/rules/deadletter"
	"github.com/resilienced/resilienced/rules/escalation"
	"github.com/resilienced/resilienced/rules/fallback"
	"github.com/resilienced/resilienced/rules/operation"
)

// Facts is everything that the tree looks at. The world is as the report left
// it: runs settled, the breaker's vote cast, the attempt counted.
type Facts struct {
	World   *admit.World
	Query   *admit.Query // of the operation, without a caller's max_wait
	Verdict classify.Verdict
	Level   int // of the permit
	// Key: the operation is idempotent by a key that is sent to the target.
	Key      bool
	Envelope bool // a dead letter can be made
	Reserved budget.Amounts
	Rand     uint64
}

// Directive is what the caller is to do and what follows for the records.
type Directive struct {
	Action      operation.Action
	Delay       time.Duration
	Next        int // level of a RETRY or FALLBACK, else -1
	RetryDenied admit.Reason
	Terminal    bool
	RestartCall bool

	Letter     *Letter     // nil: none is made
	Escalation *Escalation // nil: none is raised

	State        operation.State // of the operation afterwards
	TakeTask     bool            // a retry of the task's budget
	TakeFleet    int64           // milli-tokens of the fleet's budget
	RestartWaits bool            // the target named the wait, so the next backoff starts over
	Uncounted    bool            // the attempt does not count (R30)
	QualityRetry bool            // a quality retry was given
	Rule         string          // the branch of the tree
	// Because is what this service knows besides the signal that led here: the
	// run's end, the breaker, the fleet's cooldown. None: the signal alone.
	Because admit.Reason
	// Unpaid: the next attempt is not paid for by a promise, because enforced
	// rules would not have made one.
	Unpaid bool
	Would  *Would // nil: enforced rules lead to the same
}

// Would is what enforced rules would have led to.
type Would struct {
	Action operation.Action
	Reason admit.Reason
}

// Letter is the dead letter to make.
type Letter struct {
	Policy      deadletter.ReplayPolicy
	Reason      classify.Reason
	ReplayAfter rules.Instant
}

// Escalation is the question to raise.
type Escalation struct {
	Type   escalation.Type
	Reason classify.Reason
}

// tree decides one report.
type tree struct {
	*Facts
	d Directive
}

// Decide walks the tree; the first branch that matches decides. Rules that are
// only computed at the permit's level are left out of it, and what they would
// have led to stands in Would.
func Decide(f *Facts) Directive {
	if f.observed() {
		return observe(f)
	}
	return walk(f)
}

func walk(f *Facts) Directive {
	t := &tree{Facts: f, d: Directive{Next: -1}}
	v := &f.Verdict
	switch {
	case t.runOver():
		t.d.Rule = "T1"
		t.d.Action, t.d.Terminal = operation.Stop, true
		t.d.Because = t.endOfRun()
		if v.Class != classify.Aborted {
			t.letter(deadletter.Manual, classify.ReasonRunBudget)
		}
		if t.unsafe() || t.stillLocked() {
			t.d.State = operation.Locked // the run may be given more money
		}
	case v.Class == classify.OK:
		t.d.Rule = "T2"
		t.d.Action, t.d.State = operation.Continue, operation.Succeeded
	case v.Class == classify.Aborted:
		t.d.Rule = "T3"
		t.d.Action = operation.Stop
		if t.stillLocked() {
			t.d.State = operation.Locked
		}
	case v.Class == classify.Unrecoverable:
		t.d.Rule = "T4"
		t.escalate(typeFor(v.Reason))
		if t.unsafe() {
			t.d.State = operation.Locked
		}
	case v.Class == classify.Unknown:
		t.unknown()
	case t.unsafe():
		t.d.Rule = "T5"
		t.escalate(escalation.TypeAmbiguousOutcome)
		t.d.State = operation.Locked
		if v.Class != classify.Quality {
			t.letter(deadletter.Manual, v.Reason)
		}
	case v.Class == classify.Deterministic:
		t.deterministic()
	case t.unprocessed():
		t.notProcessed()
	default:
		t.want()
	}
	return t.d
}

// runOver: T1, but a result is used whatever the run says (C20).
func (t *tree) runOver() bool {
	if t.Verdict.Class == classify.OK {
		return false
	}
	return t.endOfRun() != admit.None
}

// endOfRun says why the run grants nothing any more.
func (t *tree) endOfRun() admit.Reason {
	blocker, state := budget.Blocker(t.World.Runs, t.World.Now)
	switch {
	case blocker == nil || t.World.Observed(t.Level):
		return admit.None
	case state == budget.Stopped:
		return admit.RunStopped
	case state == budget.Completed:
		return admit.RunCompleted
	case t.World.Dry(t.config().DryBudget):
		return admit.None
	}
	return admit.RunExhausted
}

// unsafe is the guard of T5: an operation that may not be made twice, and that
// may have taken effect. Rows R32 to R35 say the same of a bad answer, and so
// does any failure of a call that was processed.
func (t *tree) unsafe() bool {
	v := &t.Verdict
	switch {
	case t.Query.Idempotent, v.Class == classify.Aborted:
		return false
	case v.Certainty == classify.Ambiguous:
		return true
	case v.Class == classify.Unrecoverable, v.Class == classify.Deterministic:
		return false
	}
	return v.Certainty != classify.NotSent && v.Certainty != classify.Rejected
}

// stillLocked: the permit was lost and locked the operation (R40), and that its
// caller gave up does not tell what became of the call.
func (t *tree) stillLocked() bool {
	return t.World.Op.State == operation.Locked && t.Verdict.Class == classify.Aborted
}

// unknown is C21: nobody knows what it means, so a person looks at it.
func (t *tree) unknown() {
	t.d.Rule = "T8.unknown"
	t.d.State = operation.Stopped
	t.raise(escalation.TypeUnknownError)
	t.d.Action = operation.DeadLetter
	t.letter(deadletter.Manual, t.Verdict.Reason)
}

// typeFor maps the reasons of row R36 to a kind of question.
func typeFor(r classify.Reason) escalation.Type {
	switch r {
	case classify.ReasonLowConfidence, classify.ReasonAmbiguousTask:
		return escalation.TypeAmbiguousClassification
	case classify.ReasonNeedsAuthority:
		return escalation.TypeIrreversibleWrite
	case classify.ReasonCostCommitment:
		return escalation.TypeRefund
	default:
		return escalation.TypeUnspecified
	}
}

// deterministic is T6: the same call gets the same answer, so it is not made
// again as it is.
func (t *tree) deterministic() {
	v, cfg := &t.Verdict, t.World.Levels[t.Level].Config
	t.d.Rule = "T6"
	next := -1
	switch {
	case (v.Reason == classify.ReasonConflict && v.InProgress && t.Key) || (v.MayRetry && t.Query.Idempotent):
		t.stay(max(t.backoff(), t.hold()))
		if t.d.Action == operation.Retry {
			return
		}
		t.d = Directive{Next: -1, Rule: "T6", RetryDenied: t.d.RetryDenied}
	case v.Reason == classify.ReasonContentPolicy && cfg.ContentEscalate:
		if next = t.elsewhere(); next < 0 {
			t.escalate(escalation.TypeUnspecified)
			t.d.State = operation.Stopped
			return
		}
	default:
		next = t.elsewhere()
	}
	if next >= 0 {
		t.fall(next)
		return
	}
	t.d.Action, t.d.State = operation.Stop, operation.Stopped
}

// elsewhere is the level at which a call that is wrong here may be right: one
// with a larger context, one that the operator named for content policy stops,
// or another model when this one is gone. An operation that may not be made
// twice stays where it is.
func (t *tree) elsewhere() int {
	if !t.Query.Idempotent {
		return -1
	}
	switch t.Verdict.Reason {
	case classify.ReasonContextLimit:
		return t.larger()
	case classify.ReasonContentPolicy:
		if i := t.World.Chain.ContentPolicy; i != nil && t.free(*i) && t.admissible(*i, nil) {
			return *i
		}
	case classify.ReasonNotFound:
		if t.World.Levels[t.Level].Config.Kind == "llm" {
			return t.search(fallback.SameProviderCheaper, nil)
		}
	default:
	}
	return -1
}

// larger finds a level whose context is known to be larger than this one's.
func (t *tree) larger() int {
	own := t.World.Levels[t.Level].Config.MaxContext
	if own == 0 {
		return -1
	}
	for _, i := range t.World.Chain.Search(fallback.Primary, t.visited) {
		if t.World.Levels[i].Config.MaxContext > own && t.admissible(i, nil) {
			return i
		}
	}
	return -1
}

// unprocessed is the guard of T7.
func (t *tree) unprocessed() bool {
	v, cfg := &t.Verdict, t.World.Levels[t.Level].Config
	return !t.Query.Idempotent && !cfg.Retry.NotProcessed &&
		(v.Certainty == classify.NotSent || v.Certainty == classify.Rejected)
}

// notProcessed is T7, by what the row says.
func (t *tree) notProcessed() {
	v := &t.Verdict
	t.d.Rule = "T7"
	switch v.Unprocessed {
	case classify.DispositionStop:
		t.d.Action = operation.Stop
		return
	case classify.DispositionRetryOnce:
		if t.refused() == 0 && !v.NoRetry {
			t.transparent()
			return
		}
		t.letter(deadletter.Auto, v.Reason)
	case classify.DispositionManual:
		t.letter(deadletter.Manual, v.Reason)
	case classify.DispositionDeadLetter:
		t.letter(deadletter.PolicyFor(v.Reason, false), v.Reason)
	}
	t.d.Action = operation.DeadLetter
	if v.Reason == classify.ReasonAuth {
		t.raise(escalation.TypeAuthFailure)
	}
}

func (t *tree) refused() int {
	if op := t.World.Op; op.Detail != nil && t.Level < len(op.Detail.Levels) {
		return op.Detail.Levels[t.Level].Refused
	}
	return 0
}

// transparent is the retry of R30: at once, once, and free.
func (t *tree) transparent() {
	t.d.Rule = "R30"
	t.d.Action, t.d.Next, t.d.Uncounted = operation.Retry, t.Level, true
}

// escalate asks a person. A question that was raised on the way there, such as
// that for a new credential, is the one to ask.
func (t *tree) escalate(kind escalation.Type) {
	t.d.Action = operation.Escalate
	if t.d.Escalation == nil {
		t.raise(kind)
	}
}

func (t *tree) raise(kind escalation.Type) {
	t.d.Escalation = &Escalation{Type: kind, Reason: t.Verdict.Reason}
}

// letter makes a dead letter if the report brought what to keep.
func (t *tree) letter(policy deadletter.ReplayPolicy, reason classify.Reason) {
	if !t.Envelope {
		return
	}
	t.d.Letter = &Letter{Policy: policy, Reason: reason}
	if wait := t.hold(); wait > 0 {
		t.d.Letter.ReplayAfter = t.World.Now.Add(wait)
	}
}

// hold is the wait that the target, or the fleet's cooldown of it, asks for.
func (t *tree) hold() time.Duration {
	return max(t.cooldown(), t.asked())
}

// asked is the wait that the answer to this call asked for.
func (t *tree) asked() time.Duration {
	if t.Verdict.HasRetryAfter {
		return t.Verdict.RetryAfter
	}
	return 0
}
