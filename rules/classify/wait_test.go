// SPDX-License-Identifier: Apache-2.0

package classify

import (
	"strings"
	"testing"
	"time"
)

// wall is Sun, 06 Nov 1994 08:49:37 GMT, the instant of RFC 9110's examples.
const wall = 784111777

func TestWaitForms(t *testing.T) {
	const ms, s, h = time.Millisecond, time.Second, time.Hour
	for _, tc := range []struct {
		name, value string
		d           time.Duration
		clamped     bool
	}{
		{"retry-after", "5", 5 * s, false},
		{"retry-after", " 5 ", 5 * s, false},
		{"retry-after", "1.5", 1500 * ms, false},
		{"retry-after", "9.999", 9999 * ms, false},
		{"retry-after", "0", 0, false},
		{"retry-after", "-0", 0, false},
		{"retry-after", "1e1", 10 * s, false},
		{"retry-after", "86400", 24 * h, false},
		{"retry-after", "86401", 24 * h, true},
		{"retry-after", "1e400", 24 * h, true},
		{"retry-after", strings.Repeat("9", 500), 24 * h, true},
		{"retry-after", "9223372036854775807", 24 * h, true},
		{"retry-after", "Sun, 06 Nov 1994 08:50:37 GMT", 60 * s, false},
		{"retry-after", "Sunday, 06-Nov-94 08:50:37 GMT", 60 * s, false},
		{"retry-after", "Sun Nov  6 08:50:37 1994", 60 * s, false},
		{"retry-after", "Sun, 06 Nov 1994 08:49:37 GMT", 0, false},
		{"retry-after", "Sat, 05 Nov 1994 08:49:37 GMT", 0, false},
		{"retry-after", "Fri, 31 Dec 9999 23:59:59 GMT", 24 * h, true},
		{"retry-after-ms", "1500", 1500 * ms, false},
		{"retry-after-ms", "0.5", 500 * time.Microsecond, false},
		{HeaderRetryInfo, "22s", 22 * s, false},
		{HeaderRetryInfo, "22.5s", 22500 * ms, false},
		{HeaderRetryInfo, "315576000000s", 24 * h, true},
		{"grpc-retry-pushback-ms", "250", 250 * ms, false},
		{"grpc-retry-pushback-ms", "0", 0, false},
		{"x-amz-retry-after", "500", 500 * ms, false},
		{HeaderRetryDelay, "34.074824224s", 34074824224, false},
		{HeaderRetryDelay, "7", 7 * s, false},
		{HeaderRetryDelay, "1h2m3s4ms", h + 2*time.Minute + 3*s + 4*ms, false},
	} {
		v := Classify(with(http(429), tc.name, tc.value), Context{Wall: wall}, nil)
		if !v.HasRetryAfter || v.RetryAfter != tc.d || v.Cooldown != tc.d || v.Clamped != tc.clamped {
			t.Errorf("%s: %q: %+v, want %v", tc.name, tc.value, v, tc.d)
		}
		if v.Reason != ReasonRateLimited || v.RetryAfterSource != tc.name || v.RawRetryAfter != tc.value || v.ParseErrors != 0 {
			t.Errorf("%s: %q: %+v", tc.name, tc.value, v)
		}
	}
}

func TestWaitThatCannotBeRead(t *testing.T) {
	for name, values := range map[string][]string{
		"retry-after": {
			"-1", "NaN", "Inf", "-Inf", "+Infinity", "0x10", "1_000", "soon", "5s", "5, 5", "1e", "e", "--1", ".", "1.2.3",
			"-1e400", "Sun, 06 Nov 1994", "Sun, 06 Nov 1994 08:49:37 +0000", "Mon, 99 Nov 1994 08:49:37 GMT",
		},
		"retry-after-ms":         {"-1", "NaN", "soon"},
		HeaderRetryInfo:          {"-1s", "s", "1x", "1s-", "NaNs"},
		"grpc-retry-pushback-ms": {"x", "1.5", "99999999999", "1,2"},
		"x-amz-retry-after":      {"-5", "later"},
		HeaderRetryDelay:         {"-2", "2 s", "h"},
	} {
		for _, value := range values {
			v := Classify(with(http(429), name, value), Context{Wall: wall}, nil)
			if v.HasRetryAfter || v.Reason != ReasonRateLimitedHard || v.Cooldown != DefaultHardWait || v.ParseErrors != 1 {
				t.Errorf("%s: %q: %+v", name, value, v)
			}
			if no := name == "grpc-retry-pushback-ms"; v.NoRetry != no {
				t.Errorf("%s: %q: no retry = %v", name, value, v.NoRetry)
			}
		}
	}
	if v := Classify(asked(http(429), -time.Second), llm, nil); v.HasRetryAfter || v.ParseErrors != 1 {
		t.Errorf("a negative field: %+v", v)
	}
	if v := Classify(with(http(429), "retry-after", ""), llm, nil); v.HasRetryAfter || v.ParseErrors != 0 {
		t.Errorf("an empty header is no header: %+v", v)
	}
}

