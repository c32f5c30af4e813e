// SPDX-License-Identifier: Apache-2.0

package policy

import "testing"

func TestProblemsOfCombinations(t *testing.T) {
	checkProblems(t, []problemCase{
		{with("breaker: {cooldown_base: 10m}"), `p.yaml:5:30: targets[0].breaker.cooldown_base: breaker.cooldown_base is 10m and breaker.cooldown_max is 5m; raise the one or lower the other`},
		{with("retry: {max: 500ms}"), `p.yaml:5:18: targets[0].retry.max: retry.initial is 1s and retry.max is 500ms; raise the one or lower the other`},
		{"version: 1\ndefaults: {retry: {max: 500ms}}", `p.yaml:2:25: defaults.retry.max: retry.initial is 1s and retry.max is 500ms; raise the one or lower the other`},
		{with("breaker: {slow_call_fails_after: 1s}"), `p.yaml:5:38: targets[0].breaker.slow_call_fails_after: breaker.slow_call_after is 1m and breaker.slow_call_fails_after is 1s; raise the one or lower the other`},
		{with("max_hold: 10s"), `p.yaml:5:15: targets[0].max_hold: max_hold is 10s, and a lease (call_timeout and lease_margin) takes 2m15s; write at least that`},
		{"version: 1\ntargets: [{match: x, preset: tool, breaker: {min_calls: 3}}]", `p.yaml:2:57: targets[0].breaker.min_calls: this has no effect while the window is off; write breaker.window too, such as 60s`},
		{with("limit: {rate: {tokens: 3}}"), `p.yaml:5:28: targets[0].limit.rate.tokens: a rate needs the time that the tokens are for; write per too, such as per: 1m`},
		{with("limit: {rate: {per: 3s}}"), `p.yaml:5:25: targets[0].limit.rate.per: this has no effect without a rate; write limit.rate.tokens too`},
		{with("limit: {rate: {burst: 3}}"), `p.yaml:5:27: targets[0].limit.rate.burst: this has no effect without a rate; write limit.rate.tokens too`},
		{with("cooldown: {scope: PROVIDER}"), `p.yaml:5:23: targets[0].cooldown.scope: the scope PROVIDER needs a provider; write provider, or another scope`},
		{with("unknown_price: FALLBACK_PRICE"), `p.yaml:5:20: targets[0].unknown_price: FALLBACK_PRICE needs default_estimate, the micro-USD to assume for a call; write it too`},
	})
}

func TestProblemsOfChains(t *testing.T) {
	checkProblems(t, []problemCase{
		{"version: 1\nchains: [x]", `p.yaml:2:9: chains: this is a list; write a mapping of names to chains`},
		{"version: 1\nchains: {c: []}", `p.yaml:2:13: chains.c: a chain needs a level at least; write one, such as openai/a:PRIMARY`},
		{"version: 1\nchains: {c: {}}", `p.yaml:2:13: chains.c: levels is missing; write the list of levels`},
		{"version: 1\nchains: {c: x}", `p.yaml:2:13: chains.c: this is the text "x"; write a list of levels, such as [openai/a:PRIMARY, other/b:CROSS_PROVIDER], or a mapping with levels`},
		{"version: 1\nchains: {c: ['a*:PRIMARY']}", `p.yaml:2:14: chains.c[0]: "a*" is a pattern; a chain names targets, so write one name`},
		{"version: 1\nchains: {c: [':PRIMARY']}", `p.yaml:2:14: chains.c[0]: ":PRIMARY" has no target; write it before the colon`},
		{"version: 1\nchains: {c: [a]}", `p.yaml:2:14: chains.c[0]: "a" has no kind; write it behind a colon, such as a:PRIMARY`},
		{"version: 1\nchains: {c: [a:FIRST]}", `p.yaml:2:14: chains.c[0]: "FIRST" is not known; write one of PRIMARY, SAME_PROVIDER_CHEAPER, CROSS_PROVIDER, SELF_HOSTED, RULE_BASED, HUMAN_QUEUE`},
		{"version: 1\nchains: {c: [a:CROSS_PROVIDER, b:PRIMARY]}", `p.yaml:2:32: chains.c[1]: PRIMARY comes after CROSS_PROVIDER; kinds never go back along a chain, so move this level up; or did you mean "CROSS_PROVIDER"?`},
		{"version: 1\nchains: {c: [a:PRIMARY, a:PRIMARY]}", `p.yaml:2:25: chains.c[1]: the target "a" is level 0 already; a chain tries each once, so remove one`},
		{"version: 1\nchains:\n  c: [a:PRIMARY]\n  c: [b:PRIMARY]\n", `p.yaml:4:3: chains.c: the key "c" is in line 3 already; keep one of the two`},
		{"version: 1\nchains: {'': [a:PRIMARY]}", `p.yaml:2:10: chains[""]: this is empty; write a name`},
		{"version: 1\nchains: {c: {levels: [{target: a}]}}", `p.yaml:2:23: chains.c.levels[0]: kind is missing; a level has a target and a kind`},
		{"version: 1\nchains: {c: {levels: [{kind: PRIMARY}]}}", `p.yaml:2:23: chains.c.levels[0]: target is missing; a level has a target and a kind`},
		{"version: 1\nchains: {c: {levels: [a:PRIMARY], content_policy_level: 1}}", `p.yaml:2:57: chains.c.content_policy_level: there is no level 1; the levels are 0 to 0`},
		{"version: 1\nchains: {c: {levels: {}}}", `p.yaml:2:22: chains.c.levels: this is a mapping; write a list of levels`},
		{"version: 1\nchains: {c: [1]}", `p.yaml:2:14: chains.c[0]: this is the number 1; write a text, in quotes`},
		{"version: 1\nunknown_targets: deny\nchains: {c: [a:PRIMARY, h:HUMAN_QUEUE]}", `p.yaml:3:14: chains.c[0]: no entry of targets matches "a" and unknown_targets is deny; add an entry`},
		{"version: 1\nchains: {c: {levels: [{target: 'a?', kind: PRIMARY}]}}", `p.yaml:2:23: chains.c.levels[0]: "a?" is a pattern; a chain names targets, so write one name`},
	})
}

