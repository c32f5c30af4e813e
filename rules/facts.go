// SPDX-License-Identifier: Apache-2.0

package rules

import "strconv"

// Facts are what an operator looks for in a stored record, for stores that can
// show it beside the record. Nothing is decided by them.
type Facts struct {
	// State is where the record stands, in upper snake case; empty: nowhere.
	State string
	// Sums are a run's; nil for every other record.
	Sums *Sums
}

// Sums are the amounts of a run. Costs are in micro-USD.
type Sums struct {
	Cap                      *int64 // of the cost; nil: none
	Spent, Assumed, Reserved int64  // costs
	// Admitted is what was spent, assumed and reserved after the last enforced
	// grant, and Allowed the cap at that time: of cost, tokens and calls. Nil
	// where there was no cap. No sum is above its cap, whatever is booked later.
	Admitted, Allowed [3]*int64
}

// Word returns the word of a stored number. One that this version does not know,
// because a newer one wrote it, is its digits.
func Word(n uint8, words ...string) string {
	if int(n) < len(words) {
		return words[n]
	}
	return strconv.Itoa(int(n))
}
