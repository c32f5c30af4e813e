// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"slices"
	"strconv"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/resilienced/resilienced/policy/strict"
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
func targetSchema() *strict.Schema[target.Config] {
	s := strict.New(slices.Concat(
		callFields(), breakerFields(), retryFields(), limitFields(), priceFields(), signalFields(), enforcementFields(),
	)...)
	s.Words["enforcement"] = strict.Word[target.Config]{Read: func(d *strict.Decoder, n *yaml.Node, path string) []strict.Setting[target.Config] {
		i, ok := d.OneOf(n, path, enforcementWords())
		var settings []strict.Setting[target.Config]
		for _, key := range s.Group("enforcement") {
			if !ok {
				break
			}
			f, dry := s.Field("enforcement."+key), enforcementValues()[i]
			settings = append(settings, strict.Setting[target.Config]{
				Field: f, Pos: strict.At(n), Apply: func(c *target.Config) { *dryFlags()[key](c) = dry },
			})
		}
		return settings
	}, JSON: strict.EnumJSON(enforcementWords()...)}
	return s
}

func callFields() []*strict.Field[target.Config] {
	type conf = target.Config
	idempotent := strict.Flag("idempotent", func(c *conf) *bool { return &c.Idempotent })
	idempotent.EntryOnly = true
	context := strict.Number("max_context", 1, maxUnits, func(c *conf) *int64 { return &c.MaxContext })
	context.Show = func(c *conf) string {
		if c.MaxContext == 0 {
			return strict.Unknown
		}
		return strconv.FormatInt(c.MaxContext, 10)
	}
	return []*strict.Field[conf]{
		idempotent,
		strict.Duration("call_timeout", tick, day, func(c *conf) *time.Duration { return &c.CallTimeout }),
		strict.Switch("lease_margin", tick, time.Hour, func(c *conf) *time.Duration { return &c.LeaseMargin }),
		strict.Duration("max_hold", tick, 30*day, func(c *conf) *time.Duration { return &c.MaxHold }),
		strict.Switch("max_wait", tick, time.Hour, func(c *conf) *time.Duration { return &c.MaxWait }),
		strict.Text("credential", func(c *conf) *string { return &c.Credential }),
		strict.Text("provider", func(c *conf) *string { return &c.Provider }),
		context,
		strict.Number("max_identical_failures", 0, maxCount, func(c *conf) *int { return &c.MaxIdentical }),
		strict.Duration("idempotency_ttl", time.Second, strict.MaxDuration, func(c *conf) *time.Duration { return &c.IdempotencyTTL }),
	}
}

func breakerFields() []*strict.Field[target.Config] {
	type conf = target.Config
	return []*strict.Field[conf]{
		strict.Number("breaker.consecutive_failures", 0, maxCount, func(c *conf) *int { return &c.Breaker.ConsecutiveFailures }),
		strict.Number("breaker.consecutive_quality", 0, maxCount, func(c *conf) *int { return &c.Breaker.ConsecutiveQuality }),
		strict.Number("breaker.consecutive_auth", 0, maxCount, func(c *conf) *int { return &c.Breaker.ConsecutiveAuth }),
		strict.Switch("breaker.window", time.Second, day, func(c *conf) *time.Duration { return &c.Breaker.Window }),
		strict.Number("breaker.failure_percent", 1, 100, func(c *conf) *int { return &c.Breaker.FailurePercent }),
		strict.Number("breaker.slow_percent", 0, 100, func(c *conf) *int { return &c.Breaker.SlowPercent }),
		strict.Number("breaker.min_calls", 1, 1_000_000, func(c *conf) *int { return &c.Breaker.MinCalls }),
		strict.Duration("breaker.cooldown_base", tick, day, func(c *conf) *time.Duration { return &c.Breaker.CooldownBase }),
		strict.Duration("breaker.cooldown_max", tick, day, func(c *conf) *time.Duration { return &c.Breaker.CooldownMax }),
		strict.Number("breaker.probes", 1, 100, func(c *conf) *int { return &c.Breaker.Probes }),
		strict.Duration("breaker.probe_lease", tick, day, func(c *conf) *time.Duration { return &c.Breaker.ProbeLease }),
		strict.Number("breaker.close_after_successes", 1, 1000, func(c *conf) *int { return &c.Breaker.CloseAfter }),
		strict.Switch("breaker.stable_for", tick, day, func(c *conf) *time.Duration { return &c.Breaker.StableFor }),
		strict.Switch("breaker.slow_call_after", tick, day, func(c *conf) *time.Duration { return &c.Breaker.SlowAfter }),
		strict.Switch("breaker.slow_call_fails_after", tick, day, func(c *conf) *time.Duration { return &c.SlowFailsAfter }),
		strict.Switch("breaker.ramp", tick, time.Hour, func(c *conf) *time.Duration { return &c.Breaker.Ramp }),
		strict.Flag("breaker.per_credential", func(c *conf) *bool { return &c.PerCredential }),
	}
}

