// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/resilienced/resilienced/rules/breaker"
	"github.com/resilienced/resilienced/rules/budget"
	"github.com/resilienced/resilienced/rules/fallback"
	"github.com/resilienced/resilienced/rules/limit"
	"github.com/resilienced/resilienced/rules/retry"
	"github.com/resilienced/resilienced/rules/target"
)

const everyField = `
version: 1
targets:
  - match: x
    preset: llm
    kind: tool
    idempotent: false
    call_timeout: 1s
    lease_margin: 2s
    max_hold: 3h
    max_wait: 4s
    credential: cred
    provider: prov
    max_context: 5
    max_identical_failures: 6
    idempotency_ttl: 7d
    breaker:
      {consecutive_failures: 8, consecutive_quality: 9, consecutive_auth: 10, window: 11s, failure_percent: 12,
       slow_percent: 13, min_calls: 14, cooldown_base: 15s, cooldown_max: 16s, probes: 17, probe_lease: 18s,
       close_after_successes: 19, stable_for: 20s, slow_call_after: 21s, slow_call_fails_after: 22s, ramp: 23s,
       per_credential: true}
    retry:
      {max_attempts: 24, retries_per_level: 25, task_budget: 26, backoff: FIXED, initial: 27ms, multiplier: 28,
       max: 29s, jitter: FULL, retry_after_margin: false, quality_retries: 30, retry_when_not_processed: true,
       max_inline_wait: 31s, stay_limit: 32s, retry_after_default: 33s,
       fleet: {ratio_milli: 34, floor_milli: 35, ttl: 36s}}
    limit: {concurrency: 37, rate: {tokens: 38, per: 39s, burst: 40}}
    cooldown: {scope: PROVIDER}
    price: {input: 41, output: 42, cached_input: 43, per_call: 44, currency: EUR}
    unknown_price: FALLBACK_PRICE
    default_estimate: 45
    signals: {unavailable_is_rejected: true, refusal_is_policy: true, trust_hints: true, escalate_content_policy: true}
    enforcement: {breaker: DRY_RUN, budget: ENFORCE, limit: DRY_RUN, retry: ENFORCE}
`

// Every field with a value of its own, so that none is wired to another.
func TestEveryFieldIsWired(t *testing.T) {
	p := parse(t, everyField)
	want := target.Config{
		Name: "x", Kind: "tool", RetryUndeclared: true, PerCredential: true,
		Breaker: breaker.Config{
			ConsecutiveFailures: 8, ConsecutiveQuality: 9, ConsecutiveAuth: 10, Window: 11 * time.Second,
			FailurePercent: 12, SlowPercent: 13, MinCalls: 14, CooldownBase: 15 * time.Second, CooldownMax: 16 * time.Second,
			Probes: 17, ProbeLease: 18 * time.Second, CloseAfter: 19, StableFor: 20 * time.Second,
			SlowAfter: 21 * time.Second, Ramp: 23 * time.Second,
		},
		Retry: retry.Config{
			MaxAttempts: 24, RetriesPerLevel: 25, TaskBudget: 26, Backoff: retry.Fixed, Initial: 27 * time.Millisecond,
			Multiplier: 28, Max: 29 * time.Second, Jitter: retry.FullJitter, QualityRetries: 30, NotProcessed: true,
			MaxInlineWait: 31 * time.Second, StayLimit: 32 * time.Second, HardWait: 33 * time.Second,
			FleetRatio: 34, FleetFloor: 35, FleetTTL: 36 * time.Second,
		},
		Limit:       limit.Config{Concurrency: 37, Rate: 38, Per: 39 * time.Second, Burst: 40, Scope: limit.ScopeProvider},
		CallTimeout: time.Second, LeaseMargin: 2 * time.Second, MaxHold: 3 * time.Hour, MaxWait: 4 * time.Second,
		Credential: "cred", Provider: "prov", MaxContext: 5,
		Price:        &budget.Price{Input: new(int64(41)), Output: new(int64(42)), CachedInput: new(int64(43)), PerCall: new(int64(44)), Currency: "EUR"},
		UnknownPrice: budget.UseFallbackPrice, DefaultEstimate: new(int64(45)),
		MaxIdentical: 6, IdempotencyTTL: 7 * 24 * time.Hour, SlowFailsAfter: 22 * time.Second,
		Rejected503: true, RefusalIsPolicy: true, TrustHints: true, ContentEscalate: true,
		DryBreaker: true, DryLimit: true,
	}
	if diff := cmp.Diff(want, *p.Target("x")); diff != "" {
		t.Errorf("Target differs (-want +got):\n%s", diff)
	}
}

