// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"strconv"

	"github.com/resilienced/resilienced/rules"
	"github.com/resilienced/resilienced/rules/admit"
	"github.com/resilienced/resilienced/rules/budget"
	"github.com/resilienced/resilienced/rules/classify"
	"github.com/resilienced/resilienced/rules/operation"
)

// Call is one attempt as it was asked for and reported, without texts that a
// caller sent: what is needed to play it through other numbers.
type Call struct {
	// AcquiredAt is when it was granted, in store time.
	AcquiredAt rules.Instant
	// ReportedAt is when its report was taken in; 0: its lease ended without.
	ReportedAt rules.Instant
	// Late: the lease was over when the report came.
	Late        bool
	Target      string // that was called
	Chain       string // that was asked for; empty: the target alone
	Level       int    // of the chain
	Run         string
	Task        string
	Operation   string
	Idempotency operation.Idempotency // of the operation, the policy's word filled in
	Credential  string
	Reporter    string // a digest; empty: unnamed
	Fingerprint string
	Estimate    budget.Estimate
	// Signal is what the wire said, with outcome, quality and duration. It has
	// no message, and of the headers only those that classification may read.
	Signal classify.Signal
	Usage  budget.Usage
	// Would is why the call would have been refused, had every rule been
	// enforced; empty: it would not.
	Would admit.Reason
}

// Bounds of what is recorded of a signal's headers. A wait is a number or a
// date: what is longer is none.
const (
	maxCallHeaders     = 16
	maxCallHeaderValue = 128
)

// recordable returns the headers that classification may look at: the map
// itself if it holds no other.
func recordable(headers map[string]string, rules []classify.Rule) map[string]string {
	fit := len(headers) <= maxCallHeaders
	if fit {
		for name, value := range headers {
			if !records(name, value, rules) {
				fit = false
				break
			}
		}
	}
	if fit {
		return headers
	}
	kept := make(map[string]string, min(len(headers), maxCallHeaders))
	for name, value := range headers {
		if len(kept) < maxCallHeaders && records(name, value, rules) {
			kept[name] = value
		}
	}
	return kept
}

func records(name, value string, rules []classify.Rule) bool {
	if len(value) > maxCallHeaderValue {
		return false
	}
	if classify.Reads(name) {
		return true
	}
	for i := range rules {
		if _, named := rules[i].Match.Headers[name]; named {
			return true
		}
	}
	return false
}

// digest is a reporter as it is recorded.
func digest(reporter uint64) string {
	if reporter == 0 {
		return ""
	}
	return strconv.FormatUint(reporter, 16)
}

// fromPermit fills in what the record of a permit and its operation says.
func (c *Call) fromPermit(name string, op *operation.Operation, p *operation.Permit) {
	c.AcquiredAt, c.Target, c.Level, c.Credential = p.GrantedAt, p.Target, p.Level, p.Credential
	c.Operation, c.Idempotency = name, op.Idempotency
	c.Estimate = budget.Estimate{Cost: p.Explicit, Input: p.Input, MaxOutput: p.MaxOutput}
	d := op.Detail
	if d == nil {
		return
	}
	c.Chain, c.Task, c.Fingerprint = d.Chain, d.Task, d.Fingerprint
	if n := len(d.RunPath); n > 0 {
		c.Run = d.RunPath[n-1]
	}
}
