// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	pb "github.com/resilienced/resilienced/gen/resilience/v1"
)

func newRunsAdjust() *cobra.Command {
	reason := ""
	var caps *capFlags
	cmd := talks(&cobra.Command{
		Use:   "adjust RUN",
		Short: "Raise or lower a run's caps",
		Long: `Change a run's caps. A number with a sign is added to the cap; one without
replaces it. Caps that are not named stay. A run that is exhausted goes on when
its new cap allows it.

Signed and unsigned numbers cannot be mixed in one call.`,
		Example: `  resilienced runs adjust nightly --cost +1.00 --reason 'one more document'
  resilienced runs adjust nightly --cost 5.00 --calls 200 --reason 'new plan'`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: completeRuns,
	}, named(), func(ctx context.Context, s *session, args []string) error {
		if reason == "" {
			return errors.New("--reason is required: say why, for those who read the record")
		}
		req := &pb.AdjustRunRequest{RequestId: newRequestID(), RunId: args[0], Reason: reason, Actor: s.actor}
		signed, plain := caps.signs()
		switch {
		case signed && plain:
			return errors.New("numbers with a sign are added and others replace; use one kind in one call")
		case signed:
			req.Change = &pb.AdjustRunRequest_Delta{Delta: &pb.Amounts{
				CostMicros: number(caps.cost), Calls: number(caps.calls), Tokens: number(caps.tokens),
			}}
		case plain:
			whole, err := s.replaced(ctx, args[0], caps)
			if err != nil {
				return err
			}
			req.Change = &pb.AdjustRunRequest_Caps{Caps: whole}
		default:
			return errors.New("name what to change: --cost, --calls, --tokens or --wall")
		}
		got, err := s.Runs.AdjustRun(ctx, req)
		if err != nil {
			return err
		}
		return s.showRun(got.GetRun())
	})
	caps = newCapFlags(cmd, "change or new cap of")
	cmd.Flags().Var(&caps.wall, "wall", "new cap on the time since its start, such as 2h")
	audits(cmd, &reason)
	return cmd
}

// signs tells whether some numbers are changes, and whether some are caps.
func (f *capFlags) signs() (signed, plain bool) {
	plain = f.wall.set
	for _, a := range []amount{f.cost, f.calls, f.tokens} {
		signed = signed || a.number != nil && a.signed
		plain = plain || a.number != nil && !a.signed
	}
	return signed, plain
}

func number(a amount) int64 {
	if a.number == nil {
		return 0
	}
	return *a.number
}

// replaced are the caps that the run has now, with those of the flags over
// them: the server replaces all of them at once.
func (s *session) replaced(ctx context.Context, run string, f *capFlags) (*pb.Caps, error) {
	now, err := s.Runs.GetRun(ctx, &pb.GetRunRequest{RunId: run})
	if err != nil {
		return nil, err
	}
	caps := now.GetRun().GetCaps()
	if caps == nil {
		caps = &pb.Caps{}
	}
	for _, c := range []struct{ to, from **int64 }{
		{&caps.CostMicros, &f.cost.number}, {&caps.Calls, &f.calls.number}, {&caps.Tokens, &f.tokens.number},
	} {
		if *c.from != nil {
			*c.to = *c.from
		}
	}
	if f.wall.set {
		caps.WallMs = f.wall64()
	}
	return caps, nil
}
