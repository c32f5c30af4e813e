// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/resilienced/resilienced/cmd/resilienced/terminal"
	"github.com/resilienced/resilienced/drill/enum"
	pb "github.com/resilienced/resilienced/gen/resilience/v1"
)

func newTargetsOpen() *cobra.Command {
	return setsBreaker(pb.BreakerMode_BREAKER_MODE_FORCED_OPEN, &cobra.Command{
		Use:   "open TARGET",
		Short: "Refuse all calls of a target for a while",
		Long: `Hold a target's breaker open: all its calls are refused, and those with a
chain fall back. After --for, or with 'targets auto', the rules decide again.`,
		Example: `  resilienced targets open openai/gpt-x --for 30m --reason 'provider outage'
  resilienced targets auto openai/gpt-x --reason 'it is over'`,
	})
}

func newTargetsClose() *cobra.Command {
	return setsBreaker(pb.BreakerMode_BREAKER_MODE_FORCED_CLOSED, &cobra.Command{
		Use:   "close TARGET",
		Short: "Let all calls of a target pass its breaker for a while",
		Long: `Hold a target's breaker closed: it opens for no failure, though it counts
them. Cooldowns, limits and budgets still hold; 'resilienced pass' lifts all.`,
		Example: `  resilienced targets close tool/search --for 10m --reason 'the alarm is false'`,
	})
}

func newTargetsAuto() *cobra.Command {
	return setsBreaker(pb.BreakerMode_BREAKER_MODE_AUTO, &cobra.Command{
		Use:     "auto TARGET",
		Short:   "Give a target's breaker back to the rules",
		Long:    `End 'targets open' or 'targets close'. The breaker starts closed with empty counts, whatever it was.`,
		Example: `  resilienced targets auto openai/gpt-x --reason 'the provider says it is over'`,
	})
}

// setsBreaker completes a command that holds a breaker or frees it.
func setsBreaker(mode pb.BreakerMode, cmd *cobra.Command) *cobra.Command {
	length, credential, reason := span{}, "", ""
	cmd.Args = cobra.ExactArgs(1)
	cmd.ValidArgsFunction = completeTargets
	talks(cmd, answers(), func(ctx context.Context, s *session, args []string) error {
		if reason == "" {
			return errors.New("--reason is required: say why, for those who read the record")
		}
		if length.set && length.length == 0 {
			return errors.New("--for must be above 0")
		}
		got, err := s.Targets.SetBreaker(ctx, &pb.SetBreakerRequest{
			RequestId: newRequestID(), Target: args[0], CredentialRef: credential, Mode: mode, Ttl: length.wire(), Reason: reason, Actor: s.actor,
		})
		if err != nil {
			return err
		}
		t := got.GetTarget()
		return s.show(t, func() error { return s.screen.Line(breakerSet(t)) }, nil)
	})
	if mode != pb.BreakerMode_BREAKER_MODE_AUTO {
		cmd.Flags().Var(&length, "for", "how long, such as 30m (default: until 'targets auto')")
	}
	audits(cmd, &reason)
	cmd.Flags().StringVar(&credential, "credential", "", "`NAME` of the credential, where policy keeps the target apart by it")
	return cmd
}

func breakerSet(t *pb.Target) string {
	text := fmt.Sprintf("%s is %s", targetName(t), dash(enum.Word(t.GetEffectiveState())))
	switch f := t.GetForced(); {
	case f == nil:
	case f.GetRemaining() == nil:
		text += " until somebody says: resilienced targets auto " + t.GetTarget()
	default:
		text += " for " + terminal.Duration(f.GetRemaining().AsDuration())
	}
	return text
}
