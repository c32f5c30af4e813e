// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"time"

	"github.com/resilienced/resilienced/rules"
	"github.com/resilienced/resilienced/rules/admit"
	"github.com/resilienced/resilienced/rules/budget"
	"github.com/resilienced/resilienced/rules/classify"
	"github.com/resilienced/resilienced/rules/deadletter"
	"github.com/resilienced/resilienced/rules/directive"
	"github.com/resilienced/resilienced/rules/escalation"
	"github.com/resilienced/resilienced/rules/operation"
	"github.com/resilienced/resilienced/rules/retry"
	"github.com/resilienced/resilienced/rules/target"
	"github.com/resilienced/resilienced/statestore"
)

// carry writes what a directive means for the records.
func (r *report) carry(t *txn, op *operation.Operation, b ballot, f *directive.Facts, d *directive.Directive) error {
	detail, level := op.Detail, op.Detail.At(r.permit.Level)
	r.countRetry(op, level, t.now, d)
	if d.TakeTask && !r.takeTask(t, detail, f.World.Task) {
		return errNeed
	}
	if d.TakeFleet > 0 {
		b.control, b.changed = b.control.Withdraw(r.own.config, d.TakeFleet, t.now), true
	}
	answer := r.answer(&b, f, d)
	if !r.raiseAndKeep(t, op, f, d, &answer) || !r.remember(t, detail, &f.Verdict) {
		return errNeed
	}
	if err := r.putControl(t, &b); err != nil {
		return err
	}
	r.close(t, op, d, &answer)
	r.result.Answer = answer
	r.finishWith(t, op, &b.control, f)
	return nil
}

// countRetry moves the operation's counters by the directive.
func (r *report) countRetry(op *operation.Operation, level *operation.Level, now rules.Instant, d *directive.Directive) {
	detail := op.Detail
	detail.Promised = (d.Action == operation.Retry || d.Action == operation.Fallback) && !d.Unpaid
	switch d.Action {
	case operation.Retry:
		detail.NotBefore = now.Add(d.Delay)
		level.Backoffs++
		if d.RestartWaits {
			level.Backoffs = 0
		}
	case operation.Fallback:
		detail.StartLevel = d.Next
		detail.At(d.Next).Backoffs = 0
	default:
	}
	if d.QualityRetry {
		level.Quality++
	}
	if d.Uncounted {
		level.Refused++
		level.Attempts--
		level.Backoffs--
		op.Attempts--
	}
}

func (r *report) takeTask(t *txn, detail *operation.Detail, task *retry.Task) bool {
	if detail.Task == "" {
		detail.TaskUsed++
		return true
	}
	h, ok := t.want(taskKey(r.req.Namespace, r.claims.Run, detail.Task), statestore.Write, 0)
	if ok {
		t.put(h, task.Take(r.claims.Target, t.now))
	}
	return ok
}

// answer is the directive as it is recorded and sent.
func (r *report) answer(b *ballot, f *directive.Facts, d *directive.Directive) operation.Answer {
	a := answerOf(&f.Verdict)
	a.Action, a.Delay, a.Terminal, a.RestartCall = d.Action, d.Delay, d.Terminal, d.RestartCall
	a.NotCounted, a.Opened, a.RetryDenied = b.notCounted, b.opened, string(d.RetryDenied)
	if d.Would != nil {
		a.WouldAction, a.WouldReason = d.Would.Action, string(d.Would.Reason)
	}
	if d.Next >= 0 {
		next := f.World.Levels[d.Next]
		a.NextTarget, a.NextLevel, a.NextKind = next.Config.Name, d.Next, uint8(next.Kind)
	}
	return a
}

// raiseAndKeep makes the escalation and the dead letter of a directive.
func (r *report) raiseAndKeep(t *txn, op *operation.Operation, f *directive.Facts, d *directive.Directive, a *operation.Answer) bool {
	if d.Escalation != nil {
		key, ok := t.raise(r.req.Namespace, escalation.Escalation{
			Key: escalation.Key(r.claims.Operation), Type: d.Escalation.Type, Run: r.claims.Run, Operation: r.claims.Operation,
			Target: r.claims.Target, Reason: string(d.Escalation.Reason),
			Question: question(d.Escalation.Type, r.claims.Operation, r.claims.Target),
		}, t.now)
		if !ok {
			return false
		}
		a.Escalation, op.Detail.Escalation = key, key
	}
	if d.Letter == nil || r.req.Envelope == nil {
		return true
	}
	letter := r.letter(&f.Verdict, d)
	letter.Task, letter.Level, letter.Chain, letter.Attempts = op.Detail.Task, r.permit.Level, op.Detail.Chain, op.Attempts
	letter.Idempotency, letter.IdempotencyKey, letter.Escalation = uint8(op.Idempotency), op.Detail.Key, a.Escalation
	if !r.keep(t, letter, a) {
		return false
	}
	op.Detail.Letter = a.Letter
	return true
}

