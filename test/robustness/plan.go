// SPDX-License-Identifier: Apache-2.0

package main

import (
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/resilienced/resilienced/test/robustness/cluster"
	"github.com/resilienced/resilienced/test/robustness/history"
)

// The kinds of trials beside those of single faults.
const (
	noFault = "none"
	mixed   = "mixed"
)

// schema is the service's in its database.
const schema = "resilienced"

// mixedFaults is how many faults a mixed trial has.
const mixedFaults = 4

// shortLengths keep the short form within a few minutes.
func shortLengths() lengths {
	return lengths{calm: 1500 * time.Millisecond, fault: 1500 * time.Millisecond, pause: 300 * time.Millisecond, mended: 1500 * time.Millisecond}
}

// longLengths are those of the long form: clients give up and leases end while
// a fault is there.
func longLengths() lengths {
	return lengths{calm: 3 * time.Second, fault: 4 * time.Second, pause: time.Second, mended: 4 * time.Second}
}

// kinds are the kinds of trials on a cluster, in a fixed order.
func kinds(c *cluster.Cluster) []string {
	all := []string{noFault}
	for _, k := range faultKinds(c) {
		all = append(all, k.Name)
	}
	return append(all, mixed)
}

// network are the kinds of faults of connections. There are the same between a
// replica and the database.
func network() []string {
	return []string{"partition", "black hole", "delay", "throttle", "reset after n bytes", "half-close", "drop"}
}

// shortNetwork is how many of them the short form draws.
const shortNetwork = 5

// draw leaves a few kinds of faults of connections, and all other kinds.
func draw(kinds []string, seed uint64) []string {
	isNetwork := func(kind string) bool { return slices.Contains(network(), strings.TrimSuffix(kind, ", database")) }
	var some []string
	for _, k := range kinds {
		if isNetwork(k) {
			some = append(some, k)
		}
	}
	dice := rand.New(rand.NewPCG(seed, 1<<33))
	dice.Shuffle(len(some), func(i, j int) { some[i], some[j] = some[j], some[i] })
	some = some[:min(len(some), shortNetwork)]
	return slices.DeleteFunc(kinds, func(k string) bool { return isNetwork(k) && !slices.Contains(some, k) })
}

// faultKinds are the kinds of faults. Clocks are skewed by seconds, since a
// store whose clock is set back stands still until it has caught up.
func faultKinds(c *cluster.Cluster) []cluster.Kind {
	all := c.Catalogue(schema)
	for i := range all {
		if all[i].Name == skewedDatabase {
			all[i].Make = func(dice *rand.Rand) cluster.Fault {
				by := time.Duration(2+dice.IntN(int(mostSkew/time.Second)-1)) * time.Second
				if dice.IntN(2) == 0 {
					by = -by
				}
				return cluster.SkewDatabase(by)
			}
		}
	}
	return all
}

const (
	skewedDatabase = "database's clock skewed"
	mostSkew       = 6 * time.Second
)

// newTrial draws a trial of a kind.
func newTrial(c *cluster.Cluster, n int, kind, store, mutant string, seed uint64, l lengths) *trial {
	dice := rand.New(rand.NewPCG(seed, uint64(n)))
	t := &trial{lengths: l, setup: history.Setup{Trial: n, Fault: kind, Store: store, Mutant: mutant, Seed: dice.Uint64()}}
	all := faultKinds(c)
	switch kind {
	case noFault:
		t.setup.TripTime = 100 * time.Millisecond
		t.lengths.calm += l.fault + l.mended
	case mixed:
		for range mixedFaults {
			t.faults = append(t.faults, all[dice.IntN(len(all))].Make(dice))
		}
	default:
		for _, k := range all {
			if k.Name == kind {
				t.faults = append(t.faults, k.Make(dice))
			}
		}
	}
	t.describe()
	return t
}

// crashes reports whether the database loses what was not durable by a fault.
func crashes(kind string) bool {
	return strings.HasPrefix(kind, "failover") || kind == "primary killed" || kind == "primary stopped immediately"
}

// ghost is how long a grant to nobody may last where it can be given back.
const ghost = 500 * time.Millisecond

// describe says what the faults may do to what checks rely on.
func (t *trial) describe() {
	s := &t.setup
	for _, f := range t.faults {
		s.Standstill += t.lengths.fault + t.lengths.pause + 2*time.Second
		if f.Kind() == "replica's clock skewed" && s.Store != cluster.Postgres {
			s.ClockJumps = true // such a store begins at its replica's clock
		}
		if f.Kind() == skewedDatabase {
			s.Behind, s.ClockJumps = mostSkew, true
		}
		if strings.HasPrefix(f.Kind(), "failover") {
			s.Behind += time.Second // the floor is raised once a second
		}
	}
	if len(t.faults) == 1 && (t.faults[0].Kind() == "replica stopped" || t.faults[0].Kind() == "lock held") {
		s.Ghost = ghost
	}
}
