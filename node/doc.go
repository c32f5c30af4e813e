// SPDX-License-Identifier: Apache-2.0

// Package node assembles one replica: it opens the store, starts the engine,
// applies the policy file and serves the API, and takes all of that down in
// the opposite order. The command, the drills, the benchmarks and tests use
// the same node.
//
//	New ── Serve ── ctx ends ── drain ── engine ── store
//	                             │
//	        health says NOT_SERVING · a pause for balancers ·
//	        waiting calls end · calls under way finish
package node