// letter is the dead letter of a directive, with what the report itself says.
func (r *report) letter(v *classify.Verdict, d *directive.Directive) *deadletter.Letter {
	return &deadletter.Letter{
		Operation: r.claims.Operation, Run: r.claims.Run, Target: r.claims.Target,
		Kind: deadletter.Replayable, Class: v.Class, Reason: d.Letter.Reason, Rule: v.Rule, Certainty: v.Certainty,
		Policy: d.Letter.Policy, Envelope: *r.req.Envelope, ReplayAfter: d.Letter.ReplayAfter, PolicyEpoch: r.epoch,
	}
}

// keep writes a letter and names it in the answer; false if the transaction
// does not have its record yet.
func (r *report) keep(t *txn, letter *deadletter.Letter, a *operation.Answer) bool {
	h, ok := t.want(letterKey(r.req.Namespace, r.claims.Operation), statestore.Write, 0)
	if !ok {
		return false
	}
	kept := deadletter.Put(record[deadletter.Letter](t, h), *letter, t.now)
	t.put(h, kept)
	t.durable = true
	a.Letter = deadletter.ID(r.claims.Operation)
	t.emit(Event{Kind: EventLetter, Namespace: r.req.Namespace, Name: a.Letter, At: t.now, Target: r.claims.Target, Reason: string(kept.Reason)})
	return true
}

// question is what a person is asked, in one sentence.
func question(kind escalation.Type, operation, target string) string {
	switch kind {
	case escalation.TypeAmbiguousOutcome:
		return "Did operation " + quote(operation) + " take effect on " + quote(target) + ", and may it go on?"
	case escalation.TypeAuthFailure:
		return "Which credential should calls to " + quote(target) + " use? The present one is refused."
	case escalation.TypeUnknownError:
		return "What does the answer of " + quote(target) + " to operation " + quote(operation) + " mean?"
	default:
		return "May operation " + quote(operation) + " on " + quote(target) + " go on?"
	}
}

// remember counts identical failures of a run; a success forgets them.
func (r *report) remember(t *txn, detail *operation.Detail, v *classify.Verdict) bool {
	if detail.Fingerprint == "" || r.claims.Run == "" || v.Class == classify.Aborted {
		return true
	}
	h, ok := t.want(repeatKey(r.req.Namespace, r.claims.Run, detail.Fingerprint), statestore.Write, 0)
	if !ok {
		return false
	}
	old := record[Repeat](t, h)
	switch {
	case v.Class != classify.OK:
		t.put(h, old.again(t.now))
	case old != nil:
		t.put(h, nil)
	}
	return true
}

// putControl stores the target's record if the report changed it, with its
// history, and says so to those who watch.
func (r *report) putControl(t *txn, b *ballot) error {
	if !b.changed {
		return nil
	}
	if !t.putControl(&r.own, b.control, b.made) {
		return errNeed
	}
	if r.claims.Flags != 0 || len(b.made) > 0 || b.control.Cooldown.Remaining(t.now) >= durableCooldown {
		t.durable = true
	}
	return nil
}

// durableCooldown is the length from which a cooldown survives a crash.
const durableCooldown = 10 * time.Second

