// SPDX-License-Identifier: Apache-2.0

package server

import (
	"github.com/resilienced/resilienced/engine"
	pb "github.com/resilienced/resilienced/gen/resilience/v1"
	"github.com/resilienced/resilienced/rules/budget"
)

// summary lays the parts of a run's summary side by side.
type summary struct {
	run                      pb.RunSummary
	spent, reserved, assumed pb.Amounts
	remaining                pb.Caps
}

// runSummary is the part of a run that goes with each answer about a call.
func runSummary(v *engine.RunView) *pb.RunSummary {
	all := &summary{}
	r := &all.run
	r.RunId, r.State = v.Run.ID, wireRunState(v.State)
	r.Spent = fillAmounts(&all.spent, v.Run.Spent)
	r.Spent.WallMs = v.Wall.Milliseconds()
	r.Reserved = fillAmounts(&all.reserved, v.Run.Reserved)
	r.Assumed = fillAmounts(&all.assumed, v.Run.Assumed)
	r.Remaining = fillCaps(&all.remaining, &v.Remaining)
	return r
}

// fillCaps shares the numbers, which nobody changes.
func fillCaps(to *pb.Caps, c *budget.Caps) *pb.Caps {
	to.CostMicros, to.Tokens, to.Calls, to.WallMs = c.Cost, c.Tokens, c.Calls, c.WallMS
	return to
}

func wireRun(v *engine.RunView) *pb.Run {
	r := v.Run
	run := &pb.Run{
		RunId: r.ID, State: wireRunState(v.State), Currency: r.Currency, SoftPercent: int32(r.SoftPercent),
		Spent:         fillAmounts(&pb.Amounts{}, r.Spent),
		Reserved:      fillAmounts(&pb.Amounts{}, r.Reserved),
		Assumed:       fillAmounts(&pb.Amounts{}, r.Assumed),
		OverrunMicros: v.Overrun, Remaining: fillCaps(&pb.Caps{}, &v.Remaining), BlockedBy: v.BlockedBy,
		CreatedAt: wireTime(r.CreatedAt), FinishedAt: wireTime(r.FinalAt), Labels: r.Labels,
	}
	run.Spent.WallMs = v.Wall.Milliseconds()
	if n := len(r.Path); n > 1 {
		run.ParentRunId = r.Path[n-2]
	}
	if run.SoftPercent == 0 {
		run.SoftPercent = budget.DefaultSoftPercent
	}
	if r.Caps != (budget.Caps{}) {
		run.Caps = fillCaps(&pb.Caps{}, &r.Caps)
	}
	if v.State == budget.Stopped {
		run.StopReason = r.FinalReason
	}
	return run
}