func TestProblemsOfRuns(t *testing.T) {
	checkProblems(t, []problemCase{
		{"version: 1\nruns: {caps: {cost_micros: none}}", `p.yaml:2:28: runs.caps.cost_micros: this is the text "none"; write a whole number, or unlimited`},
		{"version: 1\nruns: {caps: {wall: 5}}", `p.yaml:2:21: runs.caps.wall: 5 has no unit; write 5s or 5ms`},
		{"version: 1\nruns: {caps: 5}", `p.yaml:2:14: runs.caps: this is the number 5; write a mapping of cost_micros, tokens, calls, wall, or unlimited`},
		{"version: 1\nruns: {caps: {calls: -1}}", `p.yaml:2:22: runs.caps.calls: -1 is out of range; write a number from 0 to 1000000000000000`},
		{"version: 1\nruns: {soft_percent: 101}", `p.yaml:2:22: runs.soft_percent: 101 is out of range; write a number from 1 to 100`},
		{"version: 1\nruns: {cost_micros: 5}", `p.yaml:2:8: runs.cost_micros: the key "cost_micros" is not known here; it belongs under caps`},
		{"version: 1\nquotas: {targets: 0}", `p.yaml:2:19: quotas.targets: 0 is out of range; write a number from 1 to 1000000000000000`},
		{"version: 1\nunknown_targets: DENY", `p.yaml:2:18: unknown_targets: "DENY" is not known; did you mean "deny"?`},
		{"version: 1\ndry_run: on", `p.yaml:2:10: dry_run: this is the text "on"; write true or false`},
	})
}

func TestProblemsOfRules(t *testing.T) {
	checkProblems(t, []problemCase{
		{"version: 1\nclassification: {}", `p.yaml:2:17: classification: this is a mapping; write a list of rules`},
		{"version: 1\nclassification: [{}]", "p.yaml:2:18: classification[0]: id is missing; a rule has an id, a match and a class\np.yaml:2:18: classification[0]: match is missing; a rule has an id, a match and a class\np.yaml:2:18: classification[0]: class is missing; a rule has an id, a match and a class"},
		{"version: 1\nclassification: [{id: a, match: {}, class: OK}]", `p.yaml:2:18: classification[0]: match has no condition on the signal; correct the rule, or it never matches`},
		{"version: 1\nclassification: [{id: R05, match: {http: 500}, class: OK}]", `p.yaml:2:23: classification[0].id: id "R05" is taken by the built-in table; correct the rule, or it never matches`},
		{"version: 1\nclassification: [{id: a, match: {http: [99, 600-700, 5xx]}, class: OKAY}]", "p.yaml:2:41: classification[0].match.http[0]: 99 is out of range; write a number from 100 to 599\np.yaml:2:45: classification[0].match.http[1]: \"600-700\" is not a range of statuses; write one such as 520-524, within 100-599\np.yaml:2:54: classification[0].match.http[2]: this is the text \"5xx\"; write a whole number in decimal digits, without quotes\np.yaml:2:68: classification[0].class: \"OKAY\" is not known; write one of OK, TRANSIENT, PERSISTENT, QUALITY, PARTIAL, UNRECOVERABLE, PRESSURE, DETERMINISTIC, ABORTED, UNKNOWN"},
		{"version: 1\nclassification: [{id: a, match: {grpc: unavailable}, class: PARTIAL, reason: foo}]", `p.yaml:2:40: classification[0].match.grpc: "unavailable" is not known; did you mean "UNAVAILABLE"?`},
		{"version: 1\nclassification: [{id: a, match: {http: []}, class: OK}, {id: a, match: {http: 500}, class: OK}]", "p.yaml:2:40: classification[0].match.http: this list is empty; write a value, or remove the key\np.yaml:2:62: classification[1].id: the rule \"a\" is in line 2 already; give this one another id"},
		{"version: 1\nclassification: [{id: a, match: {mcp: 0}, class: OK}]", `p.yaml:2:39: classification[0].match.mcp: 0 is no error of MCP; write its code`},
		{"version: 1\nclassification: [{id: a, match: {headers: {X-A: b}}, class: OK}]", `p.yaml:2:44: classification[0].match.headers.X-A: write the header's name in lower case`},
		{"version: 1\nclassification: [{id: a, match: {kinds: [llm]}, class: OK}]", `p.yaml:2:18: classification[0]: match has no condition on the signal; correct the rule, or it never matches`},
		{"version: 1\nclassification: [{id: a, match: {http: 500}, class: OK, cooldown: 2d, effect: X}]", "p.yaml:2:67: classification[0].cooldown: 2d is out of range; write a duration from 1ms to 24h\np.yaml:2:79: classification[0].effect: \"X\" is not known; write one of NEUTRAL, SUCCESS, FAILURE"},
	})
}
