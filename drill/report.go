// SPDX-License-Identifier: Apache-2.0

package drill

import (
	"time"
)

// Reason says why a scenario failed.
type Reason string

// The reasons.
const (
	// Passed: it did not.
	Passed Reason = ""
	// Invalid: the file says something that no scenario says.
	Invalid Reason = "invalid scenario"
	// NotInVersion: a verb stands for an RPC that the API does not have.
	NotInVersion Reason = "not in this version"
	// SetUp: the namespace, the policy or a run could not be made.
	SetUp Reason = "set-up failed"
	// Mismatched: an answer was not as expected.
	Mismatched Reason = "mismatch"
	// Failed: a step could not be carried out.
	Failed Reason = "step failed"
	// TearDown: the namespace could not be deleted.
	TearDown Reason = "clean-up failed"
	// NotRun: the drill ended before it.
	NotRun Reason = "not run"
)

// Result is how one scenario went.
type Result struct {
	// ID, Title and File are the scenario's.
	ID, Title, File string
	// Reason says why it failed. Empty: it passed.
	Reason Reason
	// Pending: it needs an RPC that this version lacks, and that was allowed.
	Pending bool
	// Step counts from 1. 0: no step is to blame.
	Step int
	// Line is the step's line in the file.
	Line int
	// Verb is the step's verb.
	Verb string
	// Mismatches are the fields that were not as expected.
	Mismatches []Mismatch
	// Message says more, in one or more lines. May be empty.
	Message string
	// Took is real time.
	Took time.Duration
}

// OK reports whether the scenario passed.
func (r *Result) OK() bool { return r.Reason == Passed }

// at says which step is being run.
func (r *Result) at(i int, s step) { r.Step, r.Line, r.Verb = i+1, s.line, s.verb }

func (r *Result) fail(why Reason, err error) { r.Reason, r.Message = why, err.Error() }

// Report is how all scenarios went.
type Report struct {
	// Results are in the order of the scenarios.
	Results []Result
	// Kinds are the six kinds of failure, with what answered each of them in
	// the scenarios that passed.
	Kinds []KindReport
	// Err says why scenarios were left out. Nil: none were.
	Err error
}

// Failed counts the scenarios that failed, those that were not run included,
// and the pending ones not.
func (r Report) Failed() int { return len(r.Results) - r.count(Passed) - r.pending() }

func (r Report) pending() int {
	n := 0
	for i := range r.Results {
		if r.Results[i].Pending {
			n++
		}
	}
	return n
}

func (r Report) count(why Reason) int {
	n := 0
	for i := range r.Results {
		if r.Results[i].Reason == why {
			n++
		}
	}
	return n
}

// KindReport is one kind of failure and the patterns that answered it.
type KindReport struct {
	// Kind is its name, such as "transient".
	Kind string
	// Patterns are what was seen and expected. Empty: no scenario that passed
	// exercised the kind.
	Patterns []Pattern
}

// Pattern is one answer of the service to a kind of failure.
type Pattern struct {
	// Name says what fired.
	Name string
	// Drills are the scenarios in which it did.
	Drills []string
}
