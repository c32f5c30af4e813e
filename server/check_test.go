// SPDX-License-Identifier: Apache-2.0

package server

import (
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "github.com/resilienced/resilienced/gen/resilience/v1"
	"github.com/resilienced/resilienced/rules/budget"
)

// faults are the fields that a check found wrong, sorted.
func faults(check func(*checker)) []string {
	var c checker
	check(&c)
	var fields []string
	for _, v := range c.bad {
		fields = append(fields, v.field)
	}
	slices.Sort(fields)
	return fields
}

func long(n int) string { return strings.Repeat("x", n) }

func many(n int) map[string]string {
	m := make(map[string]string, n)
	for i := range n {
		m[long(i+1)] = "v"
	}
	return m
}

func TestCheckAcquire(t *testing.T) {
	cases := []struct {
		name string
		r    *pb.AcquireRequest
		want []string
	}{
		{"a target is enough", &pb.AcquireRequest{Target: "openai/gpt-x"}, nil},
		{"a chain is enough", &pb.AcquireRequest{Chain: "chat"}, nil},
		{"nothing", &pb.AcquireRequest{}, []string{"target"}},
		{"target and chain", &pb.AcquireRequest{Target: "t", Chain: "c"}, []string{"target"}},
		{"longest name", &pb.AcquireRequest{Target: long(256)}, nil},
		{"name too long", &pb.AcquireRequest{Target: long(257)}, []string{"target"}},
		{"longest ids", &pb.AcquireRequest{Target: "t", RequestId: long(128), RunId: long(128), TaskId: long(128), OperationId: long(128)}, nil},
		{
			"ids too long",
			&pb.AcquireRequest{Target: "t", RequestId: long(129), RunId: long(129), TaskId: long(129), OperationId: long(129)},
			[]string{"operation_id", "request_id", "run_id", "task_id"},
		},
		{"name of blanks", &pb.AcquireRequest{Target: " t"}, []string{"target"}},
		{"blank inside", &pb.AcquireRequest{Target: "my tool"}, nil},
		{"other scripts", &pb.AcquireRequest{Target: "工具/søk", RunId: "Lauf-ä"}, nil},
		{"control character", &pb.AcquireRequest{Target: "a\x00b", RunId: "r\n"}, []string{"run_id", "target"}},
		{"unprintable character", &pb.AcquireRequest{Target: "a\u202eb"}, []string{"target"}},
		{"not UTF-8", &pb.AcquireRequest{Target: "a\xff", Fingerprint: "\xc3"}, []string{"fingerprint", "target"}},
		{"all at once", &pb.AcquireRequest{
			RequestId: long(129), Target: "a\x00", Idempotency: 9, Deadline: durationpb.New(-1), MaxWait: durationpb.New(-1),
			Lease: durationpb.New(0), PinLevel: proto.Int32(-1), MaxAttempts: proto.Int32(0), ReporterId: "r ", Fingerprint: "\x7f",
		}, []string{
			"deadline", "fingerprint", "idempotency", "lease", "max_attempts", "max_wait", "pin_level", "reporter_id", "request_id", "target",
		}},
		{"zero is an amount", &pb.AcquireRequest{Target: "t", Estimate: &pb.Estimate{CostMicros: proto.Int64(0)}}, nil},
		{"largest amount", &pb.AcquireRequest{Target: "t", Estimate: &pb.Estimate{CostMicros: proto.Int64(budget.MaxAmount)}}, nil},
		{"bad amounts", &pb.AcquireRequest{Target: "t", Estimate: &pb.Estimate{
			CostMicros: proto.Int64(-1), InputTokens: proto.Int64(budget.MaxAmount + 1), MaxOutputTokens: proto.Int64(math.MinInt64),
		}}, []string{"estimate.cost_micros", "estimate.input_tokens", "estimate.max_output_tokens"}},
		{"longest durations", &pb.AcquireRequest{
			Target: "t", Deadline: durationpb.New(24 * time.Hour), MaxWait: durationpb.New(24 * time.Hour), Lease: durationpb.New(time.Hour),
		}, nil},
		{"durations too long", &pb.AcquireRequest{
			Target: "t", Deadline: durationpb.New(24*time.Hour + 1), MaxWait: durationpb.New(25 * time.Hour), Lease: durationpb.New(time.Hour + 1),
		}, []string{"deadline", "lease", "max_wait"}},
		{"impossible durations", &pb.AcquireRequest{
			Target: "t", Deadline: &durationpb.Duration{Seconds: 1, Nanos: -1}, MaxWait: &durationpb.Duration{Nanos: 1_000_000_000},
			Lease: &durationpb.Duration{Seconds: math.MaxInt64},
		}, []string{"deadline", "lease", "max_wait"}},
		{"no time left", &pb.AcquireRequest{Target: "t", Deadline: durationpb.New(0)}, []string{"deadline"}},
		{"no wait", &pb.AcquireRequest{Target: "t", MaxWait: durationpb.New(0)}, nil},
		{"last level", &pb.AcquireRequest{Chain: "c", PinLevel: proto.Int32(15)}, nil},
		{"level too deep", &pb.AcquireRequest{Chain: "c", PinLevel: proto.Int32(16)}, []string{"pin_level"}},
		{"labels", &pb.AcquireRequest{Target: "t", Labels: many(32)}, nil},
		{"too many labels", &pb.AcquireRequest{Target: "t", Labels: many(33)}, []string{"labels"}},
		{"bad labels", &pb.AcquireRequest{Target: "t", Labels: map[string]string{"": "v"}}, []string{`labels[""]`}},
		{"bad label value", &pb.AcquireRequest{Target: "t", Labels: map[string]string{"k": long(257)}}, []string{`labels["k"]`}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got := faults(func(k *checker) { checkAcquire(k, c.r) })
			if !slices.Equal(got, c.want) {
				t.Errorf("faults in %q, want %q", got, c.want)
			}
		})
	}
}

