// SPDX-License-Identifier: Apache-2.0

package engine_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/resilienced/resilienced/engine"
	"github.com/resilienced/resilienced/policy"
	"github.com/resilienced/resilienced/rules/admit"
	"github.com/resilienced/resilienced/rules/breaker"
	"github.com/resilienced/resilienced/rules/operation"
	"github.com/resilienced/resilienced/statestore/memory"
)

func enforce(t *testing.T, e *engine.Engine, match string, mode engine.EnforcementMode) *engine.EnforcementView {
	t.Helper()
	v, err := e.SetEnforcement(t.Context(), &engine.SetEnforcementRequest{
		Namespace: "n", Match: match, Mode: mode, Actor: "ops", Reason: "trial",
	})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// hold forces targets open, so that every call of them is refused or would be.
func hold(t *testing.T, e *engine.Engine, ns string, targets ...string) {
	t.Helper()
	for _, name := range targets {
		if _, err := e.SetBreaker(t.Context(), &engine.SetBreakerRequest{Namespace: ns, Target: name, Mode: breaker.ForcedOpen}); err != nil {
			t.Fatal(err)
		}
	}
}

// passes reports whether a call in the namespace is granted.
func passes(t *testing.T, e *engine.Engine, ns, target string) bool {
	t.Helper()
	r, err := e.Acquire(t.Context(), &engine.AcquireRequest{Namespace: ns, Target: target})
	if err != nil {
		t.Fatal(err)
	}
	return r.Decision == admit.Granted
}

// TestOperatorsEntries: the most specific entry decides, over --observe and
// policy; "*" removes the others; each change raises the epoch.
func TestOperatorsEntries(t *testing.T) {
	observing(t, "", func(t *testing.T, e *engine.Engine) {
		hold(t, e, "n", "tool/a", "tool/b", "llm/a")
		want := func(when string, refused ...string) {
			t.Helper()
			for _, name := range [...]string{"tool/a", "tool/b", "llm/a"} {
				if passes(t, e, "n", name) == slices.Contains(refused, name) {
					t.Errorf("%s: %s passes: %v", when, name, !slices.Contains(refused, name))
				}
			}
		}
		want("only --observe")
		first := enforce(t, e, "tool/*", engine.Enforce)
		want("tool/* is enforced", "tool/a", "tool/b")
		if v := enforce(t, e, "tool/b", engine.Observe); v.Epoch != first.Epoch+1 || len(v.Entries) != 2 || !v.ServerObserves {
			t.Errorf("after two changes: %+v", v)
		}
		want("but tool/b is observed", "tool/a")
		enforce(t, e, "tool/*", engine.Auto)
		want("tool/* is as before")
		v := enforce(t, e, "**", engine.Enforce)
		if len(v.Entries) != 1 || v.Entries[0].Match != "*" || v.Entries[0].Actor != "ops" || v.Entries[0].Reason != "trial" {
			t.Errorf("after all: %+v", v.Entries)
		}
		want("all is enforced", "tool/a", "tool/b", "llm/a")
		if v := enforce(t, e, "*", engine.Auto); len(v.Entries) != 0 {
			t.Errorf("after none: %+v", v.Entries)
		}
		want("none is set")
	})
}

// TestEnforcementIsOfItsNamespace: another one does not see it.
func TestEnforcementIsOfItsNamespace(t *testing.T) {
	inBubble(t, "", func(t *testing.T, e *engine.Engine) {
		hold(t, e, "n", "x")
		hold(t, e, "m", "x")
		enforce(t, e, "*", engine.Observe)
		if _, err := e.SetPass(t.Context(), &engine.SetPassRequest{Namespace: "p", Length: time.Hour, Reason: "r"}); err != nil {
			t.Fatal(err)
		}
		if !passes(t, e, "n", "x") || passes(t, e, "m", "x") {
			t.Error("an entry of n holds in m, or not in n")
		}
		if v, err := e.GetEnforcement(t.Context(), "m"); err != nil || v.Pass != nil || len(v.Entries) != 0 {
			t.Errorf("m: %+v, %v", v, err)
		}
	})
}

// TestEnforcementRequests: repeats, races and bounds.
func TestEnforcementRequests(t *testing.T) {
	inBubble(t, "", func(t *testing.T, e *engine.Engine) {
		ctx := t.Context()
		req := engine.SetEnforcementRequest{Namespace: "n", RequestID: "q", Match: "a", Mode: engine.Observe, Hash: 1, ExpectedEpoch: new(uint64(0))}
		first, err := e.SetEnforcement(ctx, &req)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := e.SetEnforcement(ctx, &req); err != nil || again.Epoch != first.Epoch {
			t.Errorf("a repeat: %+v, %v", again, err)
		}
		other := req
		other.Hash = 2
		if _, err := e.SetEnforcement(ctx, &other); !errors.Is(err, engine.ErrMismatch) {
			t.Errorf("another request under the id: %v", err)
		}
		late := req
		late.RequestID = "q2"
		if _, err := e.SetEnforcement(ctx, &late); !errors.Is(err, engine.ErrEpoch) {
			t.Errorf("an old epoch: %v", err)
		}
		for i := range 999 {
			enforce(t, e, fmt.Sprint("b", i), engine.Enforce)
		}
		_, err = e.SetEnforcement(ctx, &engine.SetEnforcementRequest{Namespace: "n", Match: "c", Mode: engine.Enforce})
		var invalid *engine.InvalidError
		if !errors.As(err, &invalid) || invalid.Field != "match" {
			t.Errorf("the 1001st entry: %v", err)
		}
		enforce(t, e, "b7", engine.Observe) // one that is there may change
		if _, err := e.SetPass(ctx, &engine.SetPassRequest{Namespace: "n", Length: 25 * time.Hour}); !errors.As(err, &invalid) {
			t.Errorf("a pass of more than a day: %v", err)
		}
	})
}

// TestPassEndsByItself: over forced states and the ends of runs, to its very
// instant.
func TestPassEndsByItself(t *testing.T) {
	inBubble(t, "", func(t *testing.T, e *engine.Engine) {
		ctx := t.Context()
		hold(t, e, "n", "x")
		if _, err := e.StartRun(ctx, &engine.StartRunRequest{Namespace: "n", RunID: "r"}); err != nil {
			t.Fatal(err)
		}
		if _, err := e.StopRun(ctx, &engine.EndRunRequest{Namespace: "n", RunID: "r"}); err != nil {
			t.Fatal(err)
		}
		pass := func(d time.Duration) *engine.EnforcementView {
			t.Helper()
			v, err := e.SetPass(ctx, &engine.SetPassRequest{Namespace: "n", Length: d, Actor: "ops", Reason: "incident"})
			if err != nil {
				t.Fatal(err)
			}
			return v
		}
		ask := func() *engine.AcquireResult {
			return mustAcquire(t, e, engine.AcquireRequest{Target: "x", RunID: "r", Idempotency: operation.Idempotent})
		}
		if v := pass(time.Hour); v.Pass == nil || v.Pass.Until.Sub(v.Now) != time.Hour || v.Pass.Reason != "incident" {
			t.Fatalf("%+v", v.Pass)
		}
		r := ask()
		g := granted(t, r, admit.RunStopped)
		if r.Reason != admit.Pass || r.Rule != "pass" {
			t.Errorf("granted because of %s, rule %s", r.Reason, r.Rule)
		}
		if r := mustAcquire(t, e, engine.AcquireRequest{Target: "new"}); r.Reason != admit.Pass || r.Would != nil {
			t.Errorf("a call that would be granted too: %+v", r)
		}
		if v, err := e.GetTarget(ctx, "n", "x", ""); err != nil || len(v.Observed) != 4 {
			t.Errorf("the target observes %v, %v", v.Observed, err)
		}
		if h, err := e.Heartbeat(ctx, "n", g.PermitID, 0); err != nil || h.Cancel {
			t.Errorf("a heartbeat: %+v, %v", h, err)
		}
		rep := mustReport(t, e, g.PermitID, failure())
		if rep.Answer.Action != operation.Retry || rep.Answer.WouldReason != string(admit.RunStopped) {
			t.Errorf("a report: %+v", rep.Answer)
		}
		time.Sleep(time.Hour - time.Microsecond)
		granted(t, ask(), admit.RunStopped)
		time.Sleep(time.Microsecond)
		if r := ask(); r.Decision == admit.Granted || r.Reason != admit.RunStopped {
			t.Errorf("at its end: %+v", r)
		}
		if v, err := e.GetEnforcement(ctx, "n"); err != nil || v.Pass != nil {
			t.Errorf("it is shown after its end: %+v, %v", v.Pass, err)
		}
		pass(time.Hour)
		if v := pass(0); v.Pass != nil || passes(t, e, "n", "x") {
			t.Errorf("ended by hand: %+v", v.Pass)
		}
	})
}

// TestEnforcementOutlivesTheServer: it is in the store, under the policy epoch,
// for a restart and for another replica.
func TestEnforcementOutlivesTheServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memory.New(memory.Config{})
		e := openOn(t, store, false)
		if _, err := e.ApplyFile(t.Context(), "p.yaml", []byte(toolPolicy)); err != nil {
			t.Fatal(err)
		}
		hold(t, e, "n", "tool/a", "x")
		before := enforce(t, e, "tool/*", engine.Observe)
		if _, err := e.SetPass(t.Context(), &engine.SetPassRequest{Namespace: "p", Length: time.Hour, Reason: "r"}); err != nil {
			t.Fatal(err)
		}
		closed(t, e)
		e = openOn(t, store, false)
		defer func() { closed(t, e) }()
		after, err := e.GetEnforcement(t.Context(), "n")
		if err != nil || len(after.Entries) != 1 || after.Entries[0] != before.Entries[0] || after.Epoch != before.Epoch+1 {
			t.Fatalf("after a restart: %+v, %v; before %+v", after, err, before)
		}
		if !passes(t, e, "n", "tool/a") || passes(t, e, "n", "x") {
			t.Error("the entry holds otherwise")
		}
		if v, err := e.GetEnforcement(t.Context(), "p"); err != nil || v.Pass == nil {
			t.Errorf("the pass is gone: %+v, %v", v, err)
		}
		explained, err := e.ExplainTarget(t.Context(), "n", "tool/a")
		if err != nil {
			t.Fatal(err)
		}
		settings := explained.Settings
		i := slices.IndexFunc(settings, func(s policy.Setting) bool { return s.Field == "enforcement.retry" })
		if i < 0 || settings[i].Value != "DRY_RUN" || settings[i].Source != "resilienced observe tool/* by ops: trial" {
			t.Errorf("explained as %+v", settings[max(i, 0)])
		}
		// A new policy changes what is below, and not the entry.
		text := strings.Replace(toolPolicy, "preset: tool", "preset: fast", 1)
		if _, err := e.ApplyPolicy(t.Context(), &engine.ApplyPolicyRequest{Namespace: "n", Text: []byte(text)}); err != nil {
			t.Fatal(err)
		}
		if now, err := e.ExplainTarget(t.Context(), "n", "tool/a"); err != nil || !now.Config.Observed() || now.Config.Kind != "fast" {
			t.Errorf("under the new policy: %+v, %v", now, err)
		}
	})
}

