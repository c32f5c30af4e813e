// SPDX-License-Identifier: Apache-2.0

package resilienced_test

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the generated pages under docs/ anew")

// word is one value of an enum with what the contract says of it.
type word struct {
	name string // without the enum's prefix
	says string
}

var enumValue = regexp.MustCompile(`^  ([A-Z][A-Z0-9_]*) = \d+( \[.*\])?;$`)

// enum reads the values of an enum, without the unknown one, with their
// comments. It relies on the form that `buf format` gives the files.
func enum(t *testing.T, file, name, prefix string) []word {
	t.Helper()
	text, err := os.ReadFile("proto/resilience/v1/" + file)
	if err != nil {
		t.Fatal(err)
	}
	_, body, found := strings.Cut(string(text), "\nenum "+name+" {\n")
	if !found {
		t.Fatalf("%s has no enum %s", file, name)
	}
	body, _, _ = strings.Cut(body, "\n}")
	var words []word
	var comment []string
	for line := range strings.Lines(body) {
		line = strings.TrimRight(line, "\n")
		if says, ok := strings.CutPrefix(line, "  // "); ok {
			comment = append(comment, says)
			continue
		}
		if m := enumValue.FindStringSubmatch(line); m != nil && !strings.HasSuffix(m[1], "_UNSPECIFIED") {
			words = append(words, word{strings.TrimPrefix(m[1], prefix), strings.Join(comment, " ")})
		}
		comment = nil
	}
	if len(words) == 0 {
		t.Fatalf("%s: enum %s has no values", file, name)
	}
	return words
}

// doOn says what a caller does on each reason of an Acquire. A caller that
// only follows action, delay, next and terminal does the same.
var doOn = map[string]string{
	"RUN_STOPPED":                 "End the run's work.",
	"RUN_EXHAUSTED":               "End the run's work, or ask an operator for `runs adjust`.",
	"RUN_COMPLETED":               "Start another run.",
	"ATTEMPTS_EXHAUSTED":          "Give the operation up: put it aside as a dead letter.",
	"BACKOFF":                     "Wait `delay`, then ask again with the same operation.",
	"TASK_RETRY_BUDGET":           "Give the operation up; the task has had its retries.",
	"FLEET_RETRY_BUDGET":          "Give the operation up for now; the target is failing for everybody.",
	"OPERATION_IN_FLIGHT":         "Let the other attempt end; ask again after `delay`.",
	"OUTCOME_UNKNOWN":             "Do not repeat it. A person looks whether it happened.",
	"OPERATION_FINAL":             "Do not repeat it; the same call fails in the same way.",
	"OPERATION_ALREADY_SUCCEEDED": "Use the result that `result_ref` names.",
	"REPEATED_FAILURE":            "Change the call: another prompt, other arguments.",
	"REPORTER_HELD":               "Look at this process's own network and clock; ask again after `delay`.",
	"TARGET_UNKNOWN":              "Add the target to the policy, or correct its name.",
	"FORCED_OPEN":                 "Take the next level or give up; `targets auto` frees the breaker.",
	"BREAKER_OPEN":                "Take `next` if there is one, else ask again after `delay`.",
	"PROBE_IN_FLIGHT":             "Ask again after `delay`; one probe decides for all.",
	"COOLDOWN":                    "Ask again after `delay`; the target named it.",
	"CONCURRENCY":                 "Ask again after `delay`.",
	"RATE_LIMIT":                  "Ask again after `delay`.",
	"RAMP":                        "Ask again after `delay`; the target has just come back.",
	"PRICE_UNKNOWN":               "Give the target a price, or the call an estimate.",
	"CURRENCY_MISMATCH":           "Give the run and the price one currency.",
	"RUN_BUDGET":                  "Take a cheaper call, or end the run's work.",
	"COST_PRESSURE":               "Go on: a cheaper level was granted. Label the answer as degraded.",
	"QUOTA":                       "Finish or remove records, or raise the quota in the policy.",
	"DEADLINE":                    "Give the operation up, or bring a later deadline.",
	"PASS":                        "Go on: an operator lets everything pass.",
	"LEVEL_TRIED":                 "Nothing: it explains a skipped level.",
	"CREDENTIAL_SUSPECT":          "Check the credential; it explains a skipped level.",
}

// TestReasonsPage keeps docs/reasons.md as the contract has it.
func TestReasonsPage(t *testing.T) {
	var b strings.Builder
	b.WriteString("# Reasons\n\nEvery word that an answer may carry, from the comments of `proto/resilience/v1`. " +
		"Generated: `make docs` writes this page anew.\n\n## Why an Acquire was answered so\n\n" +
		"`reason` of an Acquire, and of a level that was passed over.\n\n| reason | it says | the caller |\n|---|---|---|\n")
	reasons := enum(t, "directive.proto", "DecisionReason", "DECISION_REASON_")
	for _, w := range reasons {
		if doOn[w.name] == "" {
			t.Errorf("no advice for reason %s", w.name)
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", w.name, w.says, doOn[w.name])
	}
	for name := range doOn {
		if !slices.ContainsFunc(reasons, func(w word) bool { return w.name == name }) {
			t.Errorf("advice for a reason that is not there: %s", name)
		}
	}
	section := func(title, text, file, name, prefix string) {
		fmt.Fprintf(&b, "\n## %s\n\n%s\n\n| word | it says |\n|---|---|\n", title, text)
		for _, w := range enum(t, file, name, prefix) {
			fmt.Fprintf(&b, "| `%s` | %s |\n", w.name, w.says)
		}
	}
	section("What to do next", "`action` of a Report, and of an Acquire that was refused.", "directive.proto", "Action", "ACTION_")
	section("What the server made of a signal", "`class` of a Report.", "signal.proto", "Class", "CLASS_")
	section("What the target may have done", "`certainty` of a Report.", "signal.proto", "Certainty", "CERTAINTY_")
	section("Why a report did not count", "`not_counted_because` of a Report: it did not vote on the breaker. Its money is booked all the same.",
		"permit_service.proto", "NotCountedBecause", "NOT_COUNTED_BECAUSE_")
	section("Errors", "`reason` of the `google.rpc.ErrorInfo` that goes with every RPC error. An error says that the request is wrong or that "+
		"the service failed; a refusal is an answer.", "error_reason.proto", "ErrorReason", "ERROR_REASON_")
	generated(t, "docs/reasons.md", b.String())
}

// generated compares a page with what it should be, or writes it.
func generated(t *testing.T, file, want string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("%s is stale: run 'make docs' and commit it", file)
	}
}
