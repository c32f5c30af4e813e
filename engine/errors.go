// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"errors"
	"fmt"
	"time"
)

// The errors of the engine. A refusal is not an error: it is a decision.
var (
	// ErrRunUnknown: no such run; StartRun makes one.
	ErrRunUnknown = errors.New("engine: run is unknown")
	// ErrChainUnknown: the policy names no such chain.
	ErrChainUnknown = errors.New("engine: chain is unknown")
	// ErrNotFound: no such letter, escalation, decision or target.
	ErrNotFound = errors.New("engine: not found")
	// ErrPermitForged: a permit id that this service never made, or one of
	// another namespace.
	ErrPermitForged = errors.New("engine: permit id is not valid here")
	// ErrLeaseLost: the permit's lease is over, or it was reported.
	ErrLeaseLost = errors.New("engine: lease is lost")
	// ErrMismatch: an id was used before with other content.
	ErrMismatch = errors.New("engine: id was used before with other content")
	// ErrRunFinal: the run is stopped or completed and cannot be changed.
	ErrRunFinal = errors.New("engine: run has ended")
	// ErrEpoch: the policy was changed by somebody else.
	ErrEpoch = errors.New("engine: policy epoch is not the expected one")
	// ErrNotDrill: the namespace is not a drill's.
	ErrNotDrill = errors.New("engine: not a drill namespace")
	// ErrDrillsOff: the server was started without drills.
	ErrDrillsOff = errors.New("engine: drills are not allowed here")
	// ErrQuota: the namespace, or the server, has too many of something.
	ErrQuota = errors.New("engine: quota is used up")
	// ErrUnavailable: the store cannot be reached, or the engine is closing.
	ErrUnavailable = errors.New("engine: unavailable")
	// ErrOutcomeUnknown: the store does not know whether it committed; ask
	// again with the same request id.
	ErrOutcomeUnknown = errors.New("engine: outcome unknown, repeat the request")
	// ErrInternal: a rule failed; the command changed nothing.
	ErrInternal = errors.New("engine: internal error")
)

// InvalidError says which field of a request is wrong, why, and what to do.
type InvalidError struct {
	Field string
	Why   string
}

// Error returns the field and what is wrong with it.
func (e *InvalidError) Error() string { return fmt.Sprintf("%s: %s", e.Field, e.Why) }

// DelayedError is an error that is worth a repeat after Delay. Each caller gets
// a delay of its own, so that they do not come back together.
type DelayedError struct {
	Err   error // wraps ErrUnavailable or ErrOutcomeUnknown
	Delay time.Duration
}

// Error returns what is wrong.
func (e *DelayedError) Error() string { return e.Err.Error() }

// Unwrap returns what is wrong.
func (e *DelayedError) Unwrap() error { return e.Err }

// OverloadedError says that too many commands wait; ask again after Delay.
type OverloadedError struct{ Delay time.Duration }

// Error says what to do.
func (e *OverloadedError) Error() string {
	return fmt.Sprintf("engine: too many commands wait, try again in %v", e.Delay)
}

// MismatchError is ErrMismatch with what was recorded under the id.
type MismatchError struct {
	Field    string // which id
	Recorded string // the recorded answer's essentials
}

// Error names the id and the recorded answer.
func (e *MismatchError) Error() string {
	return fmt.Sprintf("%s was used before with other content; recorded: %s", e.Field, e.Recorded)
}

// Unwrap returns ErrMismatch.
func (e *MismatchError) Unwrap() error { return ErrMismatch }
