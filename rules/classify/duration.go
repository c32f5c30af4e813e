// SPDX-License-Identifier: Apache-2.0

package classify

import (
	"errors"
	"math"
	"strconv"
	"strings"
	"time"
)

// maxWait is the longest wait that is believed.
const maxWait = 24 * time.Hour

// The parsers give seconds as a float so that a wait beyond what a Duration
// holds is still a long wait and not an unreadable one. A float64 holds 24 h
// to the nanosecond.

// toWait makes a wait of seconds that are not negative; beyond maxWait it is
// maxWait and flagged.
func toWait(seconds float64) (time.Duration, bool) {
	if seconds > maxWait.Seconds() {
		return maxWait, true
	}
	return time.Duration(math.Round(seconds * float64(time.Second))), false
}

// number reads a decimal number that is not negative.
func number(text string) (float64, bool) {
	text = strings.TrimSpace(text)
	if text == "" || strings.Trim(text, "0123456789.+-eE") != "" {
		return 0, false // ParseFloat also reads NaN, Inf and hexadecimal
	}
	n, err := strconv.ParseFloat(text, 64)
	if err != nil && !errors.Is(err, strconv.ErrRange) {
		return 0, false
	}
	return n, n >= 0
}

// milliseconds reads milliseconds.
func milliseconds(text string) (float64, bool) {
	ms, ok := number(text)
	return ms / 1000, ok
}

// delay reads seconds, or a duration as Go and protobuf's JSON write it: "22s",
// "1.5s", "6m0s", "12ms".
func delay(text string) (float64, bool) {
	if seconds, ok := number(text); ok {
		return seconds, true
	}
	text = strings.TrimPrefix(strings.TrimSpace(text), "+")
	sum, parts := 0.0, 0
	for text != "" {
		n, unit, rest, ok := part(text)
		if !ok {
			return 0, false
		}
		sum += n * unit
		text = rest
		parts++
	}
	return sum, parts > 0
}

// part reads the first number and unit of a duration.
func part(text string) (n, unit float64, rest string, ok bool) {
	digits := len(text) - len(strings.TrimLeft(text, "0123456789."))
	n, ok = number(text[:digits])
	if !ok {
		return 0, 0, "", false
	}
	rest = strings.TrimLeft(text[digits:], "abcdefghijklmnopqrstuvwxyzµμ")
	unit, ok = unitOf(text[digits : len(text)-len(rest)])
	return n, unit, rest, ok
}

// unitOf is a unit in seconds.
func unitOf(name string) (float64, bool) {
	switch name {
	case "ns":
		return 1e-9, true
	case "us", "µs", "μs":
		return 1e-6, true
	case "ms":
		return 1e-3, true
	case "s":
		return 1, true
	case "m":
		return 60, true
	case "h":
		return 3600, true
	case "d":
		return 86400, true
	}
	return 0, false
}

// From these numbers on, a reset is a Unix time in seconds or in milliseconds
// and not a number of seconds: 30 years would be no rate limit.
const (
	unixSeconds = 1e9
	unixMillis  = 1e12
)

// reset reads when a limit comes back. Providers write a duration, seconds, a
// Unix time or RFC 3339 under the same names.
func reset(text string, s *Signal, c *Context) (float64, bool) {
	if n, ok := number(text); ok {
		switch {
		case n >= unixMillis:
			return untilUnix(n/1000, s, c)
		case n >= unixSeconds:
			return untilUnix(n, s, c)
		}
		return n, true
	}
	if seconds, ok := delay(text); ok {
		return seconds, true
	}
	at, err := time.Parse(time.RFC3339, strings.TrimSpace(text))
	if err != nil {
		return 0, false
	}
	return until(at, s, c)
}

// httpDate reads the three forms that an HTTP date has.
func httpDate(text string) (time.Time, bool) {
	const imf = "Mon, 02 Jan 2006 15:04:05 GMT"
	text = strings.TrimSpace(text)
	for _, form := range [...]string{imf, time.RFC850, time.ANSIC} {
		if at, err := time.Parse(form, text); err == nil {
			return at, true
		}
	}
	return time.Time{}, false
}

// clock is the instant from which dates in the answer count, in Unix seconds:
// the answer's own date, else the server's.
func clock(s *Signal, c *Context) (float64, bool) {
	if date := s.Headers["date"]; date != "" {
		if at, ok := httpDate(date); ok {
			return float64(at.Unix()), true
		}
	}
	return float64(c.Wall), c.Wall != 0
}

// until is how long it is to a date; a past one is now.
func until(at time.Time, s *Signal, c *Context) (float64, bool) {
	return untilUnix(float64(at.Unix())+float64(at.Nanosecond())/float64(time.Second), s, c)
}

// untilUnix is how long it is to a Unix time; a past one is now.
func untilUnix(at float64, s *Signal, c *Context) (float64, bool) {
	now, ok := clock(s, c)
	return max(0, at-now), ok
}
