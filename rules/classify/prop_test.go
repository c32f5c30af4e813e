// SPDX-License-Identifier: Apache-2.0

package classify

import (
	"maps"
	"reflect"
	"strconv"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// oneOf draws one of the words, or any text at all.
func oneOf(words ...string) *rapid.Generator[string] {
	return rapid.OneOf(rapid.Just(""), rapid.SampledFrom(words), rapid.String())
}

func drawHeaders() *rapid.Generator[map[string]string] {
	names := rapid.SampledFrom([]string{
		"retry-after", "retry-after-ms", "date", "x-should-retry", HeaderRetryInfo, HeaderRetryDelay, HeaderQuotaID,
		"grpc-retry-pushback-ms", "x-amz-retry-after", "x-ratelimit-remaining-requests", "x-ratelimit-reset-requests",
		"x-ratelimit-remaining", "x-ratelimit-reset", "anthropic-ratelimit-tokens-remaining", "anthropic-ratelimit-tokens-reset",
	})
	values := rapid.OneOf(
		oneOf(
			"0", "5", "1.5", "-1", "NaN", "1e400", "9223372036854775808", "22s", "6m0s", "true", "false",
			"Sun, 06 Nov 1994 08:49:37 GMT", "1994-11-06T08:49:47Z", "1784111790", "GenerateRequestsPerDay",
		),
		rapid.Map(rapid.Float64(), func(f float64) string { return strconv.FormatFloat(f, 'g', -1, 64) }),
	)
	return rapid.MapOfN(names, values, -1, 8)
}

func drawSignal() *rapid.Generator[Signal] {
	return rapid.Custom(func(t *rapid.T) Signal {
		return Signal{
			Outcome:    Outcome(rapid.IntRange(0, 5).Draw(t, "outcome")),
			HTTPStatus: rapid.OneOf(rapid.Just(0), rapid.SampledFrom([]int{200, 202, 304, 429, 503}), rapid.IntRange(100, 599), rapid.Int()).Draw(t, "http"),
			GRPCCode:   oneOf("OK", "UNAVAILABLE", "RESOURCE_EXHAUSTED", "UNKNOWN", "DATA_LOSS", "ABORTED", "Canceled").Draw(t, "grpc"),
			MCPCode:    rapid.OneOf(rapid.Just(0), rapid.IntRange(-32768, -32000)).Draw(t, "mcp"),
			Exception:  oneOf("timeout", "connect", "reset", "goaway", "certificate", "local", "JSONDecodeError", "weird").Draw(t, "exception"),
			Phase:      Phase(rapid.IntRange(0, 5).Draw(t, "phase")),
			Headers:    drawHeaders().Draw(t, "headers"),
			RetryAfter: time.Duration(rapid.Int64().Draw(t, "retry after")), HasRetryAfter: rapid.Bool().Draw(t, "has retry after"),
			BodyCode:  oneOf("insufficient_quota", "overloaded_error", "rate_limit_error", "in_progress", "content_filter", "tokens_per_day").Draw(t, "code"),
			Message:   rapid.String().Draw(t, "message"),
			Quality:   QualityVerdict(rapid.IntRange(0, 14).Draw(t, "quality")),
			ClassHint: Class(rapid.IntRange(0, 12).Draw(t, "hint")),
			Duration:  time.Duration(rapid.Int64().Draw(t, "duration")),
		}
	})
}

func drawContext() *rapid.Generator[Context] {
	return rapid.Custom(func(t *rapid.T) Context {
		return Context{
			Kind:            rapid.SampledFrom([]string{"", "llm", "tool", "action"}).Draw(t, "kind"),
			SlowFailsAfter:  time.Duration(rapid.Int64().Draw(t, "slow")),
			Rejected503:     rapid.Bool().Draw(t, "rejected 503"),
			RefusalIsPolicy: rapid.Bool().Draw(t, "refusal is policy"),
			TrustHints:      rapid.Bool().Draw(t, "trust"),
			Wall:            rapid.Int64().Draw(t, "wall"),
			HardWait:        time.Duration(rapid.Int64().Draw(t, "hard wait")),
		}
	})
}

func drawRules() *rapid.Generator[[]Rule] {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) Rule {
		return Rule{
			ID:       rapid.SampledFrom([]string{"", "custom"}).Draw(t, "id"),
			Class:    Class(rapid.IntRange(0, 12).Draw(t, "class")),
			Reason:   Reason(oneOf("BUSY", "RATE_LIMITED", "AUTH").Draw(t, "reason")),
			Cooldown: time.Duration(rapid.Int64().Draw(t, "cooldown")),
			Match: Match{
				HTTP:       []StatusRange{{rapid.IntRange(-1, 600).Draw(t, "from"), rapid.IntRange(-1, 600).Draw(t, "to")}},
				Exceptions: rapid.SliceOfN(oneOf("timeout", "weird"), 0, 2).Draw(t, "exceptions"),
			},
		}
	}), 0, 3)
}