func TestMergePerField(t *testing.T) {
	p := parse(t, `
version: 1
defaults:
  call_timeout: 50s
  retry: {jitter: NONE, initial: 2s}
  price: {currency: EUR}
targets:
  - {match: "tool/*", preset: tool, retry: {initial: 3s}, price: {per_call: 7}}
  - {match: "tool/x/*", preset: fast}
  - {match: "tool/x/y", preset: action, call_timeout: 9s}
`)
	for _, c := range []struct {
		name             string
		kind             string
		timeout, initial time.Duration
		max              time.Duration
		price            *budget.Price
	}{
		{"tool/a", "tool", 50 * time.Second, 3 * time.Second, 10 * time.Second, &budget.Price{PerCall: new(int64(7)), Currency: "EUR"}},
		{"tool/x/a/b", "fast", 50 * time.Second, 2 * time.Second, 10 * time.Second, nil},
		{"tool/x/y", "action", 9 * time.Second, 2 * time.Second, 30 * time.Second, nil},
		{"unnamed", "default", 50 * time.Second, 2 * time.Second, 30 * time.Second, nil},
	} {
		got := p.Target(c.name)
		if got.Kind != c.kind || got.CallTimeout != c.timeout || got.Retry.Initial != c.initial || got.Retry.Max != c.max ||
			got.Retry.Jitter != retry.NoJitter {
			t.Errorf("Target(%q) = %+v", c.name, got)
		}
		if diff := cmp.Diff(c.price, got.Price); diff != "" {
			t.Errorf("price of %q (-want +got):\n%s", c.name, diff)
		}
	}
}

func TestTaskBudgetFollowsMaxAttempts(t *testing.T) {
	p := parse(t, `
version: 1
targets:
  - {match: more, preset: llm, retry: {max_attempts: 9}}
  - {match: less, preset: llm, retry: {max_attempts: 2}}
  - {match: said, preset: llm, retry: {max_attempts: 9, task_budget: 1}}
  - {match: pay, preset: action, retry: {max_attempts: 4}}
  - {match: paid, preset: action, retry: {max_attempts: 4, task_budget: 2}}
`)
	for name, want := range map[string]int{"more": 8, "less": 3, "said": 1, "pay": 0, "paid": 2} {
		if got := p.Target(name).Retry.TaskBudget; got != want {
			t.Errorf("task budget of %s is %d, want %d", name, got, want)
		}
	}
	if got, want := values(p, "more")["retry.task_budget"].Source, "from retry.max_attempts (p.yaml:4)"; got != want {
		t.Errorf("source is %q, want %q", got, want)
	}
}

func TestMaxHoldCoversALease(t *testing.T) {
	p := parse(t, "version: 1\ntargets: [{match: x, preset: llm, call_timeout: 2h}]")
	if got, want := p.Target("x").MaxHold, 2*time.Hour+15*time.Second; got != want {
		t.Errorf("MaxHold is %v, want %v", got, want)
	}
}

