// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"time"

	"github.com/resilienced/resilienced/rules/breaker"
	"github.com/resilienced/resilienced/rules/retry"
	"github.com/resilienced/resilienced/rules/target"
)

// The presets, which are the kinds of target too.
const (
	presetLLM    = "llm"
	presetTool   = "tool"
	presetFast   = "fast"
	presetAction = "action"
	presetStrict = "strict"

	// kindDefault is the kind of a target that no entry names.
	kindDefault = "default"
)

func presetNames() []string {
	return []string{presetLLM, presetTool, presetFast, presetAction, presetStrict}
}

// preset returns the numbers of semantics §1.1 for one preset, with the kind
// and the idempotency that go with it. They are what a target has that a file
// gives a preset and nothing else.
func preset(name string) target.Config {
	c := llm()
	switch name {
	case presetTool:
		c.Breaker.Window = 0
		c.Breaker.SlowAfter = 30 * time.Second
		c.Retry.MaxAttempts, c.Retry.TaskBudget = 5, 4
		c.Retry.Initial, c.Retry.Max = 500*time.Millisecond, 10*time.Second
		c.Limit.Concurrency = 5
		c.CallTimeout = 30 * time.Second
	case presetFast:
		c.Breaker.Window = 0
		c.Breaker.ConsecutiveFailures = 3
		c.Breaker.CooldownBase = 10 * time.Second
		c.Breaker.SlowAfter, c.SlowFailsAfter = 5*time.Second, time.Minute
		c.Retry.MaxAttempts, c.Retry.TaskBudget = 5, 4
		c.Retry.Initial, c.Retry.Max = 500*time.Millisecond, 10*time.Second
		c.Limit.Concurrency = 20
		c.CallTimeout = 10 * time.Second
	case presetAction:
		c.Breaker.Window = 0
		c.Breaker.SlowAfter = 30 * time.Second
		c.Retry.MaxAttempts, c.Retry.TaskBudget = 1, 0
		c.Limit.Concurrency = 5
		c.CallTimeout = 30 * time.Second
	case presetStrict:
		c.Breaker.ConsecutiveFailures = 3
	}
	setKind(&c, name)
	return c
}

// setKind sets the kind of a named target and the idempotency of operations
// whose caller did not say.
func setKind(c *target.Config, kind string) {
	c.Kind, c.Idempotent, c.RetryUndeclared = kind, kind != presetAction, true
}

// llm is the preset llm without its kind: the numbers that all presets start
// from, and those of a target that no entry names.
func llm() target.Config {
	return target.Config{
		Kind: kindDefault,
		Breaker: breaker.Config{
			ConsecutiveFailures: 5,
			ConsecutiveQuality:  3,
			ConsecutiveAuth:     3,
			Window:              time.Minute,
			FailurePercent:      50,
			SlowPercent:         80,
			MinCalls:            20,
			CooldownBase:        30 * time.Second,
			CooldownMax:         5 * time.Minute,
			Probes:              1,
			ProbeLease:          time.Minute,
			CloseAfter:          1,
			StableFor:           time.Minute,
			SlowAfter:           time.Minute,
			Ramp:                10 * time.Second,
		},
		Retry: retry.Config{
			MaxAttempts:   3,
			TaskBudget:    3,
			Backoff:       retry.Exponential,
			Initial:       time.Second,
			Multiplier:    2,
			Max:           30 * time.Second,
			Jitter:        retry.EqualJitter,
			Margin:        true,
			MaxInlineWait: time.Minute,
			StayLimit:     10 * time.Second,
			HardWait:      time.Minute,
			FleetRatio:    200,
			FleetFloor:    10_000,
			FleetTTL:      10 * time.Second,
		},
		CallTimeout:    2 * time.Minute,
		LeaseMargin:    15 * time.Second,
		MaxHold:        time.Hour,
		MaxWait:        10 * time.Second,
		MaxIdentical:   3,
		IdempotencyTTL: 24 * time.Hour,
		SlowFailsAfter: 5 * time.Minute,
	}
}
