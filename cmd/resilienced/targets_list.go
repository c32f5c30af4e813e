// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"

	"github.com/spf13/cobra"

	pb "github.com/resilienced/resilienced/gen/resilience/v1"
)

func newTargetsList() *cobra.Command {
	var states enumList[pb.BreakerState]
	cmd := talks(&cobra.Command{
		Use:     "list [GLOB]",
		Aliases: []string{"ls"},
		Short:   "List the targets that policy names or that have been called",
		Long: `List the targets that policy names or that have been called, by name.

GLOB is a pattern as in a policy: * stands for any characters, ? for one.`,
		Example: `  resilienced targets list
  resilienced targets list 'openai/*' --state open,half-open
  resilienced targets list -o name --state open`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: completeTargets,
	}, named(), func(ctx context.Context, s *session, args []string) error {
		all, err := s.listTargets(ctx, argument(args), states.values)
		if err != nil {
			return err
		}
		return s.show(all, func() error {
			if len(all.GetTargets()) == 0 {
				return s.noRows("no target: none has been called and no policy names one, or none is as asked for")
			}
			return targetsTable(all.GetTargets()).Write(s.screen)
		}, func() []string {
			names := make([]string, 0, len(all.GetTargets()))
			for _, t := range all.GetTargets() {
				names = append(names, t.GetTarget())
			}
			return names
		})
	})
	cmd.Flags().Var(&states, "state", "only targets in one of these states, with commas")
	return cmd
}

// argument is the one argument of a command that may have one.
func argument(args []string) string {
	if len(args) == 0 {
		return ""
	}
	return args[0]
}
