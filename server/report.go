// SPDX-License-Identifier: Apache-2.0

package server

import (
	"context"
	"crypto/sha256"
	"maps"
	"slices"
	"strings"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/resilienced/resilienced/engine"
	pb "github.com/resilienced/resilienced/gen/resilience/v1"
	"github.com/resilienced/resilienced/rules/admit"
	"github.com/resilienced/resilienced/rules/breaker"
	"github.com/resilienced/resilienced/rules/budget"
	"github.com/resilienced/resilienced/rules/classify"
	"github.com/resilienced/resilienced/rules/deadletter"
	"github.com/resilienced/resilienced/rules/operation"
)

// Report tells how an attempt went and says what to do next.
func (s *permitService) Report(ctx context.Context, r *pb.ReportRequest) (*pb.ReportResponse, error) {
	inherit(ctx, &r.PermitId, keyPermit)
	var c checker
	namespace := c.namespace(ctx)
	checkReport(&c, r)
	if err := c.err(); err != nil {
		return nil, err
	}
	result, err := s.engine.Report(ctx, reportOf(namespace, r))
	if err != nil {
		return nil, err
	}
	return reported(result), nil
}

func checkReport(c *checker, r *pb.ReportRequest) {
	c.id("request_id", r.GetRequestId(), optional)
	c.handle("permit_id", r.GetPermitId(), maxPermitID, required)
	if r.GetOutcome() == 0 {
		choice(c, "outcome", r.GetOutcome(), pb.Outcome_name, required)
	}
	c.duration("duration", r.GetDuration(), maxDuration)
	checkSignal(c, r.GetSignal())
	c.text("quality.detail", r.GetQuality().GetDetail(), maxMessage, optional)
	if u := r.GetUsage(); u != nil {
		c.amount("usage.cost_micros", u.CostMicros)
		c.amount("usage.input_tokens", u.InputTokens)
		c.amount("usage.output_tokens", u.OutputTokens)
		c.amount("usage.cached_tokens", u.CachedTokens)
		c.name("usage.model", u.GetModel(), optional)
	}
	checkEnvelope(c, r.GetDeadLetter())
	c.text("result_ref", r.GetResultRef(), maxResultRef, optional)
}

func checkSignal(c *checker, s *pb.Signal) {
	if s == nil {
		return
	}
	c.between("signal.http_status", s.HttpStatus, 100, 599)
	c.text("signal.grpc_code", s.GetGrpcCode(), maxCode, optional)
	c.text("signal.exception", s.GetException(), maxCode, optional)
	c.text("signal.body_code", s.GetBodyCode(), maxCode, optional)
	c.text("signal.message", s.GetMessage(), maxMessage, optional)
	c.duration("signal.retry_after", s.GetRetryAfter(), maxTTL)
	c.entries("signal.headers", s.GetHeaders(), maxHeaders, maxHeaderName, maxHeaderValue)
}

func checkEnvelope(c *checker, e *pb.DeadLetterEnvelope) {
	if e == nil {
		return
	}
	c.blob("dead_letter.context", e.GetContext(), maxBlob)
	c.blob("dead_letter.payload", e.GetPayload(), maxBlob)
	c.name("dead_letter.content_type", e.GetContentType(), optional)
	c.text("dead_letter.payload_ref", e.GetPayloadRef(), maxRef, optional)
	if n := len(e.GetPayloadSha256()); n != 0 && n != sha256.Size {
		c.fail("dead_letter.payload_sha256", "has %d bytes; a SHA-256 has %d, or leave it empty", n, sha256.Size)
	}
	c.name("dead_letter.checkpoint.store", e.GetCheckpoint().GetStore(), optional)
	c.name("dead_letter.checkpoint.id", e.GetCheckpoint().GetId(), optional)
	c.name("dead_letter.checkpoint.version", e.GetCheckpoint().GetVersion(), optional)
	c.text("dead_letter.last_error.type", e.GetLastError().GetType(), maxName, optional)
	c.text("dead_letter.last_error.code", e.GetLastError().GetCode(), maxName, optional)
	c.text("dead_letter.last_error.message", e.GetLastError().GetMessage(), maxMessage, optional)
	c.text("dead_letter.last_error.stack", e.GetLastError().GetStack(), maxStack, optional)
	c.labels("dead_letter.labels", e.GetLabels())
}

// reportOf is the command of a request that was checked.
func reportOf(namespace string, r *pb.ReportRequest) *engine.ReportRequest {
	headers := safeHeaders(r.GetSignal().GetHeaders())
	e := &engine.ReportRequest{
		Namespace: namespace, RequestID: r.GetRequestId(), PermitID: r.GetPermitId(), Fence: r.GetFence(),
		Signal: signalOf(r, headers), Envelope: envelopeOf(r.GetDeadLetter()), ResultRef: r.GetResultRef(),
		Hash: hashReport(r, headers),
	}
	if u := r.GetUsage(); u != nil {
		e.Usage = budget.Usage{Cost: u.CostMicros, Input: u.InputTokens, Output: u.OutputTokens, Cached: u.CachedTokens}
		e.Model = u.GetModel()
	}
	return e
}

