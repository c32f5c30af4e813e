// SPDX-License-Identifier: Apache-2.0

package target

import "testing"

func TestHistogramSlots(t *testing.T) {
	last := -1
	for v := range uint64(1 << 20) {
		i := slot(v)
		if i < last || i > last+1 {
			t.Fatalf("slot(%d) = %d after %d: not contiguous", v, i, last)
		}
		last = i
		if up := upper(i); uint64(up) < v || float64(up) > float64(v)*1.25+1 {
			t.Fatalf("upper(slot(%d)) = %d", v, up)
		}
	}
}
