// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"strings"
	"testing"

	"github.com/resilienced/resilienced/rules"
	"github.com/resilienced/resilienced/rules/breaker"
	"github.com/resilienced/resilienced/rules/budget"
	"github.com/resilienced/resilienced/rules/deadletter"
	"github.com/resilienced/resilienced/rules/escalation"
	"github.com/resilienced/resilienced/rules/operation"
	"github.com/resilienced/resilienced/rules/target"
	"github.com/resilienced/resilienced/statestore"
)

// realStore is a store of the rules' own records.
func realStore(t *testing.T) *Store {
	t.Helper()
	codec, err := statestore.NewCodec(map[statestore.Kind]func() statestore.Record{
		statestore.KindRun:        func() statestore.Record { return new(budget.Run) },
		statestore.KindTarget:     func() statestore.Record { return new(target.Control) },
		statestore.KindOperation:  func() statestore.Record { return new(operation.Operation) },
		statestore.KindLetter:     func() statestore.Record { return new(deadletter.Letter) },
		statestore.KindEscalation: func() statestore.Record { return new(escalation.Escalation) },
	})
	noError(t, err)
	cfg := newConfig(t)
	cfg.Codec = codec
	return openStore(t, cfg)
}

func putRecord(s *Store, kind statestore.Kind, name string, r statestore.Record) error {
	e := &statestore.Entry{Key: statestore.Key{Kind: kind, Namespace: "acme", Name: name}, Mode: statestore.Write}
	return s.Update(s.run, []*statestore.Entry{e}, func(rules.Instant) (statestore.Durability, error) {
		e.Put(r)
		return statestore.Durable, nil
	})
}

