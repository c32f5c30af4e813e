// SPDX-License-Identifier: Apache-2.0

package page

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Ratio writes a ratio.
func Ratio(r float64) string { return strconv.FormatFloat(r, 'f', 2, 64) }

// Range writes a median with its quartiles.
func Range(low, median, high float64) string {
	return fmt.Sprintf("%s (%s–%s)", Ratio(median), Ratio(low), Ratio(high))
}

// Count writes a whole number with thousands set apart.
func Count(n float64) string {
	digits := strconv.FormatInt(int64(n+0.5), 10)
	var b strings.Builder
	for i, d := range digits {
		if i > 0 && (len(digits)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteRune(d)
	}
	return b.String()
}

// Time writes nanoseconds in a unit that suits them.
func Time(ns float64) string {
	switch {
	case ns >= float64(time.Second):
		return fmt.Sprintf("%.2f s", ns/float64(time.Second))
	case ns >= float64(100*time.Millisecond):
		return fmt.Sprintf("%.0f ms", ns/float64(time.Millisecond))
	case ns >= float64(10*time.Millisecond):
		return fmt.Sprintf("%.1f ms", ns/float64(time.Millisecond))
	case ns >= float64(time.Millisecond):
		return fmt.Sprintf("%.2f ms", ns/float64(time.Millisecond))
	default:
		return fmt.Sprintf("%.0f µs", ns/float64(time.Microsecond))
	}
}

// Plain writes a number with few digits.
func Plain(n float64) string {
	switch {
	case n >= 100:
		return Count(n)
	case n >= 10:
		return strconv.FormatFloat(n, 'f', 1, 64)
	default:
		return strconv.FormatFloat(n, 'f', 2, 64)
	}
}
