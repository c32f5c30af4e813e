// SPDX-License-Identifier: Apache-2.0

// Package queue simulates what a call waits for when commands are committed in
// groups over a database: callers that each wait for their answer, lanes that
// gather what arrives while a transaction is under way, processors that
// everybody shares, row locks that stand between replicas, and a log that is
// flushed for all who wait.
//
//	caller ─▶ queue of its replica ─▶ lane: a batch
//	             our work ─▶ trip one: locks, reads ─▶ our work (the rules)
//	             ─▶ trip two: writes, flush; the locks fall ─▶ our work (answers)
//
// It knows nothing of the rules. What goes in are costs that were measured one
// at a time; what comes out is a curve of batch size, latency and throughput
// over the number of callers, and it is worth as much as it agrees with what
// was measured. The same input gives the same result.
//
// Three things are assumed and not measured. Half of the database's work for a
// batch belongs to each trip, and the locks are asked for before the first
// half. Of our own work for a batch a quarter comes before the first trip, a
// half between the trips and a quarter after them. Whoever wants a processor
// waits in one line for it and gives it up after a time slice.
package queue
