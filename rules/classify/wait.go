// SPDX-License-Identifier: Apache-2.0

package classify

import (
	"strconv"
	"strings"
	"time"
)

// The keys of Signal.Headers under which a client puts waits that came in the
// body or in details of google.rpc and not as headers.
const (
	// HeaderRetryInfo holds the delay of a google.rpc.RetryInfo, as "22s".
	HeaderRetryInfo = "retryinfo"
	// HeaderRetryDelay holds a delay that the error body names, as "22s" or
	// in seconds.
	HeaderRetryDelay = "retrydelay"
)

// SourceField is the source of a wait that came as Signal.RetryAfter. Other
// sources are named by their header.
const SourceField = "retry_after"

// advice is what x-should-retry and a pushback say about retrying.
type advice uint8

const (
	noAdvice advice = iota
	shouldRetry
	shouldNotRetry
)

// wait is what a signal says about when to come back.
type wait struct {
	d       time.Duration
	ok      bool
	clamped bool
	raw     string
	source  string
	errors  int
	should  advice
}

// readWait finds the wait of a signal, in the order of the package comment.
func readWait(s *Signal, c *Context, wire status) wait {
	var w wait
	if len(s.Headers) > 0 {
		w.readAdvice(s.Headers)
		w.read(s.Headers, "retry-after-ms", milliseconds)
		w.readRetryAfter(s, c)
	}
	if !w.ok && s.HasRetryAfter {
		w.take(SourceField, s.RetryAfter.String(), s.RetryAfter.Seconds(), s.RetryAfter >= 0)
	}
	if len(s.Headers) > 0 {
		w.read(s.Headers, HeaderRetryInfo, delay)
		w.readPushback(s.Headers)
		w.read(s.Headers, "x-amz-retry-after", milliseconds)
		if !w.ok && wire != good {
			w.readResets(s, c)
		}
		w.read(s.Headers, HeaderRetryDelay, delay)
	}
	return w
}

// take takes a wait that was read; one that was not counts as an error. The
// text of the first is kept if none can be read.
func (w *wait) take(source, raw string, seconds float64, ok bool) {
	if !ok {
		w.errors++
		if w.source == "" {
			w.source, w.raw = source, raw
		}
		return
	}
	w.ok, w.source, w.raw = true, source, raw
	w.d, w.clamped = toWait(seconds)
}

// read takes a header if no wait was found before it.
func (w *wait) read(headers map[string]string, name string, parse func(string) (float64, bool)) {
	raw := headers[name]
	if w.ok || raw == "" {
		return
	}
	seconds, ok := parse(raw)
	w.take(name, raw, seconds, ok)
}

// readRetryAfter takes the standard header, which is a number or a date.
func (w *wait) readRetryAfter(s *Signal, c *Context) {
	const name = "retry-after"
	raw := s.Headers[name]
	if w.ok || raw == "" {
		return
	}
	seconds, ok := number(raw)
	if !ok {
		var at time.Time
		if at, ok = httpDate(raw); ok {
			seconds, ok = until(at, s, c)
		}
	}
	w.take(name, raw, seconds, ok)
}

// readPushback takes gRPC's own header. What is negative or cannot be read is
// not a bad wait but a no, whichever source names the wait.
func (w *wait) readPushback(headers map[string]string) {
	const name = "grpc-retry-pushback-ms"
	raw := headers[name]
	if raw == "" {
		return
	}
	ms, err := strconv.ParseInt(strings.TrimSpace(raw), 10, 32)
	switch {
	case err != nil:
		w.should = shouldNotRetry
		w.errors++
	case ms < 0:
		w.should = shouldNotRetry
	case !w.ok:
		w.take(name, raw, float64(ms)/1000, true)
	}
}

// readAdvice takes x-should-retry, which is true or false and nothing else.
func (w *wait) readAdvice(headers map[string]string) {
	switch fold(headers["x-should-retry"]) {
	case "true":
		w.should = shouldRetry
	case "false":
		w.should = shouldNotRetry
	}
}

// readResets takes the latest reset of the limits that are used up.
func (w *wait) readResets(s *Signal, c *Context) {
	var best struct {
		name    string
		seconds float64
	}
	for name, raw := range s.Headers {
		left, isReset := remainingOf(name)
		if !isReset || raw == "" || !usedUp(s.Headers[left]) {
			continue
		}
		seconds, ok := reset(raw, s, c)
		if !ok {
			w.errors++
			continue
		}
		// By name among equals: the order of a map is not part of the input.
		if best.name == "" || seconds > best.seconds || seconds == best.seconds && name < best.name {
			best.name, best.seconds = name, seconds
		}
	}
	if best.name != "" {
		w.take(best.name, s.Headers[best.name], best.seconds, true)
	}
}

// remainingOf names the header that says how much is left of the limit whose
// reset this header is.
func remainingOf(name string) (string, bool) {
	if rest, ok := strings.CutPrefix(name, "x-ratelimit-reset"); ok {
		if rest == "" || rest[0] == '-' {
			return "x-ratelimit-remaining" + rest, true
		}
		return "", false
	}
	if strings.HasPrefix(name, "anthropic-ratelimit-") {
		if limit, ok := strings.CutSuffix(name, "-reset"); ok {
			return limit + "-remaining", true
		}
	}
	return "", false
}

// usedUp tells whether a limit has nothing left. What cannot be read is not.
func usedUp(remaining string) bool {
	left, err := strconv.ParseFloat(strings.TrimSpace(remaining), 64)
	return err == nil && left <= 0
}
