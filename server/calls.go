// SPDX-License-Identifier: Apache-2.0

package server

import (
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/resilienced/resilienced/engine"
	pb "github.com/resilienced/resilienced/gen/resilience/v1"
	"github.com/resilienced/resilienced/rules"
	"github.com/resilienced/resilienced/rules/admit"
	"github.com/resilienced/resilienced/rules/budget"
	"github.com/resilienced/resilienced/rules/classify"
	"github.com/resilienced/resilienced/rules/operation"
)

// maxLookBack is how long calls are recorded.
const maxLookBack = 7 * 24 * time.Hour

// ExportCalls sends the recorded attempts of a time, oldest first. The next
// part is read when the stream has taken the one before.
func (s *decisionService) ExportCalls(r *pb.ExportCallsRequest, stream grpc.ServerStreamingServer[pb.ExportCallsResponse]) error {
	var c checker
	q := &engine.CallsQuery{Namespace: c.namespace(stream.Context()), Since: r.GetSince().AsDuration()}
	c.span("since", r.GetSince(), maxLookBack)
	if err := c.err(); err != nil {
		return err
	}
	return s.engine.ExportCalls(stream.Context(), q, func(p *engine.CallsPart) error {
		message := &pb.ExportCallsResponse{
			Calls: make([]*pb.RecordedCall, 0, len(p.Calls)), Expected: int64(p.Expected), From: wireTime(p.From), Missing: p.Missing,
		}
		for _, call := range p.Calls {
			message.Calls = append(message.Calls, CallToProto(call))
		}
		return stream.Send(message)
	})
}

// CallToProto is a recorded call as it is sent.
func CallToProto(c *engine.Call) *pb.RecordedCall {
	return &pb.RecordedCall{
		AcquiredAt: wireTime(c.AcquiredAt), ReportedAt: wireTime(c.ReportedAt), Late: c.Late,
		Target: c.Target, Chain: c.Chain, Level: int32(c.Level), RunId: c.Run, TaskId: c.Task, OperationId: c.Operation,
		Idempotency: wireIdempotency(c.Idempotency), CredentialRef: c.Credential, ReporterDigest: c.Reporter,
		Fingerprint: c.Fingerprint, Estimate: wireEstimate(c.Estimate), Outcome: wireReported(c.Signal.Outcome),
		Signal: wireSignal(&c.Signal), Quality: wireQuality(c.Signal.Quality), Usage: wireUsage(c.Usage),
		Would: wireReason(c.Would), Duration: wireDelay(c.Signal.Duration), ClassHint: wireClass(c.Signal.ClassHint),
	}
}

func wireEstimate(e budget.Estimate) *pb.Estimate {
	if e == (budget.Estimate{}) {
		return nil
	}
	return &pb.Estimate{CostMicros: e.Cost, InputTokens: e.Input, MaxOutputTokens: e.MaxOutput}
}

func wireUsage(u budget.Usage) *pb.Usage {
	if u == (budget.Usage{}) {
		return nil
	}
	return &pb.Usage{CostMicros: u.Cost, InputTokens: u.Input, OutputTokens: u.Output, CachedTokens: u.Cached}
}

func wireQuality(q classify.QualityVerdict) *pb.Quality {
	if q == classify.QualityNone {
		return nil
	}
	return &pb.Quality{Verdict: wireVerdict(q)}
}

func wireSignal(s *classify.Signal) *pb.Signal {
	w := &pb.Signal{
		GrpcCode: s.GRPCCode, Exception: s.Exception, Phase: wireCallPhase(s.Phase), Headers: s.Headers, BodyCode: s.BodyCode,
	}
	if s.HTTPStatus != 0 {
		w.HttpStatus = new(int32(s.HTTPStatus))
	}
	if s.MCPCode != 0 {
		w.McpCode = new(int32(s.MCPCode))
	}
	if s.HasRetryAfter {
		w.RetryAfter = durationpb.New(s.RetryAfter)
	}
	return w
}

// CallFromProto reads a recorded call. Its error names every field that is
// wrong. Free text that a caller put in is left out.
func CallFromProto(r *pb.RecordedCall) (*engine.Call, error) {
	var c checker
	checkCall(&c, r)
	if err := c.err(); err != nil {
		return nil, err
	}
	report := &pb.ReportRequest{
		Outcome: r.GetOutcome(), Signal: r.GetSignal(), Quality: r.GetQuality(), ClassHint: r.GetClassHint(), Duration: r.GetDuration(),
	}
	call := &engine.Call{
		AcquiredAt: instantOf(r.GetAcquiredAt()), ReportedAt: instantOf(r.GetReportedAt()), Late: r.GetLate(),
		Target: r.GetTarget(), Chain: r.GetChain(), Level: int(r.GetLevel()), Run: r.GetRunId(), Task: r.GetTaskId(),
		Operation: r.GetOperationId(), Idempotency: idempotencyOf(r.GetIdempotency()), Credential: r.GetCredentialRef(),
		Reporter: r.GetReporterDigest(), Fingerprint: r.GetFingerprint(), Would: reasonCalled(r.GetWould()),
		Signal: signalOf(report, safeHeaders(r.GetSignal().GetHeaders())),
	}
	call.Signal.Message = ""
	if e := r.GetEstimate(); e != nil {
		call.Estimate = budget.Estimate{Cost: e.CostMicros, Input: e.InputTokens, MaxOutput: e.MaxOutputTokens}
	}
	if u := r.GetUsage(); u != nil {
		call.Usage = budget.Usage{Cost: u.CostMicros, Input: u.InputTokens, Output: u.OutputTokens, Cached: u.CachedTokens}
	}
	return call, nil
}

