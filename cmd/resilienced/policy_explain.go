// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/resilienced/resilienced/cmd/resilienced/terminal"
	pb "github.com/resilienced/resilienced/gen/resilience/v1"
	"github.com/resilienced/resilienced/policy"
)

func newPolicyExplain() *cobra.Command {
	file := ""
	var cmd *cobra.Command
	cmd = talks(&cobra.Command{
		Use:   "explain TARGET",
		Short: "Show every number that holds for a target, and where it comes from",
		Long: `Show every number that holds for a target, and where it comes from: a line of
the document, a preset, or what it follows from. The target need not exist.

With --policy the numbers are those of a file, and no server is asked.`,
		Example: `  resilienced policy explain openai/gpt-x
  resilienced policy explain openai/gpt-x --policy new.yaml
  resilienced policy explain tool/search | grep breaker`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: completeTargets,
	}, answers(), func(ctx context.Context, s *session, args []string) error {
		var got *pb.ExplainTargetResponse
		if file != "" {
			p, _, err := readPolicy(cmd, file)
			if err != nil {
				return err
			}
			got = explainFrom(p, args[0])
		} else {
			var err error
			if got, err = s.Policies.ExplainTarget(ctx, &pb.ExplainTargetRequest{Target: args[0]}); err != nil {
				return err
			}
		}
		return s.show(got, func() error { return s.explained(got) }, nil)
	})
	cmd.Flags().StringVar(&file, "policy", "", "explain from this `FILE` and not from the server; - is standard input")
	return cmd
}

// explainFrom answers as a server with this policy would. A file has no epoch.
func explainFrom(p *policy.Policy, target string) *pb.ExplainTargetResponse {
	got := &pb.ExplainTargetResponse{Target: target, Chains: p.ChainsOf(target)}
	for _, setting := range p.Explain(target) {
		switch setting.Field {
		case "match":
			got.Matched = append(got.Matched, setting.Value)
		case "kind":
			if p.Named(target) {
				got.Kind = setting.Value
			}
		}
		got.Fields = append(got.Fields, &pb.ResolvedField{Path: setting.Field, Value: setting.Value, Source: setting.Source})
	}
	return got
}

func (s *session) explained(got *pb.ExplainTargetResponse) error {
	head := got.GetTarget() + ": "
	if got.GetKind() == "" {
		head += "no entry matches it; it has the numbers of preset llm, and is retried only if its caller says that it is idempotent"
	} else {
		head += "kind " + got.GetKind() + ", matched by " + strings.Join(got.GetMatched(), ", ")
	}
	if len(got.GetChains()) > 0 {
		head += "; in " + strings.Join(got.GetChains(), ", ")
	}
	if got.GetEpoch() > 0 {
		head += "; epoch " + strconv.FormatInt(got.GetEpoch(), 10)
	}
	if err := s.screen.Line(head); err != nil {
		return err
	}
	table := terminal.NewTable(terminal.Columns("=FIELD", "~VALUE", "FROM")...)
	for _, f := range got.GetFields() {
		table.Text(f.GetPath(), f.GetValue(), f.GetSource())
	}
	return table.Write(s.screen)
}
