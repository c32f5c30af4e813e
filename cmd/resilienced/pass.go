// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	pb "github.com/resilienced/resilienced/gen/resilience/v1"
)

func newPass() *cobra.Command {
	length, end, reason := span{}, false, ""
	cmd := talks(&cobra.Command{
		Use:   "pass",
		Short: "Break glass: let everything pass for a while",
		Long: `Break glass: grant every call of the namespace for a while, at most 24 hours,
and keep recording. It ends by itself. Saying it again lengthens or shortens it.
Without --for and --end it says whether a pass holds.`,
		Example: `  resilienced pass --for 1h --reason 'incident 4711: breakers are wrong'
  resilienced pass
  resilienced pass --end`,
		Args: cobra.NoArgs,
	}, answers(), func(ctx context.Context, s *session, _ []string) error {
		switch {
		case end && length.set:
			return errors.New("use --for to begin a pass, or --end to end it")
		case !end && !length.set:
			got, err := s.Policies.GetEnforcement(ctx, &pb.GetEnforcementRequest{})
			if err != nil {
				return err
			}
			return s.showPass(got.GetEnforcement())
		case length.set && length.length <= 0:
			return errors.New("--for must be above 0; to end a pass use --end")
		case length.set && reason == "":
			return errors.New("--reason is required: say why, for those who read the record")
		}
		req := &pb.SetPassRequest{RequestId: newRequestID(), Reason: reason, Actor: s.actor}
		if !end {
			req.Length = length.wire()
		}
		got, err := s.Policies.SetPass(ctx, req)
		if err != nil {
			return err
		}
		return s.showPass(got.GetEnforcement())
	})
	cmd.Flags().Var(&length, "for", "how long, at most 24h")
	cmd.Flags().BoolVar(&end, "end", false, "end it now")
	audits(cmd, &reason)
	return cmd
}

func (s *session) showPass(e *pb.Enforcement) error {
	return s.show(e, func() error {
		if e.GetPass() == nil {
			return s.screen.Line("no pass holds: the rules decide")
		}
		return s.pass(e.GetPass())
	}, nil)
}
