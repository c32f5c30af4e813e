// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"pgregory.net/rapid"

	"github.com/resilienced/resilienced/policy"
	"github.com/resilienced/resilienced/rules"
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

// putAs writes a policy as another version would, which knows more keys.
func putAs(t *testing.T, s statestore.Store, ns, text string) {
	t.Helper()
	entries := []*statestore.Entry{
		{Key: epochKey(), Mode: statestore.Write}, {Key: indexKey(), Mode: statestore.Write}, {Key: policyKey(ns), Mode: statestore.Write},
	}
	err := s.Update(t.Context(), entries, func(rules.Instant) (statestore.Durability, error) {
		old, _ := entries[0].Record().(*Meta)
		entries[0].Put(&Meta{Epoch: old.Epoch + 1, File: old.File})
		changed := map[string]uint64{}
		if index, ok := entries[1].Record().(*Meta); ok {
			maps.Copy(changed, index.Changed)
		}
		changed[ns] = old.Epoch + 1
		entries[1].Put(&Meta{Changed: changed})
		entries[2].Put(&Document{Text: []byte(text), File: "p.yaml", Epoch: old.Epoch + 1})
		return statestore.Durable, nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestPolicyOfANewerVersion: what this version cannot read leaves the
// namespace with the last good policy, and is told.
func TestPolicyOfANewerVersion(t *testing.T) {
	s := memory.New(memory.Config{})
	e := replica(t, s)
	defer closeAll(t, e)
	mustApply(t, e, "n", denyAll)
	mustApply(t, e, "", allowAll)
	putAs(t, s, "n", "version: 1\nfrom_the_future: 1\n")
	if d, epoch := asked(t, e, "n"); d != admit.Denied || epoch != 2 {
		t.Errorf("the namespace: %v by epoch %d, want its last good one", d, epoch)
	}
	if d, epoch := asked(t, e, "m"); d != admit.Granted || epoch != 3 {
		t.Errorf("another namespace: %v by epoch %d", d, epoch)
	}
	state := e.PolicyState()
	if state.Epoch != 3 || len(state.Unread) != 1 || state.Unread[0].Namespace != "n" || state.Unread[0].Kept != 2 ||
		!strings.Contains(state.Unread[0].Err.Error(), "p.yaml:2:1") {
		t.Errorf("the state is %+v", state)
	}
	if v, err := e.GetPolicy(t.Context(), "n"); err != nil || v.Epoch != 2 || string(v.Text) != denyAll {
		t.Errorf("GetPolicy shows %+v, %v; want what is followed here", v, err)
	}
	putAs(t, s, "", "version: 9\n")
	if d, epoch := asked(t, e, "m"); d != admit.Granted || epoch != 3 {
		t.Errorf("without a readable file: %v by epoch %d", d, epoch)
	}
	if _, err := New(t.Context(), Config{Store: s}); err == nil || !strings.Contains(err.Error(), "stored policy") {
		t.Errorf("a start without a last good one: %v", err)
	}
	mustApply(t, e, "n", allowAll)
	mustApply(t, e, "", allowAll)
	if state := e.PolicyState(); len(state.Unread) != 0 || state.Epoch != 6 {
		t.Errorf("after readable ones: %+v", state)
	}
	if d, epoch := asked(t, e, "n"); d != admit.Granted || epoch != 6 {
		t.Errorf("after a readable one: %v by epoch %d", d, epoch)
	}
}

// unreadable is a store of which nobody can read policies while it is set.
type unreadable struct {
	statestore.Store
	away atomic.Bool
}

func (s *unreadable) Get(ctx context.Context, k statestore.Key) (statestore.Record, rules.Instant, error) {
	if s.away.Load() && k.Kind == statestore.KindPolicy {
		return nil, 0, statestore.ErrUnavailable
	}
	return s.Store.Get(ctx, k)
}

// TestNoDecisionByAnOldPolicy: a replica that knows of a newer policy and
// cannot load it does not answer.
func TestNoDecisionByAnOldPolicy(t *testing.T) {
	shared := memory.New(memory.Config{})
	s := &unreadable{Store: shared}
	a, b := replica(t, shared), replica(t, s)
	defer closeAll(t, a, b)
	s.away.Store(true)
	if d, _ := asked(t, b, "n"); d != admit.Granted {
		t.Errorf("with nothing new to load: %v", d)
	}
	mustApply(t, a, "n", denyAll)
	if r, err := b.Acquire(t.Context(), &AcquireRequest{Namespace: "n", Target: "x"}); !errors.Is(err, ErrUnavailable) {
		t.Errorf("a replica that is behind answered %+v, %v", r, err)
	}
	s.away.Store(false)
	if d, epoch := asked(t, b, "n"); d != admit.Denied || epoch != 1 {
		t.Errorf("afterwards: %v by epoch %d", d, epoch)
	}
}

// TestStoreFromBeforeEpochs: policies that were applied when the store kept no
// epoch stay in force, under the numbers that they have.
func TestStoreFromBeforeEpochs(t *testing.T) {
	s := memory.New(memory.Config{})
	entries := []*statestore.Entry{{Key: policyKey(""), Mode: statestore.Write}, {Key: policyKey("n"), Mode: statestore.Write}}
	err := s.Update(t.Context(), entries, func(rules.Instant) (statestore.Durability, error) {
		entries[0].Put(&Document{Text: []byte(allowAll), File: "p.yaml", Epoch: 3, Actor: "file:p.yaml"})
		entries[1].Put(&Document{Text: []byte(denyAll), Epoch: 7, Actor: "me"})
		return statestore.Durable, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		e := replica(t, s)
		if v, err := e.ApplyFile(t.Context(), "p.yaml", []byte(allowAll)); err != nil || v.Epoch != 7 {
			t.Errorf("the unchanged file: %+v, %v", v, err)
		}
		if d, epoch := asked(t, e, "n"); d != admit.Denied || epoch != 7 {
			t.Errorf("the namespace: %v by epoch %d", d, epoch)
		}
		closeAll(t, e)
	}
}

// A drill's policy goes with the drill, from every replica and from the store.
func TestEndedDrillsLeaveNoPolicy(t *testing.T) {
	a, b := pair(t)
	d, err := a.StartDrill(t.Context(), "", 0)
	if err != nil {
		t.Fatal(err)
	}
	mustApply(t, a, d.Namespace, denyAll)
	if o, _ := asked(t, b, d.Namespace); o != admit.Denied {
		t.Errorf("the drill's policy: %v", o)
	}
	if err := a.EndDrill(t.Context(), d.Namespace); err != nil {
		t.Fatal(err)
	}
	mustApply(t, a, "n", allowAll)
	asked(t, b, "n")
	for name, e := range map[string]*Engine{"a": a, "b": b} {
		set := e.policies.Load()
		if set.docs[d.Namespace] != nil || set.own[d.Namespace] != nil || set.changed[d.Namespace] != 0 {
			t.Errorf("replica %s keeps the policy of an ended drill", name)
		}
	}
}

// TestPoliciesUnderLoad: after an apply has returned, no replica decides by an
// older policy, and every decision goes by the policy of the epoch it names.
// Each caller decides at least once between two applies: a command that is
// outdated again and again is refused, as it must be.
func TestPoliciesUnderLoad(t *testing.T) {
	a, b := pair(t)
	engines := []*Engine{a, b}
	const applies = 40
	var applied atomic.Uint64
	var decided [8]atomic.Int64
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for i := range decided {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				floor := applied.Load()
				outcome, epoch := asked(t, engines[i%2], "n")
				if epoch < floor || (outcome == admit.Denied) != (epoch%2 == 1) {
					t.Errorf("decided %v by epoch %d after %d was in force", outcome, epoch, floor)
				}
				decided[i].Add(1)
			}
		})
	}
	for i := range uint64(applies) {
		text := denyAll // of odd epochs
		if i%2 == 1 {
			text = allowAll
		}
		v := mustApply(t, engines[i%3%2], "n", text)
		if v.Epoch != i+1 {
			t.Fatalf("epoch %d after %d", v.Epoch, i)
		}
		applied.Store(v.Epoch)
		for k := range decided {
			for before := decided[k].Load(); decided[k].Load() == before; {
				runtime.Gosched()
			}
		}
	}
	close(stop)
	wg.Wait()
}

// TestEpochModel compares two replicas with a dumb model: a number and a text
// for each namespace.
func TestEpochModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := memory.New(memory.Config{})
		engines := []*Engine{replica(t, s), replica(t, s)}
		defer func() { closeAll(t, engines...) }()
		epoch, file := uint64(0), ""
		texts := map[string]string{}
		one := func(t *rapid.T) *Engine { return engines[rapid.IntRange(0, 1).Draw(t, "replica")] }
		text := func(t *rapid.T) string {
			return rapid.SampledFrom([]string{allowAll, denyAll}).Draw(t, "policy")
		}
		t.Repeat(map[string]func(*rapid.T){
			"apply": func(t *rapid.T) {
				e, p := one(t), text(t)
				ns := rapid.SampledFrom([]string{"", "n", "m"}).Draw(t, "namespace")
				req := &ApplyPolicyRequest{Namespace: ns, Text: []byte(p)}
				if rapid.Bool().Draw(t, "expects") {
					req.ExpectedEpoch = new(rapid.Uint64Range(epoch-min(epoch, 1), epoch+1).Draw(t, "expected"))
				}
				v, err := e.ApplyPolicy(context.Background(), req)
				if stale := req.ExpectedEpoch != nil && *req.ExpectedEpoch != epoch; stale != errors.Is(err, ErrEpoch) || !stale && err != nil {
					t.Fatalf("apply: %v", err)
				} else if stale {
					return
				}
				epoch++
				texts[ns] = p
				if v.Epoch != epoch {
					t.Fatalf("applied as %d, want %d", v.Epoch, epoch)
				}
			},
			"file": func(t *rapid.T) {
				p := text(t)
				v, err := one(t).ApplyFile(context.Background(), "p.yaml", []byte(p))
				if err != nil {
					t.Fatal(err)
				}
				if p != file {
					epoch++
					file, texts[""] = p, p
				}
				if v.Epoch != epoch || string(v.Text) != texts[""] {
					t.Fatalf("the file's policy is %+v, want %d", v, epoch)
				}
			},
			"bad": func(t *rapid.T) {
				_, err := one(t).ApplyPolicy(context.Background(), &ApplyPolicyRequest{Namespace: "n", Text: []byte("version: 1\nx: 1\n")})
				if _, ok := errors.AsType[*policy.ParseError](err); !ok {
					t.Fatalf("a wrong policy: %v", err)
				}
			},
			"restart": func(t *rapid.T) {
				i := rapid.IntRange(0, 1).Draw(t, "replica")
				closeAll(t, engines[i])
				engines[i] = replica(t, s)
			},
			"": func(t *rapid.T) {
				for _, ns := range []string{"n", "m", "o"} {
					want := texts[ns]
					if want == "" {
						want = texts[""]
					}
					outcome, at := asked(t, one(t), ns)
					if (outcome == admit.Denied) != (want == denyAll) || at != epoch {
						t.Fatalf("%s: %v by epoch %d, want epoch %d and\n%s", ns, outcome, at, epoch, want)
					}
				}
			},
		})
	})
}
