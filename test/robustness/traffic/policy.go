// SPDX-License-Identifier: Apache-2.0

package traffic

import (
	"context"
	"fmt"
	"time"

	pb "github.com/resilienced/resilienced/gen/resilience/v1"
	"github.com/resilienced/resilienced/test/robustness/history"
)

// The numbers of the policy that every trial runs with.
const (
	slotLimit  = 5
	cooldown   = 400 * time.Millisecond
	probeLease = time.Second
	leftLimit  = 6 // more than may leave in the moments when a standstill begins and ends
	leftLease  = 20 * time.Second
	firstDial  = 4
	leastDial  = 2
	mostDial   = 6
)

// policyText is the policy. What is not looked at stays out of the way.
func policyText(dial int) string {
	return fmt.Sprintf(`version: 1
defaults:
  breaker: {consecutive_failures: 0, consecutive_quality: 0, consecutive_auth: 0, window: 0, ramp: 0}
  limit: {concurrency: 0}
  retry: {fleet: {floor_milli: 1000000}}
targets:
  - {match: "tool/*", preset: tool}
  - {match: "tool/slots*", preset: tool, limit: {concurrency: %d}}
  - {match: "tool/left*", preset: tool, limit: {concurrency: %d}}
  - {match: "tool/dial*", preset: tool, limit: {concurrency: %d}}
  - match: "tool/probe1*"
    preset: tool
    breaker: {consecutive_failures: 3, cooldown_base: %v, cooldown_max: %v, probes: 1, probe_lease: %v}
  - match: "tool/probe2*"
    preset: tool
    breaker: {consecutive_failures: 3, cooldown_base: %v, cooldown_max: %v, probes: 2, probe_lease: %v}
  - {match: "tool/letter*", preset: tool, retry: {max_attempts: 1}}
  - {match: "pay/*", preset: action}
`, slotLimit, leftLimit, dial, cooldown, cooldown, probeLease, cooldown, cooldown, probeLease)
}

// apply puts the policy with a limit of the dial in force. It goes on until
// that is acknowledged: nobody else changes the policy.
func (c *caller) apply(ctx context.Context, request string, limit int) {
	want := history.Event{RPC: history.ApplyPolicy, Actor: "operator", Request: request, Target: c.name("tool/dial"), Limit: limit}
	req := &pb.ApplyPolicyRequest{RequestId: request, Yaml: policyText(limit), Reason: "robustness"}
	for ctx.Err() == nil {
		got, _ := c.repeated(ctx, want, func(ctx context.Context, w *wire, _ *history.Event) error {
			_, err := w.policies.ApplyPolicy(ctx, req)
			return err
		})
		if got.Outcome == history.OK || got.Outcome == history.Failed {
			return
		}
	}
}

// turn changes the limit of the dial now and then, until ctx ends.
func (t *Traffic) turn(ctx, work context.Context) {
	c := t.caller(turner)
	for n := 0; ; n++ {
		c.pause(ctx, time.Second+c.upTo(1500*time.Millisecond))
		if ctx.Err() != nil {
			return
		}
		c.apply(work, c.unique("policy", n), leastDial+c.random.IntN(mostDial-leastDial+1))
	}
}
