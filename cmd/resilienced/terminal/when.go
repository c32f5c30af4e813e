// SPDX-License-Identifier: Apache-2.0

package terminal

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

const day = 24 * time.Hour

// Duration writes a time span with its two largest units: 250ms, 1.7s, 4m10s,
// 3h5m, 12d4h. It rounds down.
func Duration(d time.Duration) string {
	switch {
	case d < 0:
		return "-" + Duration(-max(d, -math.MaxInt64))
	case d == 0:
		return "0s"
	case d < time.Millisecond:
		return d.Truncate(time.Microsecond).String()
	case d < time.Second:
		return d.Truncate(time.Millisecond).String()
	case d < 10*time.Second:
		return d.Truncate(100 * time.Millisecond).String()
	case d < time.Minute:
		return d.Truncate(time.Second).String()
	case d < time.Hour:
		return two(int64(d/time.Minute), "m", int64(d%time.Minute/time.Second), "s")
	case d < day:
		return two(int64(d/time.Hour), "h", int64(d%time.Hour/time.Minute), "m")
	default:
		return two(int64(d/day), "d", int64(d%day/time.Hour), "h")
	}
}

func two(large int64, unit string, small int64, smaller string) string {
	text := strconv.FormatInt(large, 10) + unit
	if small > 0 {
		text += strconv.FormatInt(small, 10) + smaller
	}
	return text
}

// Ago writes an instant as seen from now: "4m10s ago", "in 30s", "now". The
// zero time is empty.
func Ago(at, now time.Time) string {
	if at.IsZero() {
		return ""
	}
	switch d := now.Sub(at); {
	case d >= time.Second:
		return Duration(d) + " ago"
	case d <= -time.Second:
		return "in " + Duration(-d)
	default:
		return "now"
	}
}

// ParseDuration reads 250ms, 30s, 1h30m and, beyond what time.ParseDuration
// takes, days before the rest: 7d, 1d12h.
func ParseDuration(text string) (time.Duration, error) {
	wrong := fmt.Errorf("%q is not a time span such as 250ms, 30s, 1h30m or 7d", text)
	days, rest, found := strings.Cut(text, "d")
	if !found {
		d, err := time.ParseDuration(text)
		if err != nil {
			return 0, wrong
		}
		return d, nil
	}
	n, err := strconv.ParseUint(days, 10, 32)
	if err != nil || n > math.MaxInt64/uint64(day)-1 {
		return 0, wrong
	}
	var below time.Duration
	if rest != "" {
		if below, err = time.ParseDuration(rest); err != nil || below < 0 || below >= day {
			return 0, wrong
		}
	}
	return time.Duration(n)*day + below, nil
}
