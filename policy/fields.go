// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"cmp"
	"slices"
	"strconv"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/resilienced/resilienced/rules/budget"
	"github.com/resilienced/resilienced/rules/limit"
	"github.com/resilienced/resilienced/rules/retry"
	"github.com/resilienced/resilienced/rules/target"
)

// Bounds that several fields share.
const (
	day      = 24 * time.Hour
	tick     = time.Millisecond // the shortest duration
	maxCount = 10_000           // of streaks, attempts and slots
	maxUnits = 1_000_000_000    // of tokens and milli-tokens
)

// targetSchema is what may be said of a target: under defaults, and in an
// entry of targets, which also has match, preset, kind and classification.
func targetSchema() *schema[target.Config] {
	s := newSchema(slices.Concat(
		callFields(), breakerFields(), retryFields(), limitFields(), priceFields(), signalFields(), enforcementFields(),
	)...)
	s.words["enforcement"] = word[target.Config]{read: func(d *decoder, n *yaml.Node, path string) []setting[target.Config] {
		i, ok := d.oneOf(n, path, enforcementWords())
		var settings []setting[target.Config]
		for _, key := range s.groups["enforcement"] {
			if !ok {
				break
			}
			f, dry := s.byPath["enforcement."+key], enforcementValues()[i]
			settings = append(settings, setting[target.Config]{f, func(c *target.Config) { *dryFlags()[key](c) = dry }, at(n)})
		}
		return settings
	}}
	return s
}

func callFields() []*field[target.Config] {
	type conf = target.Config
	idempotent := flagField("idempotent", func(c *conf) *bool { return &c.Idempotent })
	idempotent.entryOnly = true
	context := numberField("max_context", 1, maxUnits, func(c *conf) *int64 { return &c.MaxContext })
	context.show = func(c *conf) string {
		if c.MaxContext == 0 {
			return unknown
		}
		return strconv.FormatInt(c.MaxContext, 10)
	}
	return []*field[conf]{
		idempotent,
		durationField("call_timeout", tick, day, func(c *conf) *time.Duration { return &c.CallTimeout }),
		switchField("lease_margin", tick, time.Hour, func(c *conf) *time.Duration { return &c.LeaseMargin }),
		durationField("max_hold", tick, 30*day, func(c *conf) *time.Duration { return &c.MaxHold }),
		switchField("max_wait", tick, time.Hour, func(c *conf) *time.Duration { return &c.MaxWait }),
		textField("credential", func(c *conf) *string { return &c.Credential }),
		textField("provider", func(c *conf) *string { return &c.Provider }),
		context,
		numberField("max_identical_failures", 0, maxCount, func(c *conf) *int { return &c.MaxIdentical }),
		durationField("idempotency_ttl", time.Second, maxDuration, func(c *conf) *time.Duration { return &c.IdempotencyTTL }),
	}
}

func breakerFields() []*field[target.Config] {
	type conf = target.Config
	return []*field[conf]{
		numberField("breaker.consecutive_failures", 0, maxCount, func(c *conf) *int { return &c.Breaker.ConsecutiveFailures }),
		numberField("breaker.consecutive_quality", 0, maxCount, func(c *conf) *int { return &c.Breaker.ConsecutiveQuality }),
		numberField("breaker.consecutive_auth", 0, maxCount, func(c *conf) *int { return &c.Breaker.ConsecutiveAuth }),
		switchField("breaker.window", time.Second, day, func(c *conf) *time.Duration { return &c.Breaker.Window }),
		numberField("breaker.failure_percent", 1, 100, func(c *conf) *int { return &c.Breaker.FailurePercent }),
		numberField("breaker.slow_percent", 0, 100, func(c *conf) *int { return &c.Breaker.SlowPercent }),
		numberField("breaker.min_calls", 1, 1_000_000, func(c *conf) *int { return &c.Breaker.MinCalls }),
		durationField("breaker.cooldown_base", tick, day, func(c *conf) *time.Duration { return &c.Breaker.CooldownBase }),
		durationField("breaker.cooldown_max", tick, day, func(c *conf) *time.Duration { return &c.Breaker.CooldownMax }),
		numberField("breaker.probes", 1, 100, func(c *conf) *int { return &c.Breaker.Probes }),
		durationField("breaker.probe_lease", tick, day, func(c *conf) *time.Duration { return &c.Breaker.ProbeLease }),
		numberField("breaker.close_after_successes", 1, 1000, func(c *conf) *int { return &c.Breaker.CloseAfter }),
		switchField("breaker.stable_for", tick, day, func(c *conf) *time.Duration { return &c.Breaker.StableFor }),
		switchField("breaker.slow_call_after", tick, day, func(c *conf) *time.Duration { return &c.Breaker.SlowAfter }),
		switchField("breaker.slow_call_fails_after", tick, day, func(c *conf) *time.Duration { return &c.SlowFailsAfter }),
		switchField("breaker.ramp", tick, time.Hour, func(c *conf) *time.Duration { return &c.Breaker.Ramp }),
		flagField("breaker.per_credential", func(c *conf) *bool { return &c.PerCredential }),
	}
}

