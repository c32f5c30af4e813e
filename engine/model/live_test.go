// SPDX-License-Identifier: Apache-2.0

package model

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/resilienced/resilienced/engine"
	"github.com/resilienced/resilienced/rules/admit"
	"github.com/resilienced/resilienced/rules/breaker"
	"github.com/resilienced/resilienced/rules/budget"
	"github.com/resilienced/resilienced/rules/classify"
	"github.com/resilienced/resilienced/rules/deadletter"
	"github.com/resilienced/resilienced/rules/operation"
	"github.com/resilienced/resilienced/statestore/memory"
	"github.com/resilienced/resilienced/test/distant"
)

// live is a drill namespace of the real engine, or of several over one store:
// then each step goes to another one, in an order of no pattern.
type live struct {
	engines []*engine.Engine
	steps   uint32
	ns      string
	grants  []*engine.Grant // by number - 1
	numbers map[string]int  // of permit ids
	request int
}

func (l *live) engine() *engine.Engine {
	l.steps++
	return l.engines[int(l.steps*2654435761>>16)%len(l.engines)]
}

// newReplicas opens engines over one distant store.
func newReplicas(tb testing.TB, n int) []*engine.Engine {
	tb.Helper()
	net := distant.New(distant.Config{Lanes: 2})
	var all []*engine.Engine
	for range n {
		store := net.Connect()
		e, err := engine.New(context.Background(), engine.Config{Store: store, AllowDrills: true, NoSweeper: true})
		if err != nil {
			tb.Fatal(err)
		}
		tb.Cleanup(func() {
			if err := errors.Join(e.Close(context.Background()), store.Close()); err != nil {
				tb.Error(err)
			}
		})
		all = append(all, e)
	}
	return all
}

// newEngine opens an engine over a store in memory.
func newEngine(tb testing.TB) *engine.Engine {
	tb.Helper()
	store := memory.New(memory.Config{})
	e, err := engine.New(context.Background(), engine.Config{Store: store, AllowDrills: true, NoSweeper: true})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := errors.Join(e.Close(context.Background()), store.Close()); err != nil {
			tb.Error(err)
		}
	})
	return e
}

func newLive(engines []*engine.Engine, s *scenario) (*live, error) {
	ctx, e := context.Background(), engines[0]
	d, err := e.StartDrill(ctx, "", 0)
	if err != nil {
		return nil, err
	}
	l := &live{engines: engines, ns: d.Namespace, numbers: map[string]int{}}
	if _, err := e.ApplyPolicy(ctx, &engine.ApplyPolicyRequest{Namespace: l.ns, Text: []byte(s.yaml())}); err != nil {
		return nil, err
	}
	for _, r := range s.Runs {
		_, err := e.StartRun(ctx, &engine.StartRunRequest{
			Namespace: l.ns, RunID: r.ID, Parent: r.Parent, Caps: budget.Caps{Cost: r.Cap, Calls: r.Calls}, Unlimited: true,
		})
		if err != nil {
			return nil, err
		}
	}
	return l, nil
}

// yaml is the scenario's policy.
func (s *scenario) yaml() string {
	var b strings.Builder
	b.WriteString("version: 1\ntargets:\n")
	for i := range s.Targets {
		s.Targets[i].yaml(&b)
	}
	if len(s.Chains) > 0 {
		b.WriteString("chains:\n")
	}
	for name, levels := range s.Chains {
		words := make([]string, 0, len(levels))
		for _, l := range levels {
			words = append(words, l.Target+":"+l.Kind)
		}
		fmt.Fprintf(&b, "  %s: [%s]\n", name, strings.Join(words, ", "))
	}
	return b.String()
}

func (t *targetSpec) yaml(b *strings.Builder) {
	fmt.Fprintf(b, "  - match: %s\n    preset: %s\n    idempotent: %t\n", t.Name, t.Kind, t.Kind != "action")
	if t.Cred != "" {
		fmt.Fprintf(b, "    credential: %s\n", t.Cred)
	}
	if t.CallTimeout != nil {
		fmt.Fprintf(b, "    call_timeout: %v\n", *t.CallTimeout)
	}
	if t.Ctx != nil {
		fmt.Fprintf(b, "    max_context: %d\n", *t.Ctx)
	}
	if t.Price != nil {
		fmt.Fprintf(b, "    price: {per_call: %d}\n", *t.Price)
	}
	if t.DryRun {
		b.WriteString("    enforcement: DRY_RUN\n")
	}
	if t.Consec != nil {
		fmt.Fprintf(b, "    breaker: {consecutive_failures: %d}\n", *t.Consec)
	}
	if t.Slots != nil {
		fmt.Fprintf(b, "    limit: {concurrency: %d}\n", *t.Slots)
	}
	retry := []string{"retry_when_not_processed: " + strconv.FormatBool(t.RetryNP)}
	for _, f := range []struct {
		key   string
		value *int
	}{{"max_attempts", t.MaxAttempts}, {"task_budget", t.TaskBudget}, {"quality_retries", t.QRetries}, {"retries_per_level", t.PerLevel}} {
		if f.value != nil {
			retry = append(retry, fmt.Sprintf("%s: %d", f.key, *f.value))
		}
	}
	fleet := []string{}
	if t.Floor != nil {
		fleet = append(fleet, fmt.Sprintf("floor_milli: %d", *t.Floor))
	}
	if t.Ratio != nil {
		fleet = append(fleet, fmt.Sprintf("ratio_milli: %d", *t.Ratio))
	}
	if len(fleet) > 0 {
		retry = append(retry, "fleet: {"+strings.Join(fleet, ", ")+"}")
	}
	fmt.Fprintf(b, "    retry: {%s}\n", strings.Join(retry, ", "))
}

