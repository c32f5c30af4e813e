// SPDX-License-Identifier: Apache-2.0

package classify

import (
	"reflect"
	"testing"
	"time"
)

func FuzzClassify(f *testing.F) {
	f.Add(uint8(2), 429, "", 0, "", uint8(0), "insufficient_quota", uint8(0), uint8(0), int64(0), "retry-after", "5")
	f.Add(uint8(1), 200, "OK", 0, "", uint8(0), "", uint8(3), uint8(8), int64(time.Hour), "", "")
	f.Add(uint8(2), 0, "ResourceExhausted", -32001, "httpx.ReadTimeout", uint8(2), "in_progress", uint8(99), uint8(99), int64(-1), HeaderRetryInfo, "22s")
	f.Fuzz(func(t *testing.T, outcome uint8, httpStatus int, grpc string, mcpCode int, exception string,
		phase uint8, bodyCode string, quality, hint uint8, duration int64, header, value string,
	) {
		s := Signal{
			Outcome: Outcome(outcome), HTTPStatus: httpStatus, GRPCCode: grpc, MCPCode: mcpCode,
			Exception: exception, Phase: Phase(phase), BodyCode: bodyCode, Quality: QualityVerdict(quality),
			ClassHint: Class(hint), Duration: time.Duration(duration), Headers: map[string]string{header: value},
		}
		rule := Rule{ID: "x", Class: Class(hint), Reason: Reason(value), Match: Match{
			Exceptions: []string{value}, GRPC: []string{header}, MessageContains: []string{value},
		}}
		for _, rules := range [][]Rule{nil, {rule}} {
			v := Classify(s, llm, rules)
			complete(t, s, v)
			if !reflect.DeepEqual(v, Classify(s, llm, rules)) {
				t.Fatalf("%+v: another verdict the second time", s)
			}
			proven := httpStatus >= 200 && httpStatus < 400 || grpcName(grpc) == "OK" || s.Outcome == OutcomeSuccess
			if rules == nil && v.Class == OK && !proven {
				t.Fatalf("%+v is OK", s)
			}
		}
		_ = rule.Validate()
	})
}

func FuzzRetryAfter(f *testing.F) {
	for _, value := range []string{
		"5", "1.5", "-1", "NaN", "0x1p9", "1e400", "22s", "6m0s", "12ms", "1784111790", "1994-11-06T08:49:47Z",
		"Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994",
	} {
		f.Add(value, "", int64(wall))
	}
	f.Fuzz(func(t *testing.T, value, date string, now int64) {
		for _, name := range []string{
			"retry-after", "retry-after-ms", HeaderRetryInfo, HeaderRetryDelay, "grpc-retry-pushback-ms",
			"x-amz-retry-after", "x-ratelimit-reset", "anthropic-ratelimit-tokens-reset",
		} {
			s := with(http(429), name, value, "date", date, "x-ratelimit-remaining", "0", "anthropic-ratelimit-tokens-remaining", "0")
			v := Classify(s, Context{Wall: now}, nil)
			if v.RetryAfter < 0 || v.RetryAfter > maxWait || v.Clamped && v.RetryAfter != maxWait {
				t.Fatalf("%s: %q: %+v", name, value, v)
			}
			if v.HasRetryAfter == (v.Reason == ReasonRateLimitedHard) || v.Cooldown < v.RetryAfter {
				t.Fatalf("%s: %q: %+v", name, value, v)
			}
			if v.HasRetryAfter && v.RawRetryAfter != value || v.ParseErrors > 1 {
				t.Fatalf("%s: %q: %+v", name, value, v)
			}
		}
	})
}

func BenchmarkClassify(b *testing.B) {
	ok := Signal{Outcome: OutcomeSuccess, HTTPStatus: 200}
	limited := with(http(429), "retry-after", "5", "date", "Sun, 06 Nov 1994 08:49:37 GMT", "x-ratelimit-remaining-tokens", "10", "x-ratelimit-reset-tokens", "6m0s")
	lost := Signal{Outcome: OutcomeFailure, Exception: "httpx.ReadTimeout"}
	for name, s := range map[string]Signal{"ok": ok, "429": limited, "exception": lost} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				Classify(s, llm, nil)
			}
		})
	}
}
