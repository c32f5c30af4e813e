// SPDX-License-Identifier: Apache-2.0

package engine

import "time"

// The figures of an intake.
const (
	// lateAfter is when an answer counts as late: a little before callers leave.
	lateAfter = acquirePatience * 3 / 4
	// smallestIntake lets a batch form however slow the store is.
	smallestIntake = 32
	// smallestShare is what a namespace may always have waiting.
	smallestShare = 8
	// changeEvery is how often it may shrink or grow: not before the effect of
	// the last change can be seen.
	changeEvery = 100 * time.Millisecond
)

// intake bounds how many plain commands may wait for a shared store, so that
// those which are taken are answered before their callers leave. Without it a
// crowd that asks for more than the store can do gets nothing: each command is
// carried out, too late, and given back. It is as large as the queue until
// answers are late, then shrinks by how late they were, and grows again a little
// at a time while they are not. The committer's lock guards it.
type intake struct {
	size, most int
	changed    time.Time
	refused    bool           // since it last grew
	waiting    map[string]int // plain commands, by namespace
}

func newIntake(most int) intake {
	return intake{size: most, most: most, waiting: map[string]int{}}
}

// count follows a plain command into the queue and out of it.
func (n *intake) count(namespace string, by int) {
	if n.waiting == nil {
		return
	}
	if n.waiting[namespace] += by; n.waiting[namespace] <= 0 {
		delete(n.waiting, namespace)
	}
}

// takes reports whether one more plain command of a namespace may wait besides
// those that do. A full one still takes what leaves a namespace within its
// share, so that nobody is kept out by the crowd of another.
func (n *intake) takes(namespace string, waiting int) bool {
	if n.waiting == nil || waiting < n.size {
		return true
	}
	others := len(n.waiting)
	if n.waiting[namespace] == 0 {
		others++
	}
	if n.waiting[namespace] < max(n.size/others, smallestShare) {
		return true
	}
	n.refused = true
	return false
}

// follow shrinks or grows it after a batch. A batch of a few tells nothing of
// what a crowd may expect, so the intake grows by large ones alone.
func (n *intake) follow(members []*command, now time.Time) {
	if n.waiting == nil {
		return
	}
	plain, worst := 0, time.Duration(0)
	for _, c := range members {
		if !c.urgent && !c.began.IsZero() {
			plain, worst = plain+1, max(worst, now.Sub(c.began))
		}
	}
	switch {
	case worst > lateAfter:
		n.shrink(plain, worst, now)
	case n.refused && plain >= n.size/4 && now.Sub(n.changed) >= changeEvery:
		n.size = min(n.size+max(n.size/8, smallestShare), n.most)
		n.changed, n.refused = now, false
	}
}

// shrink takes as many as would have been answered in half of the time that
// callers wait, but no less than a quarter of them at once. It starts from what
// is there, in the batch and behind it: an intake that nobody fills bounds
// nothing.
func (n *intake) shrink(batch int, worst time.Duration, now time.Time) {
	if now.Sub(n.changed) < changeEvery {
		return
	}
	there := batch
	for _, w := range n.waiting {
		there += w
	}
	size := min(n.size, max(there, smallestIntake))
	n.size = max(int(float64(size)*max(float64(acquirePatience/2)/float64(worst), 0.25)), smallestIntake)
	n.changed = now
}
