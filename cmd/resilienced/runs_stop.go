// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	pb "github.com/resilienced/resilienced/gen/resilience/v1"
)

func newRunsStop() *cobra.Command {
	reason := ""
	cmd := talks(&cobra.Command{
		Use:   "stop RUN",
		Short: "Refuse all further calls of a run and of those below it",
		Long: `Stop a run: every further call of it and of the runs below it is refused, with
the reason that is given here. Calls under way are asked to cancel. A stopped
run does not start again.`,
		Example:           `  resilienced runs stop nightly --reason 'it calls the same tool again and again'`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: completeRuns,
	}, named(), func(ctx context.Context, s *session, args []string) error {
		if reason == "" {
			return errors.New("--reason is required: every refused caller is told")
		}
		got, err := s.Runs.StopRun(ctx, &pb.StopRunRequest{RequestId: newRequestID(), RunId: args[0], Reason: reason, Actor: s.actor})
		if err != nil {
			return err
		}
		return s.showRun(got.GetRun())
	})
	audits(cmd, &reason)
	return cmd
}

func newRunsFinish() *cobra.Command {
	return talks(&cobra.Command{
		Use:   "finish RUN",
		Short: "End a run that is done, and those below it",
		Long:  `End a run that is done. Further calls of it are refused; late reports still settle.`,
		Example: `  resilienced runs finish nightly
  trap 'resilienced runs finish "$RUN"' EXIT`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: completeRuns,
	}, named(), func(ctx context.Context, s *session, args []string) error {
		got, err := s.Runs.FinishRun(ctx, &pb.FinishRunRequest{RequestId: newRequestID(), RunId: args[0]})
		if err != nil {
			return err
		}
		return s.showRun(got.GetRun())
	})
}
