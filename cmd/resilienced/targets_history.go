// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/resilienced/resilienced/cmd/resilienced/terminal"
	"github.com/resilienced/resilienced/drill/enum"
	pb "github.com/resilienced/resilienced/gen/resilience/v1"
)

func newTargetsHistory() *cobra.Command {
	since, credential := span{}, ""
	cmd := talks(&cobra.Command{
		Use:   "history TARGET",
		Short: "Show when a target's breaker opened and closed, and why",
		Long:  `Show the changes of a target's breaker of the last 30 days, newest first.`,
		Example: `  resilienced targets history openai/gpt-x
  resilienced targets history openai/gpt-x --since 7d -o json`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: completeTargets,
	}, answers(), func(ctx context.Context, s *session, args []string) error {
		all := &pb.ListTransitionsResponse{}
		err := s.pages("transitions", func(token string) (string, int, error) {
			req := &pb.ListTransitionsRequest{Target: args[0], CredentialRef: credential, PageSize: pageSize, PageToken: token, Since: before(&since)}
			page, err := s.Targets.ListTransitions(ctx, req)
			if err != nil {
				return "", 0, err
			}
			all.Transitions = append(all.Transitions, page.GetTransitions()...)
			return page.GetNextPageToken(), len(all.Transitions), nil
		})
		if err != nil {
			return err
		}
		return s.show(all, func() error {
			if len(all.GetTransitions()) == 0 {
				return s.noRows("no change in that time")
			}
			return historyTable(all.GetTransitions()).Write(s.screen)
		}, nil)
	})
	cmd.Flags().Var(&since, "since", "how far back to look, such as 7d (default: all 30 days)")
	cmd.Flags().StringVar(&credential, "credential", "", "`NAME` of the credential, where policy keeps the target apart by it")
	return cmd
}

func historyTable(changes []*pb.TargetTransition) *terminal.Table {
	table := terminal.NewTable(terminal.Columns("WHEN", "FROM", "TO", "CAUSE", "BY", "REASON")...)
	for _, c := range changes {
		table.Row(terminal.Cell{Text: age(c.GetAt())}, terminal.Cell{Text: dash(enum.Word(c.GetFrom()))},
			terminal.Cell{Text: dash(enum.Word(c.GetTo())), Style: targetStyle(c.GetTo())},
			terminal.Cell{Text: enum.Word(c.GetCause())}, terminal.Cell{Text: c.GetActor()}, terminal.Cell{Text: c.GetReason()})
	}
	return table
}

// before is the instant that lies a span ago; nil if none was given.
func before(s *span) *timestamppb.Timestamp {
	if !s.set {
		return nil
	}
	return timestamppb.New(time.Now().Add(-s.length))
}
