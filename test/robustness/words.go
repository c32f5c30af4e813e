// SPDX-License-Identifier: Apache-2.0

package main

// The parts of the report that do not change.
const (
	promisesText = "What was looked at are calls, grants, refusals, balances or letters, as the check has it. A search that comes to no end " +
		"counts as a violation."

	mutantsText = "A mutant is the service with one fault that a programmer could have made. The time is that of load and checks, " +
		"until the trial in which it was found was judged; the build is not in it."

	matrixText = "**found**: by a check that is for it; found: by another one; –: a check that is for it did not see it this time."

	limitsText = "- Clients, replicas, proxies and databases share one machine. Nothing here is a figure of speed.\n" +
		"- A fault lasts seconds. What builds up over days, such as bloat or a full disk, is not seen.\n" +
		"- Faults come one after the other. Two at once are met only by chance, when one has not healed yet.\n" +
		"- The disk tells the truth: no write is torn, lost or changed after it was acknowledged.\n" +
		"- While the store's own clock is moved, holders cannot tell by theirs how long a lease is, so how many hold a slot is not checked then; " +
		"caps, balances, repeats and letters are.\n" +
		"- All replicas are of one version.\n" +
		"- Escalations, batches, replays and the JSON port are not pressed here.\n" +
		"- A mutant shows that a check can fail, not that it finds every fault of its kind."

	againText = "`make robustness` runs every kind and every mutant once and writes this page; `make robustness LENGTH=2h SEED=7` goes on for two " +
		"hours with what another seed draws; `make robustness-short` is the form for CI, with three mutants. The seed draws replicas, directions, " +
		"lengths and delays, but not how threads take turns: the same seed does not give the same history. " +
		"`go run ./test/robustness -history FILE` keeps every history as JSON lines, and `-check FILE` judges them again."
)
