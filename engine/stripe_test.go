// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/resilienced/resilienced/rules/admit"
	"github.com/resilienced/resilienced/rules/breaker"
	"github.com/resilienced/resilienced/rules/classify"
	"github.com/resilienced/resilienced/rules/target"
	"github.com/resilienced/resilienced/statestore"
	"github.com/resilienced/resilienced/test/distant"
)

// call makes one whole call of target x.
func call(t *testing.T, ask1, report1 *Engine, id string, s classify.Signal) *ReportResult {
	t.Helper()
	a, err := ask1.Acquire(t.Context(), ask(id))
	if err != nil {
		t.Fatal(err)
	}
	if a.Decision != admit.Granted {
		return nil
	}
	r, err := report1.Report(t.Context(), &ReportRequest{Namespace: "n", PermitID: a.Grant.PermitID, Signal: s})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func window(t *testing.T, e *Engine) breaker.Counts {
	t.Helper()
	v, err := e.GetTarget(t.Context(), "n", "x", "")
	if err != nil {
		t.Fatal(err)
	}
	return v.Window
}

var (
	succeeded = classify.Signal{Outcome: classify.OutcomeSuccess, HTTPStatus: 200, Duration: time.Millisecond}
	failed    = classify.Signal{Outcome: classify.OutcomeFailure, HTTPStatus: 500, Duration: time.Millisecond}
)

// TestSumOfStripes: at any time each replica sees every call that any of them
// took in stripeBound ago or earlier, its own at once, and none twice.
func TestSumOfStripes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		engines, _ := replicas(t, 3, distant.Config{Lanes: 2, Latency: 4 * time.Millisecond})
		var taken []time.Time
		own := make([]int, 3)
		start := time.Now()
		for i := 0; time.Since(start) < 4*time.Second; i++ {
			at := rand.IntN(3)
			if call(t, engines[rand.IntN(3)], engines[at], strconv.Itoa(i), succeeded) == nil {
				t.Fatal("a call was refused")
			}
			taken = append(taken, time.Now())
			own[at]++
			for j, e := range engines {
				old := 0
				for _, when := range taken {
					if time.Since(when) > stripeBound {
						old++
					}
				}
				if got := int(window(t, e).Successes); got < old || got < own[j] || got > len(taken) {
					t.Fatalf("replica %d sees %d calls of %d; %d are old and %d its own", j, got, len(taken), old, own[j])
				}
			}
			time.Sleep(time.Duration(rand.IntN(60)) * time.Millisecond)
		}
	})
}

// TestRateTripSumsUp: failures that are few at each replica trip the breaker
// when they are many in all, and a replica with bad luck alone does not.
func TestRateTripSumsUp(t *testing.T) {
	for _, c := range []struct {
		name  string
		fails func(replica, i int) bool
		trips bool
	}{
		{"every second call fails, anywhere", func(_, i int) bool { return i%2 == 0 }, true},
		{"one of three replicas sees every second call fail", func(replica, i int) bool { return replica == 0 && i%2 == 0 }, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				engines, _ := replicas(t, 3, distant.Config{Lanes: 2, Latency: 2 * time.Millisecond})
				policy := "version: 1\ntargets:\n  - {match: \"x\", preset: tool, breaker: {failure_percent: 40, min_calls: 30, window: 10s, consecutive_failures: 100}}\n"
				if _, err := engines[0].ApplyPolicy(t.Context(), &ApplyPolicyRequest{Namespace: "n", Text: []byte(policy)}); err != nil {
					t.Fatal(err)
				}
				opened := false
				for i := range 60 {
					for j, e := range engines {
						s := succeeded
						if c.fails(j, i) {
							s = failed
						}
						opened = opened || call(t, e, e, fmt.Sprintf("%d-%d", i, j), s) == nil
					}
					time.Sleep(100 * time.Millisecond)
				}
				if opened != c.trips {
					t.Errorf("the breaker opened: %v, want %v; the window is %+v", opened, c.trips, window(t, engines[1]))
				}
			})
		})
	}
}

// TestStripesOutliveTheirReplica: what a replica has counted goes on counting
// after it is gone, and is dropped when it has aged.
func TestStripesOutliveTheirReplica(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := distant.New(distant.Config{Lanes: 2})
		first := net.Connect()
		e, err := New(t.Context(), Config{Store: first})
		if err != nil {
			t.Fatal(err)
		}
		for i := range 5 {
			call(t, e, e, strconv.Itoa(i), succeeded)
		}
		if err := e.Close(context.Background()); err != nil {
			t.Fatal(err)
		}
		s := net.Connect()
		e, err = New(t.Context(), Config{Store: s})
		if err != nil {
			t.Fatal(err)
		}
		defer e.Close(context.Background()) //nolint:errcheck // tested above
		call(t, e, e, "more", succeeded)
		if got := window(t, e); got.Successes != 6 {
			t.Errorf("after a restart the window has %+v", got)
		}
		count := func() int {
			n, err := s.Count(t.Context(), statestore.KindStripe, "")
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
		time.Sleep(time.Second)
		if n := count(); n != 2 {
			t.Errorf("%d stripes are stored, want one of each replica", n)
		}
		time.Sleep(target.TallyRetention + 5*time.Second)
		if n := count(); n != 0 || len(e.tallies.names("n")) != 0 {
			t.Errorf("an hour later %d stripes are stored and %d tallies known", n, len(e.tallies.names("n")))
		}
	})
}

// TestTallyWithoutAName: what a process without a replica's name has counted in
// the same store counts too, and the other way round.
func TestTallyWithoutAName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := distant.New(distant.Config{})
		alone := struct{ statestore.Store }{net.Connect().Store} // it has no Notifier
		for i, store := range []statestore.Store{alone, net.Connect(), alone} {
			e, err := New(t.Context(), Config{Store: store})
			if err != nil {
				t.Fatal(err)
			}
			call(t, e, e, strconv.Itoa(i), succeeded)
			if got := window(t, e); int(got.Successes) != i+1 {
				t.Errorf("process %d sees %+v", i, got)
			}
			if err := e.Close(context.Background()); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// TestQuietReplicasReadNothing: one that nobody asks does not ask the store,
// and reads first when somebody comes.
func TestQuietReplicasReadNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		engines, stores := replicas(t, 2, distant.Config{Lanes: 2, Latency: 2 * time.Millisecond})
		window(t, engines[1])
		time.Sleep(stripeIdle + time.Second)
		before := stores[1].Reads()
		for i := range 20 {
			call(t, engines[0], engines[0], strconv.Itoa(i), succeeded)
		}
		time.Sleep(5 * time.Second)
		if n := stores[1].Reads() - before; n != 0 {
			t.Errorf("a quiet replica read %d lists", n)
		}
		call(t, engines[1], engines[1], "first", succeeded)
		if got := window(t, engines[1]); got.Successes != 21 {
			t.Errorf("after a quiet time the window has %+v", got)
		}
	})
}
