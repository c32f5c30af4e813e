// SPDX-License-Identifier: Apache-2.0

package breaker

import (
	"time"

	"github.com/resilienced/resilienced/rules"
)

// Phase is a state of the breaker.
type Phase uint8

// The phases. HalfOpen is never stored: an Open breaker whose time is over is
// half-open when it is read.
const (
	Closed Phase = iota
	Open
	HalfOpen
	ForcedOpen
	ForcedClosed
	Disabled
)

// Cause says why a breaker opened.
type Cause uint8

// The causes.
const (
	CauseNone Cause = iota
	CauseTransport
	CauseQuality
	CauseAuth
	CauseProbeAbandoned
)

// Config is the operator's numbers for one breaker (semantics §1.1).
type Config struct {
	ConsecutiveFailures int           // trip after that many failures in a row; 0: off
	ConsecutiveQuality  int           // trip after that many bad answers in a row; 0: off
	ConsecutiveAuth     int           // trip after that many auth failures in a row; 0: off
	Window              time.Duration // length of the rate window; 0: off
	FailurePercent      int           // trip when F/(F+S) reaches it
	SlowPercent         int           // trip when slow/(F+S) reaches it; 0: off
	MinCalls            int           // calls that the window needs before it votes
	CooldownBase        time.Duration // first opening
	CooldownMax         time.Duration // cap of the doubling
	Probes              int           // probes in flight while half-open
	ProbeLease          time.Duration // the longest that a probe may hold its slot
	CloseAfter          int           // probe successes that close
	StableFor           time.Duration // health that resets the cooldown to base
	SlowAfter           time.Duration // a success of that duration counts as slow; 0: off
	Ramp                time.Duration // slow start after closing; 0: off
}

// State is the part of a target's control record that the breaker owns. The
// zero State is a breaker that is closed and has seen nothing.
type State struct {
	Phase      Phase         `json:"p,omitempty"`
	Cause      Cause         `json:"c,omitempty"`
	Generation uint64        `json:"g,omitempty"`
	ChangedAt  rules.Instant `json:"ch,omitempty"`

	// Streaks since the last success that was granted after their start.
	Consecutive int           `json:"n,omitempty"`
	Hard        int           `json:"h,omitempty"` // of them, surely not the reporter's own
	Transport   int           `json:"t,omitempty"` // of them, transport failures
	Quality     int           `json:"q,omitempty"`
	Auth        int           `json:"a,omitempty"`
	StreakSince rules.Instant `json:"ss,omitempty"` // report of the first failure
	QualSince   rules.Instant `json:"qs,omitempty"`
	TransSince  rules.Instant `json:"ts,omitempty"`
	AuthSince   rules.Instant `json:"as,omitempty"`
	Suspects    []uint64      `json:"sr,omitempty"` // reporters whose own failures are in the streak, at most 2

	// Opening.
	Cycles       int           `json:"cy,omitempty"`
	OpenedAt     rules.Instant `json:"oa,omitempty"`
	OpenUntil    rules.Instant `json:"ou,omitempty"`
	UnhealthyAt  rules.Instant `json:"ua,omitempty"` // since when the target is unwell
	Abandoned    int           `json:"ab,omitempty"` // probes that died in this half-open
	Successes    int           `json:"su,omitempty"` // probes that succeeded in it
	Probes       []Probe       `json:"pr,omitempty"`
	ProbeIdle    rules.Instant `json:"pi,omitempty"` // since when no probe came
	ClosedAt     rules.Instant `json:"ca,omitempty"`
	LastCooldown time.Duration `json:"lc,omitempty"`

	// Forced.
	ForcedUntil  rules.Instant `json:"fu,omitempty"` // 0: until an operator ends it
	ForcedBy     string        `json:"fb,omitempty"`
	ForcedReason string        `json:"fr,omitempty"`
}

// Probe is one probe in flight: the permit that holds the slot until it is
// reported or its lease is over.
type Probe struct {
	Operation string        `json:"o"`
	Fence     uint64        `json:"f"`
	Expires   rules.Instant `json:"e"`
}

// String returns the phase in upper snake case.
func (p Phase) String() string {
	return rules.Word(uint8(p), "CLOSED", "OPEN", "HALF_OPEN", "FORCED_OPEN", "FORCED_CLOSED", "DISABLED")
}

// String returns the cause in upper snake case; empty for none.
func (c Cause) String() string {
	return [...]string{"", "TRANSPORT", "QUALITY", "AUTH", "PROBE_ABANDONED"}[c]
}
