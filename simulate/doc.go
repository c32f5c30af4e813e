// SPDX-License-Identifier: Apache-2.0

// Package simulate plays recorded calls through the rules with other numbers:
// what would have opened, been refused, cost. The rules are the real ones, run
// by the real engine on a store in memory whose clock the recording moves.
//
//	calls ──► events by time ──┬──► engine under the policy in force ──┐
//	                           └──► engine under the new policy ───────┴──► Result
//
// A call is asked for when it was granted then, by the same run, task,
// operation and reporter, and for the target that was really called. If it is
// granted, its report follows at the time and with the signal of then. If it
// is refused, what it cost counts as not spent.
//
// # A call of a chain
//
// A chain picks a level by what it finds, and only of the level that was
// called is it known how the call went. So a call is pinned to that level. If
// the chain under the numbers played would take another, the call counts as
// refused on its own target for the reason that closed it, and as moved: what
// would have become of it there is unknown. A chain that the policy does not
// have, or that has another target on that level, is left aside: the call is
// played as one to its target alone.
//
// # Time
//
// Events are played in the order of their time. At one instant, reports of
// earlier grants come first, then grants in the order of the recording, each
// with its report if that was in the same instant. Of every wait that is drawn
// the shortest is taken, so that a call that was made in time is not refused
// for its draw.
//
// # What it takes
//
// Of memory about 1 KiB a call, for at most a million calls, and while it runs
// for each policy the records of the last day that is played: some 3 KiB for
// each operation that did not succeed at once. Both policies are played side
// by side. The same input gives the same result.
package simulate
