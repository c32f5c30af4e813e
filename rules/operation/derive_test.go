// SPDX-License-Identifier: Apache-2.0

package operation_test

import (
	"reflect"
	"testing"

	"pgregory.net/rapid"

	"github.com/resilienced/resilienced/rules"
	"github.com/resilienced/resilienced/rules/operation"
)

// TestOperationDeriveIsOrderless: deriving in steps gives what deriving at once
// gives, and DueAt is when it changes.
func TestOperationDeriveIsOrderless(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		op := operation.New(operation.Idempotency(rapid.IntRange(1, 3).Draw(t, "mode")))
		op.Expires = rules.Instant(rapid.Int64Range(0, 1<<40).Draw(t, "expires"))
		op.Detail.Promised, op.Detail.Throttled = rapid.Bool().Draw(t, "promised"), rapid.Bool().Draw(t, "throttled")
		op.Permit = &operation.Permit{
			Fence: 3, Expires: rules.Instant(rapid.Int64Range(1, 100).Draw(t, "end")),
			State: operation.PermitState(rapid.IntRange(0, 3).Draw(t, "state")),
		}
		t1 := rules.Instant(rapid.Int64Range(0, 120).Draw(t, "t1"))
		t2 := t1 + rules.Instant(rapid.Int64Range(0, 120).Draw(t, "t2"))
		once, lost := op.Derive(t2)
		first, early := op.Derive(t1)
		twice, late := first.Derive(t2)
		if !reflect.DeepEqual(once, twice) || lost != (early || late) || (early && late) {
			t.Fatalf("at once %+v\nin steps %+v", once, twice)
		}
		if op.Permit.State == operation.PermitActive && op.DueAt() != op.Permit.Expires {
			t.Fatal("a live lease is due at its end")
		}
		if lost && (once.Expires < op.Expires || once.Detail.Promised || once.Detail.Throttled || once.DueAt() != once.Expires) {
			t.Fatalf("a lost permit leaves %+v", once)
		}
	})
}

// TestLostPermits: a lost permit may be reported for a day, and of many only
// the newest are kept.
func TestLostPermits(t *testing.T) {
	op, now := operation.New(operation.Idempotent), rules.Instant(1)
	for fence := uint64(1); fence <= 20; fence++ {
		op = op.Edit()
		op.Permit = &operation.Permit{Fence: fence, Expires: now + 10}
		now += 10
		op, _ = op.Derive(now)
	}
	if op.Lost(20) == nil || op.Lost(5) == nil || op.Lost(4) != nil || op.Lost(21) != nil {
		t.Errorf("of 20 lost permits %d are kept", len(op.Detail.Lost))
	}
	p := op.Lost(20)
	if end := p.Expires.Add(operation.Retention); p.Gone(end-1) || !p.Gone(end) {
		t.Error("a lost permit is gone a day after its lease")
	}
	if (&operation.Permit{State: operation.PermitSettled}).Gone(1 << 60) {
		t.Error("a reported permit is gone")
	}
}
