// SPDX-License-Identifier: Apache-2.0

//go:build promtool

package telemetry

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"go.yaml.in/yaml/v4"

	"github.com/resilienced/resilienced/engine"
	"github.com/resilienced/resilienced/rules/budget"
)

// These need the promtool of the environment's PROMTOOL; make alerts sets it.

func promtool(t *testing.T, stdin []byte, args ...string) {
	t.Helper()
	tool := os.Getenv("PROMTOOL")
	if tool == "" {
		t.Fatal("PROMTOOL is not set; run: make alerts")
	}
	cmd := exec.CommandContext(t.Context(), tool, args...)
	cmd.Stdin = bytes.NewReader(stdin)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("promtool %v: %v\n%s", args, err, out)
	}
}

// A scrape is what Prometheus wants it to be.
func TestPromtoolReadsAScrape(t *testing.T) {
	w := open(t, nil, testPolicy)
	defer w.close()
	g := w.acquire(engine.AcquireRequest{Target: "openai/gpt-x"})
	w.report(engine.ReportRequest{PermitID: g.Grant.PermitID, Signal: bad, Usage: budget.Usage{Input: new(int64(1))}})
	rec := httptest.NewRecorder()
	w.metrics.Handler().ServeHTTP(rec, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", http.NoBody))
	promtool(t, rec.Body.Bytes(), "check", "metrics")
}

// Every expression of the dashboard can be read.
func TestPromtoolReadsTheDashboard(t *testing.T) {
	var d dashboard
	load(t, dashboardFile, &d)
	type record struct {
		Record string            `yaml:"record"`
		Expr   string            `yaml:"expr"`
		Labels map[string]string `yaml:"labels"`
	}
	var all []record
	for where, expr := range d.expressions() {
		all = append(all, record{"dashboard:expression", expr, map[string]string{"where": where}})
	}
	text, err := yaml.Marshal(map[string]any{"groups": []any{map[string]any{"name": "dashboard", "rules": all}}})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "dashboard.yaml")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	promtool(t, nil, "check", "rules", file)
}
