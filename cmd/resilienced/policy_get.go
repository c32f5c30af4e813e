// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	pb "github.com/resilienced/resilienced/gen/resilience/v1"
)

// formDocument is a policy as it was written.
const formDocument = "document"

func newPolicyGet() *cobra.Command {
	return talks(&cobra.Command{
		Use:   "get",
		Short: "Write the policy in force as it was applied",
		Long: `Write the policy in force to standard output, byte for byte as it was applied;
on a terminal what does not show is escaped. Standard error says which epoch it is,
and who applied it why.`,
		Example: `  resilienced policy get > policy.yaml
  resilienced policy get -o json | jq .epoch`,
		Args: cobra.NoArgs,
	}, []string{formDocument, formJSON, formYAML}, func(ctx context.Context, s *session, _ []string) error {
		got, err := s.Policies.GetPolicy(ctx, &pb.GetPolicyRequest{})
		if err != nil {
			return err
		}
		return s.show(got, func() error {
			if err := s.stderr.Line(policyHead(got)); err != nil {
				return err
			}
			if got.GetYaml() == "" {
				return nil
			}
			if s.screen.TTY() {
				return s.screen.Text(got.GetYaml())
			}
			return s.screen.Bytes([]byte(got.GetYaml()))
		}, nil)
	})
}

// policyHead is which policy is in force, in a sentence.
func policyHead(p *pb.GetPolicyResponse) string {
	if p.GetEpoch() == 0 || p.GetYaml() == "" {
		return fmt.Sprintf("epoch %d: no policy was applied; every target has the numbers of preset llm and no cap", p.GetEpoch())
	}
	text := fmt.Sprintf("epoch %d, applied %s", p.GetEpoch(), age(p.GetAppliedAt()))
	if p.GetAppliedBy() != "" {
		text += " by " + p.GetAppliedBy()
	}
	if p.GetReason() != "" {
		text += ": " + p.GetReason()
	}
	return text
}
