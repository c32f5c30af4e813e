// SPDX-License-Identifier: Apache-2.0

package retry

import "time"

// Backoff is how the wait grows from retry to retry.
type Backoff uint8

// The kinds of backoff.
const (
	Exponential Backoff = iota
	Fixed
)

// Jitter is how a wait is spread.
type Jitter uint8

// The kinds of jitter: EQUAL draws from [d/2, d], FULL from [0, d], NONE keeps
// d, ADDITIVE_10 draws from [d, 1.1 d].
const (
	EqualJitter Jitter = iota
	FullJitter
	NoJitter
	AdditiveJitter
)

// Config is the operator's numbers for retries of one target (semantics §1.1).
type Config struct {
	MaxAttempts     int           // calls of one operation on level 0, the first included
	RetriesPerLevel int           // retries on each deeper level
	TaskBudget      int           // retries that a task shares on this target
	Backoff         Backoff       // EXPONENTIAL or FIXED
	Initial         time.Duration // wait before the first retry
	Multiplier      int           // factor from retry to retry
	Max             time.Duration // cap of the wait, applied before jitter
	Jitter          Jitter
	Margin          bool          // add up to 1 s to a Retry-After
	QualityRetries  int           // retries on the same target after a bad answer
	NotProcessed    bool          // retry_when_not_processed: a non-idempotent call that was provably not processed may be retried
	MaxInlineWait   time.Duration // longest wait that a directive asks for
	StayLimit       time.Duration // a Retry-After below it stays on the target
	HardWait        time.Duration // hold after a 429 that names no wait

	// The fleet's retry budget, in milli-tokens.
	FleetRatio int64         // deposit of a first attempt
	FleetFloor int64         // always available
	FleetTTL   time.Duration // how long deposits and withdrawals count
}

// The price of a retry in milli-tokens.
const (
	CostTransient = 1000
	CostThrottle  = 400
)
