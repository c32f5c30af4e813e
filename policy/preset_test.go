// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/resilienced/resilienced/rules/breaker"
	"github.com/resilienced/resilienced/rules/retry"
	"github.com/resilienced/resilienced/rules/target"
)

// parse reads a policy that must be valid.
func parse(t *testing.T, text string) *Policy {
	t.Helper()
	p, err := Parse("p.yaml", []byte(text), Options{})
	if err != nil {
		t.Fatalf("Parse: %v", err)
	}
	return p
}

// values returns what Explain says of a target, by field.
func values(p *Policy, name string) map[string]Setting {
	settings := make(map[string]Setting)
	for _, s := range p.Explain(name) {
		settings[s.Field] = s
	}
	return settings
}

// The table of semantics §1.1, row by row, with strict beside the four.
func TestPresets(t *testing.T) {
	p := parse(t, `
version: 1
targets:
  - {match: l, preset: llm}
  - {match: t, preset: tool}
  - {match: f, preset: fast}
  - {match: a, preset: action}
  - {match: s, preset: strict}
`)
	for _, row := range presetRows() {
		for name, want := range map[string]string{"l": row.llm, "t": row.tool, "f": row.fast, "a": row.action, "s": row.strict} {
			if got := values(p, name)[row.field].Value; got != want {
				t.Errorf("%s of %s is %q, want %q", row.field, p.Target(name).Kind, got, want)
			}
		}
	}
}

// presetRow is one field of every preset.
type presetRow struct{ field, llm, tool, fast, action, strict string }

func presetRows() []presetRow {
	return []presetRow{
		{"kind", "llm", "tool", "fast", "action", "strict"},
		{"idempotent", "true", "true", "true", "false", "true"},
		{"retry.max_attempts", "3", "5", "5", "1", "3"},
		{"retry.retries_per_level", "0", "0", "0", "0", "0"},
		{"retry.task_budget", "3", "4", "4", "0", "3"},
		{"retry.backoff", "EXPONENTIAL", "EXPONENTIAL", "EXPONENTIAL", "EXPONENTIAL", "EXPONENTIAL"},
		{"retry.initial", "1s", "500ms", "500ms", "1s", "1s"},
		{"retry.multiplier", "2", "2", "2", "2", "2"},
		{"retry.max", "30s", "10s", "10s", "30s", "30s"},
		{"retry.jitter", "EQUAL", "EQUAL", "EQUAL", "EQUAL", "EQUAL"},
		{"retry.retry_after_margin", "true", "true", "true", "true", "true"},
		{"retry.quality_retries", "0", "0", "0", "0", "0"},
		{"retry.retry_when_not_processed", "false", "false", "false", "false", "false"},
		{"retry.max_inline_wait", "1m", "1m", "1m", "1m", "1m"},
		{"retry.stay_limit", "10s", "10s", "10s", "10s", "10s"},
		{"retry.retry_after_default", "1m", "1m", "1m", "1m", "1m"},
		{"retry.fleet.ratio_milli", "200", "200", "200", "200", "200"},
		{"retry.fleet.floor_milli", "10000", "10000", "10000", "10000", "10000"},
		{"retry.fleet.ttl", "10s", "10s", "10s", "10s", "10s"},
		{"breaker.consecutive_failures", "5", "5", "3", "5", "3"},
		{"breaker.consecutive_quality", "3", "3", "3", "3", "3"},
		{"breaker.consecutive_auth", "3", "3", "3", "3", "3"},
		{"breaker.window", "1m", "0s", "0s", "0s", "1m"},
		{"breaker.failure_percent", "50", "50", "50", "50", "50"},
		{"breaker.slow_percent", "80", "80", "80", "80", "80"},
		{"breaker.min_calls", "20", "20", "20", "20", "20"},
		{"breaker.cooldown_base", "30s", "30s", "10s", "30s", "30s"},
		{"breaker.cooldown_max", "5m", "5m", "5m", "5m", "5m"},
		{"breaker.probes", "1", "1", "1", "1", "1"},
		{"breaker.probe_lease", "1m", "1m", "1m", "1m", "1m"},
		{"breaker.close_after_successes", "1", "1", "1", "1", "1"},
		{"breaker.stable_for", "1m", "1m", "1m", "1m", "1m"},
		{"breaker.slow_call_after", "1m", "30s", "5s", "30s", "1m"},
		{"breaker.slow_call_fails_after", "5m", "5m", "1m", "5m", "5m"},
		{"breaker.ramp", "10s", "10s", "10s", "10s", "10s"},
		{"breaker.per_credential", "false", "false", "false", "false", "false"},
		{"limit.concurrency", "0", "5", "20", "5", "0"},
		{"limit.rate.tokens", "0", "0", "0", "0", "0"},
		{"cooldown.scope", "TARGET", "TARGET", "TARGET", "TARGET", "TARGET"},
		{"call_timeout", "2m", "30s", "10s", "30s", "2m"},
		{"lease_margin", "15s", "15s", "15s", "15s", "15s"},
		{"max_hold", "1h", "1h", "1h", "1h", "1h"},
		{"max_wait", "10s", "10s", "10s", "10s", "10s"},
		{"max_context", "unknown", "unknown", "unknown", "unknown", "unknown"},
		{"max_identical_failures", "3", "3", "3", "3", "3"},
		{"idempotency_ttl", "24h", "24h", "24h", "24h", "24h"},
		{"price.per_call", "unknown", "unknown", "unknown", "unknown", "unknown"},
		{"unknown_price", "DENY", "DENY", "DENY", "DENY", "DENY"},
		{"enforcement.breaker", "ENFORCE", "ENFORCE", "ENFORCE", "ENFORCE", "ENFORCE"},
	}
}

