// SPDX-License-Identifier: Apache-2.0

package telemetry

import "github.com/prometheus/client_golang/prometheus"

// Definition says what a metric is. docs/metrics.md is written from these.
type Definition struct {
	Name   string
	Kind   string // counter, gauge or histogram
	Labels []string
	Help   string
}

// definer makes metrics, registers them, and keeps what they are.
type definer struct {
	registry *prometheus.Registry
	made     []Definition
}

func (d *definer) note(kind, name, help string, labels []string) {
	d.made = append(d.made, Definition{Name: name, Kind: kind, Labels: labels, Help: help})
}

func (d *definer) counter(name, help string, labels ...string) *prometheus.CounterVec {
	d.note("counter", name, help, labels)
	v := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	d.registry.MustRegister(v)
	return v
}

func (d *definer) gauge(name, help string, labels ...string) *prometheus.GaugeVec {
	d.note("gauge", name, help, labels)
	v := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, labels)
	d.registry.MustRegister(v)
	return v
}

func (d *definer) histogram(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
	d.note("histogram", name, help, labels)
	v := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets}, labels)
	d.registry.MustRegister(v)
	return v
}

// read is a metric whose value is asked for at a scrape.
func (d *definer) read(kind, name, help string, value func() float64) {
	d.note(kind, name, help, nil)
	if kind == "counter" {
		d.registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help}, value))
		return
	}
	d.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value))
}

// described is a gauge that a collector sends.
func (d *definer) described(name, help string, labels ...string) *prometheus.Desc {
	d.note("gauge", name, help, labels)
	return prometheus.NewDesc(name, help, labels, nil)
}
