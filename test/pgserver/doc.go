// SPDX-License-Identifier: Apache-2.0

// Package pgserver starts real PostgreSQL servers and PgBouncers for tests, from
// the programs that the machine has. A server listens on 127.0.0.1 at a free
// port, keeps its data in a temporary folder, and is gone with it when it is
// closed or when the test process ends, however it ends.
//
// PostgreSQL refuses to run as root: for root it runs as the user postgres, or
// nobody. Only Linux is supported, since the processes of a server are found
// through /proc.
//
// Start wraps ErrNotInstalled when a program is missing. A test fails then: a
// skipped test looks like one that passed.
package pgserver
