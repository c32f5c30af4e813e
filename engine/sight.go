// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"github.com/resilienced/resilienced/rules/admit"
	"github.com/resilienced/resilienced/rules/budget"
	"github.com/resilienced/resilienced/rules/classify"
	"github.com/resilienced/resilienced/rules/operation"
)

// This file notes what Acquire, Report and the ends of leases add to the
// observations. A repeat that is answered from the record adds nothing.

// see notes one thing to count after the commit.
func (t *txn) see(s sighting) { t.cmd.seen = append(t.cmd.seen, s) }

// sight notes an Acquire that was decided, and not only asked for dry.
func (a *acquire) sight(t *txn, d *admit.Decision) {
	if a.req.DryRun {
		return
	}
	s := sighting{
		kind: sawAcquire, namespace: a.req.Namespace, target: a.chain.Levels[d.Level].Target, at: t.now,
		granted: d.Outcome == admit.Granted,
	}
	switch {
	case !s.granted:
		s.refused = d.Reason
	case d.Would.Refused():
		s.would = d.Would.Reason
	}
	t.see(s)
}

// sight notes the report of an attempt.
func (r *report) sight(t *txn, v *classify.Verdict) {
	cost, known := r.cost(v)
	s := sighting{
		kind: sawReport, namespace: r.req.Namespace, target: r.claims.Target, at: t.now,
		failure: v.Effect == classify.Failure, cost: cost,
	}
	if reason := withheld(r.permit); reason != admit.None {
		s.would, s.wouldCost, s.wouldTokens = reason, cost, r.tokens(v)
		if !known {
			s.unpriced = 1
		}
		if r.booked {
			assumed, priced := assumption(r.permit)
			s.wouldCost -= assumed
			s.wouldTokens -= r.permit.Reserved.Tokens
			if !priced {
				s.unpriced--
			}
		}
	}
	t.see(s)
}

// cost is what an attempt cost, as far as the caller, a price or the estimate
// says; false: nobody knows.
func (r *report) cost(v *classify.Verdict) (int64, bool) {
	price := r.own.config.Price
	if cost, known := r.req.Usage.Price(price); known {
		return cost, true
	}
	if !charged(v) {
		return 0, true
	}
	if cost, known := assumption(r.permit); known {
		return cost, true
	}
	if price != nil && price.PerCall != nil {
		return *price.PerCall, true
	}
	return 0, false
}

func (r *report) tokens(v *classify.Verdict) int64 {
	if tokens, known := r.req.Usage.Tokens(); known {
		return tokens
	}
	if !charged(v) {
		return 0
	}
	return r.permit.Reserved.Tokens
}

// charged: the target may have made the call, and so ask money for it.
func charged(v *classify.Verdict) bool {
	return v.Certainty != classify.NotSent && v.Certainty != classify.Rejected
}

// assumption is what an attempt is believed to have cost of which nobody said
// more than when it was granted.
func assumption(p *operation.Permit) (int64, bool) {
	switch source := budget.Source(p.Source); {
	case source != budget.SourceNone && source != budget.SourceUnpriced:
		return p.Reserved.Cost, true
	case p.Explicit != nil:
		return *p.Explicit, true
	}
	return 0, false
}

// withheld is why enforced rules would have refused the permit's call.
func withheld(p *operation.Permit) admit.Reason {
	if p.Would == nil || admit.Outcome(p.Would.Outcome) == admit.Granted {
		return admit.None
	}
	return admit.Reason(p.Would.Reason)
}

// seeLoss notes that a permit ended without a report, with sign 1, or that its
// loss is taken back, with sign -1.
func (t *txn) seeLoss(ns string, p *operation.Permit, sign int8) {
	reason := withheld(p)
	if reason == admit.None {
		return
	}
	cost, known := assumption(p)
	s := sighting{
		kind: sawLoss, namespace: ns, target: p.Target, at: t.now, would: reason,
		wouldCost: int64(sign) * cost, wouldTokens: int64(sign) * p.Reserved.Tokens,
	}
	if !known {
		s.unpriced = sign
	}
	t.see(s)
}