func checkCall(c *checker, r *pb.RecordedCall) {
	c.when("acquired_at", r.GetAcquiredAt(), required)
	c.when("reported_at", r.GetReportedAt(), optional)
	if r.GetReportedAt() != nil && len(c.bad) == 0 && instantOf(r.GetReportedAt()) < instantOf(r.GetAcquiredAt()) {
		c.fail("reported_at", "is before acquired_at")
	}
	c.name("target", r.GetTarget(), required)
	c.name("chain", r.GetChain(), optional)
	c.between("level", &r.Level, 0, maxLevel)
	c.id("run_id", r.GetRunId(), optional)
	c.id("task_id", r.GetTaskId(), optional)
	c.id("operation_id", r.GetOperationId(), optional)
	choice(c, "idempotency", r.GetIdempotency(), pb.Idempotency_name, optional)
	c.name("credential_ref", r.GetCredentialRef(), optional)
	c.name("reporter_digest", r.GetReporterDigest(), optional)
	c.name("fingerprint", r.GetFingerprint(), optional)
	if e := r.GetEstimate(); e != nil {
		c.amount("estimate.cost_micros", e.CostMicros)
		c.amount("estimate.input_tokens", e.InputTokens)
		c.amount("estimate.max_output_tokens", e.MaxOutputTokens)
	}
	if r.GetReportedAt() != nil && r.GetOutcome() == 0 {
		choice(c, "outcome", r.GetOutcome(), pb.Outcome_name, required)
	}
	if r.GetOutcome() == pb.Outcome_OUTCOME_RELEASED {
		c.fail("outcome", "is OUTCOME_RELEASED; a call that was never made is not recorded, remove it")
	}
	checkSignal(c, r.GetSignal())
	if u := r.GetUsage(); u != nil {
		c.amount("usage.cost_micros", u.CostMicros)
		c.amount("usage.input_tokens", u.InputTokens)
		c.amount("usage.output_tokens", u.OutputTokens)
		c.amount("usage.cached_tokens", u.CachedTokens)
	}
	c.duration("duration", r.GetDuration(), maxDuration)
}

// when checks the time of a recorded call.
func (c *checker) when(field string, t *timestamppb.Timestamp, p presence) {
	if t == nil {
		if p == required {
			c.fail(field, "is required")
		}
		return
	}
	c.instant(field, t)
	if t.CheckValid() == nil && instantOf(t) <= rules.Instant(0) {
		c.fail(field, "is not after 1970")
	}
}

func wireIdempotency(i operation.Idempotency) pb.Idempotency {
	switch i {
	case operation.Idempotent:
		return pb.Idempotency_IDEMPOTENCY_IDEMPOTENT
	case operation.NonIdempotent:
		return pb.Idempotency_IDEMPOTENCY_NON_IDEMPOTENT
	case operation.IdempotentWithKey:
		return pb.Idempotency_IDEMPOTENCY_IDEMPOTENT_WITH_KEY
	case operation.Unspecified:
	}
	return pb.Idempotency_IDEMPOTENCY_UNSPECIFIED
}

// wireReported is the caller's view of how a call ended.
func wireReported(o classify.Outcome) pb.Outcome {
	switch o {
	case classify.OutcomeSuccess:
		return pb.Outcome_OUTCOME_SUCCESS
	case classify.OutcomeFailure:
		return pb.Outcome_OUTCOME_FAILURE
	case classify.OutcomeCancelled:
		return pb.Outcome_OUTCOME_CANCELLED
	case classify.OutcomeReleased:
		return pb.Outcome_OUTCOME_RELEASED
	case classify.OutcomeUnspecified:
	}
	return pb.Outcome_OUTCOME_UNSPECIFIED
}

// wireCallPhase is a phase that phaseOf reads as the same. The wire has no word
// for connecting, which is before anything was sent.
func wireCallPhase(p classify.Phase) pb.CallPhase {
	switch p {
	case classify.BeforeSend, classify.Connecting:
		return pb.CallPhase_CALL_PHASE_BEFORE_SEND
	case classify.BodySent:
		return pb.CallPhase_CALL_PHASE_BODY_SENT
	case classify.FirstByte:
		return pb.CallPhase_CALL_PHASE_FIRST_BYTE
	case classify.PhaseUnspecified:
	}
	return pb.CallPhase_CALL_PHASE_UNSPECIFIED
}

// wireVerdict is a verdict; one that this version did not know stays unknown.
func wireVerdict(q classify.QualityVerdict) pb.QualityVerdict {
	if q == unknownVerdict {
		return pb.QualityVerdict(unknownVerdict)
	}
	return byName[pb.QualityVerdict](pb.QualityVerdict_value, "QUALITY_VERDICT_", q.String())
}

// reasonCalled is the rules' name for a reason of the wire; empty for none and
// for one that this version does not know.
func reasonCalled(r pb.DecisionReason) admit.Reason {
	name, known := pb.DecisionReason_name[int32(r)]
	if !known || r == 0 {
		return admit.None
	}
	return admit.Reason(name[len("DECISION_REASON_"):])
}
