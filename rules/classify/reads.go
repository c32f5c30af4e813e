// SPDX-License-Identifier: Apache-2.0

package classify

import "strings"

// Reads reports whether the table may look at a header of that name, which is
// in lower case. Operator's rules may look at others; they name them.
func Reads(name string) bool {
	switch name {
	case "retry-after-ms", "retry-after", "x-should-retry", "grpc-retry-pushback-ms", "x-amz-retry-after", "date",
		HeaderRetryInfo, HeaderRetryDelay, HeaderQuotaID:
		return true
	}
	_, reset := remainingOf(name)
	return reset || isRemaining(name)
}

// isRemaining tells the headers that remainingOf can name.
func isRemaining(name string) bool {
	if rest, ok := strings.CutPrefix(name, "x-ratelimit-remaining"); ok {
		return rest == "" || rest[0] == '-'
	}
	return strings.HasPrefix(name, "anthropic-ratelimit-") && strings.HasSuffix(name, "-remaining")
}