func retryFields() []*field[target.Config] {
	type conf = target.Config
	return []*field[conf]{
		numberField("retry.max_attempts", 1, 1000, func(c *conf) *int { return &c.Retry.MaxAttempts }),
		numberField("retry.retries_per_level", 0, 1000, func(c *conf) *int { return &c.Retry.RetriesPerLevel }),
		numberField("retry.task_budget", 0, maxCount, func(c *conf) *int { return &c.Retry.TaskBudget }),
		enumField("retry.backoff", []string{"EXPONENTIAL", "FIXED"},
			[]retry.Backoff{retry.Exponential, retry.Fixed}, func(c *conf) *retry.Backoff { return &c.Retry.Backoff }),
		durationField("retry.initial", tick, day, func(c *conf) *time.Duration { return &c.Retry.Initial }),
		numberField("retry.multiplier", 1, 100, func(c *conf) *int { return &c.Retry.Multiplier }),
		durationField("retry.max", tick, day, func(c *conf) *time.Duration { return &c.Retry.Max }),
		enumField("retry.jitter", []string{"EQUAL", "FULL", "NONE", "ADDITIVE_10"},
			[]retry.Jitter{retry.EqualJitter, retry.FullJitter, retry.NoJitter, retry.AdditiveJitter},
			func(c *conf) *retry.Jitter { return &c.Retry.Jitter }),
		flagField("retry.retry_after_margin", func(c *conf) *bool { return &c.Retry.Margin }),
		numberField("retry.quality_retries", 0, 1000, func(c *conf) *int { return &c.Retry.QualityRetries }),
		flagField("retry.retry_when_not_processed", func(c *conf) *bool { return &c.Retry.NotProcessed }),
		switchField("retry.max_inline_wait", tick, day, func(c *conf) *time.Duration { return &c.Retry.MaxInlineWait }),
		switchField("retry.stay_limit", tick, day, func(c *conf) *time.Duration { return &c.Retry.StayLimit }),
		durationField("retry.retry_after_default", tick, day, func(c *conf) *time.Duration { return &c.Retry.HardWait }),
		numberField("retry.fleet.ratio_milli", 0, maxUnits, func(c *conf) *int64 { return &c.Retry.FleetRatio }),
		numberField("retry.fleet.floor_milli", 0, maxUnits, func(c *conf) *int64 { return &c.Retry.FleetFloor }),
		durationField("retry.fleet.ttl", time.Second, time.Hour, func(c *conf) *time.Duration { return &c.Retry.FleetTTL }),
	}
}

