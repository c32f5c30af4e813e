// SPDX-License-Identifier: Apache-2.0

package simulate

import (
	"github.com/resilienced/resilienced/engine"
	"github.com/resilienced/resilienced/policy"
	"github.com/resilienced/resilienced/rules/classify"
)

// worth is what a call cost; known tells zero from nobody knows.
type worth struct {
	micros int64
	known  bool
}

// worths says what each call cost: as the caller said, else by the prices of
// the new policy, else by those of the old one. Both sides count the same, so
// that they differ by what was refused and not by the price list. A call that
// surely was not carried out cost nothing.
func worths(calls []*engine.Call, newer, older *policy.Policy) []worth {
	all := make([]worth, len(calls))
	for i, c := range calls {
		all[i] = value(c, newer, older)
	}
	return all
}

func value(c *engine.Call, newer, older *policy.Policy) worth {
	for _, p := range [...]*policy.Policy{newer, older} {
		if micros, known := c.Usage.Price(p.Target(c.Target).Price); known {
			return worth{micros, true}
		}
	}
	return worth{0, c.ReportedAt != 0 && untouched(c, newer)}
}

// untouched reports whether the signal says that the call was not carried out.
func untouched(c *engine.Call, p *policy.Policy) bool {
	cfg := p.Target(c.Target)
	v := classify.Classify(c.Signal, classify.Context{
		Kind: cfg.Kind, SlowFailsAfter: cfg.SlowFailsAfter, Rejected503: cfg.Rejected503, RefusalIsPolicy: cfg.RefusalIsPolicy,
		TrustHints: cfg.TrustHints, HardWait: cfg.Retry.HardWait, Wall: c.ReportedAt.Time().Unix(),
	}, cfg.Rules)
	return v.Certainty == classify.NotSent || v.Certainty == classify.Rejected
}
