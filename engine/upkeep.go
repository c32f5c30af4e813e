// SPDX-License-Identifier: Apache-2.0

package engine

import "time"

// Transactions of the engine's own (sweeps, flushed tallies and logs) keep
// callers waiting where there is one lane, so they hold few records there. A
// store of several lanes does them beside the callers', and each takes round
// trips.
const (
	upkeepAlone  = 64
	upkeepBeside = 256
)

// upkeep is how many records a transaction of the engine's own holds.
func (m *committer) upkeep() int {
	if m.lanes > 1 {
		return upkeepBeside
	}
	return upkeepAlone
}

// pace is how many records the sweeper's transactions hold: least, and more
// while it does not keep up with what comes due.
type pace struct{ least, now int }

// after adapts to how long a sweep took of the time until the next one.
func (p *pace) after(took time.Duration) {
	if took > sweepEvery/2 {
		p.now = min(2*p.now, sweepBatch)
		return
	}
	p.now = max(p.now/2, p.least)
}
