// SPDX-License-Identifier: Apache-2.0

// Package process runs servers in processes of their own, so that their
// processor time can be told from that of the load generator.
//
//	bench ──stdin: a Spec, then questions──▶ child
//	      ◀──stdout: its address, readings, profiles──
//	      ◀──gRPC over loopback TCP──▶
//
// A child is the same program, started again with the argument Serve. It ends
// when its standard input does, so it does not outlive its parent.
package process
