// SPDX-License-Identifier: Apache-2.0

package server

import (
	pb "github.com/resilienced/resilienced/gen/resilience/v1"
	"github.com/resilienced/resilienced/rules/admit"
	"github.com/resilienced/resilienced/rules/breaker"
	"github.com/resilienced/resilienced/rules/budget"
	"github.com/resilienced/resilienced/rules/classify"
	"github.com/resilienced/resilienced/rules/deadletter"
	"github.com/resilienced/resilienced/rules/escalation"
	"github.com/resilienced/resilienced/rules/fallback"
	"github.com/resilienced/resilienced/rules/operation"
)

// The words of the rules and those of the wire are the same in upper snake
// case. Where the rules have a name, the wire's value is found by it; where
// they have a number only, a switch that the linter keeps complete maps it. A
// test goes through every value of both sides.

// byName finds a value of a wire enum by the rules' name for it; 0 if the wire
// has none.
func byName[E ~int32](values map[string]int32, prefix, name string) E {
	if name == "" {
		return 0
	}
	return E(values[prefix+name])
}

func wireReason(r admit.Reason) pb.DecisionReason {
	return byName[pb.DecisionReason](pb.DecisionReason_value, "DECISION_REASON_", string(r))
}

func wireNotCounted(name string) pb.NotCountedBecause {
	return byName[pb.NotCountedBecause](pb.NotCountedBecause_value, "NOT_COUNTED_BECAUSE_", name)
}

func wireOutcome(o admit.Outcome) pb.Decision {
	switch o {
	case admit.Granted:
		return pb.Decision_DECISION_GRANTED
	case admit.Wait:
		return pb.Decision_DECISION_WAIT
	case admit.Denied:
		return pb.Decision_DECISION_DENIED
	}
	return pb.Decision_DECISION_UNSPECIFIED
}

func wireAction(a operation.Action) pb.Action {
	switch a {
	case operation.Continue:
		return pb.Action_ACTION_CONTINUE
	case operation.Retry:
		return pb.Action_ACTION_RETRY
	case operation.Fallback:
		return pb.Action_ACTION_FALLBACK
	case operation.DeadLetter:
		return pb.Action_ACTION_DEAD_LETTER
	case operation.Escalate:
		return pb.Action_ACTION_ESCALATE
	case operation.Stop:
		return pb.Action_ACTION_STOP
	case operation.ActionUnspecified:
	}
	return pb.Action_ACTION_UNSPECIFIED
}

func wireKind(k fallback.Kind) pb.LevelKind {
	switch k {
	case fallback.Primary:
		return pb.LevelKind_LEVEL_KIND_PRIMARY
	case fallback.SameProviderCheaper:
		return pb.LevelKind_LEVEL_KIND_SAME_PROVIDER_CHEAPER
	case fallback.CrossProvider:
		return pb.LevelKind_LEVEL_KIND_CROSS_PROVIDER
	case fallback.SelfHosted:
		return pb.LevelKind_LEVEL_KIND_SELF_HOSTED
	case fallback.RuleBased:
		return pb.LevelKind_LEVEL_KIND_RULE_BASED
	case fallback.HumanQueue:
		return pb.LevelKind_LEVEL_KIND_HUMAN_QUEUE
	}
	return pb.LevelKind_LEVEL_KIND_UNSPECIFIED
}

func wireSource(s budget.Source) pb.EstimateSource {
	switch s {
	case budget.SourceExplicit:
		return pb.EstimateSource_ESTIMATE_SOURCE_EXPLICIT
	case budget.SourceTokens:
		return pb.EstimateSource_ESTIMATE_SOURCE_TOKENS
	case budget.SourcePerCall:
		return pb.EstimateSource_ESTIMATE_SOURCE_PER_CALL_PRICE
	case budget.SourceHistory:
		return pb.EstimateSource_ESTIMATE_SOURCE_RECENT_CALLS
	case budget.SourceDefault:
		return pb.EstimateSource_ESTIMATE_SOURCE_POLICY_DEFAULT
	case budget.SourceUnpriced:
		return pb.EstimateSource_ESTIMATE_SOURCE_UNPRICED
	case budget.SourceNone:
	}
	return pb.EstimateSource_ESTIMATE_SOURCE_UNSPECIFIED
}

func wireRunState(s budget.State) pb.RunState {
	switch s {
	case budget.Active:
		return pb.RunState_RUN_STATE_ACTIVE
	case budget.Pressure:
		return pb.RunState_RUN_STATE_PRESSURE
	case budget.Exhausted:
		return pb.RunState_RUN_STATE_EXHAUSTED
	case budget.Stopped:
		return pb.RunState_RUN_STATE_STOPPED
	case budget.Completed:
		return pb.RunState_RUN_STATE_COMPLETED
	}
	return pb.RunState_RUN_STATE_UNSPECIFIED
}

func wirePhase(p breaker.Phase) pb.BreakerState {
	switch p {
	case breaker.Closed:
		return pb.BreakerState_BREAKER_STATE_CLOSED
	case breaker.Open:
		return pb.BreakerState_BREAKER_STATE_OPEN
	case breaker.HalfOpen:
		return pb.BreakerState_BREAKER_STATE_HALF_OPEN
	case breaker.ForcedOpen:
		return pb.BreakerState_BREAKER_STATE_FORCED_OPEN
	case breaker.ForcedClosed:
		return pb.BreakerState_BREAKER_STATE_FORCED_CLOSED
	case breaker.Disabled:
		return pb.BreakerState_BREAKER_STATE_DISABLED
	}
	return pb.BreakerState_BREAKER_STATE_UNSPECIFIED
}