func TestCheckReport(t *testing.T) {
	ok := pb.Outcome_OUTCOME_SUCCESS
	report := func(change func(*pb.ReportRequest)) *pb.ReportRequest {
		r := &pb.ReportRequest{PermitId: "p", Outcome: ok, Signal: &pb.Signal{}, DeadLetter: &pb.DeadLetterEnvelope{
			Checkpoint: &pb.Checkpoint{}, LastError: &pb.LastError{},
		}}
		change(r)
		return r
	}
	cases := []struct {
		name string
		r    *pb.ReportRequest
		want []string
	}{
		{"smallest", &pb.ReportRequest{PermitId: "p", Outcome: ok}, nil},
		{"empty", &pb.ReportRequest{}, []string{"outcome", "permit_id"}},
		{"an outcome of a newer client", &pb.ReportRequest{PermitId: "p", Outcome: 77}, nil},
		{"a class, phase and verdict of a newer client", report(func(r *pb.ReportRequest) {
			r.ClassHint, r.Signal.Phase, r.Quality = 77, 78, &pb.Quality{Verdict: 79}
		}), nil},
		{"permit id too long", report(func(r *pb.ReportRequest) { r.PermitId = long(2049) }), []string{"permit_id"}},
		{"statuses", report(func(r *pb.ReportRequest) { r.Signal.HttpStatus = proto.Int32(599) }), nil},
		{"no status", report(func(r *pb.ReportRequest) { r.Signal.HttpStatus = proto.Int32(0) }), []string{"signal.http_status"}},
		{"wrong status", report(func(r *pb.ReportRequest) { r.Signal.HttpStatus = proto.Int32(600) }), []string{"signal.http_status"}},
		{"largest texts", report(func(r *pb.ReportRequest) {
			r.Signal.Message, r.DeadLetter.LastError.Message = long(8<<10), long(8<<10)
			r.DeadLetter.LastError.Stack = long(32 << 10)
			r.DeadLetter.Payload, r.DeadLetter.Context = make([]byte, 256<<10), make([]byte, 256<<10)
			r.DeadLetter.PayloadSha256 = make([]byte, 32)
		}), nil},
		{"texts too large", report(func(r *pb.ReportRequest) {
			r.Signal.Message, r.DeadLetter.LastError.Message = long(8<<10+1), long(8<<10+1)
			r.DeadLetter.LastError.Stack = long(32<<10 + 1)
			r.DeadLetter.Payload, r.DeadLetter.Context = make([]byte, 256<<10+1), make([]byte, 256<<10+1)
			r.DeadLetter.PayloadSha256 = make([]byte, 31)
			r.ResultRef = long(1<<10 + 1)
		}), []string{
			"dead_letter.context", "dead_letter.last_error.message", "dead_letter.last_error.stack", "dead_letter.payload",
			"dead_letter.payload_sha256", "result_ref", "signal.message",
		}},
		{"lines and tabs in texts", report(func(r *pb.ReportRequest) { r.Signal.Message = "a\n\tb\x00" }), nil},
		{"text not UTF-8", report(func(r *pb.ReportRequest) { r.Signal.Message = "\xff" }), []string{"signal.message"}},
		{"headers", report(func(r *pb.ReportRequest) { r.Signal.Headers = many(64) }), nil},
		{"too many headers", report(func(r *pb.ReportRequest) { r.Signal.Headers = many(65) }), []string{"signal.headers"}},
		{"header name too long", report(func(r *pb.ReportRequest) {
			r.Signal.Headers = map[string]string{long(129): ""}
		}), []string{`signal.headers["` + long(128) + `"]`}},
		{"header value too long", report(func(r *pb.ReportRequest) {
			r.Signal.Headers = map[string]string{"a": long(4097)}
		}), []string{`signal.headers["a"]`}},
		{"waits", report(func(r *pb.ReportRequest) { r.Signal.RetryAfter = durationpb.New(0) }), nil},
		{"negative waits", report(func(r *pb.ReportRequest) {
			r.Signal.RetryAfter, r.Duration = durationpb.New(-time.Second), durationpb.New(-1)
		}), []string{"duration", "signal.retry_after"}},
		{"calls of a day", report(func(r *pb.ReportRequest) { r.Duration = durationpb.New(24*time.Hour + 1) }), []string{"duration"}},
		{"bad usage", report(func(r *pb.ReportRequest) {
			r.Usage = &pb.Usage{CostMicros: proto.Int64(-1), CachedTokens: proto.Int64(math.MaxInt64)}
		}), []string{"usage.cached_tokens", "usage.cost_micros"}},
		{"usage of zero", report(func(r *pb.ReportRequest) { r.Usage = &pb.Usage{CostMicros: proto.Int64(0)} }), nil},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got := faults(func(k *checker) { checkReport(k, c.r) })
			if !slices.Equal(got, c.want) {
				t.Errorf("faults in %q, want %q", got, c.want)
			}
		})
	}
}

