// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"math/rand/v2"
	"time"
)

// A Kind is a sort of fault. Make draws what is open in it, such as which
// replica, from a source of chance.
type Kind struct {
	Name string
	Make func(*rand.Rand) Fault
}

// Catalogue returns every kind of fault that the cluster can have, in a fixed
// order. Schema is the service's, for locks.
func (c *Cluster) Catalogue(schema string) []Kind {
	n := len(c.replicas)
	kinds := replicaKinds(n)
	if c.config.Skewable {
		kinds = append(kinds, Kind{"replica's clock skewed", func(dice *rand.Rand) Fault {
			return SkewReplica(dice.IntN(n), skew(dice))
		}})
	}
	kinds = append(kinds, networkKinds(n, false)...)
	if c.database == nil {
		return kinds
	}
	kinds = append(kinds, networkKinds(n, true)...)
	kinds = append(kinds, databaseKinds(schema)...)
	if c.config.Faketime {
		kinds = append(kinds, Kind{"database's clock skewed", func(dice *rand.Rand) Fault { return SkewDatabase(skew(dice)) }})
	}
	return kinds
}

func replicaKinds(n int) []Kind {
	return []Kind{
		{"replica killed", func(dice *rand.Rand) Fault { return KillReplica(dice.IntN(n)) }},
		{"replica restarted", func(dice *rand.Rand) Fault { return RestartReplica(dice.IntN(n)) }},
		{"replica stopped", func(dice *rand.Rand) Fault { return StopReplica(dice.IntN(n)) }},
	}
}

func networkKinds(n int, toDatabase bool) []Kind {
	link := func(dice *rand.Rand) Link { return Link{Replica: dice.IntN(n), Database: toDatabase} }
	way := func(dice *rand.Rand) Direction { return Direction(dice.IntN(3)) }
	kinds := []Kind{
		{"partition", func(dice *rand.Rand) Fault { return Partition(link(dice), way(dice)) }},
		{"black hole", func(dice *rand.Rand) Fault { return BlackHole(link(dice), way(dice)) }},
		{"delay", func(dice *rand.Rand) Fault {
			return Delay(link(dice), way(dice), time.Duration(5+dice.IntN(100))*time.Millisecond)
		}},
		{"throttle", func(dice *rand.Rand) Fault { return Throttle(link(dice), way(dice), 2_000+dice.IntN(50_000)) }},
		{"reset after n bytes", func(dice *rand.Rand) Fault { return ResetAfter(link(dice), way(dice), 1+dice.Int64N(5_000)) }},
		{"half-close", func(dice *rand.Rand) Fault { return HalfClose(link(dice), way(dice)) }},
		{"drop", func(dice *rand.Rand) Fault { return Drop(link(dice)) }},
	}
	if toDatabase {
		for i := range kinds {
			kinds[i].Name += ofDatabase
		}
	}
	return kinds
}

func databaseKinds(schema string) []Kind {
	return []Kind{
		{"primary killed", func(*rand.Rand) Fault { return CrashPrimary() }},
		{"primary stopped immediately", func(*rand.Rand) Fault { return StopPrimary() }},
		{"primary paused", func(*rand.Rand) Fault { return PausePrimary() }},
		{"standby paused", func(*rand.Rand) Fault { return PauseStandby() }},
		{"failover", func(*rand.Rand) Fault { return Failover(false) }},
		{"failover, and the old primary returns", func(*rand.Rand) Fault { return Failover(true) }},
		{"backends terminated", func(*rand.Rand) Fault { return TerminateBackends() }},
		{"lock held", func(*rand.Rand) Fault { return HoldLock(schema) }},
		{"no connection left", func(*rand.Rand) Fault { return ExhaustConnections() }},
	}
}

// skew draws by how much a clock is wrong: up to an hour, either way.
func skew(dice *rand.Rand) time.Duration {
	by := time.Duration(5+dice.IntN(3596)) * time.Second
	if dice.IntN(2) == 0 {
		return -by
	}
	return by
}