// The whole of one preset, so that the table above cannot hide a field.
func TestPresetLLM(t *testing.T) {
	want := target.Config{
		Name: "openai/x", Kind: "llm", Idempotent: true, RetryUndeclared: true,
		Breaker: breaker.Config{
			ConsecutiveFailures: 5, ConsecutiveQuality: 3, ConsecutiveAuth: 3,
			Window: 60 * time.Second, FailurePercent: 50, SlowPercent: 80, MinCalls: 20,
			CooldownBase: 30 * time.Second, CooldownMax: 5 * time.Minute,
			Probes: 1, ProbeLease: 60 * time.Second, CloseAfter: 1, StableFor: 60 * time.Second,
			SlowAfter: 60 * time.Second, Ramp: 10 * time.Second,
		},
		Retry: retry.Config{
			MaxAttempts: 3, TaskBudget: 3, Backoff: retry.Exponential,
			Initial: time.Second, Multiplier: 2, Max: 30 * time.Second, Jitter: retry.EqualJitter, Margin: true,
			MaxInlineWait: 60 * time.Second, StayLimit: 10 * time.Second, HardWait: 60 * time.Second,
			FleetRatio: 200, FleetFloor: 10_000, FleetTTL: 10 * time.Second,
		},
		CallTimeout: 120 * time.Second, LeaseMargin: 15 * time.Second, MaxHold: time.Hour, MaxWait: 10 * time.Second,
		MaxIdentical: 3, IdempotencyTTL: 24 * time.Hour, SlowFailsAfter: 300 * time.Second,
	}
	p := parse(t, "version: 1\ntargets: [{match: 'openai/*', preset: llm}]")
	if diff := cmp.Diff(want, *p.Target("openai/x")); diff != "" {
		t.Errorf("Target differs (-want +got):\n%s", diff)
	}

	want.Name, want.Kind, want.Idempotent, want.RetryUndeclared = "other", "default", false, false
	if diff := cmp.Diff(want, *p.Target("other")); diff != "" {
		t.Errorf("a target that no entry matches differs (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(want, *Default().Target("other")); diff != "" {
		t.Errorf("Default differs (-want +got):\n%s", diff)
	}
	if !p.Named("openai/x") || p.Named("other") || Default().Named("other") {
		t.Error("Named is wrong")
	}
}