func TestCheckOperators(t *testing.T) {
	reason := long(1 << 10)
	cases := []struct {
		name  string
		check func(*checker)
		want  []string
	}{
		{"run", func(c *checker) { checkStartRun(c, &pb.StartRunRequest{RequestId: "q"}) }, nil},
		{"run without request id", func(c *checker) { checkStartRun(c, &pb.StartRunRequest{}) }, []string{"request_id"}},
		{"run of its own", func(c *checker) {
			checkStartRun(c, &pb.StartRunRequest{RequestId: "q", RunId: "r", ParentRunId: "r"})
		}, []string{"parent_run_id"}},
		{"bad run", func(c *checker) {
			checkStartRun(c, &pb.StartRunRequest{
				RequestId: "q", Caps: &pb.Caps{CostMicros: proto.Int64(-1), WallMs: proto.Int64(budget.MaxAmount + 1)},
				Currency: "usd", SoftPercent: proto.Int32(0),
			})
		}, []string{"caps.cost_micros", "caps.wall_ms", "currency", "soft_percent"}},
		{"adjust", func(c *checker) {
			checkAdjustRun(c, &pb.AdjustRunRequest{
				RequestId: "q", RunId: "r", Reason: reason, Change: &pb.AdjustRunRequest_Delta{Delta: &pb.Amounts{CostMicros: -5}},
			})
		}, nil},
		{"adjust nothing", func(c *checker) { checkAdjustRun(c, &pb.AdjustRunRequest{}) }, []string{"change", "reason", "request_id", "run_id"}},
		{"adjust too much", func(c *checker) {
			checkAdjustRun(c, &pb.AdjustRunRequest{RequestId: "q", RunId: "r", Reason: "x", Change: &pb.AdjustRunRequest_Delta{
				Delta: &pb.Amounts{CostMicros: math.MinInt64, Tokens: math.MaxInt64, WallMs: 1},
			}})
		}, []string{"delta.cost_micros", "delta.tokens", "delta.wall_ms"}},
		{"reconcile", func(c *checker) {
			checkReconcileRun(c, &pb.ReconcileRunRequest{RequestId: "q", RunId: "r", Reason: "x", Actual: &pb.Amounts{}})
		}, nil},
		{"reconcile nothing", func(c *checker) {
			checkReconcileRun(c, &pb.ReconcileRunRequest{RequestId: "q", RunId: "r", Reason: "x", Replaces: &pb.Amounts{Calls: -1}})
		}, []string{"actual", "replaces.calls"}},
		{"reason too long", func(c *checker) {
			checkChange(c, &pb.StopRunRequest{RequestId: "q", RunId: "r", Reason: reason + "x"})
		}, []string{"reason"}},
		{"breaker", func(c *checker) {
			checkSetBreaker(c, &pb.SetBreakerRequest{
				RequestId: "q", Target: "t", Mode: pb.BreakerMode_BREAKER_MODE_FORCED_OPEN, Ttl: durationpb.New(time.Second), Reason: "x",
			})
		}, nil},
		{"breaker of a newer client", func(c *checker) {
			checkSetBreaker(c, &pb.SetBreakerRequest{RequestId: "q", Target: "t", Mode: 9, Reason: "x"})
		}, []string{"mode"}},
		{"breaker AUTO with an end", func(c *checker) {
			checkSetBreaker(c, &pb.SetBreakerRequest{
				RequestId: "q", Target: "t", Mode: pb.BreakerMode_BREAKER_MODE_AUTO, Ttl: durationpb.New(time.Second), Reason: "x",
			})
		}, []string{"ttl"}},
		{"policy", func(c *checker) {
			checkApplyPolicy(c, &pb.ApplyPolicyRequest{RequestId: "q", Yaml: "version: 1", ValidateOnly: true})
		}, nil},
		{"policy without a reason", func(c *checker) {
			checkApplyPolicy(c, &pb.ApplyPolicyRequest{RequestId: "q", Yaml: "version: 1", ExpectedEpoch: proto.Int64(-1)})
		}, []string{"expected_epoch", "reason"}},
		{"letters", func(c *checker) {
			checkListLetters(c, &pb.ListDeadLettersRequest{
				PageSize: -1, States: []pb.DeadLetterState{0, 1, 99}, Since: &timestamppb.Timestamp{Nanos: -1},
			})
		}, []string{"page_size", "since", "states[0]", "states[2]"}},
		{"page", func(c *checker) { c.page(1000, "") }, nil},
		{"page too large", func(c *checker) { c.page(1001, long(1<<10+1)) }, []string{"page_size", "page_token"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if got := faults(c.check); !slices.Equal(got, c.want) {
				t.Errorf("faults in %q, want %q", got, c.want)
			}
		})
	}
}

