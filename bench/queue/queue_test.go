// SPDX-License-Identifier: Apache-2.0

package queue_test

import (
	"math"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/resilienced/resilienced/bench/queue"
)

const us = time.Microsecond

// costs are about those of a database on the same machine.
func costs() queue.Costs {
	return queue.Costs{
		Caller: 4 * us, Ours: queue.Work{Batch: 60 * us, Command: 20 * us},
		Database: queue.Work{Batch: 80 * us, Command: 16 * us}, Trip: 100 * us, Flush: 400 * us,
	}
}

// test is what testing and rapid have in common.
type test interface {
	Helper()
	Fatal(args ...any)
	Errorf(format string, args ...any)
}

func run(tb test, m queue.Model) *queue.Result {
	tb.Helper()
	r, err := m.Run()
	if err != nil {
		tb.Fatal(err)
	}
	return r
}

// near fails unless two figures differ by less than a part of the second.
func near(tb test, what string, got, want, part float64) {
	tb.Helper()
	if math.Abs(got-want) > part*want {
		tb.Errorf("%s = %.4g, want %.4g", what, got, want)
	}
}

// One caller pays every cost once, one after the other.
func TestOneCaller(t *testing.T) {
	c := costs()
	alone := c.Caller + c.Ours.Of(1) + c.Database.Of(1) + 2*c.Trip + c.Flush
	for _, keys := range []queue.Keys{queue.Hot, queue.Own, queue.None} {
		for _, cores := range []int{0, 1, 2} {
			r := run(t, queue.Model{Costs: c, Callers: 1, Replicas: 1, Lanes: 2, Cores: cores, Keys: keys, For: 2 * time.Second})
			near(t, "rate", r.Rate(), 1/alone.Seconds(), 0.001)
			near(t, "p50", float64(r.Quantile(50)), float64(alone), 0.002)
			near(t, "batch", r.Batch(), 1, 0.001)
			if r.Blocked != 0 {
				t.Errorf("blocked %v with nobody else there", r.Blocked)
			}
		}
	}
	r := run(t, queue.Model{Costs: c, Callers: 1, Replicas: 1, Keys: queue.Hot, Rebuildable: true, For: 2 * time.Second})
	near(t, "rate without the disk", r.Rate(), 1/(alone-c.Flush).Seconds(), 0.001)
}

// With one lane, no bound on a batch and processors for all, callers fall into
// two groups that take turns: each pays both batches, and together they pay
// the fixed costs twice and every command once.
func TestOneLaneWithBatchesOfAnySize(t *testing.T) {
	c := costs()
	c.Caller = 0
	fixed := c.Ours.Batch + c.Database.Batch + 2*c.Trip + c.Flush
	each := c.Ours.Command + c.Database.Command
	for _, callers := range []int{2, 16, 64, 256} {
		turn := 2*fixed + time.Duration(callers)*each
		r := run(t, queue.Model{Costs: c, Callers: callers, Replicas: 1, Keys: queue.Hot, For: 3 * time.Second})
		near(t, "rate", r.Rate(), float64(callers)/turn.Seconds(), 0.005)
		near(t, "batch", r.Batch(), float64(callers)/2, 0.005)
		near(t, "p50", float64(r.Quantile(50)), float64(turn), 0.005)
	}
}

// A bound on the batch is what limits many callers.
func TestBatchesOfOneSize(t *testing.T) {
	c := costs()
	c.Caller = 0
	const most = 8
	one := c.Ours.Of(most) + c.Database.Of(most) + 2*c.Trip + c.Flush
	r := run(t, queue.Model{Costs: c, Callers: 64, Replicas: 1, MaxBatch: most, Keys: queue.Hot, For: 2 * time.Second})
	near(t, "rate", r.Rate(), most/one.Seconds(), 0.005)
	near(t, "batch", r.Batch(), most, 0.005)
}

// Commands that share nothing, with a lane for each and processors for all, do
// not feel one another.
func TestNothingShared(t *testing.T) {
	c := costs()
	c.Flush = 0
	alone := c.Caller + c.Ours.Of(1) + c.Database.Of(1) + 2*c.Trip
	for _, keys := range []queue.Keys{queue.Own, queue.None} {
		r := run(t, queue.Model{Costs: c, Callers: 32, Replicas: 1, Lanes: 32, Keys: keys, For: 3 * time.Second})
		near(t, "rate", r.Rate(), 32/alone.Seconds(), 0.005)
		near(t, "batch", r.Batch(), 1, 0.005)
	}
}

