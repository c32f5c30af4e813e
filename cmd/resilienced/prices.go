// SPDX-License-Identifier: Apache-2.0

package main

import "github.com/spf13/cobra"

func newPrices() *cobra.Command {
	return group(&cobra.Command{
		Use:   "prices",
		Short: "What models cost: show the table, import another",
		Example: `  resilienced prices show 'openai/*'
  resilienced prices import --format litellm model_prices.json --only 'openai/*' --into policy.yaml`,
	}, newPricesShow(), newPricesImport())
}
