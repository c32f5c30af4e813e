// SPDX-License-Identifier: Apache-2.0

package budget

import "github.com/resilienced/resilienced/rules"

// String returns the state in upper snake case.
func (s State) String() string {
	return rules.Word(uint8(s), "", "ACTIVE", "PRESSURE", "EXHAUSTED", "STOPPED", "COMPLETED")
}

// Facts are the run's state when it was last changed, and its sums.
func (r *Run) Facts() rules.Facts {
	sums := &rules.Sums{Cap: r.Caps.Cost, Spent: r.Spent.Cost, Assumed: r.Assumed.Cost, Reserved: r.Reserved.Cost}
	if a := r.Admitted; a != nil {
		sum, caps := a.Sum, [3]*int64{a.Caps.Cost, a.Caps.Tokens, a.Caps.Calls}
		for i, promised := range [3]*int64{&sum.Cost, &sum.Tokens, &sum.Calls} {
			if caps[i] != nil {
				sums.Admitted[i], sums.Allowed[i] = promised, caps[i]
			}
		}
	}
	return rules.Facts{State: r.StateAt(r.UpdatedAt).String(), Sums: sums}
}