// close ends the permit and stores the operation.
func (r *report) close(t *txn, op *operation.Operation, d *directive.Directive, a *operation.Answer) {
	p := *op.Permit
	p.State = operation.PermitSettled
	op.Permit, op.State, op.ReportHash = &p, d.State, r.req.Hash
	op.Expires = t.now.Add(operation.Retention)
	op.Detail.ResultRef = r.req.ResultRef
	kept := *a
	op.Answer = &kept
	switch {
	case d.State == operation.Succeeded && op.Idempotency == operation.Idempotent && op.Attempts == 1 && op.Detail.ReplayOf == "" && len(op.Detail.Lost) == 0:
		if *a == plainSuccess() {
			op.Answer = nil
		}
		op = op.Tombstone(t.now)
	case d.State == operation.Succeeded && op.Idempotency != operation.Idempotent:
		op.Expires = t.now.Add(r.own.config.IdempotencyTTL)
	case d.State == operation.Locked:
		op.Expires = t.now.Add(operation.LockedRetention)
	}
	if op.Detail != nil && op.Detail.Letter != "" {
		op.Expires = max(op.Expires, t.now.Add(deadletter.ReplayableRetention))
	}
	if op.Idempotency == operation.NonIdempotent || d.State == operation.Stopped || d.State == operation.Locked {
		t.durable = true
	}
	t.put(r.op, op)
}

// late books the report of a permit that was lost and followed by another: its
// money and its class count, its directive does not. Where nothing may be
// refused its caller is told what it would be told without the other one.
func (r *report) late(t *txn, op *operation.Operation, runs []*budget.Run, b ballot, v *classify.Verdict) error {
	answer := answerOf(v)
	answer.Action = operation.Stop
	if v.Class == classify.OK {
		answer.Action = operation.Continue
	} else if r.own.config.Observed() || t.now < r.pass {
		f, ok := r.gather(t, op, runs, &b.control, v)
		if !ok {
			return errNeed
		}
		if d := directive.Decide(f); d.Action == operation.Retry || d.Action == operation.Fallback {
			d.Would = &directive.Would{Action: operation.Stop, Reason: admit.InFlight}
			answer = r.answer(&b, f, &d)
		}
	}
	answer.NotCounted, answer.Opened = b.notCounted, b.opened
	if err := r.putControl(t, &b); err != nil {
		return err
	}
	t.put(r.op, op)
	r.result.Answer = answer
	r.finish(t, &b.control)
	return nil
}

// finish fills in what an answer shows besides the directive.
func (r *report) finish(t *txn, c *target.Control) {
	a := &r.result.Answer
	r.result.Counted, r.result.Kind = a.NotCounted == "", r.own.config.Kind
	r.result.Breaker = BreakerView{
		Target: r.claims.Target, Phase: c.Breaker.Phase, Generation: c.Breaker.Generation, Cause: c.Breaker.Cause, OpenedNow: a.Opened,
	}
	if a.NextTarget != "" {
		r.result.Next = &NextLevel{Target: a.NextTarget, Level: a.NextLevel, Kind: kindOf(a.NextKind)}
	}
	if r.result.Run == nil {
		r.result.Run = runView(t.derivedRuns(r.runs, len(r.path), nil), t.now)
	}
}

// decision is the id that explains the directive.
func (r *report) decision() string {
	a := &r.result.Answer
	id := decisionID{
		method: methodReport, at: r.result.Now, epoch: r.epoch, outcome: byte(a.Action),
		reason: string(a.Reason), rule: a.Rule, blockedBy: a.RetryDenied, delay: a.Delay,
	}
	return id.encode()
}

// finishWith adds what is left of the allowances.
func (r *report) finishWith(t *txn, op *operation.Operation, c *target.Control, f *directive.Facts) {
	f.World.Levels[f.Level].Control = *c
	task := admit.TaskUsed(f.World, r.claims.Target)
	if f.World.Task != nil && op.Detail != nil && op.Detail.Promised && r.result.Answer.Action == operation.Retry {
		task++
	}
	cfg := f.World.Levels[f.Level].Config
	r.result.Left = Allowances{
		Attempts:   max(admit.Allowed(f.Query.MaxAttempts, cfg.Retry, f.Level)-op.Tried(f.Level), 0),
		Task:       max(f.Query.TaskBudget-task, 0),
		FleetMilli: admit.Available(f.World, f.Level),
	}
	r.result.Run = runView(f.World.Runs, t.now)
	r.finish(t, c)
}

// released gives a permit back as if it had never been granted.
func (r *report) released(t *txn, op *operation.Operation) error {
	if r.booked {
		t.seeLoss(r.req.Namespace, r.permit, -1) // nothing was spent after all
	}
	return releasePermit(t, &returned{
		op: r.op, runs: r.runs, depth: len(r.path), own: r.own, operation: op, permit: r.permit, newest: r.newest,
		name: r.claims.Operation, hash: r.req.Hash,
	}, func(c target.Control) {
		r.result.Answer = givenBack()
		r.finish(t, &c)
	})
}
