// SPDX-License-Identifier: Apache-2.0

package history

import (
	"slices"
	"time"
)

// Outcome is what the caller knows after a call.
type Outcome string

// The outcomes. Only after Unknown may something have been done that nobody
// was told of.
const (
	OK      Outcome = "ok"      // it was carried out
	Denied  Outcome = "denied"  // it was decided: no
	Refused Outcome = "refused" // an error that says that nothing was changed
	Unknown Outcome = "unknown" // no answer, or one that says that nobody knows
	Failed  Outcome = "failed"  // an error that a correct client never gets
)

// The calls that are recorded, by the name of their RPC; and what is noted
// beside them.
const (
	Acquire     = "Acquire"
	Report      = "Report"
	Heartbeat   = "Heartbeat"
	StartRun    = "StartRun"
	GetRun      = "GetRun"
	GetLetter   = "GetDeadLetter"
	ApplyPolicy = "ApplyPolicy"
	Watch       = "Watch" // one state of a target that a watcher was sent
	Fault       = "Fault" // a fault that was there from Call to Return; Replica -1: not of one replica
	Phase       = "Phase" // a part of the trial, from Call to Return
)

// The phases of a trial, by Event.Name.
const (
	Calm   = "calm"   // load, before the first fault
	Storm  = "storm"  // load, while there are faults
	Mended = "mended" // load, after the last fault
	Quiet  = "quiet"  // no load: what is open is settled, then all is read
)

// The actors that a check looks at, by Event.Actor.
const (
	Payer = "payer" // its operations must not happen twice
	Nurse = "nurse" // it closes every breaker at the end
)

// Event is one call as its caller saw it, or a note. Times are counted from
// the trial's start by the monotonic clock. What does not apply is empty.
type Event struct {
	RPC  string `json:"rpc"`
	Name string `json:"name,omitempty"` // of a fault or phase
	// Crashed is when a fault began in which the database loses up to the last
	// second of what is not durable; 0: it loses nothing.
	Crashed time.Duration `json:"crashed,omitempty"`
	Client  int           `json:"client"`
	Replica int           `json:"replica"`
	Call    time.Duration `json:"call"`
	Return  time.Duration `json:"return"`
	Outcome Outcome       `json:"outcome,omitempty"`
	Reason  string        `json:"reason,omitempty"` // of a denial or an error
	Text    string        `json:"text,omitempty"`   // of an error; what proves a fault

	// What was asked.
	Actor     string        `json:"actor,omitempty"`
	Request   string        `json:"request,omitempty"` // of the Acquire, also on what follows it
	Operation string        `json:"operation,omitempty"`
	Target    string        `json:"target,omitempty"`
	Runs      []string      `json:"runs,omitempty"` // the run first, then those above it
	Amount    int64         `json:"amount,omitempty"`
	Lease     time.Duration `json:"lease,omitempty"` // asked for; as granted on an answer
	Use       Use           `json:"use,omitempty"`
	Cost      int64         `json:"cost,omitempty"`
	Limit     int           `json:"limit,omitempty"` // that a policy sets

	// What was answered.
	Permit     string `json:"permit,omitempty"`
	Fence      uint64 `json:"fence,omitempty"`
	Generation uint64 `json:"generation,omitempty"`
	Granted    uint64 `json:"granted_in,omitempty"` // the permit's generation, on its report
	State      string `json:"state,omitempty"`      // of the breaker
	Probe      bool   `json:"probe,omitempty"`
	Opened     bool   `json:"opened,omitempty"`  // the report opened the breaker
	Counted    bool   `json:"counted,omitempty"` // the report voted
	Gist       string `json:"gist,omitempty"`    // what a repeat must answer too
	Letter     string `json:"letter,omitempty"`
	Digest     string `json:"digest,omitempty"` // of the letter's content
	Result     string `json:"result,omitempty"` // the result reference, sent or found
	Sums       *Sums  `json:"sums,omitempty"`   // of the run
}

// Use is how a permit was used, as its report says.
type Use string

// The uses.
const (
	Priced   Use = "priced"   // it cost Event.Cost
	Unpriced Use = "unpriced" // it may have cost what was reserved
	Unused   Use = "unused"   // it is given back
	Broken   Use = "broken"   // the call failed and cost nothing
)

// Sums is a run's balance.
type Sums struct {
	Spent    int64 `json:"spent"`
	Reserved int64 `json:"reserved"`
	Assumed  int64 `json:"assumed"`
	Calls    int64 `json:"calls"`
}

// Used is what counts against the cap.
func (s Sums) Used() int64 { return s.Spent + s.Reserved + s.Assumed }

// Setup says what a trial was made of.
type Setup struct {
	Trial    int    `json:"trial"`
	Fault    string `json:"fault"`
	Store    string `json:"store"`
	Mutant   string `json:"mutant,omitempty"`
	Seed     uint64 `json:"seed"`
	Replicas int    `json:"replicas"`
	// Slots are the limits of targets at the start, Probes those of probes.
	Slots  map[string]int `json:"slots"`
	Probes map[string]int `json:"probes"`
	// Cooldown is the longest that a breaker stays open, ProbeLease the
	// longest that a probe holds its place.
	Cooldown   time.Duration `json:"cooldown"`
	ProbeLease time.Duration `json:"probe_lease"`
	// CallTime is how long a caller waits for one answer.
	CallTime time.Duration `json:"call_time"`
	// Ghost is how long a place may be held by nobody, if its caller left while
	// the service stood still by a fault; 0: as long as its lease.
	Ghost time.Duration `json:"ghost,omitempty"`
	// Standstill is the longest that a replica or the store stands still.
	Standstill time.Duration `json:"standstill,omitempty"`
	// Behind is how long the store's time may stand still, because its clock
	// was set back.
	Behind time.Duration `json:"behind,omitempty"`
	// ClockJumps: the store's time jumps, so a holder cannot tell by its own
	// clock when a lease ends.
	ClockJumps bool `json:"clock_jumps,omitempty"`
	// TripTime is the bound on how long it takes until a trip is seen on the
	// other replicas, in half of the cases: a figure of a busy machine may not
	// decide more. 0: none in this trial.
	TripTime time.Duration `json:"trip_time,omitempty"`
}

// History is one trial.
type History struct {
	Setup  Setup
	Events []Event // in the order in which they ended
}

// Phase returns when a phase began and ended; zeros if it was not reached.
func (h *History) Phase(name string) (from, to time.Duration) {
	i := slices.IndexFunc(h.Events, func(e Event) bool { return e.RPC == Phase && e.Name == name })
	if i < 0 {
		return 0, 0
	}
	return h.Events[i].Call, h.Events[i].Return
}

// Of returns the events of one call.
func (h *History) Of(rpc string) []Event {
	var of []Event
	for _, e := range h.Events {
		if e.RPC == rpc {
			of = append(of, e)
		}
	}
	return of
}

// Note reports whether the event is a note and no call.
func (e Event) Note() bool { return e.RPC == Watch || e.RPC == Fault || e.RPC == Phase }

// Late is how long after its caller gave up a call may still take effect: what
// stood still goes on with what it has.
func (s *Setup) Late() time.Duration { return s.CallTime + s.Standstill }

// leaseSlack is how much later than promised a lease may end.
const leaseSlack = time.Second

// Slack is how much later than its holder's clock says a lease may end.
func (s *Setup) Slack() time.Duration { return leaseSlack + s.Behind }
