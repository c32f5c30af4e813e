// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	pb "github.com/resilienced/resilienced/gen/resilience/v1"
)

// capFlags are the dimensions of a budget.
type capFlags struct {
	cost          amount
	calls, tokens amount
	wall          span
}

func newCapFlags(cmd *cobra.Command, what string) *capFlags {
	f := &capFlags{cost: amount{money: true}}
	cmd.Flags().Var(&f.cost, "cost", what+" money in the run's currency, such as 2.50")
	cmd.Flags().Var(&f.calls, "calls", what+" calls")
	cmd.Flags().Var(&f.tokens, "tokens", what+" tokens: input less cached, plus output")
	return f
}

func (f *capFlags) wall64() *int64 {
	if !f.wall.set {
		return nil
	}
	ms := f.wall.length.Milliseconds()
	return &ms
}

// caps are what was given; nil if nothing was.
func (f *capFlags) caps() *pb.Caps {
	c := &pb.Caps{CostMicros: f.cost.number, Calls: f.calls.number, Tokens: f.tokens.number, WallMs: f.wall64()}
	if c.CostMicros == nil && c.Calls == nil && c.Tokens == nil && c.WallMs == nil {
		return nil
	}
	return c
}

func newRunsStart() *cobra.Command {
	var labels pairs
	parent, currency, soft, unlimited := "", "", amount{}, false
	var caps *capFlags
	cmd := talks(&cobra.Command{
		Use:   "start [RUN]",
		Short: "Start a run with caps",
		Long: `Start a run. Calls that name it are counted, and refused at its caps and at
those of the runs above it. What is not capped here takes the run defaults of
the policy; with --unlimited it does not.

Without RUN the server makes an id, which is what -o name prints.`,
		Example: `  resilienced runs start nightly --cost 2.50 --calls 100
  resilienced runs start --parent nightly --cost 0.20
  RUN=$(resilienced runs start --cost 1 -o name)`,
		Args: cobra.MaximumNArgs(1),
	}, named(), func(ctx context.Context, s *session, args []string) error {
		req := &pb.StartRunRequest{
			RequestId: newRequestID(), RunId: argument(args), ParentRunId: parent, Caps: caps.caps(), Currency: currency,
			Labels: labels.values, Unlimited: unlimited,
		}
		if soft.number != nil {
			if *soft.number < 1 || *soft.number > 100 {
				return fmt.Errorf("--soft-percent is %d; it must be 1 to 100", *soft.number)
			}
			percent := int32(*soft.number)
			req.SoftPercent = &percent
		}
		got, err := s.Runs.StartRun(ctx, req)
		if err != nil {
			return err
		}
		return s.showRun(got.GetRun())
	})
	caps = newCapFlags(cmd, "cap on")
	flags := cmd.Flags()
	flags.Var(&caps.wall, "wall", "cap on the time since its start, such as 2h")
	flags.BoolVar(&unlimited, "unlimited", false, "what is not capped here is unlimited, whatever the policy's run defaults")
	flags.StringVar(&parent, "parent", "", "the `RUN` above it, whose caps hold as well")
	flags.StringVar(&currency, "currency", "", "ISO 4217 `CODE` of its money (default: the parent's, else the policy's)")
	flags.Var(&soft, "soft-percent", "share of a cap from which it is under pressure, 1 to 100")
	flags.Var(&labels, "label", "a label; may be repeated")
	return cmd
}