func hash(v any) uint64 {
	h := fnv.New64a()
	_, _ = fmt.Fprintf(h, "%+v", v)
	return h.Sum64()
}

func (l *live) acquire(s *acquireStep) (acquireAnswer, error) {
	l.request++
	id := s.Request
	if id == "" {
		id = "fresh-" + strconv.Itoa(l.request)
	}
	wait := s.MaxWait
	mode := map[string]operation.Idempotency{"": operation.Unspecified, "I": operation.Idempotent, "N": operation.NonIdempotent}[s.Idem]
	r, err := l.engine().Acquire(context.Background(), &engine.AcquireRequest{
		Namespace: l.ns, RequestID: id, RunID: s.Run, TaskID: s.Task, OperationID: s.Op, Target: s.Target, Chain: s.Chain,
		Idempotency: mode, Estimate: budget.Estimate{Cost: s.Est}, MaxWait: &wait, Deadline: s.Deadline, PinLevel: s.Pin,
		MaxAttempts: s.MaxAttempts, Hash: hash(s.Op),
	})
	if err != nil {
		return acquireAnswer{}, err
	}
	a := acquireAnswer{Decision: r.Decision.String(), Reason: string(r.Reason), Delay: r.Delay, Terminal: r.Terminal}
	if strings.HasPrefix(a.Reason, "RUN_") {
		a.BlockedBy = r.BlockedBy
	}
	if r.Would != nil {
		a.Would = string(r.Would.Reason)
	}
	if r.Grant == nil {
		return a, nil
	}
	if r.Reason != admit.CostPressure { // why a level was passed over is not the model's business
		a.Reason, a.BlockedBy = "", ""
	}
	g := r.Grant
	if l.numbers[g.PermitID] == 0 {
		l.grants = append(l.grants, g)
		l.numbers[g.PermitID] = len(l.grants)
	}
	a.Target, a.Attempt, a.Level, a.Probe, a.Degraded, a.Permit = g.Target, g.Attempt, g.Level, g.Probe, g.Degraded, l.numbers[g.PermitID]
	return a, nil
}

func (s signal) wire() classify.Signal {
	sig := classify.Signal{HTTPStatus: s.HTTP, GRPCCode: s.GRPC, Exception: s.Exc, BodyCode: s.Code, Outcome: classify.OutcomeFailure}
	switch {
	case s.Cancelled:
		sig.Outcome = classify.OutcomeCancelled
	case s.success():
		sig.Outcome = classify.OutcomeSuccess
	}
	if s.RetryAfter != nil {
		sig.RetryAfter, sig.HasRetryAfter = *s.RetryAfter, true
	}
	for q := classify.SchemaViolation; q <= classify.CostCommitment; q++ {
		if q.String() == s.Quality {
			sig.Quality = q
		}
	}
	return sig
}

func (l *live) report(s *reportStep) (reportAnswer, error) {
	sig := s.Sig.wire()
	sig.Duration = s.Dur
	r, err := l.engine().Report(context.Background(), &engine.ReportRequest{
		Namespace: l.ns, PermitID: l.grants[s.Permit-1].PermitID, Signal: sig, Usage: budget.Usage{Cost: s.Cost},
		Envelope: &deadletter.Envelope{Context: []byte("{}")}, Hash: 1,
	})
	if err != nil {
		return reportAnswer{}, err
	}
	a := reportAnswer{
		Class: r.Answer.Class.String(), Reason: string(r.Answer.Reason), Action: r.Answer.Action.String(), Delay: r.Answer.Delay,
		Counted: r.Counted, Why: r.Answer.NotCounted, Opened: r.Answer.Opened, RetryDenied: r.Answer.RetryDenied,
		Letter: r.Answer.Letter, Esc: r.Answer.Escalation, Terminal: r.Answer.Terminal,
	}
	if r.Answer.WouldAction != 0 {
		a.Would = r.Answer.WouldAction.String()
	}
	if r.Next != nil {
		a.Target, a.Level = r.Next.Target, r.Next.Level
	}
	return a, nil
}

// advance has an end of its own: a record that stays due would hold the clock
// for ever.
func (l *live) advance(d time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	_, err := l.engine().AdvanceClock(ctx, l.ns, "", d)
	return err
}

func (l *live) setBreaker(name, mode string) (string, error) {
	phase := map[string]breaker.Phase{
		"AUTO": breaker.Closed, "FORCED_OPEN": breaker.ForcedOpen, "FORCED_CLOSED": breaker.ForcedClosed, "DISABLED": breaker.Disabled,
	}[mode]
	v, err := l.engine().SetBreaker(context.Background(), &engine.SetBreakerRequest{Namespace: l.ns, Target: name, Mode: phase, Actor: "a", Reason: "r"})
	if err != nil {
		return "", err
	}
	return v.Control.Breaker.Phase.String(), nil
}

func (l *live) breaker(name string) (breakerAnswer, error) {
	v, err := l.engine().GetTarget(context.Background(), l.ns, name, "")
	if err != nil {
		return breakerAnswer{}, err
	}
	b := v.Control.Breaker
	a := breakerAnswer{State: b.Phase.String(), Cause: b.Cause.String(), Cycles: b.Cycles, Consecutive: b.Consecutive}
	if b.Phase == breaker.Open {
		a.Open = b.OpenUntil.Until(v.Now)
	}
	return a, nil
}
