// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// problemCase is a policy that is not valid, and all that is to be said of it.
type problemCase struct{ text, want string }

func checkProblems(t *testing.T, cases []problemCase) {
	t.Helper()
	for _, c := range cases {
		p, err := Parse("p.yaml", []byte(c.text), Options{})
		if err == nil || p != nil {
			t.Errorf("%q is taken for valid", c.text)
			continue
		}
		if diff := cmp.Diff(strings.Split(c.want, "\n"), strings.Split(err.Error(), "\n")); diff != "" {
			t.Errorf("%q (-want +got):\n%s", c.text, diff)
		}
	}
}

// with is a policy with one entry that has one key more: line 5, column 5.
func with(line string) string {
	return "version: 1\ntargets:\n  - match: x\n    preset: llm\n    " + line + "\n"
}

func TestProblemsOfRoot(t *testing.T) {
	checkProblems(t, []problemCase{
		{"", `p.yaml:1:1: the policy is empty; begin with version: 1`},
		{"# only a comment\n", `p.yaml:1:1: the policy is empty; begin with version: 1`},
		{"null", `p.yaml:1:1: the policy is empty; begin with version: 1`},
		{"just text", `p.yaml:1:1: this is the text "just text"; write a mapping with keys such as version, defaults, targets`},
		{"[]", `p.yaml:1:1: this is a list; write a mapping with keys such as version, defaults, targets`},
		{"targets: []", `p.yaml:1:1: version: the version is missing; begin with version: 1`},
	})
}

func TestProblemsOfVersion(t *testing.T) {
	checkProblems(t, []problemCase{
		{"version: 2", `p.yaml:1:10: version: version 2 is not known; write 1`},
		{"version: '1'", `p.yaml:1:10: version: this is the text "1"; write 1`},
		{"version: 1.5", `p.yaml:1:10: version: this is the number 1.5; write 1`},
		{"version:", `p.yaml:1:9: version: the version is missing; begin with version: 1`},
	})
}

func TestProblemsOfYAML(t *testing.T) {
	checkProblems(t, []problemCase{
		{"version: 1\ntargets: [", `p.yaml:3:1: this is not YAML: while parsing a flow node: did not find expected node content`},
		{"version: 1\n\ttargets: []", `p.yaml:2:1: this is not YAML: while scanning a plain scalar: found a tab character that violates indentation`},
		{"version: 1\n---\nversion: 1\n", `p.yaml:2:1: a second document begins here; put everything in one and remove the ---`},
		{"version: 1\xff", `p.yaml:1:11: this is not UTF-8; save the file as UTF-8`},
		{"version: 1 \x01", `p.yaml:1:12: the control character U+0001 is not allowed; remove it`},
	})
}

func TestProblemsOfPlainYAML(t *testing.T) {
	checkProblems(t, []problemCase{
		{"version: 1\ndefaults: &a {}\n", `p.yaml:2:11: defaults: anchors and aliases are not supported; write the values out, or put what is common under defaults`},
		{"version: 1\ndefaults: *a\n", `p.yaml:2:11: this is not YAML: unknown anchor 'a' referenced`},
		{"version: 1\nruns: !!map {}", `p.yaml:2:7: runs: the tag !!map is not supported; write the value without it`},
		{"version: 1\ndefaults:\n  <<: {max_wait: 1s}", `p.yaml:3:3: defaults["<<"]: merge keys are not supported; put what is common under defaults`},
		{"version: 1\n? [a]\n: 1", `p.yaml:2:3: a key must be plain text`},
	})
}

func TestProblemsOfDuplicateKeys(t *testing.T) {
	checkProblems(t, []problemCase{
		{"version: 1\nversion: 1", `p.yaml:2:1: version: the key "version" is in line 1 already; keep one of the two`},
		{with("retry: {initial: 1s, initial: 2s}"), `p.yaml:5:26: targets[0].retry.initial: the key "initial" is in line 5 already; keep one of the two`},
	})
}

