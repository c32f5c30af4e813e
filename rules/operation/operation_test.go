// SPDX-License-Identifier: Apache-2.0

package operation_test

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/resilienced/resilienced/rules"
	"github.com/resilienced/resilienced/rules/operation"
)

// TestLeaseEndsOnce: a permit is lost at the end of its lease, once, and an
// operation that may not be made twice is locked by it.
func TestLeaseEndsOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		mode := operation.Idempotency(rapid.IntRange(1, 3).Draw(t, "mode"))
		end := rules.Instant(rapid.Int64Range(2, 1<<40).Draw(t, "end"))
		op := operation.New(mode)
		op.Permit = &operation.Permit{Fence: 7, Expires: end}
		if next, lost := op.Derive(end - 1); lost || next != op || !op.Live(end-1) {
			t.Fatal("lost before its lease ended")
		}
		now := end + rules.Instant(rapid.Int64Range(0, 1<<40).Draw(t, "late"))
		next, lost := op.Derive(now)
		if !lost || next.Live(now) || next.Lost(7) == nil || op.Permit.State != operation.PermitActive {
			t.Fatalf("after its lease: %+v", next)
		}
		if locked := next.State == operation.Locked; locked != (mode == operation.NonIdempotent) {
			t.Fatalf("mode %d is locked: %v", mode, locked)
		}
		if again, twice := next.Derive(now + 1); twice || again != next {
			t.Fatal("lost twice")
		}
		edited := next.Edit()
		edited.Detail.Found(7)
		if edited.Lost(7) != nil || next.Lost(7) == nil {
			t.Fatal("an edit reached the record that it was made from")
		}
	})
}

func TestTombstoneKeepsWhatARepeatNeeds(t *testing.T) {
	op := operation.New(operation.Idempotent)
	op.Attempts, op.Permit = 1, &operation.Permit{Fence: 7, RequestID: "q", Level: 0}
	left := op.Tombstone(1000)
	if left.Detail != nil || left.Permit.RequestID != "q" || left.Permit == op.Permit || left.Attempts != 1 || left.Tried(0) != 1 {
		t.Errorf("tombstone: %+v", left)
	}
	if left.DueAt() != 0 && left.Permit.State != operation.PermitActive && left.DueAt() != left.Expires {
		t.Errorf("due at %d", left.DueAt())
	}
}
