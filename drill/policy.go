// SPDX-License-Identifier: Apache-2.0

package drill

import (
	"fmt"
	"strings"

	"go.yaml.in/yaml/v4"
)

// mapping is a part of a policy document.
type mapping map[string]any

// put sets the value at a path such as retry.fleet.floor_milli.
func (m mapping) put(path string, value any) {
	group, rest, nested := strings.Cut(path, ".")
	if !nested {
		m[path] = value
		return
	}
	inner, ok := m[group].(mapping)
	if !ok {
		inner = make(mapping)
		m[group] = inner
	}
	inner.put(rest, value)
}

// policyText writes a scenario's targets and chains as the policy of its
// namespace; empty if it has neither.
func policyText(s *Scenario) (string, error) {
	if len(s.targets) == 0 && len(s.chains) == 0 {
		return "", nil
	}
	document := mapping{"version": 1, "prices": mapping{"table": "none"}} // a price that a scenario leaves out is unknown
	var targets []mapping
	for i := range s.targets {
		targets = append(targets, s.targets[i].policy())
	}
	if targets != nil {
		document["targets"] = targets
	}
	chains := make(map[string][]string)
	for _, c := range s.chains {
		for _, l := range c.levels {
			chains[c.name] = append(chains[c.name], l.target+":"+l.kind)
		}
	}
	if len(chains) > 0 {
		document["chains"] = chains
	}
	text, err := yaml.Dump(document)
	if err != nil {
		return "", fmt.Errorf("write the policy: %w", err)
	}
	return string(text), nil
}

// policy is the target's entry: its preset and what overrides it.
func (t *targetSpec) policy() mapping {
	entry := mapping{"match": t.name, "preset": t.kind, "idempotent": t.kind != "action"}
	for _, o := range []struct {
		path  string
		value *int64
	}{
		{"retry.max_attempts", t.maxAttempts},
		{"retry.task_budget", t.taskBudget},
		{"breaker.consecutive_failures", t.consecutive},
		{"limit.concurrency", t.slots},
		{"price.per_call", t.price},
		{"max_context", t.context},
		{"retry.fleet.floor_milli", t.floor},
		{"retry.fleet.ratio_milli", t.ratio},
	} {
		if o.value != nil {
			entry.put(o.path, *o.value)
		}
	}
	if t.callTimeout != nil {
		entry.put("call_timeout", t.callTimeout.String())
	}
	if t.credential != "" {
		entry.put("credential", t.credential)
	}
	if t.retryNP != nil {
		entry.put("retry.retry_when_not_processed", *t.retryNP)
	}
	if t.dryRun {
		entry.put("enforcement", "DRY_RUN")
	}
	return entry
}