func TestProblemsOfUnknownKeys(t *testing.T) {
	checkProblems(t, []problemCase{
		{"version: 1\ntargts: []", `p.yaml:2:1: targts: the key "targts" is not known here; did you mean "targets"?`},
		{"version: 1\nretry: {}", `p.yaml:2:1: retry: the key "retry" is not known here; it belongs under defaults or in an entry of targets`},
		{"version: 1\nzzz: {}", `p.yaml:2:1: zzz: the key "zzz" is not known here; known are version, defaults, targets, chains, runs, quotas, classification, prices, unknown_targets, dry_run`},
		{with("max_attempts: 3"), `p.yaml:5:5: targets[0].max_attempts: the key "max_attempts" is not known here; it belongs under retry`},
		{with("retry: {max_atempts: 3}"), `p.yaml:5:13: targets[0].retry.max_atempts: the key "max_atempts" is not known here; did you mean "max_attempts"?`},
		{with("retry: {task_retry_budget: 3}"), `p.yaml:5:13: targets[0].retry.task_retry_budget: the key "task_retry_budget" is not known here; did you mean "task_budget"?`},
		{with("breaker: {max_attempts: 3}"), `p.yaml:5:15: targets[0].breaker.max_attempts: the key "max_attempts" is not known here; it belongs under retry`},
		{with("Preset: tool"), `p.yaml:5:5: targets[0].Preset: the key "Preset" is not known here; did you mean "preset"?`},
		{"version: 1\ndefaults: {kind: llm, match: x, idempotent: true}\n", "p.yaml:2:12: defaults.kind: the key \"kind\" is not known here; it belongs in an entry of targets\np.yaml:2:23: defaults.match: the key \"match\" is not known here; it belongs in an entry of targets\np.yaml:2:33: defaults.idempotent: the key \"idempotent\" is not known here; it belongs in an entry of targets"},
	})
}

func TestProblemsOfNumbers(t *testing.T) {
	checkProblems(t, []problemCase{
		{with("retry: [1]"), `p.yaml:5:12: targets[0].retry: this is a list; write a mapping with keys such as max_attempts, retries_per_level, task_budget`},
		{with("retry:"), `p.yaml:5:11: targets[0].retry: a value is missing; write a mapping with keys such as max_attempts, retries_per_level, task_budget, or remove the key`},
		{with("retry: 3"), `p.yaml:5:12: targets[0].retry: this is the number 3; write a mapping with keys such as max_attempts, retries_per_level, task_budget`},
		{with("retry: {max_attempts: '3'}"), `p.yaml:5:27: targets[0].retry.max_attempts: this is the text "3"; write a whole number in decimal digits, without quotes`},
		{with("retry: {max_attempts: 3.0}"), `p.yaml:5:27: targets[0].retry.max_attempts: this is the number 3.0; write a whole number in decimal digits, without quotes`},
		{with("retry: {max_attempts: 0x3}"), `p.yaml:5:27: targets[0].retry.max_attempts: this is the number 0x3; write a whole number in decimal digits, without quotes`},
		{with("retry: {max_attempts: 010}"), `p.yaml:5:27: targets[0].retry.max_attempts: this is the number 010; write a whole number in decimal digits, without quotes`},
		{with("retry: {max_attempts: }"), `p.yaml:5:27: targets[0].retry.max_attempts: a value is missing; write a whole number in decimal digits, without quotes, or remove the key`},
		{with("retry: {max_attempts: 0}"), `p.yaml:5:27: targets[0].retry.max_attempts: 0 is out of range; write a number from 1 to 1000`},
		{with("retry: {max_attempts: -1}"), `p.yaml:5:27: targets[0].retry.max_attempts: -1 is out of range; write a number from 1 to 1000`},
		{with("retry: {max_attempts: 99999999999999999999}"), `p.yaml:5:27: targets[0].retry.max_attempts: 99999999999999999999 is out of range; write a number from 1 to 1000`},
		{with("retry: {max_attempts: 1e3}"), `p.yaml:5:27: targets[0].retry.max_attempts: this is the number 1e3; write a whole number in decimal digits, without quotes`},
	})
}

func TestProblemsOfDurations(t *testing.T) {
	checkProblems(t, []problemCase{
		{with("call_timeout: 30"), `p.yaml:5:19: targets[0].call_timeout: 30 has no unit; write 30s or 30ms`},
		{with("call_timeout: 30x"), `p.yaml:5:19: targets[0].call_timeout: this is the text "30x"; write a duration with units, like 250ms, 30s, 1m30s, 24h or 7d`},
		{with("call_timeout: -30s"), `p.yaml:5:19: targets[0].call_timeout: -30s is negative; write a duration from 1ms to 24h`},
		{with("call_timeout: 0"), `p.yaml:5:19: targets[0].call_timeout: 0 is out of range; write a duration from 1ms to 24h`},
		{with("call_timeout: 0.5ms"), `p.yaml:5:19: targets[0].call_timeout: this is the text "0.5ms"; write a duration with units, like 250ms, 30s, 1m30s, 24h or 7d`},
		{with("call_timeout: 400d"), `p.yaml:5:19: targets[0].call_timeout: 400d is out of range; write a duration from 1ms to 24h`},
		{with("call_timeout: 9999999999999999h"), `p.yaml:5:19: targets[0].call_timeout: this is the text "9999999999999999h"; write a duration with units, like 250ms, 30s, 1m30s, 24h or 7d`},
		{with("max_wait: 2h"), `p.yaml:5:15: targets[0].max_wait: 2h is out of range; write a duration from 1ms to 1h, or 0 to switch it off`},
		{with("call_timeout: [1s]"), `p.yaml:5:19: targets[0].call_timeout: this is a list; write a duration with units, like 250ms, 30s, 1m30s, 24h or 7d`},
		{with("call_timeout: true"), `p.yaml:5:19: targets[0].call_timeout: this is true; write a duration with units, like 250ms, 30s, 1m30s, 24h or 7d`},
	})
}

