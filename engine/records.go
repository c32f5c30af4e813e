// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"time"

	"github.com/resilienced/resilienced/rules"
	"github.com/resilienced/resilienced/rules/breaker"
	"github.com/resilienced/resilienced/rules/budget"
	"github.com/resilienced/resilienced/rules/deadletter"
	"github.com/resilienced/resilienced/rules/escalation"
	"github.com/resilienced/resilienced/rules/fallback"
	"github.com/resilienced/resilienced/rules/operation"
	"github.com/resilienced/resilienced/rules/retry"
	"github.com/resilienced/resilienced/rules/target"
	"github.com/resilienced/resilienced/statestore"
)

type (
	instant    = rules.Instant
	transition = breaker.Transition
)

// Kinds returns an empty record of every kind that the engine keeps, for
// stores that keep bytes.
func Kinds() map[statestore.Kind]func() statestore.Record {
	return map[statestore.Kind]func() statestore.Record{
		statestore.KindMeta:       func() statestore.Record { return &Meta{} },
		statestore.KindClock:      func() statestore.Record { return &Clock{} },
		statestore.KindRun:        func() statestore.Record { return &budget.Run{} },
		statestore.KindTarget:     func() statestore.Record { return &target.Control{} },
		statestore.KindTally:      func() statestore.Record { return &target.Tally{} },
		statestore.KindStripe:     func() statestore.Record { return &Stripe{} },
		statestore.KindOperation:  func() statestore.Record { return &operation.Operation{} },
		statestore.KindTask:       func() statestore.Record { return &retry.Task{} },
		statestore.KindRepeat:     func() statestore.Record { return &Repeat{} },
		statestore.KindLetter:     func() statestore.Record { return &deadletter.Letter{} },
		statestore.KindEscalation: func() statestore.Record { return &escalation.Escalation{} },
		statestore.KindFold:       func() statestore.Record { return &escalation.Fold{} },
		statestore.KindPolicy:     func() statestore.Record { return &Document{} },
		statestore.KindRequest:    func() statestore.Record { return &Request{} },
		statestore.KindDecision:   func() statestore.Record { return &DecisionRow{} },
		statestore.KindTransition: func() statestore.Record { return &History{} },
		statestore.KindCalls:      func() statestore.Record { return &CallChunk{} },

		statestore.KindEnforcement: func() statestore.Record { return &Enforcement{} },
		statestore.KindObservation: func() statestore.Record { return &Observation{} },
	}
}

// recordRetention is how long small records are kept after their last change.
const recordRetention = 24 * time.Hour

// Repeat counts the failures of one fingerprint in a run (design §6).
type Repeat struct {
	Failures  int     `json:"f"`
	UpdatedAt instant `json:"u"`
}

// DueAt is when the count may go.
func (r *Repeat) DueAt() rules.Instant { return r.UpdatedAt.Add(recordRetention) }

func (r *Repeat) count() int {
	if r == nil {
		return 0
	}
	return r.Failures
}

func (r *Repeat) again(now instant) *Repeat { return &Repeat{Failures: r.count() + 1, UpdatedAt: now} }

// Request is the answer to an operator's request, for its repeat (G3).
type Request struct {
	Hash   uint64  `json:"h"`
	Answer []byte  `json:"a,omitempty"`
	At     instant `json:"t"`
}

// DueAt is when the request id may be used again.
func (r *Request) DueAt() rules.Instant { return r.At.Add(recordRetention) }

// Document is a namespace's policy as it was applied.
type Document struct {
	Text   []byte  `json:"t"`
	File   string  `json:"f,omitempty"`
	Epoch  uint64  `json:"e"`
	Actor  string  `json:"a,omitempty"`
	Reason string  `json:"r,omitempty"`
	At     instant `json:"at"`
}

func kindOf(k uint8) fallback.Kind { return fallback.Kind(k) }

func letterKey(ns, operation string) statestore.Key {
	return statestore.Key{Kind: statestore.KindLetter, Namespace: ns, Name: operation}
}

func escalationKey(ns, key string) statestore.Key {
	return statestore.Key{Kind: statestore.KindEscalation, Namespace: ns, Name: key}
}
