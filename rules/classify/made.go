// SPDX-License-Identifier: Apache-2.0

package classify

// RuleReleased is the rule of a permit that was given back unused. It is not
// one of the 42 rows: nothing was called.
const RuleReleased = "RELEASED"

// released is the verdict of a permit that was given back.
func released() Verdict {
	return Verdict{
		Rule:        RuleReleased,
		Class:       Aborted,
		Reason:      ReasonReleased,
		Certainty:   NotSent,
		Unprocessed: DispositionStop,
	}
}

// Lost is R40: a permit's lease ended without a report.
func Lost() Verdict { return r40.verdict() }

// RunSoftLimit is R38: a run crossed its soft limit.
func RunSoftLimit() Verdict { return r38.verdict() }

// RunBudget is R39 for a run that is at its cap.
func RunBudget() Verdict { return r39.verdict() }

// PriceUnknown is R39 for a call whose price nobody knows.
func PriceUnknown() Verdict { return r39Price.verdict() }

// PartialBatch is R37: the report of a batch with the verdicts of its items, of
// which some failed. The report has one vote: Failure if more than half of the
// items vote so, else Success if any does, else Neutral. It counts towards the
// quality streak if more than half of the items do.
func PartialBatch(items []Verdict) Verdict {
	v := r37.verdict()
	failures, quality := 0, 0
	for i := range items {
		switch items[i].Effect {
		case Failure:
			failures++
			if items[i].QualityFailure {
				quality++
			}
		case Success:
			v.Effect = Success
		case Neutral:
		}
	}
	if 2*failures > len(items) {
		v.Effect = Failure
	}
	v.QualityFailure = 2*quality > len(items)
	return v
}
