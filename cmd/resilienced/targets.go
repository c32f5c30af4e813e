// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/resilienced/resilienced/cmd/resilienced/terminal"
	"github.com/resilienced/resilienced/drill/enum"
	pb "github.com/resilienced/resilienced/gen/resilience/v1"
)

func newTargets() *cobra.Command {
	return group(&cobra.Command{
		Use:   "targets",
		Short: "The targets: their breakers, cooldowns and slots",
		Example: `  resilienced targets list
  resilienced targets list 'openai/*' --state open
  resilienced targets get openai/gpt-x
  resilienced targets watch
  resilienced targets open openai/gpt-x --for 30m --reason 'provider outage'`,
	}, newTargetsList(), newTargetsGet(), newTargetsWatch(), newTargetsHistory(), newTargetsOpen(), newTargetsClose(), newTargetsAuto())
}

// targetStyle is how a breaker's state stands out.
func targetStyle(state pb.BreakerState) terminal.Style {
	switch state {
	case pb.BreakerState_BREAKER_STATE_OPEN, pb.BreakerState_BREAKER_STATE_FORCED_OPEN:
		return terminal.Bad
	case pb.BreakerState_BREAKER_STATE_HALF_OPEN, pb.BreakerState_BREAKER_STATE_FORCED_CLOSED, pb.BreakerState_BREAKER_STATE_DISABLED:
		return terminal.Warn
	case pb.BreakerState_BREAKER_STATE_CLOSED:
		return terminal.Good
	case pb.BreakerState_BREAKER_STATE_UNSPECIFIED:
	}
	return terminal.Plain
}

// targetName is a target with the credential it is kept apart for.
func targetName(t *pb.Target) string {
	if t.GetCredentialRef() == "" {
		return t.GetTarget()
	}
	return t.GetTarget() + " (" + t.GetCredentialRef() + ")"
}

// targetsTable is the table of list and watch.
func targetsTable(targets []*pb.Target) *terminal.Table {
	table := terminal.NewTable(terminal.Columns("=TARGET", "STATE", "FOR", ">FAILURES", ">CALLS", ">IN USE", "COOLDOWN", "NOTE")...)
	for _, t := range targets {
		table.Row(terminal.Cell{Text: targetName(t)},
			terminal.Cell{Text: dash(enum.Word(t.GetEffectiveState())), Style: targetStyle(t.GetEffectiveState())},
			terminal.Cell{Text: openFor(t)},
			terminal.Cell{Text: strconv.FormatInt(t.GetWindow().GetFailures(), 10)},
			terminal.Cell{Text: strconv.FormatInt(t.GetWindow().GetCalls(), 10)},
			terminal.Cell{Text: slots(t.GetSlots())},
			terminal.Cell{Text: cooldown(t.GetFleetCooldown())},
			terminal.Cell{Text: targetNote(t)})
	}
	return table
}

func openFor(t *pb.Target) string {
	if d := t.GetOpenFor().AsDuration(); d > 0 {
		return terminal.Duration(d)
	}
	if f := t.GetForced(); f.GetRemaining() != nil {
		return terminal.Duration(f.GetRemaining().AsDuration())
	}
	return ""
}

func slots(s *pb.TargetSlots) string {
	switch {
	case s.GetLimit() > 0:
		return fmt.Sprintf("%d/%d", s.GetInUse(), s.GetLimit())
	case s.GetInUse() > 0:
		return strconv.Itoa(int(s.GetInUse()))
	}
	return ""
}

func cooldown(c *pb.FleetCooldown) string {
	if d := c.GetRemaining().AsDuration(); d > 0 {
		return terminal.Duration(d)
	}
	return ""
}

// targetNote is what else a person should know at once.
func targetNote(t *pb.Target) string {
	var notes []string
	if len(t.GetObserved()) > 0 {
		notes = append(notes, "observed: "+strings.Join(t.GetObserved(), ","))
	}
	if cause := enum.Word(t.GetCause()); cause != "" {
		notes = append(notes, cause)
	}
	if f := t.GetForced(); f != nil {
		notes = append(notes, "set by "+dash(f.GetBy())+": "+f.GetReason())
	}
	if n := len(t.GetHeldReporters()); n > 0 {
		notes = append(notes, fmt.Sprintf("%d reporters held", n))
	}
	return strings.Join(notes, "; ")
}

// listTargets reads all pages.
func (s *session) listTargets(ctx context.Context, glob string, states []pb.BreakerState) (*pb.ListTargetsResponse, error) {
	all := &pb.ListTargetsResponse{}
	err := s.pages("targets", func(token string) (string, int, error) {
		page, err := s.Targets.ListTargets(ctx, &pb.ListTargetsRequest{PageSize: pageSize, PageToken: token, NameGlob: glob, States: states})
		if err != nil {
			return "", 0, err
		}
		all.Targets = append(all.Targets, page.GetTargets()...)
		return page.GetNextPageToken(), len(all.Targets), nil
	})
	return all, err
}
