// SPDX-License-Identifier: Apache-2.0

package drill

import "slices"

// batchVerbs are the verbs of BatchService, which this version of the API does
// not have.
func batchVerbs() []verb {
	id := required("id", argText)
	fields := slices.Concat(sets("items", "committed", "retry", "dead_lettered", "rejected"), millis("delay_ms"), texts("state"))
	return []verb{
		{
			name: "batch_create", rpc: "BatchService.CreateBatch", fields: fields,
			params: []param{id, required("items", argNames), may("target", argText)},
		},
		{name: "batch_claim", rpc: "BatchService.ClaimItems", fields: fields, params: []param{id}},
		{
			name: "batch_report", rpc: "BatchService.ReportItems", fields: fields,
			params: []param{id, required("results", argResults)},
		},
		{
			name: "failed_items", rpc: "BatchService.ListFailedItems", fields: []field{{"by_reason", fieldGroups}},
			params: []param{may("window", argDuration)},
		},
	}
}
