// SPDX-License-Identifier: Apache-2.0

package fallback

// Kind orders the levels of a chain (seed 003). Kinds never decrease along a
// chain.
type Kind uint8

// The kinds of level.
const (
	Primary Kind = iota + 1
	SameProviderCheaper
	CrossProvider
	SelfHosted
	RuleBased
	HumanQueue
)

// Exhausted says what becomes of an operation when no level is left.
type Exhausted uint8

// The choices: dead-letter if the report brought an envelope, else stop;
// escalate; stop.
const (
	ThenDeadLetter Exhausted = iota
	ThenEscalate
	ThenStop
)

// Level is one level of a chain.
type Level struct {
	Target   string
	Kind     Kind
	CostRank int // smaller is cheaper; 0: unknown
}

// Chain is a fallback order of targets. A call of a single target is a chain
// of one PRIMARY level.
type Chain struct {
	Name          string // empty for a single target
	Levels        []Level
	OnExhausted   Exhausted
	ContentPolicy *int // level that a content policy stop may go to; nil: none
	SustainedJump bool // sustained_jumps: a sustained outage goes to SELF_HOSTED
}
