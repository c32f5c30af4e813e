// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/resilienced/resilienced/cmd/resilienced/terminal"
	"github.com/resilienced/resilienced/drill/enum"
	pb "github.com/resilienced/resilienced/gen/resilience/v1"
)

// callFlags are how a call went.
type callFlags struct {
	own        *pflag.FlagSet
	outcome    enumValue[pb.Outcome]
	status     amount
	mcp        amount
	grpcCode   string
	exception  string
	phase      enumValue[pb.CallPhase]
	headers    pairs
	retryAfter span
	bodyCode   string
	message    string
	quality    enumValue[pb.QualityVerdict]
	class      enumValue[pb.Class]
	duration   span
	cost       amount
	tokens     tokenCount
	resultRef  string
	fence      uint64
}

func newCallFlags(cmd *cobra.Command) *callFlags {
	f := &callFlags{cost: amount{money: true}, headers: pairs{lower: true}}
	f.own = flagsOf(cmd, func(flags *pflag.FlagSet) {
		flags.Var(&f.outcome, "outcome", "with PERMIT: how the call ended")
		flags.Var(&f.duration, "duration", "with PERMIT: how long it took, such as 800ms")
		flags.Var(&f.status, "status", "with PERMIT: the HTTP status of the answer")
		flags.Var(&f.headers, "header", "with PERMIT: a header of the answer about limits or retries, such as retry-after=5; may be repeated")
		flags.Var(&f.retryAfter, "retry-after", "with PERMIT: the wait that the target asked for, if it is known without a header")
		flags.StringVar(&f.grpcCode, "grpc-code", "", "with PERMIT: the gRPC `CODE`, such as UNAVAILABLE")
		flags.Var(&f.mcp, "mcp-code", "with PERMIT: the JSON-RPC error code of an MCP answer")
		flags.StringVar(&f.exception, "exception", "", "with PERMIT: `KIND` of a local error, such as timeout, connect, dns, reset")
		flags.Var(&f.phase, "phase", "with PERMIT: how far the call got")
		flags.StringVar(&f.bodyCode, "body-code", "", "with PERMIT: the machine-readable error `CODE` in the body")
		flags.StringVar(&f.message, "message", "", "with PERMIT: the error's `TEXT`, for people")
		flags.Var(listing{&f.quality, "VERDICT"}, "quality", "with PERMIT: what is wrong with an answer that came, such as schema-violation, empty, truncated")
		flags.Var(listing{&f.class, "CLASS"}, "class", "with PERMIT: your guess at the class; it can only make the verdict less retryable")
		flags.Var(&f.cost, "cost", "with PERMIT: what the call cost, such as 0.004")
		flags.Var(&f.tokens, "tokens", "with PERMIT: tokens sent, received and, of those sent, cached")
		flags.StringVar(&f.resultRef, "result-ref", "", "with PERMIT: `WHERE` you keep the result")
		flags.Uint64Var(&f.fence, "fence", 0, "with PERMIT: its fence, to be checked")
	})
	return f
}

func (f *callFlags) unused(why string) error { return noneSet(f.own, why) }

// tokenCount is a flag for IN,OUT and, if known, CACHED.
type tokenCount struct{ input, output, cached *int64 }

// String returns the counts.
func (t *tokenCount) String() string {
	var all []string
	for _, n := range []*int64{t.input, t.output, t.cached} {
		if n != nil {
			all = append(all, strconv.FormatInt(*n, 10))
		}
	}
	return strings.Join(all, ",")
}

// Type names the form for help.
func (t *tokenCount) Type() string { return "IN,OUT[,CACHED]" }

// Set reads 1200,300 or 1200,300,800.
func (t *tokenCount) Set(text string) error {
	parts := strings.Split(text, ",")
	if len(parts) < 2 || len(parts) > 3 {
		return errors.New("write IN,OUT or IN,OUT,CACHED, such as 1200,300")
	}
	counts := make([]*int64, 3)
	for i, part := range parts {
		n, err := strconv.ParseInt(part, 10, 64)
		if err != nil || n < 0 {
			return fmt.Errorf("%q is not a number of tokens", part)
		}
		counts[i] = &n
	}
	t.input, t.output, t.cached = counts[0], counts[1], counts[2]
	return nil
}