func limitFields() []*field[target.Config] {
	type conf = target.Config
	return []*field[conf]{
		numberField("limit.concurrency", 0, maxCount, func(c *conf) *int { return &c.Limit.Concurrency }),
		numberField("limit.rate.tokens", 0, maxUnits, func(c *conf) *int64 { return &c.Limit.Rate }),
		durationField("limit.rate.per", tick, day, func(c *conf) *time.Duration { return &c.Limit.Per }),
		numberField("limit.rate.burst", 1, maxUnits, func(c *conf) *int64 { return &c.Limit.Burst }),
		enumField("cooldown.scope", []string{"TARGET", "CREDENTIAL", "PROVIDER"},
			[]limit.Scope{limit.ScopeTarget, limit.ScopeCredential, limit.ScopeProvider},
			func(c *conf) *limit.Scope { return &c.Limit.Scope }),
	}
}

// priceFields merge into a copy, so that no two targets share a price that is
// still being put together.
func priceFields() []*field[target.Config] {
	type conf = target.Config
	part := func(path string, of func(*budget.Price) **int64) *field[conf] {
		get := func(c *conf) *int64 { return *of(priceOf(c)) }
		set := func(c *conf, v *int64) {
			c.Price = priceOf(c)
			*of(c.Price) = v
		}
		return optionalField(path, budget.MaxAmount, get, set)
	}
	return []*field[conf]{
		part("price.input", func(p *budget.Price) **int64 { return &p.Input }),
		part("price.output", func(p *budget.Price) **int64 { return &p.Output }),
		part("price.cached_input", func(p *budget.Price) **int64 { return &p.CachedInput }),
		part("price.per_call", func(p *budget.Price) **int64 { return &p.PerCall }),
		currencyField("price.currency",
			func(c *conf) string { return cmp.Or(priceOf(c).Currency, unknown) },
			func(c *conf, code string) {
				c.Price = priceOf(c)
				c.Price.Currency = code
			}),
		enumField("unknown_price", []string{"DENY", "ALLOW_UNPRICED", "FALLBACK_PRICE"},
			[]budget.Unknown{budget.DenyUnpriced, budget.AllowUnpriced, budget.UseFallbackPrice},
			func(c *conf) *budget.Unknown { return &c.UnknownPrice }),
		optionalField("default_estimate", budget.MaxAmount,
			func(c *conf) *int64 { return c.DefaultEstimate }, func(c *conf, v *int64) { c.DefaultEstimate = v }),
	}
}

// priceOf returns a copy of the price of a target, an empty one if it has none.
func priceOf(c *target.Config) *budget.Price {
	if c.Price == nil {
		return &budget.Price{}
	}
	p := *c.Price
	return &p
}

func signalFields() []*field[target.Config] {
	type conf = target.Config
	return []*field[conf]{
		flagField("signals.unavailable_is_rejected", func(c *conf) *bool { return &c.Rejected503 }),
		flagField("signals.refusal_is_policy", func(c *conf) *bool { return &c.RefusalIsPolicy }),
		flagField("signals.trust_hints", func(c *conf) *bool { return &c.TrustHints }),
		flagField("signals.escalate_content_policy", func(c *conf) *bool { return &c.ContentEscalate }),
	}
}

func enforcementFields() []*field[target.Config] {
	var fields []*field[target.Config]
	for _, key := range enforcementKeys() {
		fields = append(fields, enumField(enforcementPrefix+key, enforcementWords(), enforcementValues(), dryFlags()[key]))
	}
	return fields
}

// enforcementPrefix begins the path of each switch.
const enforcementPrefix = "enforcement."

// enforcementKeys are the groups of rules that are switched apart.
func enforcementKeys() []string { return []string{"breaker", "budget", "limit", "retry"} }

func enforcementWords() []string { return []string{"ENFORCE", "DRY_RUN"} }

// enforcementValues are the dry-run flags that the words stand for.
func enforcementValues() []bool { return []bool{false, true} }

// dryFlags are the flags of a target that say which rules are only computed.
func dryFlags() map[string]func(*target.Config) *bool {
	return map[string]func(*target.Config) *bool{
		"breaker": func(c *target.Config) *bool { return &c.DryBreaker },
		"budget":  func(c *target.Config) *bool { return &c.DryBudget },
		"limit":   func(c *target.Config) *bool { return &c.DryLimit },
		"retry":   func(c *target.Config) *bool { return &c.DryRetry },
	}
}
