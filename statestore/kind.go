// SPDX-License-Identifier: Apache-2.0

package statestore

import "strconv"

// String returns the kind's name, or its number if this version has no such
// kind. It is for people and for the output of commands; stores keep numbers.
func (k Kind) String() string {
	if name, known := kindNames()[k]; known {
		return name
	}
	return "kind-" + strconv.Itoa(int(k))
}

func kindNames() map[Kind]string {
	return map[Kind]string{
		KindMeta:        "meta",
		KindClock:       "clock",
		KindTransfer:    "transfer",
		KindRun:         "run",
		KindTarget:      "target",
		KindTally:       "tally",
		KindStripe:      "stripe",
		KindOperation:   "operation",
		KindTask:        "task",
		KindRepeat:      "repeat",
		KindLetter:      "letter",
		KindEscalation:  "escalation",
		KindFold:        "fold",
		KindPolicy:      "policy",
		KindRequest:     "request",
		KindEnforcement: "enforcement",
		KindDecision:    "decision",
		KindTransition:  "transition",
		KindObservation: "observation",
		KindCalls:       "calls",
	}
}
