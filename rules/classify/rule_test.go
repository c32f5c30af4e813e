// SPDX-License-Identifier: Apache-2.0

package classify

import (
	"testing"
	"time"
)

func TestRuleMatches(t *testing.T) {
	full := Signal{
		HTTPStatus: 418, GRPCCode: "UNAVAILABLE", MCPCode: -5, Exception: "my.TeapotError", BodyCode: "Teapot",
		Headers: map[string]string{"x-pot": "tea"}, Quality: Empty, Message: "I am a Teapot",
	}
	for _, tc := range []struct {
		name string
		m    Match
		want bool
	}{
		{"no condition", Match{}, false},
		{"kind alone", Match{Kinds: []string{"llm"}}, false},
		{"status in range", Match{HTTP: []StatusRange{{400, 410}, {418, 418}}}, true},
		{"status out of range", Match{HTTP: []StatusRange{{400, 417}}}, false},
		{"gRPC", Match{GRPC: []string{"ABORTED", "Unavailable"}}, true},
		{"other gRPC", Match{GRPC: []string{"ABORTED"}}, false},
		{"MCP", Match{MCP: []int{-5}}, true},
		{"other MCP", Match{MCP: []int{-6}}, false},
		{"exception", Match{Exceptions: []string{"TeapotError"}}, true},
		{"exception with package", Match{Exceptions: []string{"my.TeapotError"}}, true},
		{"other exception", Match{Exceptions: []string{"Teapot"}}, false},
		{"body code", Match{BodyCodes: []string{"Teapot"}}, true},
		{"body code is exact", Match{BodyCodes: []string{"teapot"}}, false},
		{"header", Match{Headers: map[string]string{"x-pot": "tea"}}, true},
		{"header with other value", Match{Headers: map[string]string{"x-pot": "te"}}, false},
		{"header that is not there", Match{Headers: map[string]string{"x-cup": ""}}, false},
		{"quality", Match{Quality: []QualityVerdict{Refusal, Empty}}, true},
		{"other quality", Match{Quality: []QualityVerdict{Refusal}}, false},
		{"message", Match{MessageContains: []string{"teapot"}}, true},
		{"other message", Match{MessageContains: []string{"coffee"}}, false},
		{"empty message", Match{MessageContains: []string{""}}, false},
		{"all of it", Match{HTTP: []StatusRange{{418, 418}}, BodyCodes: []string{"Teapot"}, Kinds: []string{"llm"}}, true},
		{"one of two fails", Match{HTTP: []StatusRange{{418, 418}}, BodyCodes: []string{"Cup"}}, false},
		{"other kind", Match{HTTP: []StatusRange{{418, 418}}, Kinds: []string{"tool"}}, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			rule := Rule{ID: "teapot", Match: tc.m, Class: Deterministic, Reason: "TEAPOT"}
			if v := Classify(full, llm, []Rule{rule}); (v.Rule == "teapot") != tc.want {
				t.Errorf("rule %s", v.Rule)
			}
		})
	}
	zero := Match{HTTP: []StatusRange{{0, 599}}, GRPC: []string{""}, MCP: []int{0}}
	if zero.matches(&Signal{}, &llm) {
		t.Error("a signal without a status matches one")
	}
}