// On one hot key a second lane of the same replica gains nothing.
func TestAHotKeyHasOneLane(t *testing.T) {
	m := queue.Model{Costs: costs(), Callers: 64, Replicas: 1, Lanes: 1, Cores: 2, Keys: queue.Hot, For: 3 * time.Second}
	one := run(t, m)
	m.Lanes = 4
	four := run(t, m)
	if one.Rate() != four.Rate() || one.Batch() != four.Batch() {
		t.Errorf("one lane %.0f/s, four lanes %.0f/s", one.Rate(), four.Rate())
	}
}

// Replicas with one caller each on a hot key come through its row lock one
// after the other; the rest of their work goes on beside it.
func TestReplicasTakeTurnsAtARow(t *testing.T) {
	c := costs()
	c.Caller = 0
	locked := c.Database.Of(1) + c.Ours.Of(1)/2 + c.Trip + c.Flush
	alone := c.Ours.Of(1) + c.Database.Of(1) + 2*c.Trip + c.Flush
	for _, replicas := range []int{1, 2, 3, 8} {
		turn := max(time.Duration(replicas)*locked, alone)
		r := run(t, queue.Model{Costs: c, Callers: replicas, Replicas: replicas, Keys: queue.Hot, For: 2 * time.Second})
		near(t, "rate", r.Rate(), float64(replicas)/turn.Seconds(), 0.005)
		if replicas > 1 && r.Blocked == 0 {
			t.Error("nobody was blocked")
		}
	}
	r := run(t, queue.Model{Costs: c, Callers: 8, Replicas: 8, Keys: queue.None, For: 3 * time.Second})
	if r.Blocked != 0 {
		t.Errorf("blocked %v without a shared key", r.Blocked)
	}
}

// A processor that all share is used up, and no more than that.
func TestProcessorsAreShared(t *testing.T) {
	c := queue.Costs{Caller: 10 * us, Ours: queue.Work{Command: 20 * us}, Database: queue.Work{Command: 10 * us}}
	for cores := range 4 {
		if cores == 0 {
			continue
		}
		r := run(t, queue.Model{Costs: c, Callers: 64, Replicas: 1, Lanes: 64, Cores: cores, Keys: queue.None, For: 2 * time.Second})
		near(t, "rate", r.Rate(), float64(cores)/(40*us).Seconds(), 0.01)
		near(t, "busy", r.Busy, 1, 0.01)
	}
}

// Transactions that end during one flush share the next one.
func TestAFlushIsShared(t *testing.T) {
	c := queue.Costs{Ours: queue.Work{Command: us}, Flush: time.Millisecond}
	r := run(t, queue.Model{Costs: c, Callers: 100, Replicas: 1, Lanes: 100, Keys: queue.None, For: 3 * time.Second})
	turn := c.Flush + us
	if most := 100 / turn.Seconds(); r.Rate() > most*1.001 || r.Rate() < most/2.01 {
		t.Errorf("%.0f/s, want between %.0f and %.0f", r.Rate(), most/2, most)
	}
}