func signalOf(r *pb.ReportRequest, headers map[string]string) classify.Signal {
	s := r.GetSignal()
	return classify.Signal{
		Outcome: outcomeOf(r.GetOutcome()), HTTPStatus: int(s.GetHttpStatus()), GRPCCode: s.GetGrpcCode(),
		MCPCode: int(s.GetMcpCode()), Exception: s.GetException(), Phase: phaseOf(s.GetPhase()), Headers: headers,
		RetryAfter: s.GetRetryAfter().AsDuration(), HasRetryAfter: s.GetRetryAfter() != nil,
		BodyCode: s.GetBodyCode(), Message: s.GetMessage(), Quality: verdictOf(r.GetQuality().GetVerdict()),
		ClassHint: classOf(r.GetClassHint()), Duration: r.GetDuration().AsDuration(),
	}
}

func envelopeOf(e *pb.DeadLetterEnvelope) *deadletter.Envelope {
	if e == nil {
		return nil
	}
	c, l := e.GetCheckpoint(), e.GetLastError()
	return &deadletter.Envelope{
		Context: e.GetContext(), Payload: e.GetPayload(), ContentType: e.GetContentType(),
		PayloadRef: e.GetPayloadRef(), PayloadSHA256: e.GetPayloadSha256(),
		Checkpoint: deadletter.Checkpoint{Store: c.GetStore(), ID: c.GetId(), Version: c.GetVersion()},
		LastError: deadletter.Error{
			Type: l.GetType(), Code: l.GetCode(), Message: l.GetMessage(), Stack: l.GetStack(),
		},
		Labels: e.GetLabels(),
	}
}

// secret reports whether a header carries a credential. Such a value goes no
// further than here, whatever a client sends.
func secret(lower string) bool {
	switch lower {
	case "authorization", "proxy-authorization", "cookie", "set-cookie", "x-api-key", "api-key", "x-goog-api-key",
		"x-auth-token", "x-amz-security-token":
		return true
	}
	return false
}

// safeHeaders returns the headers with names in lower case and without the
// secret ones: the map itself if it is so already. Of names that differ only
// in case the one that sorts last, which is the most lower one, counts.
func safeHeaders(headers map[string]string) map[string]string {
	clean := true
	for name := range headers {
		if lower := strings.ToLower(name); lower != name || secret(lower) {
			clean = false
			break
		}
	}
	if clean {
		return headers
	}
	safe := make(map[string]string, len(headers))
	for _, name := range slices.Sorted(maps.Keys(headers)) {
		if lower := strings.ToLower(name); !secret(lower) {
			safe[lower] = headers[name]
		}
	}
	return safe
}

// reportedAnswer lays the parts of an answer side by side.
type reportedAnswer struct {
	response pb.ReportResponse
	breaker  pb.BreakerView
	left     pb.AllowancesLeft
}

// reported is the answer to a Report.
func reported(r *engine.ReportResult) *pb.ReportResponse {
	all := &reportedAnswer{}
	a, resp := &r.Answer, &all.response
	resp.Class, resp.Reason = wireClass(a.Class), string(a.Reason)
	resp.Certainty, resp.Rule = wireCertainty(a.Certainty), a.Rule
	resp.Action, resp.Next = wireAction(a.Action), wireNext(r.Next)
	if a.Delay > 0 {
		resp.Delay = durationpb.New(a.Delay)
	}
	resp.Counted, resp.NotCountedBecause = r.Counted, wireNotCounted(a.NotCounted)
	resp.Breaker = fillBreaker(&all.breaker, &r.Breaker)
	left := &all.left
	left.AttemptsLeft, left.TaskRetriesLeft = int32(r.Left.Attempts), int32(r.Left.Task)
	left.FleetTokensMilli = r.Left.FleetMilli
	resp.Budgets = left
	if r.Run != nil {
		resp.Run = runSummary(r.Run)
	}
	resp.RetryDenied = byName[pb.DecisionReason](pb.DecisionReason_value, "DECISION_REASON_", a.RetryDenied)
	resp.DeadLetterId, resp.EscalationId = a.Letter, a.Escalation
	resp.DecisionId, resp.Terminal = r.DecisionID, a.Terminal
	resp.RetryScope = wireScope(a, r.Kind)
	if a.WouldAction != operation.ActionUnspecified {
		resp.Would = &pb.WouldDirective{Action: wireAction(a.WouldAction), Reason: wireReason(admit.Reason(a.WouldReason))}
	}
	return resp
}

func fillBreaker(to *pb.BreakerView, b *engine.BreakerView) *pb.BreakerView {
	to.Target, to.State = b.Target, wirePhase(b.Phase)
	to.OpenedNow, to.Generation = b.OpenedNow, b.Generation
	if b.Phase == breaker.Open || b.Phase == breaker.HalfOpen {
		to.Cause = wireCause(b.Cause)
	}
	return to
}

// wireScope says what a RETRY repeats. After ABORTED (R20) that is the
// caller's transaction; the call alone would be aborted again. A tool is
// called again, and not the model that asked for it.
func wireScope(a *operation.Answer, kind string) pb.RetryScope {
	switch {
	case a.Action != operation.Retry:
		return pb.RetryScope_RETRY_SCOPE_UNSPECIFIED
	case a.Reason == classify.ReasonAborted:
		return pb.RetryScope_RETRY_SCOPE_TRANSACTION
	case kind == "tool" || kind == "fast" || kind == "action":
		return pb.RetryScope_RETRY_SCOPE_TOOL_CALL
	default:
		return pb.RetryScope_RETRY_SCOPE_CALL
	}
}

func wireNext(n *engine.NextLevel) *pb.NextLevel {
	if n == nil {
		return nil
	}
	return &pb.NextLevel{Target: n.Target, Level: int32(n.Level), LevelKind: wireKind(n.Kind)}
}
