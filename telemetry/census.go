// SPDX-License-Identifier: Apache-2.0

package telemetry

import (
	"context"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/resilienced/resilienced/rules/breaker"
	"github.com/resilienced/resilienced/rules/budget"
	"github.com/resilienced/resilienced/rules/deadletter"
	"github.com/resilienced/resilienced/rules/escalation"
)

const (
	// censusRest is the least time between two readings of the store.
	censusRest = time.Second
	// censusShare keeps the readings from becoming the load: after one that
	// took a second there is none for twenty.
	censusShare = 20
	// censusPatience is how long a scrape waits for a reading before it makes
	// do with the last one.
	censusPatience = 2 * time.Second
)

// census is the collector of the gauges that are read from the store.
type census struct {
	metrics *Metrics

	state, ratio, letters, escalations, runs, age *prometheus.Desc
	failed                                        prometheus.Counter

	mu      sync.Mutex
	last    *snapshot     // nil: none yet
	running chan struct{} // closed when the reading under way has ended; nil: none is
	next    time.Time     // no reading before
	stop    context.CancelFunc
	closed  bool
}

func newCensus(m *Metrics, d *definer) *census {
	c := &census{
		metrics: m,
		state: d.described("resilienced_breaker_state",
			"How many breakers of the target are in the state: 0 or 1, unless several namespaces or credentials have one each.", "target", "state"),
		ratio: d.described("resilienced_retry_budget_ratio",
			"What is left of the fleet's retry tokens for the target, as a part of what there was: 1 is untouched, 0 is used up.", "target"),
		letters: d.described("resilienced_dead_letters_open",
			"Dead letters that are open.", "target"),
		escalations: d.described("resilienced_escalations_open",
			"Escalations that wait for a person.", "type"),
		runs: d.described("resilienced_runs_active",
			"Runs that may still spend: neither ended, nor at a cap, nor below a run that has ended."),
		age: d.described("resilienced_census_age_seconds",
			"How old the gauges are that are read from the store: breakers, retry budgets, runs, dead letters, escalations."),
	}
	c.failed = d.counter("resilienced_census_failures_total",
		"Readings of the store for the gauges that failed; the gauges keep their last values.").WithLabelValues()
	return c
}

// Describe implements prometheus.Collector.
func (c *census) Describe(to chan<- *prometheus.Desc) {
	for _, d := range [...]*prometheus.Desc{c.state, c.ratio, c.letters, c.escalations, c.runs, c.age} {
		to <- d
	}
}

// Collect implements prometheus.Collector.
func (c *census) Collect(to chan<- prometheus.Metric) {
	s := c.read()
	if s == nil {
		return
	}
	send := func(d *prometheus.Desc, value float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	for name := range c.metrics.labels(s) {
		counts, ok := s.breakers[name]
		if !ok { // without a record: as a fresh one
			counts[breaker.Closed] = 1
		}
		for phase, n := range counts {
			send(c.state, float64(n), name, breaker.Phase(phase).String())
		}
		ratio := 1.0
		if b := s.budgets[name]; b.all > 0 {
			ratio = float64(b.left) / float64(b.all)
		}
		send(c.ratio, ratio, name)
		send(c.letters, float64(s.letters[name]), name)
	}
	for _, kind := range escalationTypes() {
		send(c.escalations, float64(s.escalations[kind]), string(kind))
	}
	send(c.runs, float64(s.active))
	send(c.age, time.Since(s.at).Seconds())
}

// labels are the targets of the gauges: all that are told apart, and Other if
// it stands for something.
func (m *Metrics) labels(s *snapshot) map[string]struct{} {
	names := make(map[string]struct{}, len(m.targets.all())+1)
	for name := range m.targets.all() {
		names[name] = struct{}{}
	}
	_, broken := s.breakers[Other]
	if broken || s.letters[Other] > 0 {
		names[Other] = struct{}{}
	}
	return names
}

// read returns a snapshot: a fresh one if one is due and does not take too
// long, else the last.
func (c *census) read() *snapshot {
	source := c.metrics.source.Load()
	c.mu.Lock()
	if c.running == nil && source != nil && !c.closed && !time.Now().Before(c.next) {
		ctx, stop := context.WithCancel(context.Background())
		c.running, c.stop = make(chan struct{}), stop
		go c.take(ctx, *source, c.running)
	}
	running := c.running
	c.mu.Unlock()
	if running != nil {
		patience := time.NewTimer(censusPatience)
		defer patience.Stop()
		select {
		case <-running:
		case <-patience.C:
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.last
}

// take reads the store once.
func (c *census) take(ctx context.Context, from Source, done chan struct{}) {
	defer close(done)
	start := time.Now()
	s := &snapshot{
		metrics: c.metrics, at: start,
		breakers: map[string][phases]int{}, budgets: map[string]allowance{},
		letters: map[string]int{}, escalations: map[escalation.Type]int{},
	}
	c.metrics.learnNames(from)
	err := from.Census(ctx, s)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stop()
	c.running = nil
	c.next = time.Now().Add(max(censusRest, censusShare*time.Since(start)))
	if err == nil {
		c.last = s
		return
	}
	if !c.closed {
		c.failed.Inc()
		c.metrics.log.Warn("the store could not be read for the metrics; the gauges of state keep their last values", "error", err)
	}
}

// close ends the reading under way and waits for it.
func (c *census) close() {
	c.mu.Lock()
	c.closed = true
	running := c.running
	if running != nil {
		c.stop()
	}
	c.mu.Unlock()
	if running != nil {
		<-running
	}
}

// phases is the number of states of a breaker.
const phases = int(breaker.Disabled) + 1

type allowance struct{ left, all int64 }

// snapshot is what one reading found. It implements engine.Tally; its maps are
// bounded like labels.
type snapshot struct {
	metrics     *Metrics
	at          time.Time
	breakers    map[string][phases]int
	budgets     map[string]allowance
	letters     map[string]int
	escalations map[escalation.Type]int
	active      int
}

// Breaker implements engine.Tally.
func (s *snapshot) Breaker(namespace, target string, phase breaker.Phase) {
	name := s.metrics.target(namespace, target).name
	counts := s.breakers[name]
	counts[min(int(phase), phases-1)]++
	s.breakers[name] = counts
}

// RetryBudget implements engine.Tally.
func (s *snapshot) RetryBudget(namespace, target string, left, all int64) {
	name := s.metrics.target(namespace, target).name
	sum := s.budgets[name]
	s.budgets[name] = allowance{sum.left + left, sum.all + all}
}

// Run implements engine.Tally.
func (s *snapshot) Run(state budget.State) {
	if state == budget.Active || state == budget.Pressure {
		s.active++
	}
}

// Letter implements engine.Tally.
func (s *snapshot) Letter(namespace, target string, state deadletter.State) {
	if state == deadletter.Open {
		s.letters[s.metrics.target(namespace, target).name]++
	}
}

// Escalation implements engine.Tally.
func (s *snapshot) Escalation(kind escalation.Type, state escalation.State) {
	if state == escalation.Open || state == escalation.Acknowledged {
		s.escalations[kind]++
	}
}