func TestRuleVerdicts(t *testing.T) {
	failure, manual := Failure, DispositionManual
	match := Match{HTTP: []StatusRange{{418, 418}}}
	for _, tc := range []struct {
		rule Rule
		want want
	}{
		{Rule{Class: Transient}, want{"x", Transient, ReasonServerError, Ambiguous, Failure, DispositionDeadLetter, 0, false, false}},
		{Rule{Class: Transient, Reason: ReasonServerError}, want{"x", Transient, ReasonServerError, Ambiguous, Failure, DispositionManual, 0, false, false}},
		{Rule{Class: Transient, Reason: ReasonServerError, Certainty: Rejected}, want{"x", Transient, ReasonServerError, Rejected, Failure, DispositionDeadLetter, 0, false, false}},
		{Rule{Class: Transient, Reason: "BUSY"}, want{"x", Transient, "BUSY", Ambiguous, Failure, DispositionDeadLetter, 0, false, false}},
		{Rule{Class: Transient, Reason: ReasonConnect}, want{"x", Transient, ReasonConnect, NotSent, Failure, DispositionDeadLetter, 0, false, false}},
		{Rule{Class: Persistent}, want{"x", Persistent, ReasonUnavailable, Rejected, Neutral, DispositionManual, 0, false, false}},
		{Rule{Class: Persistent, Reason: ReasonAuth}, want{"x", Persistent, ReasonAuth, Rejected, Neutral, DispositionManual, 0, false, true}},
		{Rule{Class: Quality}, want{"x", Quality, ReasonSemantic, Processed, Failure, DispositionStop, 0, true, false}},
		{Rule{Class: Quality, Reason: ReasonTruncated}, want{"x", Quality, ReasonTruncated, Processed, Neutral, DispositionStop, 0, false, false}},
		{Rule{Class: Unrecoverable}, want{"x", Unrecoverable, ReasonNeedsInfo, Processed, Success, DispositionStop, 0, false, false}},
		{Rule{Class: Pressure}, want{"x", Pressure, ReasonOverloaded, Rejected, Failure, DispositionDeadLetter, 0, false, false}},
		{Rule{Class: Pressure, Reason: ReasonRateLimitedHard}, want{"x", Pressure, ReasonRateLimitedHard, Rejected, Neutral, DispositionDeadLetter, time.Minute, false, false}},
		{Rule{Class: Pressure, Reason: ReasonQuotaExhausted}, want{"x", Pressure, ReasonQuotaExhausted, Rejected, Neutral, DispositionManual, QuotaWait, false, false}},
		{Rule{Class: Pressure, Reason: ReasonRateLimited, Cooldown: time.Hour}, want{"x", Pressure, ReasonRateLimited, Rejected, Neutral, DispositionDeadLetter, time.Hour, false, false}},
		{Rule{Class: Deterministic}, want{"x", Deterministic, ReasonBadRequest, Rejected, Neutral, DispositionStop, 0, false, false}},
		{Rule{Class: Aborted}, want{"x", Aborted, ReasonCancelled, Ambiguous, Neutral, DispositionStop, 0, false, false}},
		{Rule{Class: Unknown}, want{"x", Unknown, ReasonUnknown, Ambiguous, Failure, DispositionManual, 0, false, false}},
		{Rule{Class: OK}, want{"x", OK, ReasonOK, Processed, Success, DispositionDeadLetter, 0, false, false}},
		{Rule{Class: Deterministic, Certainty: NotSent, Effect: &failure, Unprocessed: &manual}, want{"x", Deterministic, ReasonBadRequest, NotSent, Failure, DispositionManual, 0, false, false}},
	} {
		tc.rule.ID, tc.rule.Match = "x", match
		if err := tc.rule.Validate(); err != nil {
			t.Errorf("%+v: %v", tc.rule, err)
		}
		v := Classify(http(418), llm, []Rule{tc.rule})
		if got := wantOf(v); got != tc.want {
			t.Errorf("%s %s\n got %v\nwant %v", tc.rule.Class, tc.rule.Reason, got, tc.want)
		}
	}
}

func TestRuleOrder(t *testing.T) {
	busy := Rule{ID: "busy", Match: Match{HTTP: []StatusRange{{400, 499}}}, Class: Pressure, Reason: ReasonRateLimited, Cooldown: time.Minute}
	late := Rule{ID: "late", Match: Match{HTTP: []StatusRange{{400, 400}}}, Class: Unknown}
	s := asked(http(400), 5*time.Second)
	s.ClassHint = Aborted
	v := Classify(s, llm, []Rule{busy, late})
	if v.Rule != "busy" || v.Class != Pressure || v.Hinted {
		t.Errorf("the first rule decides, a hint does not touch it: %+v", v)
	}
	if v.RetryAfter != 5*time.Second || v.Cooldown != 5*time.Second {
		t.Errorf("the target's own wait comes before the rule's: %+v", v)
	}
	if v := Classify(Signal{Outcome: OutcomeReleased, HTTPStatus: 400}, llm, []Rule{busy}); v.Rule != RuleReleased {
		t.Errorf("a permit that was given back: %s", v.Rule)
	}
	if v := Classify(Signal{Outcome: OutcomeCancelled, HTTPStatus: 400}, llm, []Rule{busy}); v.Rule != "busy" {
		t.Errorf("a cancelled call: %s", v.Rule)
	}
	for _, broken := range []Rule{
		{Match: busy.Match, Class: Pressure},
		{ID: "x", Match: busy.Match},
		{ID: "x", Match: busy.Match, Class: Partial},
		{ID: "x", Match: busy.Match, Class: Pressure, Reason: "too busy"},
	} {
		if v := Classify(http(400), llm, []Rule{broken}); v.Rule != "R17" {
			t.Errorf("%+v decided: %+v", broken, v)
		}
	}
}

