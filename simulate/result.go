// SPDX-License-Identifier: Apache-2.0

package simulate

import "time"

// Result compares what two policies make of the same calls. Its JSON is
// stable: fields may be added, none is renamed. Money is in micro-USD, times
// are those of the recording.
type Result struct {
	// Answer is the result in a sentence or two; its wording may change.
	Answer string `json:"answer"`
	// Namespace is where the calls were recorded; empty: not said.
	Namespace string `json:"namespace,omitempty"`
	// From and Until are when the first call was granted and the last ended.
	// Nil: there was no call.
	From  *time.Time `json:"from,omitempty"`
	Until *time.Time `json:"until,omitempty"`
	// Calls is how many calls were played, Lost how many of them were never
	// reported, Missing how many of the same time were not recorded.
	Calls   int64 `json:"calls"`
	Lost    int64 `json:"lost"`
	Missing int64 `json:"missing"`
	// Totals is all targets together; its target is empty.
	Totals Target `json:"totals"`
	// Targets has the most affected first.
	Targets []Target `json:"targets"`
	// Runs are those that a cap would have stopped under either policy, at
	// most 1,000, the most affected first. Nothing is counted twice in Totals.
	Runs []StoppedRun `json:"runs"`
	// Limits says in words what a simulation cannot know.
	Limits []string `json:"limits"`
}

// Target compares two policies on the calls of one target.
type Target struct {
	Target string `json:"target,omitempty"`
	Calls  int64  `json:"calls"`
	Old    Side   `json:"old"`
	New    Side   `json:"new"`
	// NewlyRefused is how many calls the new policy refuses that the old one
	// grants, NewlyGranted the other way round.
	NewlyRefused int64 `json:"newly_refused"`
	NewlyGranted int64 `json:"newly_granted"`
}

// Side is what one policy makes of some calls.
type Side struct {
	Granted int64 `json:"granted"`
	// Denied and Waits are calls that were refused: for good, or to come again
	// after a delay.
	Denied int64 `json:"denied"`
	Waits  int64 `json:"waits"`
	// Refusals are both, by reason, the most frequent first.
	Refusals []Refusal `json:"refusals"`
	// Observed are grants that a rule would have refused if it were not only
	// observed, by reason.
	Observed []Refusal `json:"observed"`
	// CostMicros is what the granted calls cost, NotSpentMicros what the denied
	// and PutOffMicros what the waiting ones cost when they were made. Calls
	// whose cost nobody knows are in Unpriced and add nothing.
	CostMicros     int64 `json:"cost_micros"`
	NotSpentMicros int64 `json:"not_spent_micros"`
	PutOffMicros   int64 `json:"put_off_micros"`
	Unpriced       int64 `json:"unpriced"`
	// Early are refusals of calls that came before the wait was over which a
	// directive or the target had named: BACKOFF and COOLDOWN.
	Early int64 `json:"early"`
	// Moved are denied calls that the chain would have sent to another level.
	Moved int64 `json:"moved"`
	// Opened is how often breakers opened, OpenMS for how long altogether until
	// they closed or the recording ended.
	Opened int64 `json:"opened"`
	OpenMS int64 `json:"open_ms"`
	// Openings are the first 100 of them.
	Openings []Opening `json:"openings"`
	// RunsStopped is how many runs a cap stopped. In totals only.
	RunsStopped int64 `json:"runs_stopped"`
}

// Refusal counts the refusals of one kind.
type Refusal struct {
	Decision   string `json:"decision"` // DENIED or WAIT
	Reason     string `json:"reason"`
	Calls      int64  `json:"calls"`
	CostMicros int64  `json:"cost_micros"`
}

// Opening is a time in which a breaker was not closed.
type Opening struct {
	Target     string     `json:"target"`
	Credential string     `json:"credential,omitempty"` // if the breaker is one's own
	Cause      string     `json:"cause"`
	At         time.Time  `json:"at"`
	ClosedAt   *time.Time `json:"closed_at,omitempty"` // nil: not until the end of the recording
	ForMS      int64      `json:"for_ms"`
	Reopened   int64      `json:"reopened"` // by probes that failed
}

// StoppedRun compares two policies on a run that a cap stopped under at least one.
type StoppedRun struct {
	Run string   `json:"run"`
	Old *RunStop `json:"old,omitempty"` // nil: not stopped
	New *RunStop `json:"new,omitempty"`
}

// RunStop is a run that a cap stopped.
type RunStop struct {
	At         time.Time `json:"at"`         // the first refusal
	Reason     string    `json:"reason"`     // RUN_EXHAUSTED or RUN_BUDGET
	Rule       string    `json:"rule"`       // which cap
	BlockedBy  string    `json:"blocked_by"` // the run with the cap: itself or an ancestor
	Calls      int64     `json:"calls"`      // that were refused
	CostMicros int64     `json:"cost_micros"`
}
