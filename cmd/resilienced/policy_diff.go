// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/resilienced/resilienced/cmd/resilienced/encode"
	"github.com/resilienced/resilienced/cmd/resilienced/terminal"
	pb "github.com/resilienced/resilienced/gen/resilience/v1"
	"github.com/resilienced/resilienced/policy"
)

// policyDiff is what two policies say differently, for programs.
type policyDiff struct {
	Against string         `json:"against"`         // the file, or "server"
	Epoch   int64          `json:"epoch,omitempty"` // of the policy in force
	Changes []policyChange `json:"changes"`
}

type policyChange struct {
	Where     string `json:"where"`
	Path      string `json:"path"`
	Old       string `json:"old"`
	New       string `json:"new"`
	OldSource string `json:"old_source,omitempty"`
	NewSource string `json:"new_source,omitempty"`
}

func newPolicyDiff() *cobra.Command {
	against, exitCode := "", false
	var cmd *cobra.Command
	cmd = talks(&cobra.Command{
		Use:   "diff NEW",
		Short: "Show what a policy would change, number by number",
		Long: `Show what the policy NEW would change in what is in force, or in another file:
the numbers that hold for each target, chain and run, and not the text. Comments,
order and spelling make no difference where they change nothing.

Standard error says which epoch is in force, for 'policy apply --expected-epoch'.`,
		Example: `  resilienced policy diff policy.yaml
  resilienced policy diff new.yaml --against old.yaml
  resilienced policy diff policy.yaml --exit-code || echo 'not what is in force'`,
		Args: cobra.ExactArgs(1),
	}, answers(), func(ctx context.Context, s *session, args []string) error {
		next, _, err := readPolicy(cmd, args[0])
		if err != nil {
			return err
		}
		d := policyDiff{Against: against, Changes: []policyChange{}}
		old, err := s.diffBase(ctx, cmd, &d)
		if err != nil {
			return err
		}
		for _, c := range policy.Diff(old, next) {
			d.Changes = append(d.Changes, policyChange(c))
		}
		if err := s.diff(&d); err != nil {
			return written(err)
		}
		if exitCode && len(d.Changes) > 0 {
			return fail(exitFailed, errors.New("")) // the table has said it
		}
		return nil
	})
	cmd.Flags().StringVar(&against, "against", "", "compare with this `FILE` and not with what is in force; - is standard input")
	cmd.Flags().BoolVar(&exitCode, "exit-code", false, "end with 1 if there is a difference")
	return cmd
}

// diffBase is the policy that is compared with.
func (s *session) diffBase(ctx context.Context, cmd *cobra.Command, d *policyDiff) (*policy.Policy, error) {
	if d.Against != "" {
		old, _, err := readPolicy(cmd, d.Against)
		return old, err
	}
	p, got, err := s.inForce(ctx)
	if err != nil {
		return nil, err
	}
	d.Against, d.Epoch = "server", got.GetEpoch()
	return p, s.stderr.Line(policyHead(got))
}

// inForce reads the server's policy as this command understands it.
func (s *session) inForce(ctx context.Context) (*policy.Policy, *pb.GetPolicyResponse, error) {
	got, err := s.Policies.GetPolicy(ctx, &pb.GetPolicyRequest{})
	if err != nil {
		return nil, nil, err
	}
	p, err := parseInForce(got)
	return p, got, err
}

// parseInForce reads what a server has in force.
func parseInForce(got *pb.GetPolicyResponse) (*policy.Policy, error) {
	if got.GetYaml() == "" {
		return policy.Default(), nil
	}
	p, err := policy.Parse(fmt.Sprintf("epoch %d", got.GetEpoch()), []byte(got.GetYaml()), policy.Options{})
	if err != nil {
		return nil, fail(exitUnavailable, fmt.Errorf("this command does not understand the policy in force; "+
			"run the version of the server (resilienced version --server):\n%w", err))
	}
	return p, nil
}

func (s *session) diff(d *policyDiff) error {
	switch s.form {
	case formJSON, formYAML:
		text, err := encode.Plain(d)
		if err == nil && s.form == formYAML {
			text, err = encode.FromJSON(text)
		}
		if err != nil {
			return fail(exitSoftware, err)
		}
		return s.screen.Bytes(text)
	}
	if len(d.Changes) == 0 {
		return s.screen.Line("no difference")
	}
	table := terminal.NewTable(terminal.Columns("WHERE", "=FIELD", "OLD", "NEW", "FROM", "NOW FROM")...)
	for _, c := range d.Changes {
		table.Row(terminal.Cell{Text: c.Where}, terminal.Cell{Text: c.Path}, terminal.Cell{Text: dash(c.Old), Style: terminal.Bad},
			terminal.Cell{Text: dash(c.New), Style: terminal.Good}, terminal.Cell{Text: c.OldSource}, terminal.Cell{Text: c.NewSource})
	}
	return table.Write(s.screen)
}