func TestEnforcement(t *testing.T) {
	flags := func(p *Policy, name string) [4]bool {
		c := p.Target(name)
		return [4]bool{c.DryBreaker, c.DryBudget, c.DryLimit, c.DryRetry}
	}
	p := parse(t, `
version: 1
targets:
  - {match: all, preset: llm, enforcement: DRY_RUN}
  - {match: some, preset: llm, enforcement: {budget: DRY_RUN, retry: DRY_RUN}}
  - {match: none, preset: llm}
`)
	for name, want := range map[string][4]bool{
		"all": {true, true, true, true}, "some": {false, true, false, true}, "none": {}, "unnamed": {},
	} {
		if got := flags(p, name); got != want {
			t.Errorf("dry flags of %s are %v, want %v", name, got, want)
		}
	}
	dry := parse(t, "version: 1\ntargets: [{match: x, preset: llm, enforcement: ENFORCE}]\ndry_run: true")
	if !dry.DryRun() || flags(dry, "x") != [4]bool{true, true, true, true} || !dry.Target("unnamed").DryBudget {
		t.Error("dry_run does not hold for every rule")
	}
	if got, want := values(dry, "x")["enforcement.limit"], (Setting{"enforcement.limit", "DRY_RUN", "p.yaml:3"}); got != want {
		t.Errorf("Explain says %v, want %v", got, want)
	}
}

// What the drills override, in the form that a runner writes.
func TestDrillOverrides(t *testing.T) {
	text := `
version: 1
targets:
  - {match: "a", preset: llm, retry: {max_attempts: 7, task_budget: 0, fleet: {floor_milli: 0, ratio_milli: 0}},
     breaker: {consecutive_failures: 2}, limit: {concurrency: 0}, call_timeout: 1500ms, credential: k1,
     price: {per_call: 0}, max_context: 128000, enforcement: DRY_RUN}
  - {match: "b", preset: action, retry: {retry_when_not_processed: true, max_attempts: 2, task_budget: 1}, max_wait: 0}
chains:
  c: [a:PRIMARY, "b:SAME_PROVIDER_CHEAPER"]
`
	p, err := Parse("drill", []byte(text), Options{Exact: true})
	if err != nil {
		t.Fatal(err)
	}
	a, b, other := p.Target("a"), p.Target("b"), p.Target("other")
	if a.Retry.MaxAttempts != 7 || a.Retry.TaskBudget != 0 || a.Retry.FleetFloor != 0 || a.Retry.FleetRatio != 0 ||
		a.Breaker.ConsecutiveFailures != 2 || a.Limit.Concurrency != 0 || a.CallTimeout != 1500*time.Millisecond ||
		a.Credential != "k1" || a.Price == nil || *a.Price.PerCall != 0 || a.Price.Currency != "USD" || a.MaxContext != 128000 || !a.DryRetry {
		t.Errorf("a is %+v", a)
	}
	if !b.Retry.NotProcessed || b.Retry.MaxAttempts != 2 || b.Retry.TaskBudget != 1 || b.MaxWait != 0 || b.Retry.Initial != time.Second {
		t.Errorf("b is %+v", b)
	}
	for _, c := range []*target.Config{a, b, other} {
		if !c.Exact || c.Retry.Jitter != retry.NoJitter || c.Retry.Margin || c.Breaker.Ramp != 0 {
			t.Errorf("%s is not exact: %+v", c.Name, c)
		}
	}
	if a.MaxWait != 10*time.Second {
		t.Errorf("MaxWait is %v", a.MaxWait)
	}
}

