// SPDX-License-Identifier: Apache-2.0

package model

import "time"

// What both sides are asked, and what they answer. All of it is plain and
// comparable, so that a difference can be printed and shrunk.

type acquireStep struct {
	Op, Target, Chain, Run, Task, Request, Idem string
	Est                                         *int64
	MaxAttempts                                 int
	MaxWait                                     time.Duration
	Deadline                                    time.Duration // 0: none
	Pin                                         *int
}

type acquireAnswer struct {
	Decision, Reason, Target, BlockedBy, Would string
	Delay                                      time.Duration
	Attempt, Level                             int
	Probe, Degraded, Terminal                  bool
	Permit                                     int // number of the grant, from 1; 0: none
}

// signal is what a drill may say of a call.
type signal struct {
	HTTP                     int
	GRPC, Exc, Code, Quality string
	RetryAfter               *time.Duration
	Cancelled                bool
}

type reportStep struct {
	Permit int // number of the grant
	Sig    signal
	Dur    time.Duration
	Cost   *int64
}

type reportAnswer struct {
	Class, Reason, Action, Target, Why, RetryDenied, Letter, Esc, Would string
	Delay                                                               time.Duration
	Level                                                               int
	Counted, Opened, Terminal                                           bool
}

type breakerAnswer struct {
	State, Cause string
	Cycles       int
	Open         time.Duration
	Consecutive  int
}

type runAnswer struct {
	State                             string
	Spent, Reserved, Assumed, Overrun int64
	Calls                             int64
}

type letterAnswer struct{ State, Kind, Policy, Reason string }

type escalationAnswer struct {
	State, Decision, By string
	Occ                 int
	Left                time.Duration // to the deadline
}

// targetSpec is a target of a scenario; nil and "" take the preset's.
type targetSpec struct {
	Name, Kind, Cred                                    string
	MaxAttempts, TaskBudget, Consec, Slots              *int
	CallTimeout                                         *time.Duration
	Price, Ctx                                          *int64
	RetryNP, DryRun                                     bool
	Floor /* milli-tokens */, Ratio, QRetries, PerLevel *int
}

type levelSpec struct{ Target, Kind string }

type runSpec struct {
	ID, Parent string
	Cap, Calls *int64
}

// scenario is what both sides start from.
type scenario struct {
	Targets []targetSpec
	Chains  map[string][]levelSpec
	Runs    []runSpec // parents first
}
