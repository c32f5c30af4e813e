// SPDX-License-Identifier: Apache-2.0

package outage

import (
	"testing"
	"time"

	"github.com/resilienced/resilienced/test/robustness/cluster"
)

// A replica that stands still between lock and commit keeps others from what it
// has locked only until PostgreSQL ends its session. The replica is stopped
// again and again until it is caught there; the others must grant, in the same
// run, long before it goes on.
func TestAReplicaThatStandsStillHoldsNobodyUp(t *testing.T) {
	dir := t.TempDir()
	binary, err := cluster.Build(t.Context(), cluster.Source{Dir: dir})
	do(t, err)
	c, err := cluster.Start(t.Context(), cluster.Config{Binary: binary, Dir: dir, Policy: "version: 1\n"})
	do(t, err)
	t.Cleanup(func() { do(t, c.Close()) })
	t.Cleanup(func() { logs(t, c) })
	callers := call(t, c, 3*busy)
	awaitGrants(t, callers, 20*time.Second)
	caught := 0
	for try := 0; caught < 3 && try < 200; try++ {
		stopped := c.Replicas()[try%len(c.Replicas())]
		fault := cluster.StopReplica(try % len(c.Replicas()))
		do(t, fault.Begin(t.Context(), c))
		if inTransaction(t, c) {
			caught++
			t.Logf("%s stands still in a transaction; the others granted again after %v", stopped.Addr(), awaitGrants(t, callers, recovery, try%len(c.Replicas())))
		}
		do(t, fault.End(t.Context(), c))
		do(t, c.AwaitWhole(t.Context()))
		awaitGrants(t, callers, recovery)
	}
	if caught == 0 {
		t.Error("in 200 attempts no replica was stopped between lock and commit: nothing was tested")
	}
	settled(t.Context(), t, callers, true)
}

// busy is how many callers each replica has, of which some are always in a
// transaction.
const busy = 50

// inTransaction returns whether a session waits for its client in a transaction
// with locks and goes on doing so.
func inTransaction(t *testing.T, c *cluster.Cluster) bool {
	t.Helper()
	const query = `SELECT coalesce(string_agg(concat(pid, xact_start), ' ' ORDER BY pid), '') FROM pg_stat_activity
		WHERE state = 'idle in transaction' AND usename = 'resilienced' AND clock_timestamp() - state_change > '100ms'`
	time.Sleep(150 * time.Millisecond)
	found, err := c.SQL(t.Context(), query)
	do(t, err)
	return found != ""
}
