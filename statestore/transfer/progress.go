// SPDX-License-Identifier: Apache-2.0

package transfer

import "time"

// Phase is what is under way.
type Phase string

// The phases, in their order.
const (
	PhaseWait   Phase = "wait"   // for the target's clock
	PhaseCopy   Phase = "copy"   // records of the source, read and written
	PhaseVerify Phase = "verify" // records of both stores, read
	PhaseCheck  Phase = "check"  // records of one store, read
)

// Progress is how far a phase is. It is told after each page.
type Progress struct {
	Phase Phase
	// Done and Total count records. More may be done than the total says, if
	// somebody writes.
	Done, Total int
	// Elapsed is since the phase began.
	Elapsed time.Duration
}

// Rate is how many records a second there were so far.
func (p Progress) Rate() float64 {
	if p.Elapsed <= 0 {
		return 0
	}
	return float64(p.Done) / p.Elapsed.Seconds()
}

// Left is how long the rest takes at that rate; 0 if that cannot be said.
func (p Progress) Left() time.Duration {
	rate := p.Rate()
	if rate == 0 || p.Done >= p.Total {
		return 0
	}
	return time.Duration(float64(p.Total-p.Done) / rate * float64(time.Second))
}

// meter tells the progress of one phase.
type meter struct {
	tell  func(Progress)
	begun time.Time
	now   Progress
}

func newMeter(tell func(Progress), phase Phase, records int) *meter {
	m := &meter{tell: tell, begun: time.Now(), now: Progress{Phase: phase, Total: records}}
	m.add(0)
	return m
}

func (m *meter) add(records int) {
	m.now.Done += records
	m.now.Elapsed = time.Since(m.begun)
	if m.tell != nil {
		m.tell(m.now)
	}
}
