// SPDX-License-Identifier: Apache-2.0

package check

import (
	"fmt"
	"time"

	"github.com/resilienced/resilienced/test/robustness/history"
)

// Result is what one check found.
type Result struct {
	Check string
	// Checked counts what was looked at. A check that looked at nothing says
	// nothing.
	Checked    int
	Violations []string // the first mostViolations
	More       int      // further ones
	// Undecided says why the check came to no end; empty: it did.
	Undecided string
	// Note is a figure for people.
	Note string
}

// mostViolations is how many are kept: one is enough to fail.
const mostViolations = 10

// Bad reports whether the trial fails by this check.
func (r *Result) Bad() bool { return len(r.Violations) > 0 || r.Undecided != "" }

func (r *Result) violated(format string, args ...any) {
	if len(r.Violations) < mostViolations {
		r.Violations = append(r.Violations, fmt.Sprintf(format, args...))
		return
	}
	r.More++
}

// Check is one check by its name.
type Check struct {
	Name string
	// Promise is what it checks, for people.
	Promise string
	run     func(*story, *Result)
}

// Checks are all checks there are, in the order in which they are shown.
func Checks() []Check {
	return []Check{
		{"caps", "no grant passes the cap of its run or of a run above it, and no refusal is for a cap that had room", checkCaps},
		{"balances", "at the end every run's balance is what its callers' books say, to the micro-dollar", checkBalances},
		{"slots", "never more holders of a target's slots than its limit, and a slot is free again within lease end + 1 s", checkSlots},
		{"probes", "never more probes of a half-open breaker than its policy allows, and none that is lost holds its place for longer", checkProbes},
		{"generations", "a breaker's generation never goes back, has one state, and a report of an older one has no vote; open means open", checkGenerations},
		{"trips", "every trip is seen on every replica", checkTrips},
		{"repeats", "a request repeated gets the same permit, a report repeated the same answer", checkRepeats},
		{"payments", "an operation that must not happen twice is granted once, and its result is kept", checkPayments},
		{"letters", "no acknowledged dead letter is lost or changed", checkLetters},
		{"leases", "a live lease is renewed, one that is over is not", checkLeases},
		{"liveness", "calls are granted, open breakers close again, and after a fault every replica answers within 5 s", checkLiveness},
		{"errors", "no error that a correct client should never get", checkErrors},
	}
}

// All runs every check on a history.
func All(h *history.History) []Result {
	s := newStory(h)
	var results []Result
	for _, c := range Checks() {
		r := Result{Check: c.Name}
		c.run(s, &r)
		results = append(results, r)
	}
	return results
}

// forever is later than everything in a history.
const forever = time.Duration(1<<63 - 1)

// span is a stretch of time from a moment to before another.
type span struct{ from, to time.Duration }

// meets reports whether both have a moment in common, ends included.
func (s span) meets(t span) bool { return s.from <= t.to && t.from <= s.to }
