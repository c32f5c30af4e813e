// SPDX-License-Identifier: Apache-2.0

// Package memory keeps records in memory: for tests, for drills and for use
// that may be thrown away. Nothing outlives Close.
//
// One mutex guards everything, so an Update excludes every other call while
// its function runs, every lock is free once the mutex is held, and a Try
// entry is always held. Records are kept as the pointers that were put; they
// are neither copied nor encoded.
//
//	Store ── space, one a namespace ── family, one a kind ── cell, one a record
//	           └─ queue: what is due      └─ order: only while lists are asked for
//
// What costs something is built late. A record whose DueAt is set has one
// place in its namespace's queue; moving its due time back leaves that place
// alone until it comes up, and a place that no longer counts is dropped when
// it comes up or when such places are the majority. The order of a family is
// built by the first List and given up when the family has changed much more
// than it was listed; the first List of a large family therefore holds the
// mutex for as long as sorting takes.
package memory
