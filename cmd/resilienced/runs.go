// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/resilienced/resilienced/cmd/resilienced/terminal"
	"github.com/resilienced/resilienced/drill/enum"
	pb "github.com/resilienced/resilienced/gen/resilience/v1"
)

func newRuns() *cobra.Command {
	return group(&cobra.Command{
		Use:   "runs",
		Short: "The runs: what they spent, and what they may",
		Example: `  resilienced runs top
  resilienced runs start nightly --cost 2.50 --calls 100
  resilienced runs get nightly
  resilienced runs adjust nightly --cost +1.00 --reason 'one more document'
  resilienced runs stop nightly --reason 'it loops'`,
	}, newRunsList(), newRunsGet(), newRunsTop(), newRunsStart(), newRunsAdjust(), newRunsStop(), newRunsFinish())
}

func runStyle(state pb.RunState) terminal.Style {
	switch state {
	case pb.RunState_RUN_STATE_ACTIVE:
		return terminal.Good
	case pb.RunState_RUN_STATE_PRESSURE:
		return terminal.Warn
	case pb.RunState_RUN_STATE_EXHAUSTED, pb.RunState_RUN_STATE_STOPPED:
		return terminal.Bad
	case pb.RunState_RUN_STATE_COMPLETED:
		return terminal.Faint
	case pb.RunState_RUN_STATE_UNSPECIFIED:
	}
	return terminal.Plain
}

// runsTable is the table of list and top.
func runsTable(runs []*pb.Run) *terminal.Table {
	table := terminal.NewTable(terminal.Columns("=RUN", "STATE", ">SPENT", ">ASSUMED", ">RESERVED", ">CAP", ">CALLS", ">TOKENS", "STARTED", "NOTE")...)
	for _, r := range runs {
		table.Row(terminal.Cell{Text: r.GetRunId()},
			terminal.Cell{Text: dash(enum.Word(r.GetState())), Style: runStyle(r.GetState())},
			terminal.Cell{Text: terminal.Money(r.GetSpent().GetCostMicros(), r.GetCurrency())},
			terminal.Cell{Text: moneyOrNone(r.GetAssumed().GetCostMicros(), r.GetCurrency())},
			terminal.Cell{Text: moneyOrNone(r.GetReserved().GetCostMicros(), r.GetCurrency())},
			terminal.Cell{Text: moneyCap(r.GetCaps(), r.GetCurrency())},
			terminal.Cell{Text: of(calls(r), r.GetCaps().GetCalls(), r.GetCaps() != nil && r.GetCaps().Calls != nil)},
			terminal.Cell{Text: of(tokens(r), r.GetCaps().GetTokens(), r.GetCaps() != nil && r.GetCaps().Tokens != nil)},
			terminal.Cell{Text: age(r.GetCreatedAt())},
			terminal.Cell{Text: runNote(r)})
	}
	return table
}

// calls and tokens are what counts against a cap: spent and assumed.
func calls(r *pb.Run) int64  { return r.GetSpent().GetCalls() + r.GetAssumed().GetCalls() }
func tokens(r *pb.Run) int64 { return r.GetSpent().GetTokens() + r.GetAssumed().GetTokens() }

func of(n, limit int64, capped bool) string {
	text := strconv.FormatInt(n, 10)
	if capped {
		text += "/" + strconv.FormatInt(limit, 10)
	}
	return text
}

func moneyOrNone(micros int64, currency string) string {
	if micros == 0 {
		return ""
	}
	return terminal.Money(micros, currency)
}

func moneyCap(caps *pb.Caps, currency string) string {
	if caps == nil || caps.CostMicros == nil {
		return "none"
	}
	return terminal.Money(caps.GetCostMicros(), currency)
}

func runNote(r *pb.Run) string {
	var notes []string
	if r.GetOverrunMicros() > 0 {
		notes = append(notes, "overrun "+terminal.Money(r.GetOverrunMicros(), r.GetCurrency()))
	}
	if r.GetBlockedBy() != "" && r.GetBlockedBy() != r.GetRunId() {
		notes = append(notes, "blocked by "+r.GetBlockedBy())
	}
	if r.GetStopReason() != "" {
		notes = append(notes, r.GetStopReason())
	}
	return strings.Join(notes, "; ")
}

// listRuns reads all pages.
func (s *session) listRuns(ctx context.Context, query *pb.ListRunsRequest) (*pb.ListRunsResponse, error) {
	all := &pb.ListRunsResponse{}
	err := s.pages("runs", func(token string) (string, int, error) {
		query.PageSize, query.PageToken = pageSize, token
		page, err := s.Runs.ListRuns(ctx, query)
		if err != nil {
			return "", 0, err
		}
		all.Runs = append(all.Runs, page.GetRuns()...)
		return page.GetNextPageToken(), len(all.Runs), nil
	})
	return all, err
}

func runNames(runs []*pb.Run) []string {
	names := make([]string, 0, len(runs))
	for _, r := range runs {
		names = append(names, r.GetRunId())
	}
	return names
}

// showRun is how a command answers with one run.
func (s *session) showRun(r *pb.Run) error {
	return s.show(r, func() error { return runDetails(r).Write(s.screen) }, func() []string { return []string{r.GetRunId()} })
}