func TestNamespace(t *testing.T) {
	cases := []struct {
		sent []string
		want string
		bad  bool
	}{
		{nil, "default", false},
		{[]string{"team-a.b_C9"}, "team-a.b_C9", false},
		{[]string{long(128)}, long(128), false},
		{[]string{""}, "", true},
		{[]string{long(129)}, "", true},
		{[]string{"a/b"}, "", true},
		{[]string{"ä"}, "", true},
		{[]string{"a", "b"}, "", true},
	}
	for _, c := range cases {
		ctx := metadata.NewIncomingContext(context.Background(), metadata.MD{keyNamespace: c.sent})
		var k checker
		got := k.namespace(ctx)
		if bad := k.err() != nil; bad != c.bad || (!bad && got != c.want) {
			t.Errorf("namespace of %q = %q, bad %v; want %q, %v", c.sent, got, bad, c.want, c.bad)
		}
	}
}

func TestFaultsAreBounded(t *testing.T) {
	var c checker
	for range 1000 {
		c.fail("f", "x")
	}
	e, ok := errors.AsType[*requestError](c.err())
	if !ok || len(e.violations) != maxViolations+1 {
		t.Fatalf("%d violations are listed, want %d and a last word", len(e.violations), maxViolations)
	}
}

func TestGoodRequestsCostNothingToCheck(t *testing.T) {
	r := &pb.AcquireRequest{
		RequestId: "8b2f", RunId: "run-1", Target: "openai/gpt-x", Deadline: durationpb.New(time.Minute), Fingerprint: "abc",
		Estimate: &pb.Estimate{CostMicros: proto.Int64(5)}, Labels: map[string]string{"team": "search"},
	}
	report := &pb.ReportRequest{PermitId: "p", Outcome: 1, Signal: &pb.Signal{Headers: map[string]string{"retry-after": "5"}}}
	n := testing.AllocsPerRun(100, func() {
		var c checker
		checkAcquire(&c, r)
		checkReport(&c, report)
		hashAcquire(r)
		hashReport(report, report.GetSignal().GetHeaders())
	})
	if n != 0 {
		t.Errorf("checking and hashing allocates %v times, want 0", n)
	}
}