func TestChains(t *testing.T) {
	p := parse(t, `
version: 1
chains:
  long:
    content_policy_level: 1
    levels:
      - {target: openai/a, kind: PRIMARY, cost_rank: 2}
      - {target: openai/b, kind: SAME_PROVIDER_CHEAPER, cost_rank: 1}
      - humans:HUMAN_QUEUE
    on_exhausted: ESCALATE
    sustained_jumps: true
  "grpc/host:443": ["grpc/host:443:PRIMARY", grpc/other:CROSS_PROVIDER]
  7: [x:PRIMARY]
`)
	one := 1
	want := &fallback.Chain{
		Name: "long", OnExhausted: fallback.ThenEscalate, ContentPolicy: &one, SustainedJump: true,
		Levels: []fallback.Level{
			{Target: "openai/a", Kind: fallback.Primary, CostRank: 2},
			{Target: "openai/b", Kind: fallback.SameProviderCheaper, CostRank: 1},
			{Target: "humans", Kind: fallback.HumanQueue},
		},
	}
	got, ok := p.Chain("long")
	if diff := cmp.Diff(want, got); !ok || diff != "" {
		t.Errorf("Chain differs (-want +got):\n%s", diff)
	}
	got, _ = p.Chain("grpc/host:443")
	want = &fallback.Chain{Name: "grpc/host:443", Levels: []fallback.Level{
		{Target: "grpc/host:443", Kind: fallback.Primary}, {Target: "grpc/other", Kind: fallback.CrossProvider},
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Chain differs (-want +got):\n%s", diff)
	}
	if _, ok := p.Chain("nope"); ok {
		t.Error("there is a chain nope")
	}
	if diff := cmp.Diff([]string{"7", "grpc/host:443", "long"}, p.ChainNames()); diff != "" {
		t.Errorf("ChainNames (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(fallback.Single("x"), p.Single("x")); diff != "" {
		t.Errorf("Single (-want +got):\n%s", diff)
	}
}

func TestRunsAndQuotas(t *testing.T) {
	p := parse(t, `
version: 1
runs:
  caps: {cost_micros: 5_000_000, tokens: unlimited, calls: 0, wall: 1h30m}
  soft_percent: 70
  currency: EUR
  on_lost: CHARGE_ZERO
  allow_zero_cost_when_exhausted: true
quotas: {targets: 5, runs: unlimited, namespaces: 3}
unknown_targets: deny
targets: [{match: x, preset: llm, price: {input: 1}}]
`)
	want := budget.Defaults{
		Caps:        budget.Caps{Cost: new(int64(5_000_000)), Calls: new(int64(0)), WallMS: new(int64(5_400_000))},
		SoftPercent: 70, Currency: "EUR", OnLost: budget.ChargeZero, ZeroCostLate: true,
	}
	if diff := cmp.Diff(want, p.RunDefaults()); diff != "" {
		t.Errorf("RunDefaults (-want +got):\n%s", diff)
	}
	if got, want := p.Quotas(), (Quotas{Targets: 5, Operations: 1_000_000, Namespaces: 3}); got != want {
		t.Errorf("Quotas are %+v, want %+v", got, want)
	}
	if !p.UnknownTargetsDenied() || Default().UnknownTargetsDenied() {
		t.Error("UnknownTargetsDenied is wrong")
	}
	if got := p.Target("x").Price.Currency; got != "EUR" {
		t.Errorf("a price without a currency is in %s", got)
	}

	if diff := cmp.Diff(budget.Defaults{SoftPercent: 80, Currency: "USD"}, Default().RunDefaults()); diff != "" {
		t.Errorf("RunDefaults of Default (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(Default().RunDefaults(), parse(t, "version: 1\nruns: {caps: unlimited}").RunDefaults()); diff != "" {
		t.Errorf("caps: unlimited (-want +got):\n%s", diff)
	}
	if got, want := Default().Quotas(), (Quotas{Targets: 10_000, Runs: 1_000_000, Operations: 1_000_000, Namespaces: 10_000}); got != want {
		t.Errorf("Quotas of Default are %+v, want %+v", got, want)
	}
}

// JSON is YAML, so machines may write policies; and files may come from
// Windows, with a byte order mark.
func TestOtherWritings(t *testing.T) {
	for _, text := range []string{
		"{\n\t\"version\": 1,\n\t\"targets\": [{\"match\": \"x\", \"preset\": \"tool\", \"max_wait\": \"1s\"}]\n}",
		"\ufeffversion: 1\r\ntargets:\r\n  - match: x\r\n    preset: tool\r\n    max_wait: 1s\r\n",
	} {
		if c := parse(t, text).Target("x"); c.Kind != "tool" || c.MaxWait != time.Second {
			t.Errorf("%q gives %+v", text, c)
		}
	}
}

// A policy for playing recorded calls keeps its jitter, for who draws the
// shortest waits, and drops what only makes waits longer.
func TestShortestWaits(t *testing.T) {
	p, err := Parse("play", []byte("version: 1\ntargets: [{match: a, preset: llm}]"), Options{Shortest: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a", "unnamed"} {
		if c := p.Target(name); c.Exact || c.Retry.Jitter != retry.EqualJitter || c.Retry.Margin || c.Breaker.Ramp != 0 {
			t.Errorf("target %s: %+v %v", name, c.Retry, c.Breaker.Ramp)
		}
	}
}
