// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/resilienced/resilienced/rules/classify"
)

const ruleFile = `
version: 1
classification:
  - {id: everywhere, match: {http: 599}, class: TRANSIENT}
targets:
  - match: x
    preset: llm
    classification:
      - id: full
        match:
          http: [503, 520-524]
          grpc: [UNAVAILABLE, INTERNAL]
          mcp: [-32000, 7]
          exceptions: ReadTimeout
          body_codes: [a, b]
          headers: {x-a: "1"}
          quality: [EMPTY, COST_COMMITMENT]
          message_contains: busy
          kinds: [llm, default]
        class: UNKNOWN
        reason: MY_REASON
        certainty: PROCESSED
        effect: NEUTRAL
        unprocessed: RETRY_ONCE
        cooldown: 1d
  - {match: y, preset: llm}
`

func TestRules(t *testing.T) {
	p := parse(t, ruleFile)
	neutral, once := classify.Neutral, classify.DispositionRetryOnce
	full := classify.Rule{
		ID: "full",
		Match: classify.Match{
			HTTP:            []classify.StatusRange{{From: 503, To: 503}, {From: 520, To: 524}},
			GRPC:            []string{"UNAVAILABLE", "INTERNAL"},
			MCP:             []int{-32000, 7},
			Exceptions:      []string{"ReadTimeout"},
			BodyCodes:       []string{"a", "b"},
			Headers:         map[string]string{"x-a": "1"},
			Quality:         []classify.QualityVerdict{classify.Empty, classify.CostCommitment},
			MessageContains: []string{"busy"},
			Kinds:           []string{"llm", "default"},
		},
		Class: classify.Unknown, Reason: "MY_REASON", Certainty: classify.Processed,
		Effect: &neutral, Unprocessed: &once, Cooldown: 24 * time.Hour,
	}
	everywhere := classify.Rule{
		ID:    "everywhere",
		Match: classify.Match{HTTP: []classify.StatusRange{{From: 599, To: 599}}}, Class: classify.Transient,
	}
	for name, want := range map[string][]classify.Rule{
		"x": {full, everywhere}, "y": {everywhere}, "unnamed": {everywhere},
	} {
		if diff := cmp.Diff(want, p.Target(name).Rules); diff != "" {
			t.Errorf("rules of %s (-want +got):\n%s", name, diff)
		}
	}
	for _, want := range []Setting{
		{
			"classification.full", "match.http: 503, 520-524; match.grpc: UNAVAILABLE, INTERNAL; match.mcp: -32000, 7; " +
				"match.exceptions: ReadTimeout; match.body_codes: a, b; match.headers: x-a: 1; match.quality: EMPTY, COST_COMMITMENT; match.message_contains: busy; match.kinds: llm, default; " +
				"class: UNKNOWN; reason: MY_REASON; certainty: PROCESSED; effect: NEUTRAL; unprocessed: RETRY_ONCE; cooldown: 24h", "p.yaml:9",
		},
		{"classification.everywhere", "match.http: 599; class: TRANSIENT", "p.yaml:4"},
	} {
		if got := values(p, "x")[want.Field]; got != want {
			t.Errorf("Explain says %v, want %v", got, want)
		}
	}
	for _, r := range p.Target("x").Rules {
		if err := r.Validate(); err != nil {
			t.Errorf("rule %s: %v", r.ID, err)
		}
	}
}