func retryFields() []*strict.Field[target.Config] {
	type conf = target.Config
	return []*strict.Field[conf]{
		strict.Number("retry.max_attempts", 1, 1000, func(c *conf) *int { return &c.Retry.MaxAttempts }),
		strict.Number("retry.retries_per_level", 0, 1000, func(c *conf) *int { return &c.Retry.RetriesPerLevel }),
		strict.Number("retry.task_budget", 0, maxCount, func(c *conf) *int { return &c.Retry.TaskBudget }),
		strict.Enum("retry.backoff", []string{"EXPONENTIAL", "FIXED"},
			[]retry.Backoff{retry.Exponential, retry.Fixed}, func(c *conf) *retry.Backoff { return &c.Retry.Backoff }),
		strict.Duration("retry.initial", tick, day, func(c *conf) *time.Duration { return &c.Retry.Initial }),
		strict.Number("retry.multiplier", 1, 100, func(c *conf) *int { return &c.Retry.Multiplier }),
		strict.Duration("retry.max", tick, day, func(c *conf) *time.Duration { return &c.Retry.Max }),
		strict.Enum("retry.jitter", []string{"EQUAL", "FULL", "NONE", "ADDITIVE_10"},
			[]retry.Jitter{retry.EqualJitter, retry.FullJitter, retry.NoJitter, retry.AdditiveJitter},
			func(c *conf) *retry.Jitter { return &c.Retry.Jitter }),
		strict.Flag("retry.retry_after_margin", func(c *conf) *bool { return &c.Retry.Margin }),
		strict.Number("retry.quality_retries", 0, 1000, func(c *conf) *int { return &c.Retry.QualityRetries }),
		strict.Flag("retry.retry_when_not_processed", func(c *conf) *bool { return &c.Retry.NotProcessed }),
		strict.Switch("retry.max_inline_wait", tick, day, func(c *conf) *time.Duration { return &c.Retry.MaxInlineWait }),
		strict.Switch("retry.stay_limit", tick, day, func(c *conf) *time.Duration { return &c.Retry.StayLimit }),
		strict.Duration("retry.retry_after_default", tick, day, func(c *conf) *time.Duration { return &c.Retry.HardWait }),
		strict.Number("retry.fleet.ratio_milli", 0, maxUnits, func(c *conf) *int64 { return &c.Retry.FleetRatio }),
		strict.Number("retry.fleet.floor_milli", 0, maxUnits, func(c *conf) *int64 { return &c.Retry.FleetFloor }),
		strict.Duration("retry.fleet.ttl", time.Second, time.Hour, func(c *conf) *time.Duration { return &c.Retry.FleetTTL }),
	}
}

func limitFields() []*strict.Field[target.Config] {
	type conf = target.Config
	return []*strict.Field[conf]{
		strict.Number("limit.concurrency", 0, maxCount, func(c *conf) *int { return &c.Limit.Concurrency }),
		strict.Number("limit.rate.tokens", 0, maxUnits, func(c *conf) *int64 { return &c.Limit.Rate }),
		strict.Duration("limit.rate.per", tick, day, func(c *conf) *time.Duration { return &c.Limit.Per }),
		strict.Number("limit.rate.burst", 1, maxUnits, func(c *conf) *int64 { return &c.Limit.Burst }),
		strict.Enum("cooldown.scope", []string{"TARGET", "CREDENTIAL", "PROVIDER"},
			[]limit.Scope{limit.ScopeTarget, limit.ScopeCredential, limit.ScopeProvider},
			func(c *conf) *limit.Scope { return &c.Limit.Scope }),
	}
}

// priceFields merge into a copy, so that no two targets share a price that is
// still being put together.
func priceFields() []*strict.Field[target.Config] {
	type conf = target.Config
	part := func(path string, of func(*budget.Price) **int64) *strict.Field[conf] {
		get := func(c *conf) *int64 { return *of(priceOf(c)) }
		set := func(c *conf, v *int64) {
			c.Price = priceOf(c)
			*of(c.Price) = v
		}
		return strict.Optional(path, budget.MaxAmount, get, set)
	}
	return []*strict.Field[conf]{
		part("price.input", func(p *budget.Price) **int64 { return &p.Input }),
		part("price.output", func(p *budget.Price) **int64 { return &p.Output }),
		part("price.cached_input", func(p *budget.Price) **int64 { return &p.CachedInput }),
		part("price.per_call", func(p *budget.Price) **int64 { return &p.PerCall }),
		strict.Currency("price.currency",
			func(c *conf) string { return priceOf(c).Currency },
			func(c *conf, code string) {
				c.Price = priceOf(c)
				c.Price.Currency = code
			}),
		strict.Enum("unknown_price", []string{"DENY", "ALLOW_UNPRICED", "FALLBACK_PRICE"},
			[]budget.Unknown{budget.DenyUnpriced, budget.AllowUnpriced, budget.UseFallbackPrice},
			func(c *conf) *budget.Unknown { return &c.UnknownPrice }),
		strict.Optional("default_estimate", budget.MaxAmount,
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

func signalFields() []*strict.Field[target.Config] {
	type conf = target.Config
	return []*strict.Field[conf]{
		strict.Flag("signals.unavailable_is_rejected", func(c *conf) *bool { return &c.Rejected503 }),
		strict.Flag("signals.refusal_is_policy", func(c *conf) *bool { return &c.RefusalIsPolicy }),
		strict.Flag("signals.trust_hints", func(c *conf) *bool { return &c.TrustHints }),
		strict.Flag("signals.escalate_content_policy", func(c *conf) *bool { return &c.ContentEscalate }),
	}
}

func enforcementFields() []*strict.Field[target.Config] {
	var fields []*strict.Field[target.Config]
	for _, key := range enforcementKeys() {
		fields = append(fields, strict.Enum(enforcementPrefix+key, enforcementWords(), enforcementValues(), dryFlags()[key]))
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
