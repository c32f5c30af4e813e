// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/resilienced/resilienced/cmd/resilienced/terminal"
	"github.com/resilienced/resilienced/drill/enum"
	pb "github.com/resilienced/resilienced/gen/resilience/v1"
)

func newDecisions() *cobra.Command {
	var reasons enumList[pb.DecisionReason]
	var actions enumList[pb.Action]
	query, since, limit := &pb.ListDecisionsRequest{}, span{}, 100
	cmd := talks(&cobra.Command{
		Use:   "decisions",
		Short: "Show what was refused lately, and what was told to do",
		Long: `Show the decision log, newest first: directives other than continue, and a
sample of the refusals. It is kept for 24 hours.`,
		Example: `  resilienced decisions --target openai/gpt-x --since 1h
  resilienced decisions --run nightly --reason run_budget
  resilienced decisions -o name | head -1 | xargs resilienced explain`,
		Args: cobra.NoArgs,
	}, named(), func(ctx context.Context, s *session, _ []string) error {
		if limit < 1 {
			return fmt.Errorf("--limit is %d; it must be at least 1", limit)
		}
		query.Reasons, query.Actions, query.Since = reasons.values, actions.values, before(&since)
		all, err := s.listDecisions(ctx, query, limit)
		if err != nil {
			return err
		}
		return s.show(all, func() error {
			if len(all.GetDecisions()) == 0 {
				return s.noRows("no decision is as asked for; plain grants are not logged")
			}
			return decisionsTable(all.GetDecisions()).Write(s.screen)
		}, func() []string {
			names := make([]string, 0, len(all.GetDecisions()))
			for _, d := range all.GetDecisions() {
				names = append(names, d.GetDecisionId())
			}
			return names
		})
	})
	flags := cmd.Flags()
	flags.StringVar(&query.Target, "target", "", "only of this `TARGET`")
	flags.StringVar(&query.RunId, "run", "", "only of this `RUN`")
	flags.StringVar(&query.OperationId, "operation", "", "only of this `OPERATION`")
	flags.Var(listing{&reasons, "REASON"}, "reason", "only with one of these reasons, such as run_budget,cooldown")
	flags.Var(&actions, "action", "only with one of these directives")
	flags.Var(&since, "since", "how far back to look, such as 1h (default: all)")
	flags.IntVar(&limit, "limit", limit, "the newest `N`")
	_ = cmd.RegisterFlagCompletionFunc("target", completeTargets) // the flag is there
	_ = cmd.RegisterFlagCompletionFunc("run", completeRuns)       // the flag is there
	return cmd
}

func (s *session) listDecisions(ctx context.Context, query *pb.ListDecisionsRequest, limit int) (*pb.ListDecisionsResponse, error) {
	all := &pb.ListDecisionsResponse{}
	err := s.pages("decisions", func(token string) (string, int, error) {
		query.PageSize, query.PageToken = int32(min(pageSize, limit-len(all.GetDecisions()))), token
		page, err := s.Decisions.ListDecisions(ctx, query)
		if err != nil {
			return "", 0, err
		}
		all.Decisions = append(all.Decisions, page.GetDecisions()...)
		if len(all.GetDecisions()) >= limit {
			return "", limit, nil
		}
		return page.GetNextPageToken(), len(all.GetDecisions()), nil
	})
	return all, err
}

func decisionsTable(decisions []*pb.DecisionRecord) *terminal.Table {
	table := terminal.NewTable(terminal.Columns("WHEN", "TARGET", "ANSWER", "REASON", "BLOCKED BY", "DELAY", "RUN", "=ID")...)
	for _, d := range decisions {
		answer, reason := enum.Word(d.GetDecision()), enum.Word(d.GetReason())
		if d.GetKind() == pb.DecisionKind_DECISION_KIND_REPORT {
			answer, reason = enum.Word(d.GetAction()), d.GetSignalReason()
		}
		delay := ""
		if d.GetDelay().AsDuration() > 0 {
			delay = terminal.Duration(d.GetDelay().AsDuration())
		}
		table.Row(terminal.Cell{Text: age(d.GetAt())}, terminal.Cell{Text: d.GetTarget()},
			terminal.Cell{Text: dash(answer), Style: decisionStyle(d.GetDecision())},
			terminal.Cell{Text: reason}, terminal.Cell{Text: d.GetBlockedBy()}, terminal.Cell{Text: delay},
			terminal.Cell{Text: d.GetRunId()}, terminal.Cell{Text: d.GetDecisionId()})
	}
	return table
}
