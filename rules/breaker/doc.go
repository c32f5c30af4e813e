// SPDX-License-Identifier: Apache-2.0

// Package breaker holds the circuit breaker of one target.
//
//	          trips                 open_until            close_after successes
//	CLOSED ──────────▶ OPEN ───────────────────▶ HALF_OPEN ─────────────▶ CLOSED
//	                     ▲                          │
//	                     └──────────────────────────┘
//	                      a probe fails, or three die
//
// An operator may hold it FORCED_OPEN, FORCED_CLOSED or DISABLED.
//
// Invariants: every change of phase makes a new generation, larger than all
// before it; a report of an older generation never votes; at most Config.Probes
// permits hold a probe's slot, each until its own lease ends and no longer; an
// opening's end is written once and not moved by late failures; what time
// changes is stamped with the instant at which it was due.
package breaker
