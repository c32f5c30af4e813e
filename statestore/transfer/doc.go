// SPDX-License-Identifier: Apache-2.0

// Package transfer copies every record of one store to another and proves that
// both say the same. It knows stores only by their seam.
//
// # Order of a copy
//
//	look     the source is whole; the target is empty, or holds a mark
//	wait     the target's clock is not behind what the source's records tell
//	mark     KindTransfer in the target: it is an unfinished copy
//	copy     each kind of each namespace, a page a transaction
//	remove   what the target has beyond it, from an earlier attempt
//	verify   read both, compare counts and checksums
//	unmark   the target may be served
//
// # Invariants
//
// While the mark stands nobody serves the target (Unfinished), so whatever
// differs there is the copy's own earlier work: it may be replaced or removed.
// That is what makes a copy resumable at any point, also when the source was
// served again in between. Without a mark nothing in the target is touched.
//
// The source is never written. It must not be served meanwhile: a SQLite file is
// locked by whoever opens it; for a shared database the caller looks for other
// processes. If one slips in all the same, verification reads the source again
// and finds the difference.
//
// # Time
//
// The store's time must not go back over a move. The source's time is an upper
// bound of every instant in its records, and nothing is copied before the
// target's clock has passed it. Leases and cooldowns run on while neither store
// is served, as they do in any stop.
//
// # Checksums
//
// A family is the records of one kind in one namespace. Its checksum is SHA-256
// over name and canonical encoding of each record in the order of List, which
// is the same in every store.
package transfer
