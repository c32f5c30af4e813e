// SPDX-License-Identifier: Apache-2.0

package engine_test

import (
	"strings"
	"testing"

	"github.com/resilienced/resilienced/engine"
)

// TestPolicyWarnings: applying says what is most likely not meant, and when
// prices are old. The day is past, whenever this runs.
func TestPolicyWarnings(t *testing.T) {
	const text = `version: 1
prices: {table: none, updated: 2020-01-01, models: {a/b: {input: 1, output: 1}}}
targets: [{match: x, preset: llm}]
chains: {c: [x:PRIMARY, nobody:CROSS_PROVIDER]}
`
	e := open(t)
	for _, validate := range []bool{true, false} {
		v, err := e.ApplyPolicy(t.Context(), &engine.ApplyPolicyRequest{Namespace: "n", Text: []byte(text), ValidateOnly: validate})
		if err != nil {
			t.Fatal(err)
		}
		all := strings.Join(v.Warnings, "\n")
		if !strings.Contains(all, "nobody") || !strings.Contains(all, "2020-01-01") {
			t.Errorf("validate %v: %q", validate, v.Warnings)
		}
	}
	if got := e.PolicyWarnings("n"); len(got) != 2 {
		t.Errorf("in force: %q", got)
	}
	if got := e.PolicyWarnings("other"); len(got) != 0 {
		t.Errorf("without a policy: %q", got)
	}
}
