// SPDX-License-Identifier: Apache-2.0

package target

import (
	"time"

	"github.com/resilienced/resilienced/rules/breaker"
	"github.com/resilienced/resilienced/rules/budget"
	"github.com/resilienced/resilienced/rules/classify"
	"github.com/resilienced/resilienced/rules/limit"
	"github.com/resilienced/resilienced/rules/retry"
)

// Config is everything that an operator's policy says of one target, resolved:
// presets, globs and overrides are already applied.
type Config struct {
	Name string
	Kind string // llm, tool, fast, action or strict; default: no policy names it
	// Idempotent is what an operation is whose caller did not say.
	Idempotent bool
	// RetryUndeclared: operations whose caller did not declare them idempotent
	// may be retried. False only for targets that no policy names.
	RetryUndeclared bool

	Breaker       breaker.Config
	PerCredential bool // one breaker for each credential_ref
	Retry         retry.Config
	Limit         limit.Config

	CallTimeout time.Duration // hint to the caller
	LeaseMargin time.Duration // lease = CallTimeout + LeaseMargin
	MaxHold     time.Duration // a heart-beaten permit ends there
	MaxWait     time.Duration // WAIT instead of DENIED when the caller did not say

	Credential string
	Provider   string
	MaxContext int64 // tokens; 0: unknown

	Price           *budget.Price // nil: unknown
	UnknownPrice    budget.Unknown
	DefaultEstimate *int64 // micro-USD, when nothing better is known

	MaxIdentical   int           // repeat guard: identical failures in a run; 0: off
	IdempotencyTTL time.Duration // how long a non-idempotent result is kept

	// Signals.
	SlowFailsAfter  time.Duration
	Rejected503     bool
	RefusalIsPolicy bool
	TrustHints      bool
	ContentEscalate bool // a content policy stop is escalated
	Rules           []classify.Rule

	// Dry run: computed, logged and not enforced.
	DryBreaker, DryBudget, DryLimit, DryRetry bool

	// Exact switches off what spreads or coarsens, for drill namespaces:
	// jitter, margins, ramps, and the rounding of lease ends.
	Exact bool
}

// Observed reports that every rule of the target is computed and none
// enforced. Then nothing is refused there, also not by what is no rule of the
// target: the state of a run or of an operation.
func (c *Config) Observed() bool { return c.DryBreaker && c.DryBudget && c.DryLimit && c.DryRetry }
