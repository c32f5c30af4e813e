// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"

	"github.com/spf13/cobra"

	pb "github.com/resilienced/resilienced/gen/resilience/v1"
)

func newRunsList() *cobra.Command {
	var states enumList[pb.RunState]
	var labels pairs
	parent := ""
	cmd := talks(&cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "List the runs, by id",
		Example: `  resilienced runs list
  resilienced runs list --state active,pressure
  resilienced runs list --parent nightly --label team=search -o json`,
		Args: cobra.NoArgs,
	}, named(), func(ctx context.Context, s *session, _ []string) error {
		all, err := s.listRuns(ctx, &pb.ListRunsRequest{States: states.values, ParentRunId: parent, Labels: labels.values})
		if err != nil {
			return err
		}
		return s.show(all, func() error {
			if len(all.GetRuns()) == 0 {
				return s.noRows("no run is as asked for; start one with: resilienced runs start")
			}
			return runsTable(all.GetRuns()).Write(s.screen)
		}, func() []string { return runNames(all.GetRuns()) })
	})
	cmd.Flags().Var(&states, "state", "only runs in one of these states, with commas")
	cmd.Flags().StringVar(&parent, "parent", "", "only direct children of this `RUN`")
	cmd.Flags().Var(&labels, "label", "only runs with this label; may be repeated")
	return cmd
}
