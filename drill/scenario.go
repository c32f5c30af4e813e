// SPDX-License-Identifier: Apache-2.0

package drill

import (
	"fmt"
	"time"
)

// Scenario is one drill as its file says it. Get one from [Load] or [Builtin].
type Scenario struct {
	// ID names it in reports. A file without one that can be read has its
	// own name here.
	ID string
	// Title says what it shows.
	Title string
	// File is where it was read from.
	File string
	// Faults are what is wrong with the file. A scenario with faults is not
	// run and fails.
	Faults []Fault

	targets []targetSpec
	chains  []chainSpec
	runs    []runSpec // parents first
	steps   []step
	named   bool // ID is from the file
}

// Fault is one thing that is wrong with a scenario file.
type Fault struct {
	// File is where it is.
	File string
	// Line counts from 1. 0: the file as a whole.
	Line int
	// Message says what is wrong and, where it can, what was meant.
	Message string
}

// String returns the fault in one line.
func (f Fault) String() string {
	if f.Line == 0 {
		return f.File + ": " + f.Message
	}
	return fmt.Sprintf("%s:%d: %s", f.File, f.Line, f.Message)
}

// targetSpec is one entry of targets. A nil override is not set.
type targetSpec struct {
	name, kind  string
	maxAttempts *int64
	taskBudget  *int64
	consecutive *int64
	slots       *int64
	callTimeout *time.Duration
	credential  string
	price       *int64
	context     *int64
	retryNP     *bool
	floor       *int64 // milli-tokens, as ratio
	ratio       *int64
	dryRun      bool
}

// chainSpec is one entry of chains.
type chainSpec struct {
	name   string
	levels []levelSpec
}

// levelSpec is one level of a chain.
type levelSpec struct {
	target, kind string
}

// runSpec is one entry of runs. A nil cap is none.
type runSpec struct {
	id, parent string
	costCap    *int64
}

// step is one verb with its arguments and what its answer must be.
type step struct {
	line   int
	verb   string
	args   args
	expect []expectation
}
