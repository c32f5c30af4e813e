// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/resilienced/resilienced/rules/admit"
	"github.com/resilienced/resilienced/rules/operation"
	"github.com/resilienced/resilienced/statestore"
	"github.com/resilienced/resilienced/statestore/memory"
)

const (
	allowAll = "version: 1\n"
	denyAll  = "version: 1\nunknown_targets: deny\n"
)

// fatal is what a testing.T and a rapid.T have in common here.
type fatal interface {
	Helper()
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

// replica opens an engine over a store that others may share.
func replica(t fatal, s statestore.Store) *Engine {
	t.Helper()
	e, err := New(context.Background(), Config{Store: s, NoSweeper: true, AllowDrills: true})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func closeAll(t fatal, engines ...*Engine) {
	t.Helper()
	for _, e := range engines {
		if err := e.Close(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
}

// pair is two replicas over one store.
func pair(t *testing.T) (a, b *Engine) {
	t.Helper()
	s := memory.New(memory.Config{})
	a, b = replica(t, s), replica(t, s)
	t.Cleanup(func() { closeAll(t, a, b) })
	return a, b
}

func mustApply(t fatal, e *Engine, ns, text string) *PolicyView {
	t.Helper()
	v, err := e.ApplyPolicy(context.Background(), &ApplyPolicyRequest{Namespace: ns, Text: []byte(text), Actor: "me", Reason: "test"})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// asked is what a replica decides about a target now, and by which epoch.
func asked(t fatal, e *Engine, ns string) (admit.Outcome, uint64) {
	t.Helper()
	r, err := e.Acquire(context.Background(), &AcquireRequest{Namespace: ns, Target: "x", Idempotency: operation.Idempotent})
	if err != nil {
		t.Fatal(err)
	}
	id, ok := decodeDecision(r.DecisionID)
	if !ok {
		t.Fatalf("the decision id %q cannot be read", r.DecisionID)
	}
	return r.Decision, id.epoch
}

func TestEveryReplicaFollows(t *testing.T) {
	a, b := pair(t)
	if d, epoch := asked(t, b, "n"); d != admit.Granted || epoch != 0 {
		t.Fatalf("without a policy: %v by epoch %d", d, epoch)
	}
	first := mustApply(t, a, "", denyAll)
	if d, epoch := asked(t, b, "n"); d != admit.Denied || epoch != first.Epoch {
		t.Errorf("after the server's policy: %v by epoch %d, want %d", d, epoch, first.Epoch)
	}
	second := mustApply(t, b, "n", allowAll+"runs: {caps: {calls: 7}}\n")
	if d, epoch := asked(t, a, "n"); d != admit.Granted || epoch != second.Epoch || second.Epoch != first.Epoch+1 {
		t.Errorf("after the namespace's own: %v by epoch %d, want %d", d, epoch, second.Epoch)
	}
	if d, _ := asked(t, a, "other"); d != admit.Denied {
		t.Errorf("another namespace: %v", d)
	}
	run, err := a.StartRun(t.Context(), &StartRunRequest{Namespace: "n", RunID: "r"})
	if err != nil || run.Run.Caps.Calls == nil || *run.Run.Caps.Calls != 7 || run.Run.Policy != second.Epoch {
		t.Errorf("a run has %+v, %v", run, err)
	}
}

// A replica that nobody calls reads the policy in force all the same.
func TestReadsFollow(t *testing.T) {
	a, b := pair(t)
	v := mustApply(t, a, "n", denyAll)
	got, err := b.GetPolicy(t.Context(), "n")
	if err != nil || got.Epoch != v.Epoch || string(got.Text) != denyAll || got.AppliedBy != "me" || !got.Own {
		t.Errorf("GetPolicy: %+v, %v", got, err)
	}
	mustApply(t, a, "n", allowAll+`targets: [{match: "tool/*", preset: tool}]`)
	if said, err := b.ExplainTarget(t.Context(), "n", "tool/a"); err != nil || said.Config.Kind != "tool" {
		t.Errorf("ExplainTarget: %+v, %v", said, err)
	}
	mustApply(t, a, "n", allowAll+`targets: [{match: "tool/b", preset: tool}]`)
	if page, err := b.ListTargets(t.Context(), &ListQuery{Namespace: "n"}); err != nil || len(page.Items) != 1 || page.Items[0].Name != "tool/b" {
		t.Errorf("ListTargets: %+v, %v", page, err)
	}
}

// TestOutdatedCommandsArePlannedAnew: an Acquire that was planned before a
// policy and is in one batch behind it goes by the new one.
func TestOutdatedCommandsArePlannedAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, s := newFaulty(t, 1)
		gate := make(chan struct{})
		s.set(gate, nil, nil)
		var wg sync.WaitGroup
		blocker := &counter{name: "a"}
		wg.Go(func() { _ = e.submit(t.Context(), "n", false, blocker, blocker.plan) })
		synctest.Wait()
		wg.Go(func() { mustApply(t, e, "", denyAll) })
		synctest.Wait()
		const callers = 5
		outcomes := make([]admit.Outcome, callers)
		for i := range callers {
			wg.Go(func() { outcomes[i], _ = asked(t, e, "n") })
		}
		synctest.Wait()
		close(gate)
		wg.Wait()
		for i, o := range outcomes {
			if o != admit.Denied {
				t.Errorf("caller %d got %v by a policy that had been replaced", i, o)
			}
		}
	})
}

// TestOneOperatorWins: of all who apply on top of one epoch, over two
// replicas, exactly one does.
func TestOneOperatorWins(t *testing.T) {
	a, b := pair(t)
	const rounds, operators = 20, 16
	for round := range uint64(rounds) {
		var won, lost atomic.Int64
		var wg sync.WaitGroup
		for i := range operators {
			wg.Go(func() {
				e := []*Engine{a, b}[i%2]
				ns := []string{"n", "m", ""}[i%3]
				_, err := e.ApplyPolicy(t.Context(), &ApplyPolicyRequest{
					Namespace: ns, Text: fmt.Appendf(nil, "version: 1\n# %d by %d\n", round, i), ExpectedEpoch: &round,
				})
				switch {
				case err == nil:
					won.Add(1)
				case errors.Is(err, ErrEpoch):
					lost.Add(1)
				default:
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if won.Load() != 1 || lost.Load() != operators-1 {
			t.Fatalf("round %d: %d applied, %d were refused", round, won.Load(), lost.Load())
		}
	}
}

// A repeat of an apply gets its first answer, although its epoch is no longer
// the one in force.
func TestRepeatedApply(t *testing.T) {
	a, b := pair(t)
	req := func(text string) *ApplyPolicyRequest {
		return &ApplyPolicyRequest{Namespace: "n", RequestID: "q", Text: []byte(text), ExpectedEpoch: new(uint64), Hash: uint64(len(text))}
	}
	first, err := a.ApplyPolicy(t.Context(), req(denyAll))
	if err != nil {
		t.Fatal(err)
	}
	mustApply(t, b, "n", allowAll)
	again, err := b.ApplyPolicy(t.Context(), req(denyAll))
	if err != nil || again.Epoch != first.Epoch || again.Hash != first.Hash {
		t.Errorf("the repeat got %+v, %v; want %+v", again, err, first)
	}
	if d, _ := asked(t, a, "n"); d != admit.Granted {
		t.Error("the repeat was applied a second time")
	}
	if _, err := b.ApplyPolicy(t.Context(), req(allowAll)); !errors.Is(err, ErrMismatch) {
		t.Errorf("another policy under the same id: %v", err)
	}
}

func TestValidateOnly(t *testing.T) {
	a, b := pair(t)
	mustApply(t, a, "n", denyAll)
	v, err := b.ApplyPolicy(t.Context(), &ApplyPolicyRequest{Namespace: "n", Text: []byte(allowAll), ValidateOnly: true, ExpectedEpoch: new(uint64(1))})
	if err != nil || v.Epoch != 1 {
		t.Errorf("%+v, %v", v, err)
	}
	_, err = b.ApplyPolicy(t.Context(), &ApplyPolicyRequest{Namespace: "n", Text: []byte(allowAll), ValidateOnly: true, ExpectedEpoch: new(uint64)})
	if !errors.Is(err, ErrEpoch) {
		t.Errorf("with an old epoch: %v", err)
	}
	if d, epoch := asked(t, a, "n"); d != admit.Denied || epoch != 1 {
		t.Errorf("it was applied: %v by %d", d, epoch)
	}
}

// TestFileAppliedLast: a file counts when it is not the file before it,
// whatever an operator applied over it meanwhile.
func TestFileAppliedLast(t *testing.T) {
	s := memory.New(memory.Config{})
	a := replica(t, s)
	file := func(e *Engine, text string) uint64 {
		t.Helper()
		v, err := e.ApplyFile(t.Context(), "p.yaml", []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		return v.Epoch
	}
	first := file(a, allowAll)
	if again := file(a, allowAll); again != first {
		t.Errorf("the same file again: epoch %d after %d", again, first)
	}
	over := mustApply(t, a, "", denyAll)
	closeAll(t, a)
	b := replica(t, s)
	defer closeAll(t, b)
	if kept := file(b, allowAll); kept != over.Epoch {
		t.Errorf("a restart with the unchanged file: epoch %d, want the operator's %d", kept, over.Epoch)
	}
	if d, _ := asked(t, b, "n"); d != admit.Denied {
		t.Error("the unchanged file replaced the operator's policy")
	}
	if changed := file(b, allowAll+"# new\n"); changed != over.Epoch+1 {
		t.Errorf("a changed file: epoch %d after %d", changed, over.Epoch)
	}
	if d, _ := asked(t, b, "n"); d != admit.Granted {
		t.Error("the changed file was not applied")
	}
	if _, err := b.ApplyFile(t.Context(), "p.yaml", []byte("version: 2\n")); err == nil {
		t.Error("a wrong file was applied")
	}
}

// Replicas that start at once with the same file apply it once.
func TestFileOfManyReplicas(t *testing.T) {
	a, b := pair(t)
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			if _, err := []*Engine{a, b}[i%2].ApplyFile(t.Context(), "p.yaml", []byte(denyAll)); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if _, epoch := asked(t, a, "n"); epoch != 1 {
		t.Errorf("the epoch is %d, want 1", epoch)
	}
}
