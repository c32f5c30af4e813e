// SPDX-License-Identifier: Apache-2.0

// Package cluster runs the real binary as several replicas over a PostgreSQL
// with a synchronous standby, and breaks any part of that on command.
//
//	client ── proxy ── replica ──┬─ proxy ── primary ──┐ streaming,
//	                             └─ proxy ── standby ──┘ synchronous
//
// Every replica has proxies of its own, so that one can be cut off alone.
// Replicas are children of the test process and end with it; PostgreSQL's
// servers too (package pgserver). Logs stay in Config.Dir.
//
// Use:
//
//	binary, err := cluster.Build(ctx, cluster.Source{Dir: dir})
//	c, err := cluster.Start(ctx, cluster.Config{Binary: binary, Dir: dir, Policy: yaml})
//	defer c.Close()
//	for _, r := range c.Replicas() { dial(r.Addr()) }
//	f := cluster.KillReplica(1)
//	err = f.Begin(ctx, c)      // the fault is there
//	…                          // as long as the caller likes
//	err = f.End(ctx, c)        // everything is mended: c.Whole(ctx) is nil
//	what, err := f.Proof()     // what it did; an error: it did nothing
//
// A Fault is a value for one use. Catalogue lists all kinds, with a maker for
// each that draws what is open (which replica, which direction, how long a
// delay) from a source of chance. Faults that need the database's clock want
// Config.Faketime, those that move a replica's clock want Source.Skewable.
//
// Replicas' clocks: libfaketime does not move a Go program's, so Build can
// replace one function of Go's package time by `go build -overlay`: the wall
// clock is then off by what the environment says, and the product's own code
// is not touched.
package cluster