// Whatever the model: the same seed gives the same, callers are as many as are
// waiting, no processor works more than all the time, and nobody is faster
// than alone.
func TestWhatAlwaysHolds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := queue.Model{
			Costs: queue.Costs{
				Caller:   time.Duration(rapid.IntRange(1, 50).Draw(t, "caller")) * us,
				Ours:     queue.Work{Batch: time.Duration(rapid.IntRange(0, 500).Draw(t, "ours")) * us, Command: time.Duration(rapid.IntRange(0, 50).Draw(t, "ours each")) * us},
				Database: queue.Work{Batch: time.Duration(rapid.IntRange(0, 500).Draw(t, "theirs")) * us, Command: time.Duration(rapid.IntRange(0, 50).Draw(t, "theirs each")) * us},
				Trip:     time.Duration(rapid.IntRange(0, 1000).Draw(t, "trip")) * us,
				Flush:    time.Duration(rapid.IntRange(0, 1000).Draw(t, "flush")) * us,
			},
			Callers: rapid.IntRange(1, 60).Draw(t, "callers"), Replicas: rapid.IntRange(1, 4).Draw(t, "replicas"),
			Lanes: rapid.IntRange(1, 4).Draw(t, "lanes"), Cores: rapid.IntRange(0, 4).Draw(t, "cores"),
			MaxBatch: rapid.IntRange(0, 20).Draw(t, "most"), Keys: rapid.SampledFrom([]queue.Keys{queue.Hot, queue.Own, queue.None}).Draw(t, "keys"),
			Rebuildable: rapid.Bool().Draw(t, "rebuildable"), For: 100 * time.Millisecond, Seed: rapid.Uint64().Draw(t, "seed"),
		}
		r := run(t, m)
		if again := run(t, m); again.Commands != r.Commands || again.Commits != r.Commits || again.Quantile(99) != r.Quantile(99) {
			t.Fatalf("the same seed gives %d and %d commands", r.Commands, again.Commands)
		}
		if r.Commands == 0 {
			t.Fatal("nothing happened")
		}
		// Commands under way at the ends of the window are counted once.
		ends := 2 * float64(r.Latency.Max()) / float64(m.For)
		near(t, "callers, by Little's law", r.Rate()*r.Latency.Mean()/1e9, float64(m.Callers), 0.1+ends)
		if r.Busy > 1.001 {
			t.Fatalf("processors were busy %v of the time", r.Busy)
		}
		alone := m.Costs.Caller + m.Costs.Ours.Of(1) + m.Costs.Database.Of(1) + 2*m.Costs.Trip
		if least := r.Latency.Min(); least < int64(alone-us-alone/250) { // the histogram is that coarse
			t.Fatalf("a command took %v, alone it takes %v", time.Duration(least), alone)
		}
	})
}

// With the rule for a second transaction, lanes of a few callers go one at a
// time, those of many side by side, and replicas that want one key take all of
// their callers along.
func TestASecondTransaction(t *testing.T) {
	rule := queue.Second{Batch: 32, Hold: 5 * time.Millisecond, Margin: 300 * us}
	c := costs()
	for _, k := range []struct {
		name              string
		keys              queue.Keys
		callers, replicas int
		without, with     float64 // commands a commit
	}{
		{"few", queue.Own, 16, 1, 3.4, 8},
		{"many", queue.Own, 256, 1, 11, 47},
		{"one key, one replica", queue.Hot, 60, 1, 30, 30},
		{"one key, three replicas", queue.Hot, 60, 3, 10, 20},
	} {
		m := queue.Model{Costs: c, Callers: k.callers, Replicas: k.replicas, Lanes: 3, Keys: k.keys, For: 5 * time.Second, Seed: 1}
		near(t, k.name+" without", run(t, m).Batch(), k.without, 0.1)
		m.Second = rule
		near(t, k.name, run(t, m).Batch(), k.with, 0.1)
	}
}

// Random times leave the means where they are.
func TestSpread(t *testing.T) {
	c := costs()
	c.Spread = 0.8
	alone := c.Caller + c.Ours.Of(1) + c.Database.Of(1) + 2*c.Trip + c.Flush
	r := run(t, queue.Model{Costs: c, Callers: 1, Replicas: 1, Keys: queue.Hot, For: 20 * time.Second, Seed: 7})
	near(t, "mean", r.Latency.Mean(), float64(alone), 0.02)
	if r.Quantile(99) < r.Quantile(50)+100*us {
		t.Errorf("p50 %v, p99 %v: nothing is spread", r.Quantile(50), r.Quantile(99))
	}
}

func TestModelsThatMakeNoSense(t *testing.T) {
	good := queue.Model{Costs: costs(), Callers: 1, Replicas: 1, Keys: queue.Hot, For: time.Second}
	for want, change := range map[string]func(*queue.Model){
		"at least one":     func(m *queue.Model) { m.Callers = 0 },
		"1 callers and 0":  func(m *queue.Model) { m.Replicas = 0 },
		"nothing is count": func(m *queue.Model) { m.For = 0 },
		"spread of 2":      func(m *queue.Model) { m.Costs.Spread = 2 },
		`kind "many"`:      func(m *queue.Model) { m.Keys = "many" },
		"costs nothing":    func(m *queue.Model) { m.Costs = queue.Costs{Flush: time.Second} },
	} {
		m := good
		change(&m)
		if _, err := m.Run(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", want, err)
		}
	}
}
