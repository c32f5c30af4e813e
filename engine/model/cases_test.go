// SPDX-License-Identifier: Apache-2.0

package model

import (
	"testing"

	"go.yaml.in/yaml/v4"
)

// cases are sequences that the engine once got wrong, or that random ones
// hardly reach, in the form of drills.
var cases = []string{`
id: a transparent retry leaves the backoff as it is
targets: {t: {kind: llm}}
steps:
- {acquire: {op: o, target: t, as: a}}
- {report: {permit: a, sig: {http: 500}}, expect: {action: RETRY, delay_ms: 1000}}
- {advance: 1s}
- {acquire: {op: o, target: t, as: b}, expect: {attempt: 2}}
- {report: {permit: b, sig: {exc: refused_stream}}, expect: {action: RETRY, delay_ms: 0}}
- {acquire: {op: o, target: t, as: c}, expect: {decision: GRANTED, attempt: 2}}
- {report: {permit: c, sig: {http: 500}}, expect: {action: RETRY, delay_ms: 2000}}
`, `
id: a lost permit is reported within a day or not at all
targets: {t: {kind: llm}}
runs: {r: {cap: 1000}}
steps:
- {acquire: {op: o, target: t, run: r, est: 100, as: a}}
- {advance: 135s}
- {acquire: {op: o, target: t, run: r, est: 100, as: b}, expect: {attempt: 2}}
- {advance: 24h}
- {report: {permit: a, cost: 7}, expect: {not_counted_because: PERMIT_GONE}}
- {run: {id: r}, expect: {assumed: 200, spent: 0}}
- {advance: 134s}
- {report: {permit: b, cost: 7}, expect: {not_counted_because: LEASE_EXPIRED}}
- {run: {id: r}, expect: {assumed: 100, spent: 7}}
`, `
id: a failure of an operation that is forgotten leaves a letter for a person
targets: {t: {kind: llm}}
steps:
- {acquire: {op: o, target: t, as: a}}
- {advance: 135s}
- {advance: 24h}
- {report: {permit: a, sig: {exc: timeout}}, expect: {action: STOP, not_counted_because: PERMIT_GONE, dl: "dl:o"}}
- {dlq: {id: "dl:o"}, expect: {policy: MANUAL, state: OPEN}}
- {report: {permit: a}, expect: {action: CONTINUE, not_counted_because: PERMIT_GONE}}
`, `
id: a result outlives the key's time to live as long as there is a letter
targets: {t: {kind: llm}}
steps:
- {acquire: {op: o, target: t, idem: N, as: a}}
- {report: {permit: a, sig: {http: 529}}, expect: {action: DEAD_LETTER}}
- {acquire: {op: o, target: t, idem: N, as: b}, expect: {decision: GRANTED}}
- {report: {permit: b}, expect: {action: CONTINUE}}
- {advance: 25h}
- {acquire: {op: o, target: t, idem: N}, expect: {reason: OPERATION_ALREADY_SUCCEEDED, terminal: true}}
`, `
id: a quiet record that is dropped makes no live permit stale
targets: {t: {kind: llm}}
steps:
- {set_breaker: {target: t, mode: AUTO}}
- {advance: 47h}
- {advance: 3599s}
- {acquire: {op: o, target: t, as: a}}
- {advance: 2s}
- {report: {permit: a, sig: {http: 500}}, expect: {counted: true}}
- {breaker: {target: t}, expect: {consecutive: 1}}
`, `
id: a dry run counts what it lets pass
targets: {t: {kind: llm, enforce: DRY_RUN}}
runs: {r: {cap: 1000}}
steps:
- {acquire: {op: o, target: t, run: r, as: a}, expect: {decision: GRANTED, would: PRICE_UNKNOWN}}
- {advance: 135s}
`, `
id: a fallback goes where the run can pay, and nowhere without a price
targets: {son: {kind: llm, price: 100}, hai: {kind: llm}, own: {kind: llm, price: 0}}
chains: {c: [son:PRIMARY, hai:SAME_PROVIDER_CHEAPER, own:SELF_HOSTED]}
runs: {r: {cap: 1000}}
steps:
- {acquire: {op: o, chain: c, run: r, as: a}}
- {report: {permit: a, sig: {http: 429}}, expect: {action: FALLBACK, target: own}}
- {acquire: {op: o, chain: c, run: r}, expect: {decision: GRANTED, target: own}}
- {set_breaker: {target: son, mode: AUTO}}
- {advance: 1m}
- {acquire: {op: p, chain: c, run: r, est: 30, as: b}, expect: {target: son}}
- {report: {permit: b, sig: {http: 429}}, expect: {action: FALLBACK, target: hai}}
`, `
id: what a stopped run leaves unknown stays locked
targets: {pay: {kind: action, max_attempts: 3}}
runs: {r: {cap: 100}}
steps:
- {acquire: {op: o, target: pay, run: r, est: 50, as: a}}
- {report: {permit: a, sig: {exc: timeout}, cost: 100}, expect: {action: STOP, terminal: true, dl: "dl:o"}}
- {run_adjust: {id: r, delta: 1000}, expect: {state: ACTIVE}}
- {acquire: {op: o, target: pay, run: r, est: 50}, expect: {reason: OUTCOME_UNKNOWN, terminal: true}}
`, `
id: a descendant of a stopped run reads as stopped, whatever its root
targets: {t: {kind: llm}}
runs: {root: {cap: 100}, mid: {parent: root}, leaf: {parent: mid}}
steps:
- {acquire: {op: o, target: t, run: root, est: 100, as: a}}
- {report: {permit: a, cost: 100}}
- {run: {id: leaf}, expect: {state: ACTIVE}}
- {acquire: {op: p, target: t, run: leaf, est: 1}, expect: {reason: RUN_EXHAUSTED, blocked_by: root}}
- {run_stop: {id: mid}}
- {run: {id: leaf}, expect: {state: STOPPED}}
- {run: {id: root}, expect: {state: EXHAUSTED}}
`, `
id: under pressure a level that was tried is not tried again
targets: {son: {kind: llm, price: 100}, hai: {kind: llm, price: 10}, own: {kind: llm, price: 0}}
chains: {c: [son:PRIMARY, hai:SAME_PROVIDER_CHEAPER, own:SELF_HOSTED]}
runs: {r: {cap: 1000}}
steps:
- {acquire: {op: a, chain: c, run: r, est: 800, as: a}}
- {report: {permit: a, cost: 800}}
- {run: {id: r}, expect: {state: PRESSURE}}
- {acquire: {op: o, chain: c, run: r, as: b}, expect: {target: hai, reason: COST_PRESSURE, degraded: true}}
- {advance: 135s}
- {acquire: {op: o, chain: c, run: r}, expect: {target: own, reason: COST_PRESSURE, attempt: 2}}
`, `
id: that a lost payment was given up unlocks nothing, that it never left does
targets: {pay: {kind: action, max_attempts: 3, task_budget: 3}}
steps:
- {acquire: {op: o, target: pay, as: a}}
- {advance: 45s}
- {esc_wait: {id: "esc:o"}, expect: {state: OPEN, occ: 1}}
- {acquire: {op: o, target: pay}, expect: {reason: OUTCOME_UNKNOWN}}
- {report: {permit: a, sig: {cancelled: true}}, expect: {action: STOP}}
- {acquire: {op: o, target: pay}, expect: {reason: OUTCOME_UNKNOWN}}
- {acquire: {op: p, target: pay, as: b}}
- {advance: 45s}
- {report: {permit: b, sig: {exc: connect}}, expect: {action: DEAD_LETTER}}
- {acquire: {op: p, target: pay}, expect: {decision: GRANTED, attempt: 2}}
`}

// TestCases plays them on both sides.
func TestCases(t *testing.T) {
	e := newEngine(t)
	for _, text := range cases {
		d := drillFile{}
		if err := yaml.Unmarshal([]byte(text), &d); err != nil {
			t.Fatal(err)
		}
		t.Run(d.ID, func(t *testing.T) { playAll(t, e, &d) })
	}
}
