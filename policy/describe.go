// SPDX-License-Identifier: Apache-2.0

package policy

// What the schema says of each key. A test holds that no key is without.

func rootTexts() map[string]string {
	return map[string]string{
		"version":         "The version of this format.",
		"defaults":        "What holds for all targets, whatever their preset, unless their entry says otherwise.",
		"targets":         "The targets. The most specific match holds, and only that one.",
		"chains":          "Fallback orders, by name. Kinds never go back along a chain.",
		"runs":            "What runs have that bring no numbers of their own.",
		"quotas":          "How many records there may be.",
		"classification":  "Rules for the failures of all targets. The first that matches decides, before the built-in table.",
		"prices":          "What targets cost whose entry gives no price.",
		"unknown_targets": "Whether targets that no entry matches may be called.",
		"dry_run":         "Compute everything and enforce nothing.",
	}
}

func targetTexts() map[string]string {
	return map[string]string{
		"match":                           "The target's name, or a pattern: * is any run of characters, also slashes; ? is one.",
		"preset":                          "Which numbers to start from.",
		"kind":                            "What the target is, if that is not the preset's name.",
		"classification":                  "Rules for this target's failures, before those of the file.",
		"idempotent":                      "What operations are whose caller did not say. It follows from the kind.",
		"call_timeout":                    "Hint to the caller. A permit's lease is this and lease_margin.",
		"lease_margin":                    "How much longer than call_timeout a lease is.",
		"max_hold":                        "A permit ends there, whatever its heartbeats. Never less than one lease.",
		"max_wait":                        "Up to there WAIT is answered instead of DENIED.",
		"credential":                      "Targets with the same one fail together.",
		"provider":                        "Whose target it is.",
		"max_context":                     "The longest context in tokens. Left out: unknown, and never larger.",
		"max_identical_failures":          "The same failing call in one run is refused from there on. 0: off.",
		"idempotency_ttl":                 "How long the result of a non-idempotent call is kept.",
		"breaker":                         "When the target is taken for broken, and for how long.",
		"breaker.consecutive_failures":    "Failures in a row that open it, of both kinds. 0: off.",
		"breaker.consecutive_quality":     "Bad answers in a row that open it. 0: off.",
		"breaker.consecutive_auth":        "Auth failures in a row that open it. 0: off.",
		"breaker.window":                  "The window of the rate rule.",
		"breaker.failure_percent":         "Failures in the window that open it.",
		"breaker.slow_percent":            "Slow calls in the window that open it. 0: off.",
		"breaker.min_calls":               "Calls in the window before the rate rule votes.",
		"breaker.cooldown_base":           "How long the first opening takes. It doubles each time.",
		"breaker.cooldown_max":            "The longest opening.",
		"breaker.probes":                  "Probes in flight in the whole fleet.",
		"breaker.probe_lease":             "The longest that a probe holds its place.",
		"breaker.close_after_successes":   "Successful probes that close it.",
		"breaker.stable_for":              "Health that sets the cooldown back to its base.",
		"breaker.slow_call_after":         "A success as long as that is slow.",
		"breaker.slow_call_fails_after":   "A success as long as that is a failure.",
		"breaker.ramp":                    "Slow start after closing.",
		"breaker.per_credential":          "One breaker for each credential that callers send.",
		"retry":                           "How often and when a failed operation is tried again.",
		"retry.max_attempts":              "Calls of one operation, the first included.",
		"retry.retries_per_level":         "Retries on each deeper level of a chain.",
		"retry.task_budget":               "Retries that a task shares on this target. At least max_attempts − 1 where that is set, but for kind action.",
		"retry.backoff":                   "How the wait grows.",
		"retry.initial":                   "The first wait.",
		"retry.multiplier":                "By what the wait grows each time.",
		"retry.max":                       "The longest wait of the backoff.",
		"retry.jitter":                    "How waits are spread.",
		"retry.retry_after_margin":        "Up to 1 s or a tenth more than the target asked for.",
		"retry.quality_retries":           "Retries on the same target after a bad answer.",
		"retry.retry_when_not_processed":  "Retry non-idempotent calls that were provably not processed.",
		"retry.max_inline_wait":           "The longest wait that a directive asks for.",
		"retry.stay_limit":                "A shorter Retry-After is waited for, a longer one falls back.",
		"retry.retry_after_default":       "The wait after a 429 that names none.",
		"retry.fleet":                     "The whole fleet's retry budget on this target.",
		"retry.fleet.ratio_milli":         "What a first attempt deposits, in thousandths of a retry.",
		"retry.fleet.floor_milli":         "What is always there, in thousandths of a retry.",
		"retry.fleet.ttl":                 "How long deposits and withdrawals count.",
		"limit":                           "How many calls there may be at once, and how many in a time.",
		"limit.concurrency":               "Calls in flight in the whole fleet. 0: no limit.",
		"limit.rate":                      "Calls started in a time.",
		"limit.rate.tokens":               "Calls in that time. 0: no limit.",
		"limit.rate.per":                  "The time that the tokens are for.",
		"limit.rate.burst":                "The most tokens that are saved up. Left out: as many as tokens.",
		"cooldown":                        "What a Retry-After does.",
		"cooldown.scope":                  "Whom it holds: this target, or all with its credential or provider.",
		"price":                           "What it costs in micro-USD (1 000 000 are a dollar). 0 is free, left out is unknown.",
		"price.input":                     "For a million input tokens.",
		"price.output":                    "For a million output tokens.",
		"price.cached_input":              "For a million cached input tokens. Left out: as input.",
		"price.per_call":                  "For a call.",
		"price.currency":                  "The currency of these prices. Left out: that of runs.",
		"unknown_price":                   "What a run with a cost cap does if the price is unknown.",
		"default_estimate":                "Micro-USD to reserve for a call when nothing better is known.",
		"signals":                         "What this target's answers mean.",
		"signals.unavailable_is_rejected": "Its 503 means that it did not process the call.",
		"signals.refusal_is_policy":       "An unexpected refusal is a content policy stop.",
		"signals.trust_hints":             "A client's class_hint may make a failure retryable.",
		"signals.escalate_content_policy": "A content policy stop asks a person.",
		"enforcement":                     "What is enforced. DRY_RUN: computed and logged only. One word sets all.",
		"enforcement.breaker":             "The breaker and the cooldown.",
		"enforcement.budget":              "Caps on what runs may spend.",
		"enforcement.limit":               "Concurrency and rate.",
		"enforcement.retry":               "Attempts and retry budgets.",
	}
}

