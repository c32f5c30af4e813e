// SPDX-License-Identifier: Apache-2.0

package suite

import (
	"github.com/resilienced/resilienced/bench/page"
	"github.com/resilienced/resilienced/bench/sitting"
)

// goal notes a goal with a figure of a sitting.
func (s *Suite) goal(r *sitting.Result, g page.Goal) {
	g.Void = r.Void()
	s.goals = append(s.goals, g)
}

// ratio is a cell with a median ratio and its quartiles.
func ratio(r *sitting.Result, of, against string, m sitting.Metric) string {
	x := r.Ratio(of, against, m)
	return page.Range(x.Low, x.Median, x.High)
}

// figure is a cell with a subject's median figure.
func figure(r *sitting.Result, of string, m sitting.Metric, write func(float64) string) string {
	return write(r.Figure(of, m).Median)
}

// latency is a cell with a subject's median p50 and p99.
func latency(r *sitting.Result, of string) string {
	return figure(r, of, p50, page.Time) + " / " + figure(r, of, p99, page.Time)
}

// control is a cell with a sitting's control.
func control(r *sitting.Result) string {
	text := page.Ratio(r.Control)
	if r.Void() {
		text += " void"
	}
	return text
}
