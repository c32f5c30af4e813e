// SPDX-License-Identifier: Apache-2.0

// Package sitting compares subjects on a machine whose speed drifts. In each
// round every subject gets one short slice of load, so that what is compared
// was measured within a second of each other; a ratio is taken within its
// round, and the median over the rounds is the answer.
//
// Two of the subjects are the same thing twice. Their ratio is the control: if
// it is not close to 1, the sitting says more about the machine than about the
// subjects; it is void and is held again.
package sitting

import (
	"context"
	"fmt"

	"github.com/resilienced/resilienced/bench/load"
)

// The control's bounds.
const (
	lowest  = 0.9
	highest = 1.1
)

// Subject is something that is given a slice of load.
type Subject struct {
	Name  string
	Slice func(context.Context) (*load.Result, error)
}

// Plan is a sitting to be held.
type Plan struct {
	Name     string
	Rounds   int
	Subjects []Subject
	// Control names the two subjects that are the same.
	Control [2]string
}

// Result is a sitting that was held.
type Result struct {
	Name string
	// Control is the median ratio of the throughputs of what is the same.
	Control float64
	slices  map[string][]*load.Result
}

// Void reports whether the sitting proves nothing.
func (r *Result) Void() bool { return r.Control < lowest || r.Control > highest }

// Hold holds a sitting: its rounds, with the order of the subjects moving on
// from round to round, so that none always follows the same other.
func (p Plan) Hold(ctx context.Context) (*Result, error) {
	r := &Result{Name: p.Name, slices: make(map[string][]*load.Result, len(p.Subjects))}
	for round := range p.Rounds {
		for i := range p.Subjects {
			s := p.Subjects[order(round, i, len(p.Subjects))]
			slice, err := s.Slice(ctx)
			if err != nil {
				return nil, fmt.Errorf("%s: %s: %w", p.Name, s.Name, err)
			}
			r.slices[s.Name] = append(r.slices[s.Name], slice)
		}
	}
	r.Control = r.Ratio(p.Control[1], p.Control[0], (*load.Result).Rate).Median
	return r, nil
}

// order is the place of the i-th subject in a round: every other round runs
// backwards, and each pair of rounds begins one subject later.
func order(round, i, n int) int {
	if round%2 == 1 {
		i = n - 1 - i
	}
	return (i + round/2) % n
}

// Metric is a figure of one slice.
type Metric func(*load.Result) float64

// Ratio is how a figure of one subject stands to another's, round by round.
func (r *Result) Ratio(of, against string, m Metric) Spread {
	a, b := r.slices[of], r.slices[against]
	ratios := make([]float64, 0, len(a))
	for i := range min(len(a), len(b)) {
		if limit := m(b[i]); limit != 0 {
			ratios = append(ratios, m(a[i])/limit)
		}
	}
	return SpreadOf(ratios)
}

// Figure is a figure of one subject over the rounds.
func (r *Result) Figure(of string, m Metric) Spread {
	all := make([]float64, 0, len(r.slices[of]))
	for _, s := range r.slices[of] {
		all = append(all, m(s))
	}
	return SpreadOf(all)
}

// Passed is how many calls of all subjects failed and were made again.
func (r *Result) Passed() int {
	n := 0
	for _, slices := range r.slices {
		for _, s := range slices {
			n += s.Passed
		}
	}
	return n
}

// Slices returns the slices of a subject in the order of the rounds.
func (r *Result) Slices(of string) []*load.Result { return r.slices[of] }
