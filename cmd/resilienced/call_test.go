// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"strings"
	"testing"

	pb "github.com/resilienced/resilienced/gen/resilience/v1"
)

func TestAcquireAndReport(t *testing.T) {
	s := live(t)
	wantText(t, "grant", scrub(s.must(t, "acquire", "openai/gpt-x")), `decision     GRANTED
target       openai/gpt-x
attempt      1
timeout      2m
lease        2m15s
operation    OPERATION
fence        GENERATION
permit       PERMIT
decision id  DECISION
`)
	permit := strings.TrimSpace(s.must(t, "acquire", "openai/gpt-x", "-o", "name"))
	out := scrub(s.must(t, "report", permit, "--outcome", "failure", "--status", "429", "--header", "Retry-After=5", "--duration", "300ms"))
	if !strings.HasPrefix(out, "do           DEAD_LETTER (RATE_LIMITED, rule R12)\nclass        PRESSURE\n") {
		t.Errorf("report:\n%s", out)
	}
	code, out, errs := s.op(t, "acquire", "openai/gpt-x", "--max-wait", "1m")
	if code != exitTemporary || !strings.Contains(out, "decision      WAIT\nreason        COOLDOWN\n") || errs != "" {
		t.Errorf("wait: exit %d\n%s%s", code, out, errs)
	}
	code, out, errs = s.op(t, "acquire", "openai/gpt-x", "--max-wait", "1s", "-o", "name")
	if code != exitDenied || out != "" || !strings.Contains(errs, "DENIED: COOLDOWN") {
		t.Errorf("denied: exit %d\n%s%s", code, out, errs)
	}
	if out := s.must(t, "acquire", "tool/x", "--dry-run", "-o", "name"); out != "" {
		t.Errorf("a dry run has a permit: %q", out)
	}
	code, _, errs = s.op(t, "report", permit, "--outcome", "success")
	if code != exitFailed || !strings.Contains(errs, "other content") {
		t.Errorf("another report of that permit: exit %d, %s", code, errs)
	}
	if code, _, errs := s.op(t, "report", "nonsense", "--outcome", "success"); code != exitUsage || !strings.Contains(errs, "permit_id: ") {
		t.Errorf("no permit: exit %d, %s", code, errs)
	}
}

func TestAcquireUsage(t *testing.T) {
	addr := nobody(t)
	for _, c := range []struct {
		args []string
		says string
	}{
		{[]string{"acquire"}, "name a target, or a chain"},
		{[]string{"acquire", "t", "--chain", "c"}, "name a target, or a chain"},
		{[]string{"acquire", "t", "--max-attempts", "0"}, "at least 1"},
		{[]string{"acquire", "t", "--idempotency", "maybe"}, "idempotent"},
		{[]string{"acquire", "t", "--max-wait", "-1s"}, "negative"},
		{[]string{"acquire", "t", "--estimate-cost", "cheap"}, "such as 2.50"},
		{[]string{"acquire", "t", "--label", "x"}, "NAME=VALUE"},
		{[]string{"acquire", "t", "--label", "x=1", "--label", "x=2"}, "given twice"},
		{[]string{"report", "p"}, "--outcome is required"},
		{[]string{"report", "p", "--since", "1h", "--outcome", "success"}, "--since: it is for the summary"},
		{[]string{"report", "--outcome", "success"}, "--outcome: it is about one call"},
		{[]string{"report", "--since", "8d"}, "at most 7d"},
		{[]string{"report", "p", "--outcome", "success", "--status", "99999999999"}, "--status"},
		{[]string{"report", "p", "--outcome", "success", "--tokens", "5"}, "IN,OUT"},
		{[]string{"report", "p", "--outcome", "success", "--tokens", "5,-1"}, "number of tokens"},
		{[]string{"report", "p", "--outcome", "success", "--quality", "bad"}, "schema_violation"},
	} {
		if code, _, errs := runAt(t, addr, c.args...); code != exitUsage || !strings.Contains(errs, c.says) {
			t.Errorf("%q: exit %d, %q lacks %q", c.args, code, errs, c.says)
		}
	}
}

