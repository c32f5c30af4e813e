// SPDX-License-Identifier: Apache-2.0

// Package telemetry makes what a replica does visible from outside: metrics
// for Prometheus, and traces for OpenTelemetry, which are off by default.
//
//	engine ── Observer, events ──▶ counters        ┐
//	server ── Meter ─────────────▶ counters        ├──▶ /metrics
//	store  ◀── Census, at a scrape, cached ─ gauges ┘
//
// Counters start from zero with the process. Gauges of state (breakers, runs,
// dead letters, escalations) are read from the store, so they are right after
// a restart.
//
// Labels are bounded. A run, a reporter, an operation and a credential are
// never one. At most 1,000 targets are told apart, of which targets that no
// policy names take at most half; the rest are counted together as __other__.
// A model is one that a policy names, or __other__.
//
// A call looks up its handles in maps that are replaced and never changed, so
// that it takes no lock and allocates nothing.
package telemetry