func ruleTexts() map[string]string {
	return map[string]string{
		"id":                     "Unique in the file. Answered as the rule of a decision.",
		"match":                  "All that is given must hold; of a list, one must.",
		"match.http":             "HTTP statuses, and ranges of them such as 520-524.",
		"match.grpc":             "gRPC codes.",
		"match.mcp":              "Error codes of MCP.",
		"match.exceptions":       "Kinds of exceptions, with or without their package.",
		"match.body_codes":       "Error codes in the body.",
		"match.headers":          "Headers, by their names in lower case, and the values that they must have.",
		"match.quality":          "What was wrong with the answer.",
		"match.message_contains": "A part of the message. Wording is no contract: prefer the others.",
		"match.kinds":            "Kinds of targets. Not enough alone.",
		"class":                  "What the failure is.",
		"reason":                 "Why, in upper snake case: one of the table, or your own.",
		"certainty":              "What is known of the call: sent, rejected, processed.",
		"effect":                 "What it means to the breaker.",
		"unprocessed":            "What becomes of a non-idempotent call that was not processed.",
		"cooldown":               "Hold the target that long if it names no wait.",
	}
}

func chainTexts() map[string]string {
	return map[string]string{
		"levels":               "The targets, in the order in which they are tried.",
		"on_exhausted":         "What is done when no level is left.",
		"content_policy_level": "The level that a content policy stop may go to, from 0. Left out: none.",
		"sustained_jumps":      "A long outage of the primary goes to SELF_HOSTED at once.",
		"target":               "The name of a target.",
		"kind":                 "What it is to the primary.",
		"cost_rank":            "Smaller is cheaper.",
	}
}

func runTexts() map[string]string {
	return map[string]string{
		"caps":                           "What a run may use. Left out: unlimited.",
		"caps.cost_micros":               "Micros of the currency: 1 000 000 are a dollar.",
		"caps.tokens":                    "Tokens, input less cached, and output.",
		"caps.calls":                     "Calls.",
		"caps.wall":                      "Time since the run was made.",
		"soft_percent":                   "Of a cap: from there on chains start at a cheaper level.",
		"currency":                       "An ISO 4217 code. Nothing is converted.",
		"on_lost":                        "What a permit is charged that nobody reported.",
		"allow_zero_cost_when_exhausted": "Calls that are known to cost nothing are let through when the cap is used up.",
	}
}

func quotaTexts() map[string]string {
	return map[string]string{
		"targets":    "Targets of this namespace.",
		"runs":       "Runs of this namespace.",
		"operations": "Operations of this namespace that are live.",
		"namespaces": "Namespaces of the whole service.",
	}
}

func priceTexts() map[string]string {
	return map[string]string{
		"table":        "The table for what models does not price: the one that comes with the product, or none.",
		"updated":      "The day of the prices under models, such as 2026-11-01.",
		"models":       "Prices by the exact name, such as openai/gpt-4o, in micro-USD (1 000 000 are a dollar).",
		"aliases":      "Targets, and the names whose prices they have. Nothing is guessed from a name.",
		"input":        "For a million input tokens.",
		"output":       "For a million output tokens.",
		"cached_input": "For a million cached input tokens. Left out: as input.",
		"per_call":     "For a call.",
	}
}