func TestRuleValidate(t *testing.T) {
	bad, worse := Effect(9), Disposition(9)
	good := Rule{ID: "x", Match: Match{BodyCodes: []string{"busy"}}, Class: Transient, Reason: "BUSY_2"}
	if err := good.Validate(); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*Rule){
		"no id":             func(r *Rule) { r.ID = "" },
		"an id of ours":     func(r *Rule) { r.ID = "R07" },
		"released":          func(r *Rule) { r.ID = RuleReleased },
		"no class":          func(r *Rule) { r.Class = ClassUnspecified },
		"partial":           func(r *Rule) { r.Class = Partial },
		"lower reason":      func(r *Rule) { r.Reason = "busy" },
		"reason, two _":     func(r *Rule) { r.Reason = "A__B" },
		"reason, last _":    func(r *Rule) { r.Reason = "A_" },
		"reason, digit":     func(r *Rule) { r.Reason = "2A" },
		"certainty":         func(r *Rule) { r.Certainty = 9 },
		"effect":            func(r *Rule) { r.Effect = &bad },
		"disposition":       func(r *Rule) { r.Unprocessed = &worse },
		"cooldown":          func(r *Rule) { r.Cooldown = -1 },
		"no condition":      func(r *Rule) { r.Match = Match{Kinds: []string{"llm"}} },
		"range":             func(r *Rule) { r.Match.HTTP = []StatusRange{{500, 499}} },
		"range too low":     func(r *Rule) { r.Match.HTTP = []StatusRange{{5, 499}} },
		"gRPC code":         func(r *Rule) { r.Match.GRPC = []string{"GONE"} },
		"header":            func(r *Rule) { r.Match.Headers = map[string]string{"Retry-After": "1"} },
		"empty text":        func(r *Rule) { r.Match.BodyCodes = []string{""} },
		"exception of dots": func(r *Rule) { r.Match.Exceptions = []string{"..."} },
		"quality":           func(r *Rule) { r.Match.Quality = []QualityVerdict{QualityNone} },
	} {
		r := good
		change(&r)
		if r.Validate() == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestNames(t *testing.T) {
	names(t, Unknown, ParseClass)
	names(t, Processed, ParseCertainty)
	names(t, Failure, ParseEffect)
	names(t, DispositionRetryOnce, ParseDisposition)
	names(t, CostCommitment, ParseQualityVerdict)
	names(t, OutcomeReleased, ParseOutcome)
	names(t, FirstByte, ParsePhase)
	if Transient.String() != "TRANSIENT" || Class(77).String() != "77" {
		t.Errorf("%s, %s", Transient, Class(77))
	}
}

// names checks that every value up to the last has a name of its own.
func names[T interface {
	~uint8
	String() string
}](t *testing.T, last T, parse func(string) (T, bool),
) {
	t.Helper()
	for v := T(0); v <= last; v++ {
		if got, ok := parse(v.String()); !ok || got != v || !upperSnake(v.String()) {
			t.Errorf("%T %d prints as %q and parses as %d, %v", v, v, v.String(), got, ok)
		}
	}
	if _, ok := parse((last + 1).String()); ok {
		t.Errorf("%T %d parses", last, last+1)
	}
	if _, ok := parse(""); ok {
		t.Errorf("%T parses from nothing", last)
	}
}
