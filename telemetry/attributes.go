// SPDX-License-Identifier: Apache-2.0

package telemetry

import (
	"strings"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	pb "github.com/resilienced/resilienced/gen/resilience/v1"
)

// describe writes what was decided on the span of an Acquire or a Report.
func describe(span trace.Span, req, resp any) {
	switch r := req.(type) {
	case *pb.AcquireRequest:
		if a, ok := resp.(*pb.AcquireResponse); ok && a != nil {
			acquired(span, r, a)
		}
	case *pb.ReportRequest:
		if a, ok := resp.(*pb.ReportResponse); ok && a != nil {
			reported(span, r, a)
		}
	}
}

func acquired(span trace.Span, r *pb.AcquireRequest, a *pb.AcquireResponse) {
	decision := word(a.GetDecision().String(), "DECISION_")
	attrs := []attribute.KeyValue{attrDecision.String(decision)}
	attrs = put(attrs, attrRun, r.GetRunId())
	attrs = put(attrs, attrBreaker, breakerOf(a))
	if p := a.GetPermit(); p != nil {
		attrs = append(attrs, attrTarget.String(p.GetTarget()), attrPermit.String(p.GetPermitId()), attrAttempt.Int64(int64(p.GetAttempt())))
		span.SetAttributes(attrs...)
		return
	}
	target := r.GetTarget()
	if target == "" {
		target = r.GetChain()
	}
	reason := word(a.GetReason().String(), "DECISION_REASON_")
	span.SetAttributes(append(attrs, attrTarget.String(target), attrDenyReason.String(reason))...)
	if a.GetDecision() == pb.Decision_DECISION_GRANTED {
		return // a dry run
	}
	span.AddEvent(eventDenied, trace.WithAttributes(
		attrDecision.String(decision), attrDenyReason.String(reason), attrDelay.Int64(a.GetDelay().AsDuration().Milliseconds()),
	))
}

// breakerOf is the breaker's state as far as an answer to Acquire shows it.
func breakerOf(a *pb.AcquireResponse) string {
	if p := a.GetPermit(); p != nil {
		if p.GetIsProbe() {
			return "HALF_OPEN"
		}
		return ""
	}
	switch a.GetReason() {
	case pb.DecisionReason_DECISION_REASON_BREAKER_OPEN:
		return "OPEN"
	case pb.DecisionReason_DECISION_REASON_PROBE_IN_FLIGHT:
		return "HALF_OPEN"
	case pb.DecisionReason_DECISION_REASON_FORCED_OPEN:
		return "FORCED_OPEN"
	default:
		return ""
	}
}

func reported(span trace.Span, r *pb.ReportRequest, a *pb.ReportResponse) {
	attrs := []attribute.KeyValue{attrAction.String(word(a.GetAction().String(), "ACTION_"))}
	attrs = put(attrs, attrPermit, r.GetPermitId())
	attrs = put(attrs, attrRun, a.GetRun().GetRunId())
	if b := a.GetBreaker(); b != nil {
		attrs = append(attrs, attrTarget.String(b.GetTarget()), attrBreaker.String(word(b.GetState().String(), "BREAKER_STATE_")))
	}
	if d := a.GetRetryDenied(); d != pb.DecisionReason_DECISION_REASON_UNSPECIFIED {
		attrs = append(attrs, attrDenyReason.String(word(d.String(), "DECISION_REASON_")))
	}
	span.SetAttributes(attrs...)
}

// put adds an attribute that has a value.
func put(attrs []attribute.KeyValue, key attribute.Key, value string) []attribute.KeyValue {
	if value == "" {
		return attrs
	}
	return append(attrs, key.String(value))
}

// word is an enum value's name without its prefix.
func word(name, prefix string) string { return strings.TrimPrefix(name, prefix) }
