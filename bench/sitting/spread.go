// SPDX-License-Identifier: Apache-2.0

package sitting

import (
	"math"
	"slices"
)

// Spread is where the middle of some values is, and the middle half of them.
type Spread struct{ Low, Median, High float64 }

// SpreadOf returns the quartiles of values, or zeros if there are none.
func SpreadOf(values []float64) Spread {
	sorted := slices.Sorted(slices.Values(values))
	return Spread{at(sorted, 0.25), at(sorted, 0.5), at(sorted, 0.75)}
}

// at is the value at a part of the way through, between its neighbours.
func at(sorted []float64, part float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	place := part * float64(len(sorted)-1)
	below := int(math.Floor(place))
	above := min(below+1, len(sorted)-1)
	return sorted[below] + (place-float64(below))*(sorted[above]-sorted[below])
}
