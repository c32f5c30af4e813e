// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// newReport is two commands in one: with a permit it tells how a call went,
// without one it sums up what all calls did.
func newReport() *cobra.Command {
	var call *callFlags
	var sum *summaryFlags
	cmd := talks(&cobra.Command{
		Use:   "report [PERMIT]",
		Short: "Sum up what was refused or would have been; with PERMIT: tell how a call went",
		Long: `Two things have this name.

report, without a permit, sums up the last hour, or --since: what was asked,
granted and refused, and for targets that are only observed, what would have been
refused, what those calls cost, retries that came too early, breakers that would
have opened, and which targets to switch on first, with the command that does it.

report PERMIT tells the service how the call of that permit went, and prints what
it says to do next: continue, retry after a delay, fall back, dead-letter,
escalate, stop.`,
		Example: `  resilienced report
  resilienced report --since 24h --target 'openai/*'
  resilienced report "$PERMIT" --outcome success --duration 800ms --cost 0.004
  resilienced report "$PERMIT" --outcome failure --status 429 --header retry-after=5`,
		Args: cobra.MaximumNArgs(1),
	}, answers(), func(ctx context.Context, s *session, args []string) error {
		if len(args) == 0 {
			if err := call.unused("it is about one call: name its permit"); err != nil {
				return err
			}
			return s.summary(ctx, sum)
		}
		if err := sum.unused("it is for the summary, which takes no permit"); err != nil {
			return err
		}
		return s.reportCall(ctx, args[0], call)
	})
	sum = newSummaryFlags(cmd)
	call = newCallFlags(cmd)
	return cmd
}

// flagsOf remembers which flags were added while add ran.
func flagsOf(cmd *cobra.Command, add func(*pflag.FlagSet)) *pflag.FlagSet {
	own := pflag.NewFlagSet("", pflag.ContinueOnError)
	own.SortFlags = false
	add(own)
	cmd.Flags().AddFlagSet(own)
	return own
}

// noneSet refuses flags that were given to the wrong one of the two uses.
func noneSet(flags *pflag.FlagSet, why string) error {
	var wrong error
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Changed && wrong == nil {
			wrong = fmt.Errorf("--%s: %s", f.Name, why)
		}
	})
	return wrong
}
