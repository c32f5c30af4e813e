// SPDX-License-Identifier: Apache-2.0

package main

import (
	"github.com/spf13/cobra"

	"github.com/resilienced/resilienced/policy"
)

func newPolicySchema() *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "Write the JSON Schema of policies, for editors",
		Long: `Write the JSON Schema of policies to standard output. An editor that knows it
completes keys and marks mistakes as you type: name it in the first line of a
policy. 'policy check' knows more: what does not fit together, and what is named
and not there.`,
		Example: `  resilienced policy schema > policy.schema.json
  sed -i '1i # yaml-language-server: $schema=policy.schema.json' policy.yaml`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return written(newSession(cmd, formTable).screen.Bytes(policy.Schema()))
		},
	}
}
