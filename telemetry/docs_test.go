// SPDX-License-Identifier: Apache-2.0

package telemetry

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write docs/metrics.md anew")

const metricsPage = "../docs/metrics.md"

// page is docs/metrics.md.
func page(made []Definition) string {
	var b strings.Builder
	b.WriteString(`# Metrics

Written by ` + "`go test ./telemetry -run TestMetricsPage -update`" + `; a test keeps it in step with the code.

Scrape ` + "`/metrics`" + ` in the text format or in OpenMetrics. Counters start from zero with the process. What is read from the store at a scrape (breaker states, retry budgets, active runs, open dead letters and escalations) is right after a restart and at most a second old, unless reading takes long: then it rests for twenty times as long, and ` + "`resilienced_census_age_seconds`" + ` says how old it is. Every replica tells the same of it, so aggregate it with ` + "`max`" + ` or ` + "`min`" + `, and counters with ` + "`sum`" + `.

Labels are bounded. A run, an operation, a reporter and a credential are never one, and drills count nowhere. Targets of all namespaces are counted by name: at most 1,000 are told apart, of which those that no policy names take at most half, and the rest is ` + "`__other__`" + `. A model is a label if it is the target's own name or its last part, or that of another target in a policy, at most 20 for a target; every other is ` + "`__other__`" + `. A report that names no model has an empty label.

The metrics of the Go runtime (` + "`go_`" + `) and of the process (` + "`process_`" + `) come on top.

| metric | kind | labels | meaning |
|---|---|---|---|
`)
	for _, d := range made {
		labels := "–"
		if len(d.Labels) > 0 {
			labels = "`" + strings.Join(d.Labels, "`, `") + "`"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", d.Name, d.Kind, labels, d.Help)
	}
	b.WriteString(`
Not there yet, because what they would count is not: ` + "`resilienced_provider_headroom_ratio`" + ` (what providers say is left of their limits), ` + "`resilienced_sessions`" + `, ` + "`batch_items_failed_total`" + `, and the clients' own metrics.
`)
	return b.String()
}

func TestMetricsPage(t *testing.T) {
	want := page(New(Config{}).Definitions())
	if *update {
		if err := os.WriteFile(metricsPage, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(metricsPage)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("%s is not what the code says; write it anew with: go test ./telemetry -run TestMetricsPage -update", metricsPage)
	}
}

// The page of the traces names every attribute.
func TestTracesPage(t *testing.T) {
	text := read(t, "../docs/traces.md")
	for _, name := range []string{
		string(attrTarget), string(attrDecision), string(attrDenyReason), string(attrBreaker), string(attrAttempt),
		string(attrRun), string(attrPermit), string(attrAction), string(attrDelay), eventDenied,
	} {
		if !strings.Contains(text, "`"+name+"`") {
			t.Errorf("docs/traces.md does not name %s", name)
		}
	}
}
