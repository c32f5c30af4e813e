// SPDX-License-Identifier: Apache-2.0

package escalation_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/resilienced/resilienced/rules"
	"github.com/resilienced/resilienced/rules/escalation"
)

func TestDefaultComesAtTheDeadline(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		kind := rapid.SampledFrom([]escalation.Type{
			escalation.TypeUnspecified, escalation.TypeCustomerWaiting, escalation.TypeRefund, escalation.TypeIrreversibleWrite,
			escalation.TypeAmbiguousClassification, escalation.TypeAmbiguousOutcome, escalation.TypeBudgetIncrease,
			escalation.TypeUnknownError, escalation.TypeAuthFailure,
		}).Draw(t, "type")
		begin := rules.Instant(rapid.Int64Range(1, 1<<50).Draw(t, "at"))
		e := escalation.Raise(escalation.Escalation{Key: "k", Type: kind, Reversible: rapid.Bool().Draw(t, "reversible")}, begin)
		if before := e.Derive(e.Deadline - 1); before.Final() {
			t.Fatalf("final before its deadline: %+v", before)
		}
		late := e.Deadline + rules.Instant(rapid.Int64Range(0, 1<<40).Draw(t, "late"))
		d := e.Derive(late)
		if d.State != escalation.Defaulted || d.Decision.At != e.Deadline || d.Decision.By != escalation.ByDeadline || !d.Decision.TimedOut {
			t.Fatalf("after its deadline: %+v", d)
		}
		if again := d.Derive(late + 1); again != d {
			t.Fatal("decided twice")
		}
	})
}

func TestTermsByType(t *testing.T) {
	for kind, want := range map[escalation.Type]struct {
		deadline time.Duration
		def      escalation.Default
	}{
		escalation.TypeUnspecified:             {time.Hour, escalation.DoNothing},
		escalation.TypeCustomerWaiting:         {15 * time.Minute, escalation.DoNothing},
		escalation.TypeRefund:                  {24 * time.Hour, escalation.DoNothing},
		escalation.TypeIrreversibleWrite:       {4 * time.Hour, escalation.DoNothing},
		escalation.TypeAmbiguousClassification: {time.Hour, escalation.Proceed},
		escalation.TypeAmbiguousOutcome:        {24 * time.Hour, escalation.DoNothing},
		escalation.TypeBudgetIncrease:          {30 * time.Minute, escalation.DoNothing},
		escalation.TypeUnknownError:            {24 * time.Hour, escalation.DoNothing},
		escalation.TypeAuthFailure:             {time.Hour, escalation.DoNothing},
	} {
		if deadline, def := escalation.Terms(kind, false); deadline != want.deadline || def != want.def {
			t.Errorf("%q: %v %v, want %v %v", kind, deadline, def, want.deadline, want.def)
		}
	}
	if _, def := escalation.Terms(escalation.TypeCustomerWaiting, true); def != escalation.Proceed {
		t.Error("a reversible answer to a waiting customer is not given")
	}
}

func TestFoldTakesForTenMinutes(t *testing.T) {
	e := escalation.Raise(escalation.Escalation{Key: "k", Type: escalation.TypeAuthFailure}, 1000)
	f := &escalation.Fold{Key: "k", Since: 1000}
	end := rules.Instant(1000).Add(10 * time.Minute)
	if !f.Takes(end-1, e) || f.Takes(end, e) || f.Takes(2000, nil) || f.Takes(2000, e.Derive(e.Deadline)) {
		t.Error("like alerts fold for ten minutes, into one that is not final")
	}
}