func TestWaitDatesNeedAClock(t *testing.T) {
	const at = "Sun, 06 Nov 1994 08:50:37 GMT"
	s := with(http(429), "retry-after", at, "date", "Sun, 06 Nov 1994 08:50:27 GMT")
	if v := Classify(s, Context{Wall: wall}, nil); v.RetryAfter != 10*time.Second {
		t.Errorf("the answer's date comes first: %v", v.RetryAfter)
	}
	s = with(http(429), "retry-after", at, "date", "today")
	if v := Classify(s, Context{Wall: wall}, nil); v.RetryAfter != time.Minute {
		t.Errorf("else the server's clock: %v", v.RetryAfter)
	}
	if v := Classify(s, Context{}, nil); v.HasRetryAfter || v.ParseErrors != 1 {
		t.Errorf("without a clock a date cannot be read: %+v", v)
	}
}

func TestWaitSources(t *testing.T) {
	order := []string{
		"retry-after-ms", "9000", "retry-after", "8", "retryinfo", "7s", "grpc-retry-pushback-ms", "6000",
		"x-amz-retry-after", "5000", "x-ratelimit-reset-requests", "4s", "retrydelay", "3s",
	}
	limit := []string{"x-ratelimit-remaining-requests", "0"}
	for i := 0; i < len(order); i += 2 {
		s := with(http(429), append(limit, order[i:]...)...)
		v := Classify(s, llm, nil)
		if d := time.Duration(9-i/2) * time.Second; v.RetryAfter != d || v.RetryAfterSource != order[i] {
			t.Errorf("from %s on: %v of %s", order[i], v.RetryAfter, v.RetryAfterSource)
		}
	}
	s := asked(with(http(429), "retryinfo", "7s", "retry-after", "later"), 8*time.Second)
	if v := Classify(s, llm, nil); v.RetryAfterSource != SourceField || v.RetryAfter != 8*time.Second || v.ParseErrors != 1 {
		t.Errorf("the field stands for a header that cannot be read: %+v", v)
	}
	s = asked(with(http(429), "retry-after", "9"), 8*time.Second)
	if v := Classify(s, llm, nil); v.RetryAfter != 9*time.Second {
		t.Errorf("the header itself comes before the field: %+v", v)
	}
	s = asked(http(429), 48*time.Hour)
	if v := Classify(s, llm, nil); v.RetryAfter != 24*time.Hour || !v.Clamped {
		t.Errorf("a long field: %+v", v)
	}
}

