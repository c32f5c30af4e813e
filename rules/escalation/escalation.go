// SPDX-License-Identifier: Apache-2.0

// Package escalation holds the record of a question to a person, with a
// deadline and a default (semantics §1.11). This version raises, folds, reads
// and defaults escalations; people's answers come later.
package escalation

import (
	"time"

	"github.com/resilienced/resilienced/rules"
)

// Type says what kind of decision is asked for; deadline and default follow
// from it.
type Type string

// The types.
const (
	TypeUnspecified             Type = ""
	TypeCustomerWaiting         Type = "customer_waiting"
	TypeRefund                  Type = "refund"
	TypeIrreversibleWrite       Type = "irreversible_write"
	TypeAmbiguousClassification Type = "ambiguous_classification"
	TypeAmbiguousOutcome        Type = "ambiguous_outcome"
	TypeBudgetIncrease          Type = "budget_increase"
	TypeUnknownError            Type = "unknown_error"
	TypeAuthFailure             Type = "auth_failure"
)

// State is an escalation's state.
type State uint8

// The states.
const (
	Open State = iota + 1
	Acknowledged
	Decided
	Defaulted
	Consumed
	Cancelled
)

// Default is what happens at the deadline when nobody answered.
type Default uint8

// The defaults.
const (
	DoNothing Default = iota + 1
	Proceed
)

// foldSpan is how long like alerts fold into the first.
const foldSpan = 10 * time.Minute

// Retention is how long an escalation is kept after its deadline.
const Retention = 30 * 24 * time.Hour

// ByDeadline is who decided when nobody did.
const ByDeadline = "system:deadline"

// Option is one answer that a person may give.
type Option struct {
	ID         string `json:"i"`
	Label      string `json:"l"`
	Effect     string `json:"e,omitempty"`
	Reversible bool   `json:"r,omitempty"`
}

// Evidence is one piece of what the question rests on.
type Evidence struct {
	Kind  string `json:"k"`
	Title string `json:"t"`
	Body  string `json:"b"`
}

// Decision is how an escalation ended.
type Decision struct {
	Option   string        `json:"o"` // option id, or the default's name
	By       string        `json:"b"`
	At       rules.Instant `json:"a"`
	TimedOut bool          `json:"t,omitempty"`
}

// Escalation is one question.
type Escalation struct {
	Key         string        `json:"k"` // dedupe key, and its name
	Type        Type          `json:"ty,omitempty"`
	State       State         `json:"st"`
	Question    string        `json:"q"`
	Options     []Option      `json:"op,omitempty"`
	Recommended string        `json:"rc,omitempty"` // option id
	Evidence    []Evidence    `json:"ev,omitempty"`
	Reversible  bool          `json:"rv,omitempty"`
	Default     Default       `json:"de"`
	Deadline    rules.Instant `json:"dl"`
	Run         string        `json:"ru,omitempty"`
	Operation   string        `json:"on,omitempty"`
	Target      string        `json:"tg,omitempty"`
	Reason      string        `json:"re,omitempty"`
	Occurrences int           `json:"oc"`
	CreatedAt   rules.Instant `json:"cr"`
	LastAt      rules.Instant `json:"la"`
	Decision    *Decision     `json:"dc,omitempty"`
}

// Fold says into which escalation like alerts go.
type Fold struct {
	Key   string        `json:"k"`
	Since rules.Instant `json:"s"`
}

// DueAt is when the fold ends.
func (f *Fold) DueAt() rules.Instant { return f.Since.Add(foldSpan) }

// Takes reports whether an alert at now goes into the escalation, which must
// not be final.
func (f *Fold) Takes(now rules.Instant, e *Escalation) bool {
	return e != nil && now < f.Since.Add(foldSpan) && !e.Final()
}

// FoldName is the name of the fold of like alerts, or "" for a type that asks
// for each decision by itself.
func FoldName(t Type, target, reason string) string {
	switch t {
	case TypeAuthFailure, TypeUnknownError:
		return string(t) + "|" + target + "|" + reason
	default:
		return ""
	}
}

// Key is the dedupe key of the escalation that an operation raised.
func Key(operation string) string { return "esc:" + operation }

// Terms returns the deadline and the default of a type.
func Terms(t Type, reversible bool) (time.Duration, Default) {
	byReversibility := DoNothing
	if reversible {
		byReversibility = Proceed
	}
	switch t {
	case TypeCustomerWaiting:
		return 15 * time.Minute, byReversibility
	case TypeRefund, TypeAmbiguousOutcome, TypeUnknownError:
		return 24 * time.Hour, DoNothing
	case TypeIrreversibleWrite:
		return 4 * time.Hour, DoNothing
	case TypeAmbiguousClassification:
		return time.Hour, Proceed
	case TypeBudgetIncrease:
		return 30 * time.Minute, DoNothing
	case TypeAuthFailure:
		return time.Hour, DoNothing
	case TypeUnspecified:
	}
	return time.Hour, byReversibility
}

// Raise makes the escalation of an operation's report.
func Raise(e Escalation, now rules.Instant) *Escalation {
	deadline, byDefault := Terms(e.Type, e.Reversible)
	e.State, e.Default, e.Occurrences = Open, byDefault, 1
	e.Deadline, e.CreatedAt, e.LastAt = now.Add(deadline), now, now
	e.Options = []Option{
		{ID: "approve", Label: "Approve", Effect: "the operation may go on"},
		{ID: "reject", Label: "Reject", Effect: "the operation stays stopped", Reversible: true},
	}
	return &e
}

// Again returns the escalation with one more occurrence folded in.
func (e *Escalation) Again(now rules.Instant) *Escalation {
	next := *e
	next.Occurrences++
	next.LastAt = now
	return &next
}

// Final reports whether people can no longer decide.
func (e *Escalation) Final() bool { return e.State >= Decided }

// Derive returns the escalation with its default applied if the deadline is
// over, stamped with the deadline.
func (e *Escalation) Derive(now rules.Instant) *Escalation {
	if e.Final() || now < e.Deadline {
		return e
	}
	next := *e
	next.State = Defaulted
	next.Decision = &Decision{Option: e.Default.String(), By: ByDeadline, At: e.Deadline, TimedOut: true}
	return &next
}

// DueAt is the deadline, or when a final escalation is dropped.
func (e *Escalation) DueAt() rules.Instant {
	if e.Final() {
		return e.Deadline.Add(Retention)
	}
	return e.Deadline
}

// Gone reports whether the escalation is past its retention.
func (e *Escalation) Gone(now rules.Instant) bool { return now >= e.Deadline.Add(Retention) }

// OrderBy sorts escalations by when they were made.
func (e *Escalation) OrderBy() int64 { return int64(e.CreatedAt) }

// Facts are the escalation's state when it was last changed.
func (e *Escalation) Facts() rules.Facts { return rules.Facts{State: e.State.String()} }

// String returns the state in upper snake case.
func (s State) String() string {
	return rules.Word(uint8(s), "", "OPEN", "ACKNOWLEDGED", "DECIDED", "DEFAULTED", "CONSUMED", "CANCELLED")
}

// String returns the default in upper snake case.
func (d Default) String() string { return [...]string{"", "DO_NOTHING", "PROCEED"}[d] }
