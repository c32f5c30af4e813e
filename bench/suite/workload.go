// SPDX-License-Identifier: Apache-2.0

package suite

import (
	"github.com/resilienced/resilienced/bench/direct"
	"github.com/resilienced/resilienced/bench/page"
	"github.com/resilienced/resilienced/bench/queue"
)

// workload is what calls ask for.
type workload struct {
	name string
	asks direct.Asks
	runs []string // that must be there
	// What the model knows of it.
	keys        queue.Keys
	rebuildable bool
}

// workloads are those on PostgreSQL.
func (s *Suite) workloads(callers int) []workload {
	return []workload{hotCapped(), hotSlotted(), s.spreadRuns(callers), healthy()}
}

// hotCapped is one capped run that all callers share.
func hotCapped() workload {
	return workload{
		name: "one hot capped run", keys: queue.Hot, runs: []string{hotRun},
		asks: direct.Always(direct.Ask{Run: hotRun, Target: direct.Target}),
	}
}

// hotSlotted is one target with a limit on the calls under way.
func hotSlotted() workload {
	return workload{
		name: "one hot slotted target", keys: queue.Hot,
		asks: direct.Always(direct.Ask{Target: direct.Slotted}),
	}
}

// healthy is one target without slots and without a run: only tallies move.
func healthy() workload {
	return workload{
		name: "one healthy target, no run", keys: queue.None, rebuildable: true,
		asks: direct.Always(direct.Ask{Target: direct.Target}),
	}
}

// spreadRuns is many capped runs that callers go round.
func (s *Suite) spreadRuns(callers int) workload {
	names := make([]string, 0, s.cfg.Size.Runs)
	for i := range s.cfg.Size.Runs {
		names = append(names, direct.RunOf(i))
	}
	return workload{
		name: page.Count(float64(s.cfg.Size.Runs)) + " capped runs", keys: queue.Own, runs: names,
		asks: direct.OverRuns(s.cfg.Size.Runs, callers),
	}
}
