// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/resilienced/resilienced/rules/admit"
	"github.com/resilienced/resilienced/rules/budget"
	"github.com/resilienced/resilienced/test/distant"
)

// TestACrowdGetsWhatTheStoreCanDo: 1,000 callers press one run over a store
// that carries out 1,000 commands a second, and ask again as they are told.
// Most of what the store does reaches somebody, and another namespace notices
// hardly anything: a few of its calls come into a batch of the crowd. Without a bound on who may wait, every answer comes too late.
func TestACrowdGetsWhatTheStoreCanDo(t *testing.T) {
	for _, bounded := range []bool{true, false} {
		t.Run(fmt.Sprintf("bounded %v", bounded), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				share, quiet := pressARun(t, bounded)
				t.Logf("%.2f of what the store can do, and %.2f of the quiet namespace's calls", share, quiet)
				if bounded && (share < 0.6 || quiet < 0.97) {
					t.Errorf("%.2f of what the store can do reaches somebody, and %.2f of the quiet namespace's calls", share, quiet)
				}
				if !bounded && share > 0.3 {
					t.Errorf("without a bound %.2f of it reaches somebody: the test presses too little", share)
				}
			})
		})
	}
}

// pressARun returns which part of a second's 1,000 commands were grants that
// somebody got, in the last five of eight seconds, and which part of another
// namespace's calls were granted.
func pressARun(t *testing.T, bounded bool) (share, quiet float64) {
	t.Helper()
	e, _ := far(t, distant.Config{Lanes: 3, Latency: 2 * time.Millisecond, PerRecord: time.Millisecond})
	if !bounded {
		e.commits.queue.intake = intake{}
	}
	if _, err := e.StartRun(t.Context(), &StartRunRequest{Namespace: "n", RunID: "r", Caps: budget.Caps{Calls: new(int64(1 << 40))}}); err != nil {
		t.Fatal(err)
	}
	var granted, asked, answered atomic.Int64
	start := time.Now()
	var callers sync.WaitGroup
	for i := range 1000 {
		callers.Go(func() {
			for n := 0; time.Since(start) < 8*time.Second; n++ {
				req := ask(fmt.Sprintf("%d-%d", i, n))
				req.RunID = "r"
				a, err := e.Acquire(t.Context(), req)
				switch {
				case err != nil:
					time.Sleep(waitOf(t, err))
				case a.Decision == admit.Granted && time.Since(start) > 3*time.Second:
					granted.Add(1)
				}
			}
		})
	}
	callers.Go(func() {
		for n := 0; time.Since(start) < 8*time.Second; n++ {
			req := ask(fmt.Sprintf("quiet-%d", n))
			req.Namespace = "quiet"
			asked.Add(1)
			if a, err := e.Acquire(t.Context(), req); err == nil && a.Decision == admit.Granted {
				answered.Add(1)
			}
			time.Sleep(20 * time.Millisecond)
		}
	})
	callers.Wait()
	return float64(granted.Load()) / 5000, float64(answered.Load()) / float64(asked.Load())
}

// waitOf is how long an error tells its caller to wait, whatever its kind.
func waitOf(t *testing.T, err error) time.Duration {
	t.Helper()
	if full, ok := errors.AsType[*OverloadedError](err); ok {
		return full.Delay
	}
	return delayOf(t, err)
}

// TestIntake follows its size by hand.
func TestIntake(t *testing.T) {
	now := time.Now()
	n := newIntake(8192)
	for range 600 {
		n.count("crowd", 1)
	}
	batch := func(took time.Duration) []*command { return []*command{{began: now.Add(-took)}} }
	steps := []struct {
		name  string
		after time.Duration
		took  time.Duration
		want  int
	}{
		{"in time", 0, 100 * time.Millisecond, 8192},
		{"late", time.Second, 200 * time.Millisecond, 375},
		{"late again at once", time.Millisecond, 200 * time.Millisecond, 375},
		{"still late", 100 * time.Millisecond, 200 * time.Millisecond, 234},
		{"in time, and nobody was refused", time.Second, 10 * time.Millisecond, 234},
	}
	for _, s := range steps {
		now = now.Add(s.after)
		n.follow(batch(s.took), now)
		if n.size != s.want {
			t.Fatalf("%s: the size is %d, want %d", s.name, n.size, s.want)
		}
	}
	if n.takes("crowd", 600) || !n.takes("other", 600) {
		t.Error("a full intake takes from the crowd, or from nobody else")
	}
	now = now.Add(time.Second)
	if n.follow(batch(time.Millisecond), now); n.size != 234 {
		t.Errorf("it grew to %d by a batch of one", n.size)
	}
	large := make([]*command, 100)
	for i := range large {
		large[i] = &command{began: now}
	}
	if n.follow(large, now); n.size != 234+29 {
		t.Errorf("it grew to %d, want 263", n.size)
	}
	for range 100 {
		now = now.Add(time.Second)
		n.follow(batch(time.Second), now)
	}
	if n.size != smallestIntake {
		t.Errorf("it shrank to %d, want %d", n.size, smallestIntake)
	}
	n.count("crowd", -600)
	if len(n.waiting) != 0 {
		t.Errorf("nobody waits, but %v", n.waiting)
	}
	zero := intake{}
	zero.count("crowd", 1)
	if !zero.takes("crowd", 1<<20) {
		t.Error("the zero intake bounds something")
	}
}
