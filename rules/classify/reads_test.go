// SPDX-License-Identifier: Apache-2.0

package classify_test

import (
	"maps"
	"reflect"
	"testing"

	"pgregory.net/rapid"

	"github.com/resilienced/resilienced/rules/classify"
)

// TestWhatIsNotReadDoesNotMatter: a signal without the headers that Reads does
// not name has the same verdict. The names are those of the table's comment
// and some that only look like them.
func TestWhatIsNotReadDoesNotMatter(t *testing.T) {
	names := []string{
		"retry-after-ms", "retry-after", "x-should-retry", "grpc-retry-pushback-ms", "x-amz-retry-after", "date", "retryinfo",
		"retrydelay", "quotaid", "x-ratelimit-reset", "x-ratelimit-remaining", "x-ratelimit-reset-tokens",
		"x-ratelimit-remaining-tokens", "anthropic-ratelimit-tokens-reset", "anthropic-ratelimit-tokens-remaining",
		"x-ratelimit-resetting", "x-ratelimit-remainder", "anthropic-ratelimit-tokens-limit", "content-type", "x-request-id",
	}
	values := []string{"0", "5", "-1", "true", "false", "22s", "2026-01-01T00:00:09Z", "Thu, 01 Jan 2026 00:00:07 GMT", "perday", "x"}
	rapid.Check(t, func(t *rapid.T) {
		headers := map[string]string{}
		for range rapid.IntRange(0, 6).Draw(t, "headers") {
			headers[rapid.SampledFrom(names).Draw(t, "name")] = rapid.SampledFrom(values).Draw(t, "value")
		}
		s := classify.Signal{
			Outcome: classify.OutcomeFailure, HTTPStatus: rapid.SampledFrom([]int{0, 200, 400, 429, 503}).Draw(t, "status"), Headers: headers,
		}
		c := classify.Context{Kind: "llm", Wall: 1_767_225_600}
		want := classify.Classify(s, c, nil)
		s.Headers = maps.Clone(headers)
		maps.DeleteFunc(s.Headers, func(name, _ string) bool { return !classify.Reads(name) })
		if got := classify.Classify(s, c, nil); !reflect.DeepEqual(got, want) {
			t.Fatalf("with all headers %+v\nwith those that are read %+v", want, got)
		}
	})
}

func TestReadsNames(t *testing.T) {
	for name, want := range map[string]bool{
		"retry-after": true, "x-ratelimit-reset-requests": true, "x-ratelimit-remaining": true, "anthropic-ratelimit-input-tokens-remaining": true,
		"authorization": false, "x-ratelimit-limit": false, "x-ratelimit-remainder": false, "anthropic-version": false, "content-type": false,
	} {
		if got := classify.Reads(name); got != want {
			t.Errorf("Reads(%q) = %v", name, got)
		}
	}
}