// Every flag of acquire and report gets to where the API has its field.
func TestFlagsBecomeFields(t *testing.T) {
	var acquired *pb.AcquireRequest
	var reported *pb.ReportRequest
	addr := serveFake(t, func(_ context.Context, _ string, req any) (any, error) {
		switch r := req.(type) {
		case *pb.AcquireRequest:
			acquired = r
			return &pb.AcquireResponse{Decision: pb.Decision_DECISION_GRANTED}, nil
		case *pb.ReportRequest:
			reported = r
			return &pb.ReportResponse{Action: pb.Action_ACTION_CONTINUE}, nil
		}
		return nil, nil
	})
	t.Setenv(envTask, "from the environment")
	code, _, errs := runAt(t, addr, "acquire", "--chain", "c", "--run", "r", "--operation", "o", "--idempotency", "idempotent-with-key",
		"--idempotency-key", "k", "--estimate-cost", "0.02", "--estimate-input-tokens", "10", "--estimate-output-tokens", "20", "--max-wait", "10s",
		"--deadline", "1h", "--lease", "1m", "--max-attempts", "2", "--fingerprint", "f", "--reporter", "me", "--credential", "cr", "--label", "a=b=c")
	a := acquired
	if code != exitOK || a.GetChain() != "c" || a.GetTarget() != "" || a.GetRunId() != "r" || a.GetTaskId() != "from the environment" || a.GetOperationId() != "o" ||
		a.GetIdempotency() != pb.Idempotency_IDEMPOTENCY_IDEMPOTENT_WITH_KEY || a.GetIdempotencyKey() != "k" ||
		a.GetEstimate().GetCostMicros() != 20_000 || a.GetEstimate().GetInputTokens() != 10 || a.GetEstimate().GetMaxOutputTokens() != 20 ||
		a.GetMaxWait().GetSeconds() != 10 || a.GetDeadline().GetSeconds() != 3600 || a.GetLease().GetSeconds() != 60 || a.GetMaxAttempts() != 2 ||
		a.GetFingerprint() != "f" || a.GetReporterId() != "me" || a.GetCredentialRef() != "cr" || a.GetLabels()["a"] != "b=c" || a.GetRequestId() == "" {
		t.Errorf("exit %d, %v%s", code, a, errs)
	}
	code, _, errs = runAt(t, addr, "report", "p", "--outcome", "failure", "--status", "503", "--grpc-code", "unavailable", "--exception", "timeout", "--phase", "body-sent",
		"--header", "Retry-After=5", "--header", "x-ratelimit=0", "--retry-after", "7s", "--body-code", "b", "--message", "m", "--quality", "empty",
		"--class", "transient", "--cost", "0.000001", "--tokens", "1,2", "--result-ref", "s3://x", "--fence", "9", "--mcp-code", "-32001", "--duration", "1s")
	r := reported
	if code != exitOK || r.GetPermitId() != "p" || r.GetOutcome() != pb.Outcome_OUTCOME_FAILURE || r.GetSignal().GetHttpStatus() != 503 || r.GetSignal().GetGrpcCode() != "UNAVAILABLE" ||
		r.GetSignal().GetException() != "timeout" || r.GetSignal().GetPhase() != pb.CallPhase_CALL_PHASE_BODY_SENT || r.GetSignal().GetHeaders()["retry-after"] != "5" ||
		len(r.GetSignal().GetHeaders()) != 2 || r.GetSignal().GetRetryAfter().GetSeconds() != 7 || r.GetSignal().GetBodyCode() != "b" || r.GetSignal().GetMessage() != "m" ||
		r.GetQuality().GetVerdict() != pb.QualityVerdict_QUALITY_VERDICT_EMPTY || r.GetClassHint() != pb.Class_CLASS_TRANSIENT ||
		r.GetUsage().GetCostMicros() != 1 || r.GetUsage().GetInputTokens() != 1 || r.GetUsage().GetOutputTokens() != 2 || r.GetUsage().CachedTokens != nil ||
		r.GetResultRef() != "s3://x" || r.GetFence() != 9 || r.GetSignal().GetMcpCode() != -32001 || r.GetDuration().GetSeconds() != 1 {
		t.Errorf("exit %d, %v%s", code, r, errs)
	}
}

func TestExplain(t *testing.T) {
	s := live(t)
	permit := strings.TrimSpace(s.must(t, "acquire", "t", "-o", "name"))
	if out := s.must(t, "explain", permit); !strings.Contains(out, "known from  OPERATION") || !strings.Contains(out, "GRANTED") {
		t.Errorf("a permit:\n%s", out)
	}
	s.must(t, "targets", "open", "t", "--reason", "r")
	_, out, _ := s.op(t, "acquire", "t")
	_, id, found := strings.Cut(strings.TrimSpace(out), "decision id  ")
	if !found {
		t.Fatalf("no decision id in\n%s", out)
	}
	explained := s.must(t, "explain", strings.TrimSpace(id))
	for _, want := range []string{"DENIED", "reason       FORCED_OPEN", "blocked by   t"} {
		if !strings.Contains(explained, want) {
			t.Errorf("explain lacks %q:\n%s", want, explained)
		}
	}
	if code, _, errs := s.op(t, "explain", "neither"); code != exitNotFound || !strings.Contains(errs, "no decision and of no permit") {
		t.Errorf("neither: exit %d, %s", code, errs)
	}
	if code, _, errs := s.op(t, "explain", strings.TrimSpace(id), "--namespace", "other team"); code != exitUsage && code != exitNotFound || errs == "" {
		t.Errorf("another namespace: exit %d, %s", code, errs)
	}
	if code, out, errs := s.op(t, "decisions", "--target", "nothing"); code != exitOK || out != "" || !strings.Contains(errs, "no decision") {
		t.Errorf("no decisions: exit %d, %q, %q", code, out, errs)
	}
	if code, _, errs := s.op(t, "decisions", "--limit", "0"); code != exitUsage || !strings.Contains(errs, "--limit") {
		t.Errorf("exit %d, %s", code, errs)
	}
}
