// SPDX-License-Identifier: Apache-2.0

package telemetry

import (
	"fmt"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"

	"github.com/resilienced/resilienced/engine"
	"github.com/resilienced/resilienced/rules/budget"
)

// labelValues are the values that a label has in a metric.
func labelValues(f *dto.MetricFamily, label string) map[string]float64 {
	values := map[string]float64{}
	for _, m := range f.GetMetric() {
		for _, l := range m.GetLabel() {
			if l.GetName() == label {
				values[l.GetValue()] += m.GetCounter().GetValue()
			}
		}
	}
	return values
}

// However many names callers make up, those of the policy are told apart, and
// nothing is lost from the sums.
func TestTargetsAreBounded(t *testing.T) {
	w := open(t, nil, "version: 1\ntargets:\n  - {match: \"named/*\", preset: llm}\n")
	defer w.close()
	const made, named = 700, 600
	for i := range made {
		w.acquire(engine.AcquireRequest{Target: fmt.Sprint("made-up-", i)})
	}
	for i := range named {
		w.acquire(engine.AcquireRequest{Target: fmt.Sprint("named/", i)})
	}
	families := scrape(t, w.metrics.Handler())
	targets := labelValues(families["resilienced_operations_total"], "target")
	if len(targets) != maxTargets+1 {
		t.Errorf("%d targets are told apart, want %d and %s", len(targets)-1, maxTargets, Other)
	}
	unnamed, sum := 0, 0.0
	for name, n := range targets {
		sum += n
		if strings.HasPrefix(name, "made-up-") {
			unnamed++
		}
	}
	if unnamed != maxUnnamed || sum != made+named || targets[Other] != made+named-maxTargets {
		t.Errorf("%d unnamed, %v in all, %v of others", unnamed, sum, targets[Other])
	}
	for _, name := range []string{"resilienced_breaker_state", "resilienced_dead_letters_open", "resilienced_retry_budget_ratio"} {
		if n := len(labelValues(families[name], "target")); n > maxTargets+1 {
			t.Errorf("%s has %d targets", name, n)
		}
	}
}

// A refusal that costs the caller nothing makes no series.
func TestUnknownTargetsMakeNoSeries(t *testing.T) {
	w := open(t, nil, "version: 1\nunknown_targets: deny\ntargets:\n  - {match: known, preset: llm}\n")
	defer w.close()
	for i := range 50 {
		w.acquire(engine.AcquireRequest{Target: fmt.Sprint("made-up-", i)})
	}
	w.expect(map[string][]string{
		"resilienced_acquire_total": {`{decision="DENIED",reason="TARGET_UNKNOWN",target="__other__"} 50`},
	})
}

func TestModelsAreBounded(t *testing.T) {
	var text strings.Builder
	text.WriteString("version: 1\ntargets:\n")
	for i := range 2 * maxModels {
		fmt.Fprintf(&text, "  - {match: p/m%d, preset: llm}\n", i)
	}
	w := open(t, nil, text.String())
	defer w.close()
	use := func(model string) {
		g := w.acquire(engine.AcquireRequest{Target: "own/name"})
		w.report(engine.ReportRequest{PermitID: g.Grant.PermitID, Signal: good, Model: model, Usage: budget.Usage{Output: new(int64(1))}})
	}
	use("name")
	use("")
	for i := range 2 * maxModels {
		use(fmt.Sprint("invented-", i))
		use(fmt.Sprint("m", i))
	}
	models := labelValues(scrape(t, w.metrics.Handler())["resilienced_tokens_total"], "model")
	sum := 0.0
	for _, n := range models {
		sum += n
	}
	if len(models) > maxModels+1 || sum != 2+4*maxModels || models["name"] != 1 || models[""] != 1 || models["m0"] != 1 {
		t.Errorf("%v in %d models: %v", sum, len(models), models)
	}
	for name := range models {
		if strings.HasPrefix(name, "invented-") {
			t.Errorf("a model that nobody wrote into the policy is a label: %s", name)
		}
	}
}

// Ids of callers, and what they keep secret, are in no label and no help text.
func TestIDsAreInNoLabel(t *testing.T) {
	w := open(t, nil, "version: 1\ntargets:\n  - {match: x, preset: tool, breaker: {per_credential: true}}\n")
	defer w.close()
	if _, err := w.engine.StartRun(t.Context(), &engine.StartRunRequest{
		Namespace: "n", RunID: "canary-run", Caps: budget.Caps{Calls: new(int64(1))}, Labels: map[string]string{"k": "canary-label"},
	}); err != nil {
		t.Fatal(err)
	}
	g := w.acquire(engine.AcquireRequest{
		Target: "x", RunID: "canary-run", TaskID: "canary-task", OperationID: "canary-operation", RequestID: "canary-request",
		Credential: "canary-credential", Reporter: "canary-reporter", Fingerprint: "canary-fingerprint", IdempotencyKey: "canary-key",
	})
	signal := bad
	signal.Message, signal.Exception, signal.BodyCode = "canary-message", "canary-exception", "canary-code"
	w.report(engine.ReportRequest{PermitID: g.Grant.PermitID, Signal: signal, ResultRef: "canary-ref", Model: "canary-model"})
	w.acquire(engine.AcquireRequest{Target: "x", RunID: "canary-run"})
	for name, f := range scrape(t, w.metrics.Handler()) {
		if text := f.String(); strings.Contains(text, "canary") {
			t.Errorf("%s: %s", name, text)
		}
	}
}
