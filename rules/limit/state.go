// SPDX-License-Identifier: Apache-2.0

package limit

import (
	"time"

	"github.com/resilienced/resilienced/rules"
)

// Scope says which targets a cooldown holds.
type Scope uint8

// The scopes.
const (
	ScopeTarget     Scope = iota // only the target itself
	ScopeCredential              // all targets with the same credential_ref and this scope
	ScopeProvider                // all targets with the same provider and this scope
)

// Config is the operator's numbers for concurrency and rate of one target.
type Config struct {
	Concurrency int           // calls in flight over the whole fleet; 0: no limit
	Rate        int64         // tokens per Per; 0: no limit
	Per         time.Duration // the span of Rate
	Burst       int64         // the most tokens that are kept; 0: Rate
	Scope       Scope         // which targets a cooldown of this one holds
}

// Cooldown is a wait that a target asked for and that the whole fleet keeps.
// The zero Cooldown holds nobody.
type Cooldown struct {
	Until   rules.Instant `json:"u,omitempty"`
	Cause   string        `json:"c,omitempty"` // reason of the report that set it
	Source  string        `json:"s,omitempty"` // operation of the permit that set it
	Raw     string        `json:"r,omitempty"` // the value as it came
	Clamped bool          `json:"x,omitempty"` // more than 24 h was asked for
}

// Holder is one permit that holds a slot. The lease is the only thing that
// holds it.
type Holder struct {
	Operation string        `json:"o"`
	Fence     uint64        `json:"f"`
	Expires   rules.Instant `json:"e"`
}

// Bucket is a token bucket. The zero Bucket is full.
type Bucket struct {
	Used  int64         `json:"u,omitempty"` // milli-tokens missing from a full bucket
	Since rules.Instant `json:"s,omitempty"` // when Used was right
}