func wireCause(c breaker.Cause) pb.BreakerCause {
	switch c {
	case breaker.CauseTransport:
		return pb.BreakerCause_BREAKER_CAUSE_TRANSPORT
	case breaker.CauseQuality:
		return pb.BreakerCause_BREAKER_CAUSE_QUALITY
	case breaker.CauseAuth:
		return pb.BreakerCause_BREAKER_CAUSE_AUTH
	case breaker.CauseProbeAbandoned:
		return pb.BreakerCause_BREAKER_CAUSE_PROBE_ABANDONED
	case breaker.CauseNone:
	}
	return pb.BreakerCause_BREAKER_CAUSE_UNSPECIFIED
}

func wireClass(c classify.Class) pb.Class {
	if c == classify.ClassUnspecified {
		return pb.Class_CLASS_UNSPECIFIED
	}
	return byName[pb.Class](pb.Class_value, "CLASS_", c.String())
}

func wireCertainty(c classify.Certainty) pb.Certainty {
	if c == classify.CertaintyUnspecified {
		return pb.Certainty_CERTAINTY_UNSPECIFIED
	}
	return byName[pb.Certainty](pb.Certainty_value, "CERTAINTY_", c.String())
}

func wireLetterState(s deadletter.State) pb.DeadLetterState {
	return byName[pb.DeadLetterState](pb.DeadLetterState_value, "DEAD_LETTER_STATE_", s.String())
}

func wireLetterKind(k deadletter.Kind) pb.DeadLetterKind {
	return byName[pb.DeadLetterKind](pb.DeadLetterKind_value, "DEAD_LETTER_KIND_", k.String())
}

func wireReplayPolicy(p deadletter.ReplayPolicy) pb.ReplayPolicy {
	return byName[pb.ReplayPolicy](pb.ReplayPolicy_value, "REPLAY_POLICY_", p.String())
}

func wireEscalationState(s escalation.State) pb.EscalationState {
	return byName[pb.EscalationState](pb.EscalationState_value, "ESCALATION_STATE_", s.String())
}

func wireDefault(d escalation.Default) pb.DefaultAction {
	return byName[pb.DefaultAction](pb.DefaultAction_value, "DEFAULT_ACTION_", d.String())
}

// From the wire. A word of a newer client is treated as the unknown of its
// kind (G11) where it describes; where it commands, choice has refused it.

func idempotencyOf(i pb.Idempotency) operation.Idempotency {
	switch i {
	case pb.Idempotency_IDEMPOTENCY_IDEMPOTENT:
		return operation.Idempotent
	case pb.Idempotency_IDEMPOTENCY_NON_IDEMPOTENT:
		return operation.NonIdempotent
	case pb.Idempotency_IDEMPOTENCY_IDEMPOTENT_WITH_KEY:
		return operation.IdempotentWithKey
	case pb.Idempotency_IDEMPOTENCY_UNSPECIFIED:
	}
	return operation.Unspecified
}

// modeOf is for modes that choice has let through.
func modeOf(m pb.BreakerMode) breaker.Phase {
	switch m {
	case pb.BreakerMode_BREAKER_MODE_AUTO:
		return breaker.Closed
	case pb.BreakerMode_BREAKER_MODE_FORCED_OPEN:
		return breaker.ForcedOpen
	case pb.BreakerMode_BREAKER_MODE_FORCED_CLOSED:
		return breaker.ForcedClosed
	case pb.BreakerMode_BREAKER_MODE_DISABLED:
		return breaker.Disabled
	case pb.BreakerMode_BREAKER_MODE_UNSPECIFIED:
	}
	return breaker.Closed
}

func outcomeOf(o pb.Outcome) classify.Outcome {
	switch o {
	case pb.Outcome_OUTCOME_SUCCESS:
		return classify.OutcomeSuccess
	case pb.Outcome_OUTCOME_FAILURE:
		return classify.OutcomeFailure
	case pb.Outcome_OUTCOME_CANCELLED:
		return classify.OutcomeCancelled
	case pb.Outcome_OUTCOME_RELEASED:
		return classify.OutcomeReleased
	case pb.Outcome_OUTCOME_UNSPECIFIED:
	}
	return classify.OutcomeUnspecified
}

// phaseOf joins what the rules do not tell apart: a body that left in part may
// have been acted upon like one that left in full.
func phaseOf(p pb.CallPhase) classify.Phase {
	switch p {
	case pb.CallPhase_CALL_PHASE_BEFORE_SEND:
		return classify.BeforeSend
	case pb.CallPhase_CALL_PHASE_SENDING, pb.CallPhase_CALL_PHASE_BODY_SENT:
		return classify.BodySent
	case pb.CallPhase_CALL_PHASE_FIRST_BYTE, pb.CallPhase_CALL_PHASE_COMPLETE:
		return classify.FirstByte
	case pb.CallPhase_CALL_PHASE_UNSPECIFIED:
	}
	return classify.PhaseUnspecified
}

// unknownVerdict is no verdict of the table, so that a complaint that this
// version does not know is UNKNOWN and never a success (G5).
const unknownVerdict classify.QualityVerdict = 255

func verdictOf(v pb.QualityVerdict) classify.QualityVerdict {
	name, known := pb.QualityVerdict_name[int32(v)]
	switch {
	case v == 0:
		return classify.QualityNone
	case !known:
		return unknownVerdict
	}
	q, ok := classify.ParseQualityVerdict(name[len("QUALITY_VERDICT_"):])
	if !ok {
		return unknownVerdict
	}
	return q
}

func classOf(c pb.Class) classify.Class {
	name, known := pb.Class_name[int32(c)]
	if !known || c == 0 {
		return classify.ClassUnspecified
	}
	class, _ := classify.ParseClass(name[len("CLASS_"):])
	return class
}
