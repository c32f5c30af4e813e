// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"time"

	"github.com/resilienced/resilienced/rules/admit"
	"github.com/resilienced/resilienced/rules/budget"
	"github.com/resilienced/resilienced/rules/operation"
)

// Observer is told of every answered call, after its commit and on the
// caller's goroutine or its batch's, so it must be quick and must not wait for
// the engine or its store; Named and TargetNames need neither. It is called by
// many goroutines at once. The facts are only lent: they may not be
// kept after the call. Drill namespaces and dry-run requests are not told of.
type Observer interface {
	// Acquired is told of an Acquire that was answered.
	Acquired(f *AcquireFacts)
	// Reported is told of a Report that was answered.
	Reported(f *ReportFacts)
	// PermitsChanged is told that a target has that many more live permits, or
	// fewer. Permits that were granted before the engine started count neither
	// way.
	PermitsChanged(namespace, target string, by int)
}

// AcquireFacts is what became of one Acquire.
type AcquireFacts struct {
	Namespace string
	Target    string // of the grant; of a refusal, the first of its chain
	Decision  admit.Outcome
	Reason    admit.Reason
	Would     *admit.Would // what an observed rule withheld; may be nil
	Attempt   int          // of the operation; 0: not granted
	// Promised: a directive had promised the attempt, and its retry is paid.
	Promised bool
	// Repeat: the grant was made by an earlier call with the same request id.
	Repeat bool
}

// ReportFacts is what became of one Report.
type ReportFacts struct {
	Namespace string
	Target    string
	Answer    *operation.Answer
	// Booked: it was taken in now. False for a repeat, for a permit that was
	// given back, and for one whose record is gone.
	Booked   bool
	Duration time.Duration // of the call; never longer than since the grant
	Model    string        // as the caller sent it; any text
	Usage    budget.Usage
	Cost     int64 // micros; meaningful if CostKnown
	// CostKnown: the caller or the price said what the call cost.
	CostKnown bool
	Currency  string
}

// IsDrill tells whether a namespace is one of a drill, whose clock stands
// still. What happens there is nobody's outage.
func IsDrill(namespace string) bool { return isDrill(namespace) }

// observeAcquire tells the observer of an answered Acquire.
func (e *Engine) observeAcquire(a *acquire) {
	if e.observer == nil || a.req.DryRun || isDrill(a.req.Namespace) {
		return
	}
	f, r := &a.facts, a.result
	*f = AcquireFacts{
		Namespace: a.req.Namespace, Target: a.chain.Levels[0].Target,
		Decision: r.Decision, Reason: r.Reason, Would: r.Would,
	}
	if a.granted != nil {
		p := a.granted.Permit
		f.Target, f.Attempt, f.Promised = p.Target, p.Attempt, p.Paid
		f.Repeat = p.GrantedAt != r.Now
	}
	e.observer.Acquired(f)
}

// observeReport tells the observer of an answered Report.
func (e *Engine) observeReport(r *report) {
	if e.observer == nil || isDrill(r.req.Namespace) {
		return
	}
	f := &r.told
	*f = ReportFacts{
		Namespace: r.req.Namespace, Target: r.claims.Target, Answer: &r.result.Answer, Booked: r.result.Booked,
		Duration: r.req.Signal.Duration, Model: r.req.Model, Usage: r.req.Usage, Currency: r.currency(),
	}
	if r.permit != nil {
		f.Duration = min(f.Duration, max(r.result.Now.Sub(r.permit.GrantedAt), 0))
	}
	f.Cost, f.CostKnown = f.Usage.Price(r.own.config.Price)
	e.observer.Reported(f)
}

// currency is what the report's money is counted in: the run's, which all of
// its prices share, else the price's.
func (r *report) currency() string {
	switch price := r.own.config.Price; {
	case r.result.Run != nil && r.result.Run.Run.Currency != "":
		return r.result.Run.Run.Currency
	case price != nil && price.Currency != "":
		return price.Currency
	}
	return "USD"
}
