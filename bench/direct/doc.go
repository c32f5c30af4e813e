// SPDX-License-Identifier: Apache-2.0

// Package direct puts load on what lies below the wire: on an engine over a
// store, in this process, and on a bare SQLite file, which is the limit that
// the engine is held against.
package direct