// TestPolicyDryRunIsObserving: dry_run and all four rules in DRY_RUN mean the
// same as --observe.
func TestPolicyDryRunIsObserving(t *testing.T) {
	for name, text := range map[string]string{
		"the file":   "version: 1\ndry_run: true\n",
		"the target": "version: 1\ntargets: [{match: x, preset: llm, enforcement: DRY_RUN}]\n",
	} {
		inBubble(t, text, func(t *testing.T, e *engine.Engine) {
			hold(t, e, "n", "x")
			if _, err := e.StartRun(t.Context(), &engine.StartRunRequest{Namespace: "n", RunID: "r"}); err != nil {
				t.Fatal(err)
			}
			if _, err := e.FinishRun(t.Context(), &engine.EndRunRequest{Namespace: "n", RunID: "r"}); err != nil {
				t.Fatal(err)
			}
			granted(t, mustAcquire(t, e, engine.AcquireRequest{Target: "x", RunID: "r"}), admit.RunCompleted)
			if enforce(t, e, "*", engine.Enforce); passes(t, e, "n", "x") {
				t.Errorf("%s: an operator's entry does not win over the policy", name)
			}
		})
	}
}

// TestTwoReplicas: the other one follows with its next decision, and both add
// to the same counts.
func TestTwoReplicas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memory.New(memory.Config{})
		a, b := openOn(t, store, false), openOn(t, store, false)
		defer func() {
			closed(t, a)
			closed(t, b)
		}()
		hold(t, a, "n", "x")
		if passes(t, b, "n", "x") {
			t.Fatal("the hold is not seen")
		}
		enforce(t, a, "x", engine.Observe)
		if !passes(t, b, "n", "x") || !passes(t, a, "n", "x") {
			t.Error("what one replica was told the other does not follow")
		}
		if _, err := b.SetPass(t.Context(), &engine.SetPassRequest{Namespace: "n", Length: time.Hour, Reason: "r"}); err != nil {
			t.Fatal(err)
		}
		if v, err := a.GetEnforcement(t.Context(), "n"); err != nil || v.Pass == nil || len(v.Entries) != 1 {
			t.Errorf("%+v, %v", v, err)
		}
		time.Sleep(2 * time.Second) // both have written by then
		for _, e := range [...]*engine.Engine{a, b} {
			if s := summary(t, e, "n", ""); s.Totals.Acquires != 3 || s.Totals.Granted != 2 || s.Totals.Opened != 0 {
				t.Errorf("counted %+v", s.Totals)
			}
		}
	})
}
