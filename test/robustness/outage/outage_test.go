// SPDX-License-Identifier: Apache-2.0

// Package outage takes the database away from three replicas, in several ways,
// while hundreds of callers ask. Callers must be answered and told when to come
// again, nothing may grow, all must be well soon after, and what was granted
// must have reached its caller.
package outage

import (
	"context"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/resilienced/resilienced/test/robustness/cluster"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	// down is how long the database is away.
	down = 2 * time.Second
	// unknown is how long a commit may take before nobody knows its outcome any
	// more: the store's TripTimeout, less what starting and ending a fault take.
	unknown = 2500 * time.Millisecond
	// recovery is how soon every replica grants again.
	recovery = 5 * time.Second
)

// crowd is how many callers there are: 200, or RESILIENCED_CROWD.
func crowd(t *testing.T) int {
	t.Helper()
	text, set := os.LookupEnv("RESILIENCED_CROWD")
	if !set {
		return 200
	}
	n, err := strconv.Atoi(text)
	do(t, err)
	return n
}

func do(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestTheDatabaseGoesAway(t *testing.T) {
	dir := t.TempDir()
	binary, err := cluster.Build(t.Context(), cluster.Source{Dir: dir})
	do(t, err)
	c, err := cluster.Start(t.Context(), cluster.Config{Binary: binary, Dir: dir, Policy: "version: 1\n"})
	do(t, err)
	t.Cleanup(func() {
		logs(t, c)
		for _, fault := range c.Faulty() {
			t.Error(fault)
		}
		do(t, c.Close())
	})
	for _, way := range []struct {
		fault cluster.Fault
		// breaks says that connections break under commits. What was granted
		// by these is left to nobody, at most a permit a caller.
		breaks bool
	}{
		{fault: cluster.PausePrimary()},
		{fault: cluster.PauseStandby()},
		{fault: cluster.HoldLock("resilienced")},
		{fault: cluster.StopPrimary(), breaks: true},
		{fault: cluster.Failover(false), breaks: true},
		{fault: cluster.ExhaustConnections(), breaks: true},
	} {
		t.Run(way.fault.Kind(), func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			callers := call(t, c, crowd(t))
			awaitGrants(t, callers, 20*time.Second)
			sleep(ctx, 2*time.Second)
			calm := gauge(ctx, t, c)
			t.Log("before:   ", callers.slice(), calm)

			began := time.Now()
			do(t, way.fault.Begin(ctx, c))
			sleep(ctx, down/2)
			away := gauge(ctx, t, c)
			sleep(ctx, down-time.Since(began))
			meanwhile := callers.slice()
			do(t, way.fault.End(ctx, c))
			lasted := time.Since(began)
			t.Log("meanwhile:", meanwhile, away)
			what, err := way.fault.Proof()
			do(t, err)
			t.Log("the fault:", what)
			t.Log("granted by every replica again after", awaitGrants(t, callers, recovery))
			bounded(t, calm, away)
			settled(ctx, t, callers, way.breaks || lasted > unknown)
		})
	}
}

// logs tells what the replicas logged if the test has failed.
func logs(t *testing.T, c *cluster.Cluster) {
	t.Helper()
	if t.Failed() {
		for i, r := range c.Replicas() {
			t.Logf("the log of replica %d:\n%s", i, r.Log())
		}
	}
}

// awaitGrants waits until each replica, but one, has granted something anew.
func awaitGrants(t *testing.T, c *callers, most time.Duration, but ...int) time.Duration {
	t.Helper()
	began := time.Now()
	before := make([]int64, len(c.byReplica))
	for i := range before {
		before[i] = c.byReplica[i].Load()
	}
	for i := range before {
		for !slices.Contains(but, i) && c.byReplica[i].Load() == before[i] {
			if time.Since(began) > most {
				t.Fatalf("replica %d has granted nothing in %v: %s", i, time.Since(began), c.slice())
			}
			time.Sleep(5 * time.Millisecond)
		}
	}
	return time.Since(began).Round(time.Millisecond)
}

// gauges are the highest of the replicas' goroutines and resident bytes.
type gauges struct{ goroutines, resident float64 }

func gauge(ctx context.Context, t *testing.T, c *cluster.Cluster) gauges {
	t.Helper()
	var g gauges
	for _, r := range c.Replicas() {
		n, err := r.Metric(ctx, "go_goroutines")
		do(t, err)
		bytes, err := r.Metric(ctx, "process_resident_memory_bytes")
		do(t, err)
		g = gauges{max(g.goroutines, n), max(g.resident, bytes)}
	}
	return g
}

// bounded fails the test if a replica grew. A caller costs a few goroutines
// and buffers whether or not the database is there.
func bounded(t *testing.T, calm, away gauges) {
	t.Helper()
	if away.goroutines > 2*calm.goroutines+float64(crowd(t)) {
		t.Errorf("a replica went from %.0f to %.0f goroutines", calm.goroutines, away.goroutines)
	}
	if away.resident > calm.resident+64<<20 {
		t.Errorf("a replica went from %.0f to %.0f resident bytes", calm.resident, away.resident)
	}
}

// settled ends the callers and compares their books with the service's.
func settled(ctx context.Context, t *testing.T, c *callers, breaks bool) {
	t.Helper()
	c.end()
	for what, n := range c.wrong {
		t.Errorf("%d times %s", n, what)
	}
	if c.granted.Load() != c.reported.Load() {
		t.Errorf("%d grants, but %d reports were taken", c.granted.Load(), c.reported.Load())
	}
	most := int64(0)
	if breaks {
		most = int64(crowd(t))
	}
	var spent, reserved, assumed int64
	for end := time.Now().Add(recovery); ; sleep(ctx, 50*time.Millisecond) {
		var err error
		spent, reserved, assumed, err = c.balance(ctx)
		do(t, err)
		if reserved+assumed == 0 || time.Now().After(end) {
			break
		}
	}
	if want := price * c.reported.Load(); spent != want {
		t.Errorf("spent %d, want the %d that was reported", spent, want)
	}
	left := (reserved + assumed) / price
	if left > most {
		t.Errorf("%d permits are nobody's, want at most %d", left, most)
	}
	t.Logf("%d granted and reported; nobody's: %d", c.granted.Load(), left)
}
