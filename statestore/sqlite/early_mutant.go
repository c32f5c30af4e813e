// SPDX-License-Identifier: Apache-2.0

//go:build mutant_ack_before_commit

package sqlite

import (
	"time"

	"github.com/resilienced/resilienced/rules"
)

// answersEarly makes a faulty store for test/exact, which must find it: it
// answers before the commit. What is written stays in an open transaction, in
// this process's memory alone, until a later one comes after holdFor.
const (
	answersEarly = true
	holdFor      = 100 * time.Millisecond
)

// heldSince is when the open transaction began; zero if there is none. Whoever
// holds the lane uses it; a process of the mutant has one store.
var heldSince time.Time

func (w *writer) applyEarly(changes []change, counts map[familyKey]int, now rules.Instant) error {
	if heldSince.IsZero() {
		if _, err := w.begin.run(); err != nil {
			return err
		}
		heldSince = time.Now()
	}
	if err := w.writeAll(changes, counts); err != nil {
		return err
	}
	if time.Since(heldSince) < holdFor {
		return nil
	}
	heldSince = time.Time{}
	if err := w.raiseFloor(now); err != nil {
		return err
	}
	_, err := w.commit.run()
	return err
}
