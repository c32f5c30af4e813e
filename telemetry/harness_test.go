// SPDX-License-Identifier: Apache-2.0

package telemetry

import (
	"context"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	prommodel "github.com/prometheus/common/model"
	"go.uber.org/goleak"

	"github.com/resilienced/resilienced/engine"
	"github.com/resilienced/resilienced/rules/classify"
	"github.com/resilienced/resilienced/statestore"
	"github.com/resilienced/resilienced/statestore/memory"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is an engine that metrics watch. Nothing sweeps unless the test does.
type world struct {
	tb      testing.TB
	store   statestore.Store
	engine  *engine.Engine
	metrics *Metrics
}

// open makes a world over a store; nil: a new one. The caller closes it.
func open(tb testing.TB, store statestore.Store, policy string) *world {
	tb.Helper()
	if store == nil {
		store = memory.New(memory.Config{})
	}
	w := &world{tb: tb, store: store, metrics: New(Config{Version: "v1.2.3"})}
	var err error
	w.engine, err = engine.New(context.Background(), engine.Config{
		Store: store, NoSweeper: true, AllowDrills: true, Observer: w.metrics, OnEvent: w.metrics.Event,
	})
	if err != nil {
		tb.Fatal(err)
	}
	if policy != "" {
		if _, err := w.engine.ApplyFile(context.Background(), "test.yaml", []byte(policy)); err != nil {
			tb.Fatal(err)
		}
	}
	w.metrics.Watch(w.engine)
	return w
}

// close ends the engine, and the store unless it is kept.
func (w *world) close(keep ...bool) {
	w.tb.Helper()
	w.metrics.Close()
	if err := w.engine.Close(context.Background()); err != nil {
		w.tb.Error(err)
	}
	if len(keep) > 0 {
		return
	}
	if err := w.store.Close(); err != nil {
		w.tb.Error(err)
	}
}

func (w *world) acquire(req engine.AcquireRequest) *engine.AcquireResult {
	w.tb.Helper()
	if req.Namespace == "" {
		req.Namespace = "n"
	}
	r, err := w.engine.Acquire(context.Background(), &req)
	if err != nil {
		w.tb.Fatal(err)
	}
	return r
}

func (w *world) report(req engine.ReportRequest) *engine.ReportResult {
	w.tb.Helper()
	if req.Namespace == "" {
		req.Namespace = "n"
	}
	r, err := w.engine.Report(context.Background(), &req)
	if err != nil {
		w.tb.Fatal(err)
	}
	return r
}

var (
	good = classify.Signal{Outcome: classify.OutcomeSuccess, HTTPStatus: 200}
	bad  = classify.Signal{Outcome: classify.OutcomeFailure, HTTPStatus: 500}
)

// scrape reads the metrics as Prometheus does.
func scrape(tb testing.TB, h http.Handler) map[string]*dto.MetricFamily {
	tb.Helper()
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, httptest.NewRequestWithContext(tb.Context(), http.MethodGet, "/metrics", http.NoBody))
	if rec.Code != http.StatusOK {
		tb.Fatalf("scrape: %d %s", rec.Code, rec.Body)
	}
	parser := expfmt.NewTextParser(prommodel.UTF8Validation)
	families, err := parser.TextToMetricFamilies(rec.Body)
	if err != nil {
		tb.Fatal(err)
	}
	return families
}

// series returns the lines of a metric that are not zero, such as
// `{target="x"} 3`, sorted. Of a histogram it is the count.
func series(families map[string]*dto.MetricFamily, name string) []string {
	var lines []string
	for _, m := range families[name].GetMetric() {
		value := m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
		if value == 0 {
			continue
		}
		labels := make([]string, 0, len(m.GetLabel()))
		for _, l := range m.GetLabel() {
			labels = append(labels, l.GetName()+"="+strconv.Quote(l.GetValue()))
		}
		lines = append(lines, "{"+strings.Join(labels, ",")+"} "+strconv.FormatFloat(value, 'g', -1, 64))
	}
	slices.Sort(lines)
	return lines
}

// expect compares the lines of some metrics.
func (w *world) expect(want map[string][]string) {
	w.tb.Helper()
	families := scrape(w.tb, w.metrics.Handler())
	for name, lines := range want {
		if got := series(families, name); !slices.Equal(got, lines) {
			w.tb.Errorf("%s:\n got  %s\n want %s", name, strings.Join(got, "\n      "), strings.Join(lines, "\n      "))
		}
	}
}
