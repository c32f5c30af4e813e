// SPDX-License-Identifier: Apache-2.0

package server

import (
	"strconv"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/resilienced/resilienced/engine"
	pb "github.com/resilienced/resilienced/gen/resilience/v1"
	"github.com/resilienced/resilienced/rules/breaker"
)

// wireTarget is a target as it reads at the view's time.
func wireTarget(v *engine.TargetView) *pb.Target {
	b := &v.Control.Breaker
	t := &pb.Target{
		Target: v.Name, EffectiveState: wirePhase(b.Phase), StoredState: wirePhase(v.Stored), Generation: b.Generation,
		ConsecutiveFailures: int32(b.Consecutive), ConsecutiveQuality: int32(b.Quality), AuthStreak: int32(b.Auth),
		Cycles: int32(b.Cycles), Cooldown: wireDelay(b.LastCooldown), RetryTokensMilli: v.FleetMilli,
		FleetCooldown: wireCooldown(v), Slots: &pb.TargetSlots{InUse: int32(len(v.Control.Slots))},
		Window: &pb.TargetWindow{}, Observed: v.Observed,
	}
	if b.Phase == breaker.Open || b.Phase == breaker.HalfOpen {
		t.Cause = wireCause(b.Cause)
	}
	if b.Phase == breaker.Open {
		t.OpenFor = wireRemaining(b.OpenUntil, v.Now)
	}
	for _, p := range b.Probes {
		t.Probes = append(t.Probes, &pb.TargetProbe{OperationId: p.Operation, Remaining: wireRemaining(p.Expires, v.Now)})
	}
	if b.Forced() {
		t.Forced = &pb.TargetForced{By: b.ForcedBy, Reason: b.ForcedReason, Remaining: wireRemaining(b.ForcedUntil, v.Now)}
	}
	if v.Config != nil {
		t.Slots.Limit = int32(v.Config.Limit.Concurrency)
	}
	t.Window = wireWindow(v)
	for _, h := range v.Control.Held {
		t.HeldReporters = append(t.HeldReporters, &pb.HeldReporter{
			ReporterDigest: strconv.FormatUint(h.Reporter, 16), Remaining: wireRemaining(h.Until, v.Now),
		})
	}
	for i := len(v.Transitions) - 1; i >= 0; i-- {
		t.LastTransitions = append(t.LastTransitions, wireTransition(&v.Transitions[i]))
	}
	return t
}

func wireWindow(v *engine.TargetView) *pb.TargetWindow {
	w := &pb.TargetWindow{
		Calls: v.Window.Successes + v.Window.Failures, Failures: v.Window.Failures, Slow: v.Window.Slow,
	}
	if v.Config != nil && v.Config.Breaker.Window > 0 {
		w.Length = durationpb.New(v.Config.Breaker.Window)
	}
	return w
}

func wireCooldown(v *engine.TargetView) *pb.FleetCooldown {
	left := wireRemaining(v.Cooldown.Until, v.Now)
	if left == nil {
		return nil
	}
	return &pb.FleetCooldown{
		Remaining: left, Cause: v.Cooldown.Cause, RawValue: v.Cooldown.Raw, SourceOperationId: v.Cooldown.Source,
	}
}

func wireTransition(t *breaker.Transition) *pb.TargetTransition {
	w := &pb.TargetTransition{
		At: wireTime(t.At), From: wirePhase(t.From), To: wirePhase(t.To), Generation: t.Generation,
		Actor: t.By, Reason: t.Reason,
	}
	if t.To == breaker.Open {
		w.Cause = wireCause(t.Cause)
	}
	return w
}
