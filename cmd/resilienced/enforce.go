// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/resilienced/resilienced/cmd/resilienced/client"
	"github.com/resilienced/resilienced/cmd/resilienced/terminal"
	"github.com/resilienced/resilienced/drill/enum"
	pb "github.com/resilienced/resilienced/gen/resilience/v1"
)

func newEnforce() *cobra.Command {
	return switches(pb.EnforcementMode_ENFORCEMENT_MODE_ENFORCE, &cobra.Command{
		Use:   "enforce [TARGET]",
		Short: "Let the rules of targets refuse, whatever --observe and the policy say",
		Long: `Switch targets on: their rules refuse calls, whatever the policy and the
server's --observe say. TARGET is a name or a pattern as in a policy.

--auto takes back what was set for TARGET with enforce or observe; the policy and
the server decide again. --all is every target and takes back every other setting.`,
		Example: `  resilienced report
  resilienced enforce openai/gpt-x --reason 'the report says so'
  resilienced enforce --all
  resilienced enforce openai/gpt-x --auto`,
	})
}

func newObserve() *cobra.Command {
	return switches(pb.EnforcementMode_ENFORCEMENT_MODE_OBSERVE, &cobra.Command{
		Use:   "observe [TARGET]",
		Short: "Let the rules of targets refuse nothing, and keep counting",
		Long: `Switch targets to observing: their rules are computed, counted and explained,
and refuse nothing. TARGET is a name or a pattern as in a policy.

--auto takes back what was set for TARGET with enforce or observe; the policy and
the server decide again. --all is every target and takes back every other setting.`,
		Example: `  resilienced observe tool/search --reason 'it refuses too much'
  resilienced observe --all
  resilienced report --target tool/search`,
	})
}

func switches(mode pb.EnforcementMode, cmd *cobra.Command) *cobra.Command {
	all, auto, reason, epoch := false, false, "", amount{}
	cmd.Args = cobra.MaximumNArgs(1)
	cmd.ValidArgsFunction = completeTargets
	talks(cmd, answers(), func(ctx context.Context, s *session, args []string) error {
		match := argument(args)
		switch {
		case all && match != "":
			return errors.New("--all is every target: name none, or leave it out")
		case all:
			match = "*"
		case match == "":
			return errors.New("name a target or a pattern, or every target with --all")
		}
		set := mode
		if auto {
			set = pb.EnforcementMode_ENFORCEMENT_MODE_AUTO
		}
		got, err := s.Policies.SetEnforcement(ctx, &pb.SetEnforcementRequest{
			RequestId: newRequestID(), Match: match, Mode: set, ExpectedEpoch: epoch.number, Reason: reason, Actor: s.actor,
		})
		if err != nil {
			return s.epochChanged(ctx, err, "look at what holds with: resilienced enforcement")
		}
		return s.show(got.GetEnforcement(), func() error { return s.enforcement(got.GetEnforcement()) }, nil)
	})
	cmd.Flags().BoolVar(&all, "all", false, "every target")
	cmd.Flags().BoolVar(&auto, "auto", false, "take back what was set; policy and server decide again")
	cmd.Flags().Var(&epoch, "expected-epoch", "change only if this policy epoch is in force")
	audits(cmd, &reason)
	return cmd
}

func newEnforcement() *cobra.Command {
	return talks(&cobra.Command{
		Use:   "enforcement",
		Short: "Show which targets are enforced and which observed, and whether a pass holds",
		Example: `  resilienced enforcement
  resilienced enforcement -o json | jq .pass`,
		Args: cobra.NoArgs,
	}, answers(), func(ctx context.Context, s *session, _ []string) error {
		got, err := s.Policies.GetEnforcement(ctx, &pb.GetEnforcementRequest{})
		if err != nil {
			return err
		}
		return s.show(got.GetEnforcement(), func() error { return s.enforcement(got.GetEnforcement()) }, nil)
	})
}

func (s *session) enforcement(e *pb.Enforcement) error {
	if err := s.pass(e.GetPass()); err != nil {
		return err
	}
	base := "what nothing below says is as the policy says"
	if e.GetServerObserves() {
		base = "what nothing below says is observed: the server was started with --observe"
	}
	if err := s.screen.Line(base + "; policy epoch " + strconv.FormatInt(e.GetEpoch(), 10)); err != nil {
		return err
	}
	if len(e.GetEntries()) == 0 {
		return s.screen.Line("nothing was set with enforce or observe")
	}
	table := terminal.NewTable(terminal.Columns("=TARGETS", "RULES", "SET", "BY", "REASON")...)
	for _, entry := range e.GetEntries() {
		mode := terminal.Cell{Text: enum.Word(entry.GetMode()), Style: terminal.Good}
		if entry.GetMode() == pb.EnforcementMode_ENFORCEMENT_MODE_OBSERVE {
			mode.Style = terminal.Warn
		}
		table.Row(terminal.Cell{Text: entry.GetMatch()}, mode, terminal.Cell{Text: age(entry.GetSetAt())},
			terminal.Cell{Text: entry.GetActor()}, terminal.Cell{Text: entry.GetReason()})
	}
	return table.Write(s.screen)
}

// pass says that everything passes, if it does.
func (s *session) pass(p *pb.Pass) error {
	if p == nil {
		return nil
	}
	text := s.screen.Paint(terminal.Bad, fmt.Sprintf("EVERYTHING PASSES for %s (%s: %s); end it with: resilienced pass --end",
		terminal.Duration(p.GetRemaining().AsDuration()), dash(p.GetActor()), p.GetReason()))
	return s.screen.Bytes([]byte(text + "\n"))
}

// epochChanged completes the error of a change that came second: which epoch
// is in force, and what to do.
func (s *session) epochChanged(ctx context.Context, err error, cure string) error {
	e, ok := client.As(err)
	if !ok || e.Reason != pb.ErrorReason_ERROR_REASON_EPOCH_CHANGED {
		return err
	}
	now, readErr := s.Policies.GetPolicy(ctx, &pb.GetPolicyRequest{})
	if readErr != nil {
		return err
	}
	who := ""
	if now.GetAppliedBy() != "" {
		who = fmt.Sprintf(", applied by %s %s", now.GetAppliedBy(), age(now.GetAppliedAt()))
		if now.GetReason() != "" {
			who += ": " + now.GetReason()
		}
	}
	return fail(exitFailed, fmt.Errorf("somebody else was faster: epoch %d is in force%s\nnothing was changed; %s", now.GetEpoch(), who, cure))
}
