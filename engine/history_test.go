// SPDX-License-Identifier: Apache-2.0

package engine_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/resilienced/resilienced/engine"
	"github.com/resilienced/resilienced/rules"
	"github.com/resilienced/resilienced/rules/admit"
	"github.com/resilienced/resilienced/rules/breaker"
	"github.com/resilienced/resilienced/rules/classify"
	"github.com/resilienced/resilienced/rules/operation"
	"github.com/resilienced/resilienced/statestore"
	"github.com/resilienced/resilienced/statestore/memory"
)

// inStoreBubble is inBubble with a configuration and a look at the store.
func inStoreBubble(t *testing.T, c engine.Config, body func(*testing.T, *engine.Engine, statestore.Store)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		c.Store = memory.New(memory.Config{})
		e, err := engine.New(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := e.Close(context.Background()); err != nil {
				t.Error(err)
			}
		}()
		body(t, e, c.Store)
	})
}

// flap changes the breaker of x n times by hand, a minute apart, and returns what its
// history is to have, newest first, without generations.
func flap(t *testing.T, e *engine.Engine, n int) []breaker.Transition {
	t.Helper()
	var made []breaker.Transition
	phase := breaker.Closed
	for i := range n {
		next := breaker.ForcedOpen
		if phase == breaker.ForcedOpen {
			next = breaker.Closed
		}
		req := &engine.SetBreakerRequest{Namespace: "n", Target: "x", Mode: next, Actor: "me", Reason: strconv.Itoa(i)}
		v, err := e.SetBreaker(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		made = append(made, breaker.Transition{From: phase, To: next, At: v.Now})
		phase = next
		time.Sleep(time.Minute)
	}
	slices.Reverse(made)
	return made
}

// history reads all pages of a target's history.
func history(t *testing.T, e *engine.Engine, q engine.TransitionsQuery) []breaker.Transition {
	t.Helper()
	q.Namespace = "n"
	var all []breaker.Transition
	for {
		page, err := e.ListTransitions(t.Context(), &q)
		if err != nil {
			t.Fatal(err)
		}
		if size := q.PageSize; size > 0 && len(page.Items) > size {
			t.Fatalf("a page of %d has %d", size, len(page.Items))
		}
		all = append(all, page.Items...)
		if q.PageToken = page.Next; q.PageToken == "" {
			return all
		}
	}
}

func sameTurns(got, want []breaker.Transition) bool {
	return slices.EqualFunc(got, want, func(a, b breaker.Transition) bool { return a.From == b.From && a.To == b.To && a.At == b.At })
}

// Whatever the length and the page, the history is all that was made, newest
// first, up to the bound.
func TestHistoryIsWhole(t *testing.T) {
	for _, n := range []int{0, 1, 19, 20, 39, 40, 41, 100, engine.MaxTransitions + 65} {
		t.Run(strconv.Itoa(n), func(t *testing.T) {
			inBubble(t, "", func(t *testing.T, e *engine.Engine) {
				want := flap(t, e, n)
				want = want[:min(n, engine.MaxTransitions)]
				for _, size := range []int{0, 1000, 7} {
					if got := history(t, e, engine.TransitionsQuery{Target: "x", PageSize: size}); !sameTurns(got, want) {
						t.Errorf("pages of %d: %d transitions, want %d", size, len(got), len(want))
					}
				}
				if len(want) > 10 {
					since := want[10].At
					if got := history(t, e, engine.TransitionsQuery{Target: "x", Since: since}); !sameTurns(got, want[:11]) {
						t.Errorf("since %v: %d transitions, want 11", since, len(got))
					}
				}
				v, err := e.GetTarget(t.Context(), "n", "x", "")
				if err != nil || !sameTurns(v.Transitions, want[:min(len(want), 20)]) {
					t.Errorf("the target shows %d transitions, %v; want the newest 20", len(v.Transitions), err)
				}
				if got := history(t, e, engine.TransitionsQuery{Target: "x", Credential: "other"}); len(got) != len(want) {
					t.Errorf("a credential that the policy does not tell apart: %d transitions", len(got))
				}
				if got := history(t, e, engine.TransitionsQuery{Target: "y"}); len(got) != 0 {
					t.Errorf("another target has %d transitions", len(got))
				}
			})
		})
	}
}

// A reader that goes through the pages sees each transition once, although
// more are made meanwhile.
func TestHistoryWhileItGrows(t *testing.T) {
	inBubble(t, "", func(t *testing.T, e *engine.Engine) {
		want := flap(t, e, 90)
		q := &engine.TransitionsQuery{Namespace: "n", Target: "x", PageSize: 9}
		var got []breaker.Transition
		for {
			page, err := e.ListTransitions(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, page.Items...)
			if q.PageToken = page.Next; q.PageToken == "" {
				break
			}
			flap(t, e, 2)
		}
		if !sameTurns(got, want) {
			t.Errorf("%d transitions, want the %d from before", len(got), len(want))
		}
	})
}

func TestHistoryRefusesOtherTokens(t *testing.T) {
	inBubble(t, "", func(t *testing.T, e *engine.Engine) {
		flap(t, e, 3)
		page, err := e.ListTransitions(t.Context(), &engine.TransitionsQuery{Namespace: "n", Target: "x", PageSize: 1})
		if err != nil || page.Next == "" {
			t.Fatalf("%+v, %v", page, err)
		}
		for _, q := range []engine.TransitionsQuery{
			{Target: "x", PageToken: "nonsense"}, {Target: "y", PageToken: page.Next}, {Target: "xx", PageToken: page.Next},
		} {
			q.Namespace = "n"
			_, err := e.ListTransitions(t.Context(), &q)
			if invalid, ok := errors.AsType[*engine.InvalidError](err); !ok || invalid.Field != "page_token" {
				t.Errorf("%+v: %v", q, err)
			}
		}
	})
}

// TestHistoryRetention: each transition goes after 30 days, whatever record it
// is in, and no record is left of a history that is over.
func TestHistoryRetention(t *testing.T) {
	inStoreBubble(t, engine.Config{AllowDrills: true}, func(t *testing.T, e *engine.Engine, s statestore.Store) {
		d, err := e.StartDrill(t.Context(), "", 0)
		if err != nil {
			t.Fatal(err)
		}
		days := func(n time.Duration) {
			t.Helper()
			if _, err := e.AdvanceClock(t.Context(), d.Namespace, "", n*24*time.Hour); err != nil {
				t.Fatal(err)
			}
		}
		turn := func(n int) {
			t.Helper()
			for range n {
				for _, mode := range []breaker.Phase{breaker.ForcedOpen, breaker.Closed} {
					req := &engine.SetBreakerRequest{Namespace: d.Namespace, Target: "x", Mode: mode, Reason: "r"}
					if _, err := e.SetBreaker(t.Context(), req); err != nil {
						t.Fatal(err)
					}
				}
			}
		}
		kept := func(want int) {
			t.Helper()
			page, err := e.ListTransitions(t.Context(), &engine.TransitionsQuery{Namespace: d.Namespace, Target: "x", PageSize: 1000})
			if err != nil || len(page.Items) != want {
				t.Errorf("%d transitions, %v; want %d", len(page.Items), err, want)
			}
		}
		turn(50)
		days(20)
		turn(2)
		days(9)
		kept(104)
		days(1) // the first are 30 days old; the last of them lie beside newer ones
		kept(4)
		days(20)
		kept(0)
		if n, err := s.Count(t.Context(), statestore.KindTransition, d.Namespace); n != 0 || err != nil {
			t.Errorf("%d records are left of a history that is over, %v", n, err)
		}
		turn(45)
		kept(90)
	})
}

// The sweeper drops the records of histories that are over, and no other.
func TestSweeperDropsOldHistory(t *testing.T) {
	inStoreBubble(t, engine.Config{NoSweeper: true}, func(t *testing.T, e *engine.Engine, s statestore.Store) {
		now, err := s.Now(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var entries []*statestore.Entry
		for i := range 60 {
			entries = append(entries, &statestore.Entry{
				Key:  statestore.Key{Kind: statestore.KindTransition, Namespace: "n", Name: fmt.Sprint("t", i)},
				Mode: statestore.Write,
			})
		}
		err = s.Update(t.Context(), entries, func(rules.Instant) (statestore.Durability, error) {
			for i, entry := range entries {
				at := now.Add(-engine.HistoryRetention + time.Duration(i-30)*time.Second)
				entry.Put(&engine.History{Transitions: []breaker.Transition{{At: at - 1}, {At: at}}})
			}
			return statestore.Durable, nil
		})
		if err != nil {
			t.Fatal(err)
		}
		sweep(t, e)
		if n, err := s.Count(t.Context(), statestore.KindTransition, "n"); n != 29 || err != nil {
			t.Errorf("%d records are left, %v; want the 29 that are younger than 30 days", n, err)
		}
	})
}

// broken is the signal of a call that the target could not serve.
func broken() classify.Signal {
	return classify.Signal{Outcome: classify.OutcomeFailure, HTTPStatus: 503, Duration: time.Second}
}

// trip lets a target fail until its breaker opens, and returns when it did.
func trip(t *testing.T, e *engine.Engine, target string) *engine.ReportResult {
	t.Helper()
	for i := range 20 {
		r := mustAcquire(t, e, engine.AcquireRequest{
			Target: target, OperationID: fmt.Sprint("trip", i), Idempotency: operation.Idempotent, Reporter: fmt.Sprint("r", i%3),
		})
		if r.Grant == nil {
			t.Fatalf("attempt %d: %+v", i, r)
		}
		if report := mustReport(t, e, r.Grant.PermitID, broken()); report.Answer.Opened {
			return report
		}
	}
	t.Fatal("the breaker did not open")
	return nil
}

// TestHistoryHasWhatTimeDid: a change that is only due is in the history with
// its due time, before anybody writes it and whoever does.
func TestHistoryHasWhatTimeDid(t *testing.T) {
	write := map[string]func(t *testing.T, e *engine.Engine){
		"nobody":  func(*testing.T, *engine.Engine) {},
		"sweeper": func(t *testing.T, e *engine.Engine) { sweep(t, e) },
		"probe": func(t *testing.T, e *engine.Engine) {
			if r := mustAcquire(t, e, engine.AcquireRequest{Target: "x", Idempotency: operation.Idempotent}); r.Grant == nil || !r.Grant.Probe {
				t.Errorf("no probe: %+v", r)
			}
		},
		"a probe that fails": func(t *testing.T, e *engine.Engine) {
			r := mustAcquire(t, e, engine.AcquireRequest{Target: "x", Idempotency: operation.Idempotent})
			mustReport(t, e, r.Grant.PermitID, broken())
		},
		"operator": func(t *testing.T, e *engine.Engine) {
			if _, err := e.SetBreaker(t.Context(), &engine.SetBreakerRequest{Namespace: "n", Target: "x", Mode: breaker.Closed, Reason: "r"}); err != nil {
				t.Error(err)
			}
		},
	}
	for name, write := range write {
		t.Run(name, func(t *testing.T) {
			inStoreBubble(t, engine.Config{NoSweeper: true}, func(t *testing.T, e *engine.Engine, _ statestore.Store) {
				opened := trip(t, e, "x").Now
				before, err := e.GetTarget(t.Context(), "n", "x", "")
				if err != nil {
					t.Fatal(err)
				}
				until := before.Control.Breaker.OpenUntil
				time.Sleep(until.Sub(before.Now) + 5*time.Second)
				write(t, e)
				got := history(t, e, engine.TransitionsQuery{Target: "x"})
				slices.Reverse(got)
				if len(got) < 2 || got[0].To != breaker.Open || got[0].At != opened ||
					got[1].From != breaker.Open || got[1].To != breaker.HalfOpen || got[1].At != until {
					t.Fatalf("the history is %+v; want OPEN at %v and HALF_OPEN at %v", got, opened, until)
				}
				if !slices.IsSortedFunc(got, func(a, b breaker.Transition) int { return int(a.Generation) - int(b.Generation) }) {
					t.Errorf("generations are out of order: %+v", got)
				}
				v, err := e.GetTarget(t.Context(), "n", "x", "")
				if err != nil {
					t.Fatal(err)
				}
				if slices.Reverse(got); !slices.Equal(v.Transitions, got) {
					t.Errorf("the target shows %+v, its history has %+v", v.Transitions, got)
				}
			})
		})
	}
}

// The end of what an operator set for a while is in the history too, at the
// time that was set, when a slot is taken and when one is given back.
func TestHistoryHasTheEndOfForce(t *testing.T) {
	inStoreBubble(t, engine.Config{NoSweeper: true}, func(t *testing.T, e *engine.Engine, _ statestore.Store) {
		if _, err := e.ApplyFile(t.Context(), "p.yaml", []byte(toolPolicy)); err != nil {
			t.Fatal(err)
		}
		force := func() time.Duration {
			t.Helper()
			_, err := e.SetBreaker(t.Context(), &engine.SetBreakerRequest{
				Namespace: "n", Target: "tool/a", Mode: breaker.ForcedClosed, TTL: time.Minute, Actor: "me", Reason: "r",
			})
			if err != nil {
				t.Fatal(err)
			}
			return time.Minute
		}
		check := func(when string, turns int) {
			t.Helper()
			got := history(t, e, engine.TransitionsQuery{Target: "tool/a"})
			if len(got) != turns || got[0].To != breaker.Closed || got[0].At.Sub(got[1].At) != time.Minute {
				t.Errorf("%s: %+v", when, got)
			}
		}
		time.Sleep(force() + time.Second)
		r := mustAcquire(t, e, engine.AcquireRequest{Target: "tool/a", OperationID: "o"})
		if r.Decision != admit.Granted {
			t.Fatalf("%+v", r)
		}
		check("after a grant", 2)
		time.Sleep(force() - time.Minute + r.Grant.HeartbeatEvery)
		time.Sleep(max(0, time.Minute-r.Grant.HeartbeatEvery))
		if _, err := e.Release(t.Context(), &engine.ReleaseRequest{Namespace: "n", PermitID: r.Grant.PermitID}); err != nil {
			t.Fatal(err)
		}
		check("after a release", 4)
	})
}

func sweep(t *testing.T, e *engine.Engine) {
	t.Helper()
	if _, err := e.Sweep(t.Context()); err != nil {
		t.Error(err)
	}
}
