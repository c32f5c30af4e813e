// SPDX-License-Identifier: Apache-2.0

package simulate

import (
	"fmt"
	"strings"

	"github.com/resilienced/resilienced/engine"
)

// nothing answers a simulation over no calls.
func (r *Result) nothing(in *Input) {
	r.Totals.Old, r.Totals.New = (*tally)(nil).result(), (*tally)(nil).result()
	r.Limits = []string{}
	where := "There are no recorded calls to play"
	if in.Recording.Namespace != "" {
		where += " in namespace " + quoted(in.Recording.Namespace)
	}
	switch {
	case in.Recording.From != 0:
		where += fmt.Sprintf("; the recording goes back to %s.", stamp(in.Recording.From.Time()))
	default:
		where += "."
	}
	r.Answer = where + " Both policies are valid, and nothing was compared. A call is recorded when it is reported: " +
		"look further back with --since, check that the traffic is in this namespace, that callers send Report, " +
		"and that the server records (it does unless it was told not to, and forgets calls after 7 days)."
}

// answer is the result in a sentence or two.
func (r *Result) answer() string {
	was, will := &r.Totals.Old, &r.Totals.New
	if r.Totals.NewlyRefused == 0 && r.Totals.NewlyGranted == 0 && was.Opened == will.Opened {
		return fmt.Sprintf("The new policy decides all %d calls as the old one does.", r.Calls)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "Of %d calls, the new policy refuses %d that the old one grants", r.Calls, r.Totals.NewlyRefused)
	if r.Totals.NewlyGranted > 0 {
		fmt.Fprintf(&b, ", and grants %d that the old one refuses", r.Totals.NewlyGranted)
	}
	fmt.Fprintf(&b, ". The calls that it grants cost %s (old: %s), and breakers open %d times (old: %d).",
		dollars(will.CostMicros), dollars(was.CostMicros), will.Opened, was.Opened)
	return b.String()
}

// limits says what this simulation cannot know.
func limits(calls []*engine.Call, in *Input) []string {
	list := []string{
		"Only calls that were granted then are recorded. What was refused then and would be granted now is unknown.",
		"Callers are played as they behaved then. One that is refused would really have waited, gone elsewhere or given up, so later calls of its operation and run are a guess, and a call that waits would mostly have been made, and paid, a little later.",
		"The simulation begins with closed breakers, full retry budgets and runs that have spent nothing, whatever was the case when the recording began. Runs have the caps of now from their first recorded call on, and nobody stops or finishes them.",
		"Both policies are played as they are written. What operators set beside them, breakers held by hand, observing or a pass, is not played.",
		"Of each wait that is drawn at random the shortest is taken, and a breaker that closes does not ramp up. The attempts, the deadline and the wait that a caller asked for itself are not recorded; the policy's are used.",
		"Free text is not recorded, and headers only as far as the policy of then looked at them: operator's rules on messages or on other headers match nothing.",
	}
	chains, lost := false, false
	for _, c := range calls {
		chains = chains || c.Chain != ""
		lost = lost || c.ReportedAt == 0
	}
	if chains {
		list = append(list, "Calls of chains are played on the level that was called. One that the chain would send to another level counts as denied, and what it would have cost there is unknown.")
	}
	if lost {
		list = append(list, "Calls that were never reported are played without a report; what they cost is unknown.")
	}
	if in.Recording.Missing > 0 {
		list = append(list, fmt.Sprintf("%d calls of the same time were not recorded, because there were too many at once.", in.Recording.Missing))
	}
	return list
}
