// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/resilienced/resilienced/rules/breaker"
	"github.com/resilienced/resilienced/rules/classify"
	"github.com/resilienced/resilienced/test/distant"
)

// replicas opens engines on one store.
func replicas(t *testing.T, n int, cfg distant.Config) ([]*Engine, []*distant.Store) {
	t.Helper()
	net := distant.New(cfg)
	engines, stores := make([]*Engine, n), make([]*distant.Store, n)
	for i := range n {
		stores[i] = net.Connect()
		engines[i] = join(t, stores[i])
	}
	return engines, stores
}

// watchFor returns when a watch on the engine shows the target in the phase.
func watchFor(t *testing.T, e *Engine, name string, phase breaker.Phase) <-chan time.Time {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	seen := make(chan time.Time, 1)
	go func() {
		defer cancel()
		_ = e.WatchTargets(ctx, "n", "", func(v *TargetView, _ bool) error {
			if v.Name == name && v.Control.Breaker.Phase == phase {
				seen <- time.Now()
				return context.Canceled
			}
			return nil
		})
	}()
	synctest.Wait()
	return seen
}

// TestOtherReplicasWake: what changes at one replica wakes who waits at another
// within milliseconds, and the next look finds it when the message is lost.
func TestOtherReplicasWake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		engines, stores := replicas(t, 3, distant.Config{Lanes: 2, Latency: 2 * time.Millisecond})
		stores[2].Mute()
		near, deaf := watchFor(t, engines[1], "x", breaker.ForcedOpen), watchFor(t, engines[2], "x", breaker.ForcedOpen)
		begun := time.Now()
		if _, err := engines[0].SetBreaker(t.Context(), &SetBreakerRequest{Namespace: "n", Target: "x", Mode: breaker.ForcedOpen}); err != nil {
			t.Fatal(err)
		}
		if took := (<-near).Sub(begun); took > 50*time.Millisecond {
			t.Errorf("another replica saw the change after %v", took)
		}
		if took := (<-deaf).Sub(begun); took > pollEvery+50*time.Millisecond {
			t.Errorf("a replica that hears nothing saw the change after %v", took)
		}
		lost := watchFor(t, engines[2], "x", breaker.Closed)
		time.Sleep(time.Second)
		begun = time.Now()
		if _, err := engines[0].SetBreaker(t.Context(), &SetBreakerRequest{Namespace: "n", Target: "x", Mode: breaker.Closed}); err != nil {
			t.Fatal(err)
		}
		engines[2].hear("")
		if took := (<-lost).Sub(begun); took > 50*time.Millisecond {
			t.Errorf("a replica that lost messages looked after %v", took)
		}
	})
}

// TestEveryKindIsTold: whoever waits for a kind of event in a namespace is
// woken by it, wherever it happened, and nobody else is.
func TestEveryKindIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		engines, _ := replicas(t, 2, distant.Config{Lanes: 2})
		for _, kind := range []EventKind{EventTransition, EventEscalation, EventLetter, EventRun, EventPolicy} {
			mine, stopMine := engines[1].watchers.watch(kind, "n")
			others, stopOthers := engines[1].watchers.watch(kind, "m")
			engines[0].publish(Event{Kind: kind, Namespace: "n"})
			time.Sleep(10 * time.Millisecond)
			if len(mine) != 1 || len(others) != 0 {
				t.Errorf("%s: woken %d of 1 who waits, %d of 0 in another namespace", kind, len(mine), len(others))
			}
			stopMine()
			stopOthers()
		}
	})
}

// TestPolicyIsLoadedAhead: a replica without calls follows a policy that was
// applied elsewhere.
func TestPolicyIsLoadedAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		engines, _ := replicas(t, 2, distant.Config{Lanes: 2, Latency: 2 * time.Millisecond})
		if _, err := engines[0].ApplyPolicy(t.Context(), &ApplyPolicyRequest{Namespace: "n", Text: []byte("version: 1\n")}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(50 * time.Millisecond)
		if got, want := engines[1].PolicyState().Epoch, engines[0].PolicyState().Epoch; got != want || want == 0 {
			t.Errorf("the other replica is at epoch %d, want %d", got, want)
		}
	})
}

// TestNewChainIsKnownEverywhere: once a policy is applied, no replica refuses
// what it allows, though nobody has told it.
func TestNewChainIsKnownEverywhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		engines, stores := replicas(t, 2, distant.Config{Lanes: 2, Latency: 2 * time.Millisecond})
		stores[1].Mute()
		text := "version: 1\ntargets: [{match: x, preset: llm}, {match: y, preset: llm}]\nchains: {c: {levels: [{target: x, kind: PRIMARY}, {target: y, kind: CROSS_PROVIDER}]}}\n"
		if _, err := engines[0].ApplyPolicy(t.Context(), &ApplyPolicyRequest{Namespace: "n", Text: []byte(text)}); err != nil {
			t.Fatal(err)
		}
		req := ask("a")
		req.Target, req.Chain = "", "c"
		if a, err := engines[1].Acquire(t.Context(), req); err != nil || a.Grant == nil {
			t.Errorf("%+v, %v", a, err)
		}
		var invalid *InvalidError
		req = ask("b")
		req.Target, req.Chain = "", "d"
		if _, err := engines[1].Acquire(t.Context(), req); !errors.As(err, &invalid) || invalid.Field != "chain" {
			t.Errorf("a chain that nobody named: %v", err)
		}
	})
}

// TestCallsTellNothing: only what somebody may wait for is told, many changes
// share a message, and no message is longer than a store takes.
func TestCallsTellNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		engines, stores := replicas(t, 2, distant.Config{Lanes: 2})
		for i := range 100 {
			a, err := engines[0].Acquire(t.Context(), ask(strconv.Itoa(i)))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := engines[0].Report(t.Context(), &ReportRequest{
				Namespace: "n", PermitID: a.Grant.PermitID, Signal: classify.Signal{Outcome: classify.OutcomeSuccess},
			}); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Second)
		if n := stores[0].Told(); n != 0 {
			t.Errorf("100 calls sent %d messages", n)
		}
		for i := range 1000 {
			engines[0].teller.note(&Event{Kind: EventTransition, Namespace: strings.Repeat("n", 100) + strconv.Itoa(i)})
		}
		if m := engines[0].teller.message(); m != tellAll {
			t.Errorf("a message of %d bytes for 1000 namespaces", len(m))
		}
		for range 1000 {
			engines[0].publish(Event{Kind: EventTransition, Namespace: "n"})
		}
		time.Sleep(time.Second)
		if n := stores[0].Told(); n == 0 || n > 3 {
			t.Errorf("1000 changes of one kind sent %d messages", n)
		}
	})
}
