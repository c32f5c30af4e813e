// SPDX-License-Identifier: Apache-2.0

// Package sqlite keeps records in one SQLite file, for one process on one
// machine. The driver is modernc.org/sqlite, which is SQLite in pure Go and
// follows its releases; it is used below database/sql, whose pool has nothing
// to give to a store with one writer.
//
// # Connections
//
//	writer  Update, one at a time (the lane)           records.db
//	reader  Get, List, Due, one at a time (the desk)   records.db-wal, -shm
//	keeper  a goroutine: flush, checkpoint             records.db.lock
//
// The lock file keeps other stores out, in this process and in others. SQLite's
// own exclusive mode would do that too, but then no second connection can be
// open: a long list would hold up every transaction, and so would moving the
// log into the file, for tens of milliseconds. The price of the other mode is a
// few system calls a transaction. In return another program may read the file
// while the service runs, say to make a backup. It must not write: the store
// remembers what it has read, so when it finds that somebody else has written,
// it writes nothing more and ends.
//
// # A transaction
//
// Update takes the lane, finds the records in the cache or reads them, reads
// the clock and calls fn. SQLite's transaction begins only then, when it is
// known what is written. A durable one waits for the disk
// (synchronous=FULL). Another one does not (synchronous=NORMAL): the keeper
// brings it to the disk within a second, or the next durable one does, since
// both are in one log. A crash of the process loses neither.
//
// Records that were used last are kept decoded, so a hot one is never read
// again; and while all records of a kind and namespace are kept, an absent one
// is known to be absent. The cache changes after the commit. While a commit
// that changes a record is under way, Get asks the file for it, so what was
// seen once is never unseen.
//
// # Time
//
// Store time is the wall clock at Open, or the floor in the file if that is
// later, plus what the monotonic clock has counted since. The floor is written
// ahead, with a commit, at most once a second, so no commit is ever later than
// the floor that is in the file with it: when the wall clock was set back
// between a crash and a restart, time goes on from the floor. When it was set
// forward, that is believed. While a machine sleeps the store's time may stand
// still; leases then last longer and nothing expires early.
//
// # Failures
//
// A full disk (ErrFull) changes nothing, and the store works again once there
// is room. If the disk fails otherwise, the store ends: the COMMIT under way
// returns ErrUnknownOutcome and every later call ErrUnavailable, because after a
// failed write the system may claim to have what it has not. Open reads what
// is really there.
//
// Each row carries a checksum, so a damaged record is an error and never a
// wrong record. Damage of an index could hide a record; Open finds it in a file
// of up to Config.CheckBytes, which it reads through.
package sqlite