func TestOperatorsSeeWhatRecordsSay(t *testing.T) {
	s := realStore(t)
	costCap, calls := int64(100), int64(3)
	run := &budget.Run{ID: "r", Caps: budget.Caps{Cost: &costCap, Calls: &calls}, Spent: budget.Amounts{Cost: 40, Calls: 1}, CreatedAt: 1, UpdatedAt: 1}
	control := &target.Control{NextDue: 1_700_000_000_000_000}
	control.Breaker.Phase = breaker.HalfOpen
	for name, c := range map[string]struct {
		kind      statestore.Kind
		record    statestore.Record
		sql, want string
	}{
		"run":       {statestore.KindRun, run, "SELECT run, state, cost_cap, cost_spent, admitted_cost FROM {s}.runs", "run|ACTIVE|100|40|"},
		"granted":   {statestore.KindRun, run.Admit(budget.Amounts{Cost: 60, Tokens: 9, Calls: 1}, 5, 2), "SELECT cost_reserved, admitted_cost, allowed_cost, admitted_tokens, admitted_calls, allowed_calls FROM {s}.runs WHERE run = 'granted'", "60|100|100||2|3"},
		"overspent": {statestore.KindRun, &budget.Run{Caps: budget.Caps{Cost: &costCap}, Spent: budget.Amounts{Cost: 500}}, "SELECT state, cost_spent FROM {s}.runs WHERE run = 'overspent'", "EXHAUSTED|500"},
		"target":    {statestore.KindTarget, control, "SELECT target, state, due FROM {s}.targets", "target|HALF_OPEN|2023-11-14 22:13:20+00"},
		"op":        {statestore.KindOperation, &operation.Operation{State: operation.Locked}, "SELECT namespace, operation, state FROM {s}.operations", "acme|op|LOCKED"},
		"letter":    {statestore.KindLetter, &deadletter.Letter{State: deadletter.Open, LastDeadLettered: 1_700_000_000_000_000}, "SELECT state, dead_lettered FROM {s}.dead_letters", "OPEN|2023-11-14 22:13:20+00"},
		"question":  {statestore.KindEscalation, &escalation.Escalation{State: escalation.Defaulted}, "SELECT state FROM {s}.escalations", "DEFAULTED"},
	} {
		// Once made and once replaced: both statements write the columns.
		for range 2 {
			noError(t, putRecord(s, c.kind, name, c.record))
		}
		sql := strings.ReplaceAll(c.sql, "{s}", quote(s.cfg.Schema))
		if name == "run" {
			sql += " WHERE run = 'run'"
		}
		if got := execute(t, shared, sharedDSN, sql); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

// TestRecordsBesideAbsentKeysKeepTheirColumns: a key that is held and stays
// absent takes a place among the rows that are made, and shifts none of them.
func TestRecordsBesideAbsentKeysKeepTheirColumns(t *testing.T) {
	s := realStore(t)
	made := map[string]statestore.Record{"b": nil, "d": nil, "f": nil}
	for i, name := range []string{"b", "d", "f"} {
		costCap := int64(100 * (i + 1))
		made[name] = &budget.Run{Caps: budget.Caps{Cost: &costCap}, Spent: budget.Amounts{Cost: int64(i + 1)}}
	}
	var entries []*statestore.Entry
	for _, name := range []string{"a", "b", "c", "d", "e", "f", "g"} {
		for _, kind := range []statestore.Kind{statestore.KindRun, statestore.KindOperation} {
			entries = append(entries, &statestore.Entry{Key: statestore.Key{Kind: kind, Namespace: "acme", Name: name}, Mode: statestore.Write})
		}
	}
	noError(t, s.Update(t.Context(), entries, func(rules.Instant) (statestore.Durability, error) {
		for _, e := range entries {
			switch r := made[e.Key.Name]; {
			case r != nil && e.Key.Kind == statestore.KindRun:
				e.Put(r)
			case r != nil:
				e.Put(&operation.Operation{State: operation.Locked})
			}
		}
		return statestore.Durable, nil
	}))
	for sql, want := range map[string]string{
		"SELECT run, state, cost_cap, cost_spent FROM {s}.runs ORDER BY run": "b|ACTIVE|100|1\nd|ACTIVE|200|2\nf|ACTIVE|300|3",
		"SELECT operation, state FROM {s}.operations ORDER BY operation":     "b|LOCKED\nd|LOCKED\nf|LOCKED",
	} {
		if got := execute(t, shared, sharedDSN, strings.ReplaceAll(sql, "{s}", quote(s.cfg.Schema))); got != want {
			t.Errorf("%s: %s, want %s", sql, got, want)
		}
	}
}

// TestTheDatabaseRefusesWhatNoRuleAllows: the checks on sums are a second
// guard.
func TestTheDatabaseRefusesWhatNoRuleAllows(t *testing.T) {
	s := realStore(t)
	limit := int64(100)
	caps := budget.Caps{Cost: &limit, Tokens: &limit, Calls: &limit}
	for name, r := range map[string]*budget.Run{
		"more cost than the cap":   {Caps: caps, Admitted: &budget.Admission{Sum: budget.Amounts{Cost: 101}, Caps: caps}},
		"more tokens than the cap": {Caps: caps, Admitted: &budget.Admission{Sum: budget.Amounts{Tokens: 101}, Caps: caps}},
		"more calls than the cap":  {Caps: caps, Admitted: &budget.Admission{Sum: budget.Amounts{Calls: 101}, Caps: caps}},
		"negative spent":           {Spent: budget.Amounts{Cost: -1}},
		"negative assumed":         {Assumed: budget.Amounts{Cost: -1}},
		"negative reserved":        {Reserved: budget.Amounts{Cost: -1}},
	} {
		wantError(t, putRecord(s, statestore.KindRun, name, r), statestore.ErrRejected, "report it")
		noError(t, putRecord(s, statestore.KindRun, name, &budget.Run{Caps: caps}))
		wantError(t, putRecord(s, statestore.KindRun, name, r), statestore.ErrRejected, "report it")
	}
	full := &budget.Run{Caps: caps, Admitted: &budget.Admission{Sum: budget.Amounts{Cost: 100, Tokens: 100, Calls: 100}, Caps: caps}}
	noError(t, putRecord(s, statestore.KindRun, "just full", full))
	late := *full
	late.Spent.Cost = 900 // the call was dearer than its estimate
	noError(t, putRecord(s, statestore.KindRun, "just full", &late))
}