func TestWaitOfUsedUpLimits(t *testing.T) {
	const s = time.Second
	for _, tc := range []struct {
		name    string
		headers []string
		d       time.Duration
		ok      bool
		errors  int
	}{
		{"Go duration", []string{"x-ratelimit-remaining-tokens", "0", "x-ratelimit-reset-tokens", "6m0s"}, 360 * s, true, 0},
		{"milliseconds", []string{"x-ratelimit-remaining-requests", "0", "x-ratelimit-reset-requests", "12ms"}, 12 * time.Millisecond, true, 0},
		{"seconds", []string{"x-ratelimit-remaining-requests", "0", "x-ratelimit-reset-requests", "7.66"}, 7660 * time.Millisecond, true, 0},
		{"Unix seconds", []string{"x-ratelimit-remaining", "0", "x-ratelimit-reset", "1784111790", "date", "Sun, 15 Jul 2026 10:36:20 GMT"}, 10 * s, true, 0},
		{"Unix milliseconds", []string{"x-ratelimit-remaining-requests", "0", "x-ratelimit-reset-requests", "1784111790500", "date", "Sun, 15 Jul 2026 10:36:20 GMT"}, 10500 * time.Millisecond, true, 0},
		{"RFC 3339", []string{"anthropic-ratelimit-tokens-remaining", "0", "anthropic-ratelimit-tokens-reset", "1994-11-06T08:49:47Z"}, 10 * s, true, 0},
		{"past", []string{"anthropic-ratelimit-tokens-remaining", "0", "anthropic-ratelimit-tokens-reset", "1994-11-06T08:49:07Z"}, 0, true, 0},
		{"the latest", []string{
			"anthropic-ratelimit-requests-remaining", "0", "anthropic-ratelimit-requests-reset", "1994-11-06T08:49:47Z",
			"anthropic-ratelimit-input-tokens-remaining", "0", "anthropic-ratelimit-input-tokens-reset", "1994-11-06T08:49:57Z",
			"anthropic-ratelimit-output-tokens-remaining", "5", "anthropic-ratelimit-output-tokens-reset", "1994-11-06T08:50:57Z",
		}, 20 * s, true, 0},
		{"something left", []string{"x-ratelimit-remaining-tokens", "1", "x-ratelimit-reset-tokens", "6m0s"}, 0, false, 0},
		{"not said what is left", []string{"x-ratelimit-reset-tokens", "6m0s"}, 0, false, 0},
		{"another header", []string{"x-ratelimit-resets", "6", "x-ratelimit-remainings", "0"}, 0, false, 0},
		{"not readable", []string{"x-ratelimit-remaining-tokens", "0", "x-ratelimit-reset-tokens", "tomorrow"}, 0, false, 1},
		{"one of two readable", []string{
			"x-ratelimit-remaining-tokens", "0", "x-ratelimit-reset-tokens", "?",
			"x-ratelimit-remaining-requests", "0", "x-ratelimit-reset-requests", "3s",
		}, 3 * s, true, 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			v := Classify(with(http(429), tc.headers...), Context{Wall: wall}, nil)
			if v.HasRetryAfter != tc.ok || v.RetryAfter != tc.d || v.ParseErrors != tc.errors {
				t.Errorf("%+v", v)
			}
			good := Classify(with(http(200), tc.headers...), Context{Wall: wall}, nil)
			if good.Rule != "R01" || good.HasRetryAfter || good.Cooldown != 0 {
				t.Errorf("beside a good status: %+v", good)
			}
		})
	}
}

func TestWaitByStatus(t *testing.T) {
	const d = 30 * time.Second
	for _, tc := range []struct {
		s        Signal
		has      bool
		cooldown time.Duration
	}{
		{http(503), true, d},
		{http(500), true, d},
		{http(529), true, d},
		{http(408), true, d},
		{http(425), true, d},
		{http(429), true, d},
		{http(402), true, d},
		{body(403, "insufficient_quota"), true, d},
		{body(400, "slow_down"), true, d},
		{http(400), false, 0},
		{http(401), false, 0},
		{http(403), false, 0},
		{http(404), false, 0},
		{http(413), false, 0},
		{http(418), false, 0},
		{code("UNAVAILABLE"), true, d},
		{code("RESOURCE_EXHAUSTED"), true, d},
		{code("INVALID_ARGUMENT"), false, 0},
		{code("PERMISSION_DENIED"), false, 0},
		{mcp(-32602), false, 0},
		{mcp(-32603), true, d},
		{http(200), true, d},
		{http(201), false, 0},
		{http(202), false, 0},
		{http(307), false, 0},
		{thrown("timeout"), true, d},
		{Signal{Outcome: OutcomeCancelled}, true, d},
	} {
		v := Classify(with(tc.s, "retry-after", "30"), llm, nil)
		if v.HasRetryAfter != tc.has || v.Cooldown != tc.cooldown {
			t.Errorf("%+v: %+v", tc.s, v)
		}
		if v.RawRetryAfter != "30" || v.RetryAfterSource != "retry-after" {
			t.Errorf("%+v: the raw value is lost: %+v", tc.s, v)
		}
	}
}
