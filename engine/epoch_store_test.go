// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"errors"
	"maps"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"pgregory.net/rapid"

	"github.com/resilienced/resilienced/policy"
	"github.com/resilienced/resilienced/rules"
	"github.com/resilienced/resilienced/rules/admit"
	"github.com/resilienced/resilienced/statestore"
	"github.com/resilienced/resilienced/statestore/memory"
)

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
