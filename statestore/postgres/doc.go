// SPDX-License-Identifier: Apache-2.0

// Package postgres keeps records in a PostgreSQL database that any number of
// processes share. The driver is pgx.
//
// # A transaction
//
// Update takes two round trips. The first begins the transaction, sets its
// timeouts, locks and reads the rows that are to be written in the order of
// statestore.Less, and reads the other records and the clock in a statement of
// its own, which sees what was committed while the locks were waited for.
// Then fn runs. The second writes with a statement for each kind of change and
// commits.
//
// A key without a record has no row to lock. It counts as held, and the INSERT
// at the end shows whether that was right: if another transaction has made the
// record meanwhile, this one is rolled back and runs again. A key that is held
// and stays absent is inserted and deleted in the same transaction, so that
// nobody can have made it in between. A transaction that changes nothing looks
// for such keys again before it ends.
//
// The isolation is always READ COMMITTED, whatever the database's default is:
// under SERIALIZABLE a transaction that has waited for a lock would fail where
// it should go on with the latest record.
//
// A transaction is run again when it was certainly not committed: after a
// deadlock, a lock or statement timeout, a conflict over an absent key, or a
// connection that broke before COMMIT was sent. When the answer to COMMIT is
// lost, or tells that no standby has confirmed it, Update returns
// ErrUnknownOutcome. The driver never cancels a statement over a second
// connection, because a COMMIT that waits for a standby would then be called
// committed.
//
// # Durability
//
// A durable transaction is acknowledged as the server's synchronous_commit
// says, and never by less than "on". A rebuildable one does not wait for the
// disk.
//
// # Connections
//
// Transactions and reads have connections of their own, so neither can keep
// the other waiting. Once the server cannot be reached, or has not answered
// for Config.TripTimeout, every call fails at once with ErrUnavailable, and
// one prober looks for the server with growing pauses of up to a second and a
// half. Each new connection, and each transaction again, refuses a standby
// and a primary on an older timeline than was seen before.
//
// Through PgBouncer in transaction mode nothing is prepared, since the pooler
// may give each transaction another session; the round trips stay the same.
//
// # Time
//
// Store time is the server's clock_timestamp, read after the locks, and never
// earlier than what this process has told before or than the floor in the
// database, which is raised once a second outside of all decisions. When a
// server takes over whose clock is behind, time stands still until it has
// caught up. A reading that is more than ten seconds ahead of this process's
// monotonic clock is believed when a second connection says the same.
package postgres