func TestProblemsOfTexts(t *testing.T) {
	checkProblems(t, []problemCase{
		{with("idempotent: yes"), `p.yaml:5:17: targets[0].idempotent: this is the text "yes"; write true or false`},
		{with("idempotent: 1"), `p.yaml:5:17: targets[0].idempotent: this is the number 1; write true or false`},
		{with("credential: 12"), `p.yaml:5:17: targets[0].credential: this is the number 12; write a text, in quotes`},
		{with("credential: ''"), `p.yaml:5:17: targets[0].credential: this is empty; write a name`},
		{with("credential: ' x'"), `p.yaml:5:17: targets[0].credential: " x" has space at an end or a control character; remove it`},
		{with("credential: [x]"), `p.yaml:5:17: targets[0].credential: this is a list; write a text`},
	})
}

func TestProblemsOfEntries(t *testing.T) {
	checkProblems(t, []problemCase{
		{"version: 1\ntargets: [{match: x, preset: lm}]", `p.yaml:2:30: targets[0].preset: "lm" is not known; did you mean "llm"?`},
		{"version: 1\ntargets: [{match: x, kind: LLM}]", `p.yaml:2:28: targets[0].kind: "LLM" is not known; did you mean "llm"?`},
		{"version: 1\ntargets: [{match: x}]", `p.yaml:2:11: targets[0]: preset is missing; write preset: llm, tool, fast, action or strict`},
		{"version: 1\ntargets: [{preset: llm}]", `p.yaml:2:11: targets[0]: match is missing; write the name of a target, or a pattern such as openai/*`},
		{"version: 1\ntargets: [{match: '', preset: llm}]", `p.yaml:2:19: targets[0].match: this is empty; write a name`},
		{"version: 1\ntargets: [x]", `p.yaml:2:11: targets[0]: this is the text "x"; write a mapping with keys such as match, preset, kind`},
		{"version: 1\ntargets: {x: llm}", `p.yaml:2:10: targets: this is a mapping; write a list of entries, each with a match and a preset`},
		{"version: 1\ntargets:", `p.yaml:2:9: targets: a value is missing; write a list of entries, each with a match and a preset, or remove the key`},
	})
}

func TestProblemsOfTwins(t *testing.T) {
	checkProblems(t, []problemCase{
		{"version: 1\ntargets: [{match: 'a**', preset: llm}, {match: 'a*', preset: llm}]", `p.yaml:2:48: targets[1].match: the pattern "a*" is in line 2 already (targets[0]); put both into one entry`},
	})
}

func TestProblemsOfWords(t *testing.T) {
	checkProblems(t, []problemCase{
		{with("enforcement: DRYRUN"), `p.yaml:5:18: targets[0].enforcement: "DRYRUN" is not known; did you mean "DRY_RUN"?`},
		{with("enforcement: {retry: dry}"), `p.yaml:5:26: targets[0].enforcement.retry: "dry" is not known; write one of ENFORCE, DRY_RUN`},
		{with("enforcement: [DRY_RUN]"), `p.yaml:5:18: targets[0].enforcement: this is a list; write one of ENFORCE, DRY_RUN`},
		{with("cooldown: {scope: MODEL}"), `p.yaml:5:23: targets[0].cooldown.scope: "MODEL" is not known; write one of TARGET, CREDENTIAL, PROVIDER`},
		{with("price: {currency: usd}"), `p.yaml:5:23: targets[0].price.currency: "usd" is not a currency; write an ISO 4217 code of three capitals, such as USD`},
		{with("price: {input: 0.5}"), `p.yaml:5:20: targets[0].price.input: this is the number 0.5; write a whole number in decimal digits, without quotes`},
		{with("price: {input: -1}"), `p.yaml:5:20: targets[0].price.input: -1 is out of range; write a number from 0 to 1000000000000000`},
	})
}
