// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/resilienced/resilienced/cmd/resilienced/client"
	"github.com/resilienced/resilienced/cmd/resilienced/terminal"
	pb "github.com/resilienced/resilienced/gen/resilience/v1"
)

func newPolicyApply() *cobra.Command {
	reason, dryRun, epoch := "", false, amount{}
	var cmd *cobra.Command
	cmd = talks(&cobra.Command{
		Use:   "apply FILE",
		Short: "Put a policy in force, for every replica at once",
		Long: `Check a policy and put it in force, for every replica at once. It is taken whole
or not at all: a fault anywhere leaves the policy in force as it is, exit code 78.

With --expected-epoch it is applied only if nobody has applied another one since
that epoch. --dry-run lets the server check it and changes nothing. A replica that
was started with --policy applies its file when that changes, over what is applied
here.`,
		Example: `  resilienced policy apply policy.yaml --reason 'more room for search'
  resilienced policy apply policy.yaml --dry-run
  resilienced policy diff policy.yaml && resilienced policy apply policy.yaml --expected-epoch 7 --reason 'as reviewed'`,
		Args: cobra.ExactArgs(1),
	}, answers(), func(ctx context.Context, s *session, args []string) error {
		if reason == "" && !dryRun {
			return errors.New("--reason is required: say why, for those who read the record")
		}
		text, err := readFile(cmd, args[0], largestPolicy)
		if err != nil {
			return err
		}
		got, err := s.Policies.ApplyPolicy(ctx, &pb.ApplyPolicyRequest{
			RequestId: newRequestID(), Yaml: string(text), ValidateOnly: dryRun, ExpectedEpoch: epoch.number, Reason: reason, Actor: s.actor,
		})
		if e, ok := client.As(err); ok && e.Kind == client.Invalid {
			return fail(exitConfig, fmt.Errorf("%s is not valid, nothing was changed. %w", fileName(args[0]), err))
		}
		if err != nil {
			return s.epochChanged(ctx, err, "see what has changed with: resilienced policy diff "+quoted(args[0]))
		}
		return s.show(got, func() error { return s.applied(got, dryRun) }, nil)
	})
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "let the server check it, and change nothing")
	cmd.Flags().Var(&epoch, "expected-epoch", "apply only if this epoch is in force")
	audits(cmd, &reason)
	return cmd
}

func (s *session) applied(r *pb.ApplyPolicyResponse, dryRun bool) error {
	for _, w := range r.GetWarnings() {
		if err := s.screen.Bytes([]byte(s.screen.Paint(terminal.Warn, "warning: "+w) + "\n")); err != nil {
			return err
		}
	}
	switch {
	case dryRun && r.GetChanged():
		return s.screen.Line(fmt.Sprintf("valid; epoch %d is in force, and this would replace it", r.GetEpoch()))
	case dryRun:
		return s.screen.Line(fmt.Sprintf("valid; it is what epoch %d has in force already", r.GetEpoch()))
	case !r.GetChanged():
		return s.screen.Line(fmt.Sprintf("nothing to change: epoch %d has this policy in force", r.GetEpoch()))
	}
	return s.screen.Line(fmt.Sprintf("applied: epoch %d is in force", r.GetEpoch()))
}
