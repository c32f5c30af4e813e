// SPDX-License-Identifier: Apache-2.0

package budget

import (
	"time"

	"github.com/resilienced/resilienced/rules"
)

// MaxDepth is the largest number of runs on the path from a root to a leaf.
const MaxDepth = 8

// Amounts are sums in the dimensions that a permit reserves. Cost is in
// micro-USD (1e-6 of the run's currency).
type Amounts struct {
	Cost   int64 `json:"c,omitempty"`
	Tokens int64 `json:"t,omitempty"`
	Calls  int64 `json:"n,omitempty"`
}

// Caps limits a run. A nil field is unlimited; zero is a cap of zero.
type Caps struct {
	Cost   *int64 `json:"c,omitempty"` // micro-USD
	Tokens *int64 `json:"t,omitempty"`
	Calls  *int64 `json:"n,omitempty"`
	WallMS *int64 `json:"w,omitempty"` // milliseconds since the run was made
}

// State is what a run may do.
type State uint8

// The states of a run. Active, Pressure and Exhausted follow from the sums;
// Stopped and Completed are stored and final.
const (
	Active State = iota + 1
	Pressure
	Exhausted
	Stopped
	Completed
)

// OnLost says what becomes of the reservation of a permit whose lease ended
// without a report.
type OnLost uint8

// The choices: book the estimate as assumed, or book nothing.
const (
	ChargeEstimate OnLost = iota
	ChargeZero
)

// Defaults are the policy's numbers for runs that bring none of their own.
type Defaults struct {
	Caps         Caps
	SoftPercent  int // pressure starts there; 0 means 80
	Currency     string
	OnLost       OnLost
	ZeroCostLate bool // allow_zero_cost_when_exhausted
}

// Run is the record of one agent run.
type Run struct {
	ID           string            `json:"id"`
	Path         []string          `json:"pa"` // run ids from the root to this run
	Caps         Caps              `json:"ca"`
	Currency     string            `json:"cu,omitempty"`
	SoftPercent  int               `json:"so,omitempty"`
	OnLost       OnLost            `json:"ol,omitempty"`
	ZeroCostLate bool              `json:"zc,omitempty"`
	Final        State             `json:"fi,omitempty"` // Stopped, Completed or 0
	FinalReason  string            `json:"fr,omitempty"`
	FinalBy      string            `json:"fb,omitempty"`
	FinalAt      rules.Instant     `json:"fa,omitempty"`
	Spent        Amounts           `json:"sp"`
	Reserved     Amounts           `json:"re"` // sum of Reservations
	Assumed      Amounts           `json:"as"`
	Reservations []Reservation     `json:"rs,omitempty"` // by Until, ascending
	CreatedAt    rules.Instant     `json:"cr"`
	UpdatedAt    rules.Instant     `json:"up"`
	Labels       map[string]string `json:"la,omitempty"`
	Hash         uint64            `json:"ha,omitempty"` // content of the StartRun that made it
	Policy       uint64            `json:"po,omitempty"` // policy epoch at creation
	Admitted     *Admission        `json:"ad,omitempty"` // the last enforced grant; nil: none with a cap
}

// Admission is what a run had promised after a grant that its caps allowed.
// Later reports may book more than was reserved; no admission is ever above
// its caps.
type Admission struct {
	Sum  Amounts `json:"s"` // spent, assumed and reserved
	Caps Caps    `json:"c"`
}

// Reservation sums the permits of a run whose leases end at the same instant.
type Reservation struct {
	Until   rules.Instant `json:"u"`
	Amounts Amounts       `json:"a"`
}

// Price is what a target costs: micro-USD per million units, and per call. A
// nil field is unknown; zero is free.
type Price struct {
	Input       *int64
	Output      *int64
	CachedInput *int64
	PerCall     *int64
	Currency    string
}

// Usage is what a call consumed, as the caller read it. Nil is absent.
type Usage struct {
	Cost   *int64
	Input  *int64
	Output *int64
	Cached *int64
}

// Estimate is what a caller expects a call to consume. Nil is absent.
type Estimate struct {
	Cost      *int64
	Input     *int64
	MaxOutput *int64
}

// Unknown says what to do when a capped run calls a target without a price.
type Unknown uint8

// The choices for an unknown price.
const (
	DenyUnpriced Unknown = iota
	AllowUnpriced
	UseFallbackPrice
)

// Lifetime is how long a run's late reports are accepted.
const Lifetime = 24 * time.Hour
