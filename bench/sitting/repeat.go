// SPDX-License-Identifier: Apache-2.0

package sitting

import (
	"context"
	"math"
)

// Void is a sitting whose control was out of bounds.
type Void struct {
	Name    string
	Control float64
}

// Again holds a sitting until one is not void, at most attempts times. It
// returns the last one, or, if all were void, the one whose control was
// closest to 1; and the void ones.
func Again(ctx context.Context, attempts int, hold func(context.Context) (*Result, error)) (*Result, []Void, error) {
	var best *Result
	var voids []Void
	for range attempts {
		r, err := hold(ctx)
		if err != nil {
			return nil, voids, err
		}
		if !r.Void() {
			return r, voids, nil
		}
		voids = append(voids, Void{r.Name, r.Control})
		if best == nil || distance(r.Control) < distance(best.Control) {
			best = r
		}
	}
	return best, voids, nil
}

// distance is how far a ratio is from 1, the same for a half and for two.
func distance(ratio float64) float64 {
	if ratio <= 0 {
		return math.Inf(1)
	}
	return math.Abs(math.Log(ratio))
}