func TestPropVerdictIsComplete(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, c, rules := drawSignal().Draw(t, "signal"), drawContext().Draw(t, "context"), drawRules().Draw(t, "rules")
		v := Classify(s, c, rules)
		complete(t, s, v)
		if v.RetryAfter > maxWait || v.Cooldown < v.RetryAfter || !v.HasRetryAfter && v.RetryAfter != 0 {
			t.Fatalf("wait: %+v", v)
		}
		if v.NoRetry && v.MayRetry {
			t.Fatalf("no and yes: %+v", v)
		}
	})
}

func TestPropDeterministic(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, c, rules := drawSignal().Draw(t, "signal"), drawContext().Draw(t, "context"), drawRules().Draw(t, "rules")
		again := s
		again.Headers = maps.Clone(s.Headers)
		if a, b := Classify(s, c, rules), Classify(again, c, rules); !reflect.DeepEqual(a, b) {
			t.Fatalf("%+v\n%+v", a, b)
		}
		if !reflect.DeepEqual(s, again) {
			t.Fatalf("the signal was changed: %+v, was %+v", s, again)
		}
	})
}

func TestPropUnknownIsNeverOK(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, c := drawSignal().Draw(t, "signal"), drawContext().Draw(t, "context")
		good := s.HTTPStatus >= 200 && s.HTTPStatus < 400 || s.GRPCCode != "" && grpcName(s.GRPCCode) == "OK"
		said := s.Outcome == OutcomeSuccess
		if v := Classify(s, c, nil); v.Class == OK && (!good && !said || s.Outcome == OutcomeFailure) {
			t.Fatalf("%+v is OK", s)
		}
	})
}

func TestPropHintIsNeverMoreRetryable(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, c := drawSignal().Draw(t, "signal"), drawContext().Draw(t, "context")
		c.TrustHints = false
		v := Classify(s, c, nil)
		s.ClassHint = ClassUnspecified
		plain := Classify(s, c, nil)
		if v.Retryability() > plain.Retryability() || v.MayRetry && !plain.MayRetry || v.InProgress && !plain.InProgress {
			t.Fatalf("with the hint %+v\nwithout %+v", v, plain)
		}
		if strictness(v.Unprocessed) < strictness(plain.Unprocessed) {
			t.Fatalf("disposition %s, without the hint %s", v.Unprocessed, plain.Unprocessed)
		}
		if (v.Class == OK) != (plain.Class == OK) {
			t.Fatalf("class %s, without the hint %s", v.Class, plain.Class)
		}
	})
}

func TestPropCooldownIsNeverShorterThanAsked(t *testing.T) {
	statuses := []int{408, 425, 429, 500, 502, 503, 529}
	rapid.Check(t, func(t *rapid.T) {
		ms := rapid.Int64Range(0, 48*3600*1000).Draw(t, "ms")
		asked := min(time.Duration(ms)*time.Millisecond, 24*time.Hour)
		seconds := strconv.FormatFloat(float64(ms)/1000, 'f', -1, 64)
		header := rapid.SampledFrom([][2]string{
			{"retry-after", seconds},
			{"retry-after-ms", strconv.FormatInt(ms, 10)},
			{HeaderRetryInfo, seconds + "s"},
			{HeaderRetryDelay, seconds + "s"},
			{"grpc-retry-pushback-ms", strconv.FormatInt(ms, 10)},
			{"x-amz-retry-after", strconv.FormatInt(ms, 10)},
			{"retry-after", time.Unix(wall, 0).Add(time.Duration(ms+999) * time.Millisecond).UTC().Format("Mon, 02 Jan 2006 15:04:05 GMT")},
		}).Draw(t, "header")
		s := with(http(rapid.SampledFrom(statuses).Draw(t, "status")), header[0], header[1])
		v := Classify(s, Context{Wall: wall}, nil)
		if v.Cooldown < asked || v.RetryAfter < asked || !v.HasRetryAfter {
			t.Fatalf("%v was asked by %v: %+v", asked, header, v)
		}
		if late := v.Cooldown - asked; late > time.Second {
			t.Fatalf("%v was asked by %v: %v is late", asked, header, v.Cooldown)
		}
	})
}

func TestPropRetryAfterField(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := time.Duration(rapid.Int64().Draw(t, "d"))
		v := Classify(asked(http(429), d), Context{}, nil)
		switch {
		case d < 0 && (v.HasRetryAfter || v.ParseErrors != 1):
			t.Fatalf("%v: %+v", d, v)
		case d >= 0 && (v.RetryAfter < min(d, maxWait) || v.Clamped != (d > maxWait)):
			t.Fatalf("%v: %+v", d, v)
		}
	})
}
