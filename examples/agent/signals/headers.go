// SPDX-License-Identifier: Apache-2.0

package signals

import (
	"net/http"
	"strings"
)

// headers picks those about limits, retries and dates, with their names in
// small letters. All others stay here: some are secret.
func headers(h http.Header) map[string]string {
	picked := make(map[string]string)
	for name, values := range h {
		name = strings.ToLower(name)
		if len(picked) == maxHeaders || len(values) == 0 || !telling(name) {
			continue
		}
		value := textWithin(values[0], maxHeaderValue)
		if value != "" && len(name) <= maxHeaderName {
			picked[name] = value
		}
	}
	return picked
}

func telling(name string) bool {
	switch name {
	case "date", "retry-after", "retry-after-ms", "x-amz-retry-after", "x-should-retry":
		return true
	}
	return strings.HasPrefix(name, "x-ratelimit-") || strings.HasPrefix(name, "anthropic-ratelimit-")
}