func (f *callFlags) request(permit string) (*pb.ReportRequest, error) {
	if f.outcome.value == pb.Outcome_OUTCOME_UNSPECIFIED {
		return nil, fmt.Errorf("--outcome is required: %s", strings.Join(enumWords(f.outcome.value), ", "))
	}
	r := &pb.ReportRequest{
		PermitId: permit, Fence: f.fence, Outcome: f.outcome.value, Duration: f.duration.wire(), ClassHint: f.class.value, ResultRef: f.resultRef,
		Signal: &pb.Signal{
			GrpcCode: strings.ToUpper(f.grpcCode), Exception: f.exception, Phase: f.phase.value, Headers: f.headers.values,
			RetryAfter: f.retryAfter.wire(), BodyCode: f.bodyCode, Message: f.message,
		},
	}
	for _, n := range []struct {
		from *int64
		to   **int32
		flag string
	}{{f.status.number, &r.Signal.HttpStatus, "status"}, {f.mcp.number, &r.Signal.McpCode, "mcp-code"}} {
		if n.from == nil {
			continue
		}
		small := int32(*n.from)
		if int64(small) != *n.from {
			return nil, fmt.Errorf("--%s is %d, which no such code is", n.flag, *n.from)
		}
		*n.to = &small
	}
	if f.quality.value != pb.QualityVerdict_QUALITY_VERDICT_UNSPECIFIED {
		r.Quality = &pb.Quality{Verdict: f.quality.value}
	}
	if f.cost.number != nil || f.tokens.input != nil {
		r.Usage = &pb.Usage{CostMicros: f.cost.number, InputTokens: f.tokens.input, OutputTokens: f.tokens.output, CachedTokens: f.tokens.cached}
	}
	return r, nil
}

func (s *session) reportCall(ctx context.Context, permit string, f *callFlags) error {
	req, err := f.request(permit)
	if err != nil {
		return err
	}
	got, err := s.Permits.Report(ctx, req)
	if err != nil {
		return err
	}
	return s.show(got, func() error { return directiveDetails(got).Write(s.screen) }, nil)
}

// directiveText is a directive on one line.
func directiveText(r *pb.ReportResponse) string {
	text := dash(enum.Word(r.GetAction()))
	if d := r.GetDelay().AsDuration(); d > 0 {
		text += " in " + terminal.Duration(d)
	}
	if r.GetNext() != nil {
		text += " to " + nextLevel(r.GetNext())
	}
	return text + " (" + dash(r.GetReason()) + ", rule " + dash(r.GetRule()) + ")"
}

func directiveDetails(r *pb.ReportResponse) details {
	d := newDetails()
	d.styled("do", directiveText(r), actionStyle(r.GetAction()))
	d.add("retry", enum.Word(r.GetRetryScope()))
	d.add("no retry because", enum.Word(r.GetRetryDenied()))
	d.add("class", enum.Word(r.GetClass()))
	d.add("certainty", enum.Word(r.GetCertainty()))
	d.add("not counted", enum.Word(r.GetNotCountedBecause()))
	if b := r.GetBreaker(); b != nil {
		text := enum.Word(b.GetState())
		if b.GetOpenedNow() {
			text += ", opened by this report"
		}
		d.styled("breaker", text, targetStyle(b.GetState()))
	}
	if b := r.GetBudgets(); b != nil {
		d.add("left", fmt.Sprintf("%d attempts, %d retries of the task, %s retry tokens of the fleet",
			b.GetAttemptsLeft(), b.GetTaskRetriesLeft(), milli(b.GetFleetTokensMilli())))
	}
	d.add("run", runSummary(r.GetRun()))
	d.add("dead letter", r.GetDeadLetterId())
	d.add("escalation", r.GetEscalationId())
	if r.GetTerminal() {
		d.add("terminal", "every further acquire of this operation is refused")
	}
	if w := r.GetWould(); w != nil {
		d.add("would have been", fmt.Sprintf("%s (%s); the rule is observed", enum.Word(w.GetAction()), enum.Word(w.GetReason())))
	}
	d.add("decision id", r.GetDecisionId())
	return d
}

func actionStyle(a pb.Action) terminal.Style {
	switch a {
	case pb.Action_ACTION_CONTINUE:
		return terminal.Good
	case pb.Action_ACTION_RETRY, pb.Action_ACTION_FALLBACK:
		return terminal.Warn
	case pb.Action_ACTION_DEAD_LETTER, pb.Action_ACTION_ESCALATE, pb.Action_ACTION_STOP:
		return terminal.Bad
	case pb.Action_ACTION_UNSPECIFIED:
	}
	return terminal.Plain
}
