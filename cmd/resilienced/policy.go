// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/resilienced/resilienced/policy"
)

func newPolicy() *cobra.Command {
	return group(&cobra.Command{
		Use:   "policy",
		Short: "The operator's numbers: check, explain, compare, try and apply them",
		Example: `  resilienced policy check policy.yaml
  resilienced policy diff policy.yaml
  resilienced policy simulate policy.yaml --since 7d
  resilienced policy apply policy.yaml --reason 'more room for search'
  resilienced policy explain openai/gpt-x`,
	}, newPolicyCheck(), newPolicyExplain(), newPolicyDiff(), newPolicySimulate(), newPolicyApply(), newPolicyGet(), newPolicySchema())
}

// largestPolicy is the largest document that a server takes.
const largestPolicy = 1 << 20

// readFile reads a whole file that a person named; "-" is standard input.
func readFile(cmd *cobra.Command, name string, limit int64) ([]byte, error) {
	in := cmd.InOrStdin()
	if name != "-" {
		file, err := os.Open(name)
		if err != nil {
			return nil, fail(exitUsage, err)
		}
		defer file.Close() //nolint:errcheck // it was only read
		in = file
	}
	text, err := io.ReadAll(io.LimitReader(in, limit+1))
	if err != nil {
		return nil, fail(exitUnavailable, fmt.Errorf("read %s: %w", name, err))
	}
	if int64(len(text)) > limit {
		return nil, fail(exitConfig, fmt.Errorf("%s is larger than %d bytes", name, limit))
	}
	return text, nil
}

// fileName is what problems call a file.
func fileName(name string) string {
	if name == "-" {
		return "standard input"
	}
	return name
}

// readPolicy reads and checks a policy.
func readPolicy(cmd *cobra.Command, name string) (*policy.Policy, []byte, error) {
	text, err := readFile(cmd, name, largestPolicy)
	if err != nil {
		return nil, nil, err
	}
	p, err := policy.Parse(fileName(name), text, policy.Options{})
	if err != nil {
		return nil, nil, fail(exitConfig, fmt.Errorf("the policy is not valid:\n%w", err))
	}
	return p, text, nil
}
