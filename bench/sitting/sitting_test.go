// SPDX-License-Identifier: Apache-2.0

package sitting

import (
	"context"
	"errors"
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/resilienced/resilienced/bench/load"
)

// slice is a slice of one second with so many operations.
func slice(ops int) *load.Result {
	return &load.Result{Ops: ops, Window: time.Second, Latency: load.NewLatency()}
}

// steady is a subject that makes so many operations in each of its slices; the
// machine's speed is what speed says.
func steady(name string, ops float64, speed func() float64) Subject {
	return Subject{Name: name, Slice: func(context.Context) (*load.Result, error) {
		return slice(int(ops * speed())), nil
	}}
}

func TestSpreadOf(t *testing.T) {
	cases := []struct {
		values []float64
		want   Spread
	}{
		{nil, Spread{}},
		{[]float64{3}, Spread{3, 3, 3}},
		{[]float64{2, 1}, Spread{1.25, 1.5, 1.75}},
		{[]float64{5, 1, 4, 2, 3}, Spread{2, 3, 4}},
	}
	for _, c := range cases {
		if got := SpreadOf(c.values); got != c.want {
			t.Errorf("SpreadOf(%v) = %v, want %v", c.values, got, c.want)
		}
	}
}

func TestSpreadSplitsTheValues(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		values := rapid.SliceOfN(rapid.Float64Range(0.01, 100), 1, 40).Draw(t, "values")
		before := slices.Clone(values)
		s := SpreadOf(values)
		if !slices.Equal(values, before) {
			t.Fatal("the values were moved")
		}
		below := func(limit float64) (n int) {
			for _, v := range values {
				if v < limit {
					n++
				}
			}
			return n
		}
		above := func(limit float64) (n int) {
			for _, v := range values {
				if v > limit {
					n++
				}
			}
			return n
		}
		if 2*below(s.Median) > len(values) || 2*above(s.Median) > len(values) {
			t.Fatalf("%v is not the middle of %v", s.Median, values)
		}
		if s.Low > s.Median || s.Median > s.High || 4*below(s.Low) > len(values)+3 || 4*above(s.High) > len(values)+3 {
			t.Fatalf("%v are not the quartiles of %v", s, values)
		}
	})
}

func TestOrderIsFair(t *testing.T) {
	const n = 4
	first := make([]int, n)
	for round := range 2 * n {
		seen := make([]bool, n)
		for i := range n {
			seen[order(round, i, n)] = true
		}
		if slices.Contains(seen, false) {
			t.Fatalf("round %d leaves a subject out", round)
		}
		first[order(round, 0, n)]++
	}
	if slices.Min(first) != slices.Max(first) {
		t.Errorf("the subjects were first %v times", first)
	}
}

// The machine gets ten times slower from round to round; the ratios stay.
func TestRatiosDoNotDriftWithTheMachine(t *testing.T) {
	begun, speed := 0, 1e6
	drifting := func() float64 {
		if begun++; begun%4 == 0 {
			defer func() { speed /= 10 }()
		}
		return speed
	}
	p := Plan{Rounds: 3, Control: [2]string{"limit", "limit again"}, Subjects: []Subject{
		steady("limit", 100, drifting), steady("limit again", 100, drifting), steady("half", 50, drifting), steady("most", 90, drifting),
	}}
	r, err := p.Hold(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got := r.Ratio("half", "limit", (*load.Result).Rate); got != (Spread{0.5, 0.5, 0.5}) {
		t.Errorf("half: %v", got)
	}
	if got := r.Ratio("most", "limit", (*load.Result).Rate).Median; math.Abs(got-0.9) > 0.001 {
		t.Errorf("most: %v", got)
	}
	if r.Void() || r.Control != 1 {
		t.Errorf("control: %v", r.Control)
	}
	if got := r.Figure("half", (*load.Result).Rate); got.Median != 5e6 {
		t.Errorf("half's median rate: %v", got)
	}
}

func TestVoidSittingsAreHeldAgain(t *testing.T) {
	hold := func(controls ...float64) func(context.Context) (*Result, error) {
		return func(context.Context) (*Result, error) {
			c := controls[0]
			controls = controls[1:]
			return &Result{Control: c}, nil
		}
	}
	cases := []struct {
		name     string
		controls []float64
		want     float64
		voids    int
	}{
		{"good at once", []float64{1.05}, 1.05, 0},
		{"the bounds are good", []float64{0.9}, 0.9, 0},
		{"good at last", []float64{0.7, 1.2, 0.95}, 0.95, 2},
		{"never good: the closest", []float64{0.5, 1.2, 0.8}, 1.2, 3},
		{"no control at all is the worst", []float64{0, 3, 0}, 3, 3},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			r, voids, err := Again(t.Context(), 3, hold(c.controls...))
			if err != nil || r.Control != c.want || len(voids) != c.voids {
				t.Errorf("control %v, %d void, %v; want %v, %d", r.Control, len(voids), err, c.want, c.voids)
			}
		})
	}
}

func TestAFailureEndsASitting(t *testing.T) {
	broken := errors.New("broken")
	p := Plan{Rounds: 3, Subjects: []Subject{{Name: "x", Slice: func(context.Context) (*load.Result, error) { return nil, broken }}}}
	if _, _, err := Again(t.Context(), 3, p.Hold); !errors.Is(err, broken) {
		t.Errorf("err = %v", err)
	}
}
