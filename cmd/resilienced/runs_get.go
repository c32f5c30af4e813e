// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/resilienced/resilienced/cmd/resilienced/terminal"
	"github.com/resilienced/resilienced/drill/enum"
	pb "github.com/resilienced/resilienced/gen/resilience/v1"
)

func newRunsGet() *cobra.Command {
	return talks(&cobra.Command{
		Use:   "get RUN",
		Short: "Show one run: caps, what is spent, what is left",
		Example: `  resilienced runs get nightly
  resilienced runs get nightly -o json | jq .spent.cost_micros`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: completeRuns,
	}, answers(), func(ctx context.Context, s *session, args []string) error {
		got, err := s.Runs.GetRun(ctx, &pb.GetRunRequest{RunId: args[0]})
		if err != nil {
			return err
		}
		return s.showRun(got.GetRun())
	})
}

func runDetails(r *pb.Run) details {
	d := newDetails()
	d.add("run", r.GetRunId())
	d.add("parent", r.GetParentRunId())
	d.styled("state", enum.Word(r.GetState()), runStyle(r.GetState()))
	if r.GetBlockedBy() != r.GetRunId() {
		d.add("blocked by", r.GetBlockedBy())
	}
	d.add("stopped because", r.GetStopReason())
	d.add("started", age(r.GetCreatedAt()))
	d.add("ended", age(r.GetFinishedAt()))
	currency := r.GetCurrency()
	d.add("cost", budgetLine(r, func(a *pb.Amounts) int64 { return a.GetCostMicros() }, func(c *pb.Caps) *int64 { return c.CostMicros },
		func(n int64) string { return terminal.Money(n, currency) }))
	count := func(n int64) string { return strconv.FormatInt(n, 10) }
	d.add("tokens", budgetLine(r, func(a *pb.Amounts) int64 { return a.GetTokens() }, func(c *pb.Caps) *int64 { return c.Tokens }, count))
	d.add("calls", budgetLine(r, func(a *pb.Amounts) int64 { return a.GetCalls() }, func(c *pb.Caps) *int64 { return c.Calls }, count))
	if wall := r.GetCaps(); wall != nil && wall.WallMs != nil {
		d.add("time", budgetLine(r, func(a *pb.Amounts) int64 { return a.GetWallMs() }, func(c *pb.Caps) *int64 { return c.WallMs },
			func(n int64) string { return terminal.Duration(time.Duration(n) * time.Millisecond) }))
	}
	if r.GetOverrunMicros() > 0 {
		d.styled("overrun", terminal.Money(r.GetOverrunMicros(), currency), terminal.Bad)
	}
	d.add("soft limit", fmt.Sprintf("%d%%", r.GetSoftPercent()))
	for _, name := range slices.Sorted(maps.Keys(r.GetLabels())) {
		d.add("label "+name, r.GetLabels()[name])
	}
	return d
}

// budgetLine is one dimension of a run's budget in words.
func budgetLine(r *pb.Run, of func(*pb.Amounts) int64, limit func(*pb.Caps) *int64, text func(int64) string) string {
	line := text(of(r.GetSpent())) + " spent"
	if n := of(r.GetAssumed()); n != 0 {
		line += ", " + text(n) + " assumed"
	}
	if n := of(r.GetReserved()); n != 0 {
		line += ", " + text(n) + " reserved"
	}
	if caps := r.GetCaps(); caps != nil && limit(caps) != nil {
		line += " of " + text(*limit(caps))
	} else {
		line += ", no cap of its own"
	}
	if left := r.GetRemaining(); left != nil && limit(left) != nil {
		line += ", " + text(*limit(left)) + " left"
	}
	return line
}
