// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/resilienced/resilienced/node"
)

func newVersion() *cobra.Command {
	format := oneOf{"text", []string{"text", "json"}}
	cmd := &cobra.Command{
		Use:     "version",
		Short:   "Say which version this is",
		Example: "  resilienced version\n  resilienced version -o json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			b := node.ReadBuild()
			if format.value == "json" {
				return fail(exitUnavailable, json.NewEncoder(cmd.OutOrStdout()).Encode(b))
			}
			_, err := fmt.Fprintln(cmd.OutOrStdout(), b)
			return fail(exitUnavailable, err)
		},
	}
	cmd.Flags().VarP(&format, "output", "o", "form of the answer")
	return cmd
}
