// SPDX-License-Identifier: Apache-2.0

package telemetry

import (
	"context"
	"log/slog"
	"net/http"
	"runtime"
	"runtime/debug"
	"slices"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/resilienced/resilienced/engine"
)

// Other is the label that stands for everything beyond what is told apart.
const Other = "__other__"

const (
	maxTargets = 1000
	// maxUnnamed keeps names that callers make up from taking the place of
	// those that an operator wrote down.
	maxUnnamed = maxTargets / 2
	// maxModels is for each target.
	maxModels = 20
	// maxReasons is for each target; there are about 45, and those of the
	// policy's own rules.
	maxReasons = 100
	// scrapes at once; more wait for nothing and are refused.
	maxScrapes   = 4
	scrapeLimit  = 10 * time.Second
	unknownBuild = "unknown"
)

// Source is what the metrics read at a scrape.
type Source interface {
	Census(ctx context.Context, to engine.Tally) error
	Stats() engine.Stats
	TargetNames() []string
	Named(namespace, target string) bool
}

// Config is what metrics are made with. The zero Config is complete.
type Config struct {
	// Version is the build's; empty: what the Go linker wrote.
	Version string
	// Logger may be nil: nothing is logged.
	Logger *slog.Logger
	// PolicyStatus says whether the last reload of the policy went well, and
	// which epoch holds; nil: it did, and the engine's.
	PolicyStatus func() (ok bool, epoch uint64)
}

// Metrics counts what one replica does. It implements engine.Observer; its
// Event is for engine.Config.OnEvent. It is safe for many goroutines. Close it
// before the engine that it watches.
type Metrics struct {
	registry    *prometheus.Registry
	definitions []Definition
	log         *slog.Logger
	status      func() (bool, uint64)

	v      vectors
	source atomic.Pointer[Source]
	names  atomic.Pointer[map[string]struct{}] // of models and targets in policies
	census *census

	targets family[string, *target]
	unnamed atomic.Int64
	other   *target
}

// New makes the metrics of a replica. They count at once; the gauges of state
// appear with Watch.
func New(c Config) *Metrics {
	m := &Metrics{registry: prometheus.NewRegistry(), log: c.Logger, status: c.PolicyStatus}
	if m.log == nil {
		m.log = slog.New(slog.DiscardHandler)
	}
	d := &definer{registry: m.registry}
	m.v = newVectors(d)
	m.census = newCensus(m, d)
	m.registry.MustRegister(m.census)
	m.process(d, c.Version)
	m.registry.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	m.definitions = d.made
	m.other = m.newTarget(Other)
	m.prepare()
	return m
}

// Watch names what the gauges of state are read from. It is called once,
// before the first scrape.
func (m *Metrics) Watch(s Source) {
	m.source.Store(&s)
	m.learnNames(s)
}

// Close ends a census that is under way and waits for its end. What was
// counted can still be scraped.
func (m *Metrics) Close() { m.census.close() }

// Definitions returns what every metric of the service itself is, sorted by
// name. Those of the Go runtime and of the process come on top.
func (m *Metrics) Definitions() []Definition {
	sorted := slices.Clone(m.definitions)
	slices.SortFunc(sorted, func(a, b Definition) int {
		switch {
		case a.Name < b.Name:
			return -1
		case a.Name > b.Name:
			return 1
		}
		return 0
	})
	return sorted
}

// Handler answers a scrape, in the text format or in OpenMetrics.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{
		MaxRequestsInFlight: maxScrapes, Timeout: scrapeLimit, EnableOpenMetrics: true,
		ErrorHandling: promhttp.ContinueOnError, ErrorLog: slog.NewLogLogger(m.log.Handler(), slog.LevelWarn),
	})
}

// stats reads the engine's figures; zero before there is an engine.
func (m *Metrics) stats() engine.Stats {
	if s := m.source.Load(); s != nil {
		return (*s).Stats()
	}
	return engine.Stats{}
}

// policyStatus is Config.PolicyStatus or what stands in for it.
func (m *Metrics) policyStatus() (bool, uint64) {
	if m.status != nil {
		return m.status()
	}
	return true, m.stats().PolicyEpoch
}

// process defines what is true of the process as a whole.
func (m *Metrics) process(d *definer, version string) {
	d.read("counter", "resilienced_commands_total",
		"Commands that were committed: calls that decide something, and the sweeper's.",
		func() float64 { return float64(m.stats().Commands) })
	d.read("gauge", "resilienced_commands_waiting",
		"Commands that wait for a transaction. Beyond a few thousand callers are told to come back later.",
		func() float64 { return float64(m.stats().Waiting) })
	d.read("counter", "resilienced_store_commits_total",
		"Transactions of the store that changed something. Commands share them under load.",
		func() float64 { return float64(m.stats().Commits) })
	d.read("counter", "resilienced_decision_log_dropped_total",
		"Decisions that were not written to the decision log because it was full or the store refused. Their ids still explain them.",
		func() float64 { return float64(m.stats().LogDropped) })
	d.read("gauge", "resilienced_decision_log_waiting",
		"Decisions that are still to be written to the decision log.",
		func() float64 { return float64(m.stats().LogWaiting) })
	d.read("gauge", "resilienced_config_last_reload_successful",
		"1 if the last attempt to load the policy went well; 0 if it was refused and the policy before it holds.",
		func() float64 {
			if ok, _ := m.policyStatus(); ok {
				return 1
			}
			return 0
		})
	d.read("gauge", "resilienced_config_epoch",
		"The epoch of the policy that holds. Every applied change raises it.",
		func() float64 { _, epoch := m.policyStatus(); return float64(epoch) })
	build := d.gauge("resilienced_build_info", "Always 1; its labels say which build this is.", "version", "revision", "goversion")
	build.WithLabelValues(buildLabels(version)...).Set(1)
}

// buildLabels are the version, the revision and Go's version.
func buildLabels(version string) []string {
	revision := unknownBuild
	if info, ok := debug.ReadBuildInfo(); ok {
		if version == "" {
			version = info.Main.Version
		}
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				revision = s.Value
			}
		}
	}
	if version == "" {
		version = unknownBuild
	}
	return []string{version, revision, runtime.Version()}
}
