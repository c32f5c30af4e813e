// SPDX-License-Identifier: Apache-2.0

package engine_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/resilienced/resilienced/engine"
	"github.com/resilienced/resilienced/rules/admit"
	"github.com/resilienced/resilienced/rules/breaker"
	"github.com/resilienced/resilienced/rules/budget"
	"github.com/resilienced/resilienced/rules/classify"
	"github.com/resilienced/resilienced/rules/escalation"
	"github.com/resilienced/resilienced/rules/operation"
)

const toolPolicy = `
version: 1
targets:
  - {match: "tool/*", preset: tool, limit: {concurrency: 1}}
  - {match: "pay/*", preset: action}
`

// inBubble runs a test in a synctest bubble with an engine of its own.
func inBubble(t *testing.T, policy string, body func(t *testing.T, e *engine.Engine)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		e := open(t)
		if policy != "" {
			if _, err := e.ApplyFile(t.Context(), "test.yaml", []byte(policy)); err != nil {
				t.Fatal(err)
			}
		}
		body(t, e)
	})
}

func mustAcquire(t *testing.T, e *engine.Engine, req engine.AcquireRequest) *engine.AcquireResult {
	t.Helper()
	req.Namespace = "n"
	r, err := e.Acquire(t.Context(), &req)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func mustReport(t *testing.T, e *engine.Engine, permit string, s classify.Signal) *engine.ReportResult {
	t.Helper()
	r, err := e.Report(t.Context(), &engine.ReportRequest{Namespace: "n", PermitID: permit, Signal: s})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestAbandonedGrantIsGivenBack(t *testing.T) {
	inBubble(t, toolPolicy, func(t *testing.T, e *engine.Engine) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if r, err := e.Acquire(ctx, &engine.AcquireRequest{Namespace: "n", Target: "tool/a", OperationID: "o"}); err == nil {
			t.Fatalf("a caller that is gone got %+v", r)
		}
		if r := mustAcquire(t, e, engine.AcquireRequest{Target: "tool/a", OperationID: "p"}); r.Grant == nil {
			t.Fatalf("the slot of a grant to nobody was kept: %+v", r)
		}
	})
}

func TestReleaseByTheAcquiresRequestID(t *testing.T) {
	inBubble(t, toolPolicy, func(t *testing.T, e *engine.Engine) {
		mustAcquire(t, e, engine.AcquireRequest{Target: "tool/a", RequestID: "q1"})
		for want := range 2 {
			r, err := e.Release(t.Context(), &engine.ReleaseRequest{Namespace: "n", AcquireRequestID: "q1"})
			if err != nil || !r.Released {
				t.Fatalf("release %d: %+v %v", want, r, err)
			}
		}
		r := mustAcquire(t, e, engine.AcquireRequest{Target: "tool/a", OperationID: "o"})
		if r.Grant == nil || r.Grant.Attempt != 1 {
			t.Fatalf("after the release: %+v", r)
		}
	})
}

func TestHeartbeatKeepsTheLeaseAndRevivesNothing(t *testing.T) {
	inBubble(t, toolPolicy, func(t *testing.T, e *engine.Engine) {
		g := mustAcquire(t, e, engine.AcquireRequest{Target: "tool/a", OperationID: "o"}).Grant
		for range 10 {
			time.Sleep(g.HeartbeatEvery)
			h, err := e.Heartbeat(t.Context(), "n", g.PermitID, g.Fence)
			if err != nil || h.Lease != g.Lease {
				t.Fatalf("heartbeat: %+v %v", h, err)
			}
		}
		if r := mustAcquire(t, e, engine.AcquireRequest{Target: "tool/a", OperationID: "p"}); r.Reason != admit.Concurrency {
			t.Fatalf("the slot was not held: %+v", r)
		}
		time.Sleep(g.Lease)
		if _, err := e.Heartbeat(t.Context(), "n", g.PermitID, 0); !errors.Is(err, engine.ErrLeaseLost) {
			t.Fatalf("a heartbeat after the lease: %v", err)
		}
		if r := mustAcquire(t, e, engine.AcquireRequest{Target: "tool/a", OperationID: "p"}); r.Grant == nil {
			t.Fatalf("the slot did not come back: %+v", r)
		}
	})
}

func TestRepeatsAndReuses(t *testing.T) {
	inBubble(t, "", func(t *testing.T, e *engine.Engine) {
		req := engine.AcquireRequest{Target: "x", OperationID: "o", RequestID: "q", Hash: 1, Idempotency: operation.Idempotent}
		g := mustAcquire(t, e, req).Grant
		if again := mustAcquire(t, e, req).Grant; again == nil || again.PermitID != g.PermitID || again.Fence != g.Fence {
			t.Fatalf("a repeat got %+v", again)
		}
		other := req
		other.Namespace, other.Hash = "n", 2
		if _, err := e.Acquire(t.Context(), &other); !errors.Is(err, engine.ErrMismatch) {
			t.Fatalf("the id with other content: %v", err)
		}
		report := &engine.ReportRequest{Namespace: "n", PermitID: g.PermitID, Hash: 1, Signal: classify.Signal{Outcome: classify.OutcomeSuccess}}
		first, err := e.Report(t.Context(), report)
		if err != nil {
			t.Fatal(err)
		}
		second, err := e.Report(t.Context(), report)
		if err != nil || second.Answer != first.Answer {
			t.Fatalf("a repeated report: %+v %v, first %+v", second, err, first)
		}
		report.Hash = 2
		if _, err := e.Report(t.Context(), report); !errors.Is(err, engine.ErrMismatch) {
			t.Fatalf("another report of the permit: %v", err)
		}
	})
}

func TestForgedPermits(t *testing.T) {
	inBubble(t, "", func(t *testing.T, e *engine.Engine) {
		g := mustAcquire(t, e, engine.AcquireRequest{Target: "x"}).Grant
		for i := range g.PermitID {
			forged := []byte(g.PermitID)
			forged[i] ^= 1
			_, err := e.Report(t.Context(), &engine.ReportRequest{Namespace: "n", PermitID: string(forged)})
			if !errors.Is(err, engine.ErrPermitForged) {
				t.Fatalf("byte %d changed: %v", i, err)
			}
		}
		for _, longer := range []string{g.PermitID + "\n", "\r" + g.PermitID, g.PermitID[:9] + "\r\n" + g.PermitID[9:]} {
			_, err := e.Report(t.Context(), &engine.ReportRequest{Namespace: "n", PermitID: longer})
			if !errors.Is(err, engine.ErrPermitForged) {
				t.Fatalf("with a line break, %q: %v", longer, err)
			}
		}
		if _, err := e.Report(t.Context(), &engine.ReportRequest{Namespace: "m", PermitID: g.PermitID}); !errors.Is(err, engine.ErrPermitForged) {
			t.Fatalf("in another namespace: %v", err)
		}
	})
}

// TestLostNonIdempotentAsksAPerson: the lease of a payment ends without a
// report; the sweeper raises the question, and its default comes by itself.
func TestLostNonIdempotentAsksAPerson(t *testing.T) {
	inBubble(t, toolPolicy, func(t *testing.T, e *engine.Engine) {
		g := mustAcquire(t, e, engine.AcquireRequest{Target: "pay/x", OperationID: "o"}).Grant
		time.Sleep(g.Lease + 2*time.Second)
		if r := mustAcquire(t, e, engine.AcquireRequest{Target: "pay/x", OperationID: "o"}); r.Reason != admit.OutcomeUnknown || !r.Terminal {
			t.Fatalf("asked again: %+v", r)
		}
		begin := time.Now()
		v, err := e.WaitDecision(t.Context(), "n", "esc:o", 48*time.Hour)
		if err != nil || v.Escalation.State != escalation.Defaulted || v.Escalation.Decision.Option != "DO_NOTHING" {
			t.Fatalf("waited: %+v %v", v, err)
		}
		if waited := time.Since(begin); waited > 24*time.Hour || waited < 23*time.Hour {
			t.Errorf("the default came after %v", waited)
		}
	})
}

func TestRunTree(t *testing.T) {
	inBubble(t, "", func(t *testing.T, e *engine.Engine) {
		parent := ""
		for i := range budget.MaxDepth {
			id := string(rune('a' + i))
			if _, err := e.StartRun(t.Context(), &engine.StartRunRequest{Namespace: "n", RunID: id, Parent: parent}); err != nil {
				t.Fatal(err)
			}
			parent = id
		}
		var invalid *engine.InvalidError
		for _, req := range []engine.StartRunRequest{
			{RunID: "deep", Parent: parent}, {RunID: "a", Parent: parent}, {RunID: "self", Parent: "self"},
		} {
			req.Namespace = "n"
			if _, err := e.StartRun(t.Context(), &req); !errors.As(err, &invalid) || invalid.Field != "parent_run_id" {
				t.Errorf("run %q below %q: %v", req.RunID, req.Parent, err)
			}
		}
		if _, err := e.Acquire(t.Context(), &engine.AcquireRequest{Namespace: "n", Target: "x", RunID: "nobody"}); !errors.Is(err, engine.ErrRunUnknown) {
			t.Errorf("an unknown run: %v", err)
		}
		if _, err := e.StopRun(t.Context(), &engine.EndRunRequest{Namespace: "n", RunID: "a", Reason: "enough"}); err != nil {
			t.Fatal(err)
		}
		r := mustAcquire(t, e, engine.AcquireRequest{Target: "x", RunID: parent})
		if r.Reason != admit.RunStopped || r.BlockedBy != "a" || !r.Terminal || r.Run.State != budget.Stopped {
			t.Errorf("below a stopped run: %+v", r)
		}
	})
}

func TestOperatorRequestsRepeat(t *testing.T) {
	inBubble(t, "", func(t *testing.T, e *engine.Engine) {
		if _, err := e.StartRun(t.Context(), &engine.StartRunRequest{Namespace: "n", RunID: "r", Caps: budget.Caps{Cost: new(int64(10))}}); err != nil {
			t.Fatal(err)
		}
		adjust := &engine.AdjustRunRequest{Namespace: "n", RunID: "r", RequestID: "q", Hash: 1, Delta: budget.Amounts{Cost: 5}}
		for range 3 {
			v, err := e.AdjustRun(t.Context(), adjust)
			if err != nil || *v.Run.Caps.Cost != 15 {
				t.Fatalf("adjusted: %+v %v", v, err)
			}
		}
		adjust.Hash = 2
		if _, err := e.AdjustRun(t.Context(), adjust); !errors.Is(err, engine.ErrMismatch) {
			t.Fatalf("other content: %v", err)
		}
		adjust.RequestID, adjust.Delta.Cost = "q2", -100
		var invalid *engine.InvalidError
		if _, err := e.AdjustRun(t.Context(), adjust); !errors.As(err, &invalid) {
			t.Fatalf("below zero: %v", err)
		}
	})
}

// TestForcedStateEnds: an operator's hand is lifted when its time is over.
func TestForcedStateEnds(t *testing.T) {
	inBubble(t, "", func(t *testing.T, e *engine.Engine) {
		if _, err := e.SetBreaker(t.Context(), &engine.SetBreakerRequest{
			Namespace: "n", Target: "x", Mode: breaker.ForcedOpen, TTL: time.Minute, Actor: "me",
		}); err != nil {
			t.Fatal(err)
		}
		r := mustAcquire(t, e, engine.AcquireRequest{Target: "x"})
		if r.Reason != admit.ForcedOpen || r.Delay != time.Minute {
			t.Fatalf("forced open: %+v", r)
		}
		time.Sleep(time.Minute)
		if r := mustAcquire(t, e, engine.AcquireRequest{Target: "x"}); r.Grant == nil {
			t.Fatalf("after its time: %+v", r)
		}
		v, err := e.GetTarget(t.Context(), "n", "x", "")
		if err != nil || v.Control.Breaker.Phase != breaker.Closed {
			t.Fatalf("target: %+v %v", v, err)
		}
	})
}

// TestOneSickReporterHoldsItselfOnly is the reporter guard of the design.
func TestOneSickReporterHoldsItselfOnly(t *testing.T) {
	inBubble(t, "", func(t *testing.T, e *engine.Engine) {
		ask := func(reporter string) *engine.AcquireResult {
			return mustAcquire(t, e, engine.AcquireRequest{Target: "x", Reporter: reporter, Idempotency: operation.Idempotent})
		}
		mustReport(t, e, ask("well").Grant.PermitID, classify.Signal{Outcome: classify.OutcomeSuccess, Duration: time.Millisecond})
		for range 5 {
			g := ask("sick").Grant
			if g == nil {
				t.Fatal("held too early")
			}
			mustReport(t, e, g.PermitID, classify.Signal{Outcome: classify.OutcomeFailure, Exception: "connect"})
		}
		if r := ask("sick"); r.Reason != admit.ReporterHeld {
			t.Errorf("the sick reporter: %+v", r)
		}
		if r := ask("well"); r.Grant == nil {
			t.Errorf("the others: %+v", r)
		}
	})
}

// TestRepeatedFailureIsStopped is the repeat guard of the design.
func TestRepeatedFailureIsStopped(t *testing.T) {
	inBubble(t, "", func(t *testing.T, e *engine.Engine) {
		if _, err := e.StartRun(t.Context(), &engine.StartRunRequest{Namespace: "n", RunID: "r"}); err != nil {
			t.Fatal(err)
		}
		ask := func() *engine.AcquireResult {
			return mustAcquire(t, e, engine.AcquireRequest{Target: "x", RunID: "r", Fingerprint: "same", Idempotency: operation.Idempotent})
		}
		for range 3 {
			mustReport(t, e, ask().Grant.PermitID, classify.Signal{Outcome: classify.OutcomeFailure, HTTPStatus: 422})
		}
		if r := ask(); r.Reason != admit.RepeatedFailure {
			t.Errorf("the fourth: %+v", r)
		}
	})
}

func TestDecisionsExplainThemselves(t *testing.T) {
	inBubble(t, toolPolicy, func(t *testing.T, e *engine.Engine) {
		g := mustAcquire(t, e, engine.AcquireRequest{Target: "tool/a"}).Grant
		r := mustAcquire(t, e, engine.AcquireRequest{Target: "tool/a"})
		for _, logged := range []bool{false, true} {
			v, err := e.ExplainDecision(t.Context(), "n", r.DecisionID)
			if err != nil || v.Reason != "CONCURRENCY" || v.BlockedBy != "tool/a" || v.Outcome != "WAIT" || v.Logged != logged {
				t.Fatalf("explained: %+v %v", v, err)
			}
			time.Sleep(time.Second) // the log is written behind
		}
		if v, err := e.ExplainPermit(t.Context(), "n", g.PermitID); err != nil || v.Target != "tool/a" || v.Outcome != "GRANTED" {
			t.Fatalf("permit: %+v %v", v, err)
		}
		page, err := e.ListDecisions(t.Context(), &engine.ListQuery{Namespace: "n"})
		if err != nil || len(page.Items) != 1 {
			t.Fatalf("log: %+v %v", page, err)
		}
	})
}

// The reason of a report is not why its permit was granted.
func TestExplainAReportedPermit(t *testing.T) {
	inBubble(t, toolPolicy, func(t *testing.T, e *engine.Engine) {
		g := mustAcquire(t, e, engine.AcquireRequest{Target: "tool/a"}).Grant
		mustReport(t, e, g.PermitID, classify.Signal{Outcome: classify.OutcomeFailure, HTTPStatus: 422})
		v, err := e.ExplainPermit(t.Context(), "n", g.PermitID)
		if err != nil || v.Outcome != "GRANTED" || v.Reason != "" || v.Rule != "" || v.Delay != 0 {
			t.Fatalf("permit: %+v %v", v, err)
		}
		if !strings.Contains(v.Detail, "its report was answered ") || !strings.Contains(v.Detail, " by rule R") {
			t.Errorf("the report is not told: %s", v.Detail)
		}
	})
}

func FuzzIDs(f *testing.F) {
	e := open(f)
	f.Add("AQAH", "dAQEB")
	f.Fuzz(func(t *testing.T, permit, decision string) {
		if _, err := e.Report(t.Context(), &engine.ReportRequest{Namespace: "n", PermitID: permit}); !errors.Is(err, engine.ErrPermitForged) {
			t.Errorf("permit %q: %v", permit, err)
		}
		_, _ = e.ExplainDecision(t.Context(), "n", decision)
	})
}

// TestALockedOperationStaysLocked: a payment whose outcome nobody knows is not
// made again because a day has passed.
func TestALockedOperationStaysLocked(t *testing.T) {
	inBubble(t, toolPolicy, func(t *testing.T, e *engine.Engine) {
		mustAcquire(t, e, engine.AcquireRequest{Target: "pay/x", OperationID: "lost"})
		g := mustAcquire(t, e, engine.AcquireRequest{Target: "pay/x", OperationID: "timeout"}).Grant
		mustReport(t, e, g.PermitID, classify.Signal{Outcome: classify.OutcomeFailure, Exception: "timeout"})
		time.Sleep(7 * 24 * time.Hour)
		for _, op := range []string{"lost", "timeout"} {
			if r := mustAcquire(t, e, engine.AcquireRequest{Target: "pay/x", OperationID: op}); r.Reason != admit.OutcomeUnknown {
				t.Errorf("%s, after a week: %v %v", op, r.Decision, r.Reason)
			}
		}
	})
}

// TestAChainWithASharedCooldown: a report that extends a cooldown which several
// targets share, and looks at the other levels of its chain, needs both.
func TestAChainWithASharedCooldown(t *testing.T) {
	const chained = `version: 1
targets:
  - {match: a, preset: llm, credential: k, cooldown: {scope: CREDENTIAL}}
  - {match: b, preset: llm, credential: k, cooldown: {scope: CREDENTIAL}}
  - {match: c, preset: llm}
chains:
  abc: [a:PRIMARY, b:SAME_PROVIDER_CHEAPER, c:CROSS_PROVIDER]
`
	inBubble(t, chained, func(t *testing.T, e *engine.Engine) {
		g := mustAcquire(t, e, engine.AcquireRequest{Chain: "abc", OperationID: "o"}).Grant
		r := mustReport(t, e, g.PermitID, classify.Signal{Outcome: classify.OutcomeFailure, HTTPStatus: 429, RetryAfter: 30 * time.Second, HasRetryAfter: true})
		if r.Answer.Action != operation.Fallback || r.Next == nil || r.Next.Target != "c" {
			t.Errorf("%+v, next %+v", r.Answer, r.Next)
		}
		if r := mustAcquire(t, e, engine.AcquireRequest{Target: "b"}); r.Reason != admit.Cooldown {
			t.Errorf("the other target of the credential: %v %v", r.Decision, r.Reason)
		}
	})
}
