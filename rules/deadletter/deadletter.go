// SPDX-License-Identifier: Apache-2.0

// Package deadletter holds the record of an operation that was given up and
// kept, with what is needed to resume it (semantics §1.9). This version makes
// letters, keeps them and lets them expire; replay comes later.
package deadletter

import (
	"time"

	"github.com/resilienced/resilienced/rules"
	"github.com/resilienced/resilienced/rules/classify"
)

// State is a letter's state.
type State uint8

// The states that a letter has without replay.
const (
	Open State = iota + 1
	Parked
)

// Kind says whether a letter may be worth another try.
type Kind uint8

// The kinds.
const (
	Replayable Kind = iota + 1
	KnownBad
)

// ReplayPolicy says who may start a replay.
type ReplayPolicy uint8

// The policies.
const (
	Auto ReplayPolicy = iota + 1
	Manual
	Forbidden
)

// How long a letter is kept after it was last dead-lettered (seed 000).
const (
	ReplayableRetention = 30 * 24 * time.Hour
	KnownBadRetention   = 7 * 24 * time.Hour
)

// maxHistory bounds the failures that a letter remembers.
const maxHistory = 20

// Checkpoint is where the caller can resume.
type Checkpoint struct {
	Store   string `json:"s,omitempty"`
	ID      string `json:"i,omitempty"`
	Version string `json:"v,omitempty"`
}

// Error is the caller's account of the last error.
type Error struct {
	Type    string `json:"t,omitempty"`
	Code    string `json:"c,omitempty"`
	Message string `json:"m,omitempty"`
	Stack   string `json:"s,omitempty"`
}

// Envelope is what the caller sends along so that its operation can be
// dead-lettered.
type Envelope struct {
	Context       []byte            `json:"cx,omitempty"`
	Payload       []byte            `json:"pl,omitempty"`
	ContentType   string            `json:"ct,omitempty"`
	PayloadRef    string            `json:"pr,omitempty"`
	PayloadSHA256 []byte            `json:"ps,omitempty"`
	Checkpoint    Checkpoint        `json:"cp"`
	LastError     Error             `json:"le"`
	Labels        map[string]string `json:"la,omitempty"`
}

// Failure is one entry of a letter's history.
type Failure struct {
	At     rules.Instant   `json:"at"`
	Target string          `json:"t"`
	Class  classify.Class  `json:"c"`
	Reason classify.Reason `json:"r"`
	Delay  time.Duration   `json:"d,omitempty"`
}

// Letter is one dead letter. It is named by its operation: a second Put of the
// same operation adds to the same letter.
type Letter struct {
	Operation        string             `json:"op"`
	Run              string             `json:"ru,omitempty"`
	Task             string             `json:"ta,omitempty"`
	Target           string             `json:"tg"`
	Level            int                `json:"lv,omitempty"`
	Chain            string             `json:"ch,omitempty"`
	Kind             Kind               `json:"ki"`
	State            State              `json:"st"`
	Class            classify.Class     `json:"cl"`
	Reason           classify.Reason    `json:"re"`
	Rule             string             `json:"rl,omitempty"`
	Certainty        classify.Certainty `json:"ce,omitempty"`
	Policy           ReplayPolicy       `json:"po"`
	Attempts         int                `json:"at,omitempty"`
	History          []Failure          `json:"hi,omitempty"`
	Envelope         Envelope           `json:"en"`
	Idempotency      uint8              `json:"id,omitempty"`
	IdempotencyKey   string             `json:"ik,omitempty"`
	Escalation       string             `json:"es,omitempty"`
	FirstFailedAt    rules.Instant      `json:"ff"`
	DeadLetteredAt   rules.Instant      `json:"dl"`
	LastDeadLettered rules.Instant      `json:"ll"`
	ReplayAfter      rules.Instant      `json:"ra,omitempty"`
	Replays          int                `json:"rp,omitempty"`
	ExpiresAt        rules.Instant      `json:"ex"`
	PolicyEpoch      uint64             `json:"pe,omitempty"`
}

// ID is the name by which callers know the letter of an operation.
func ID(operation string) string { return "dl:" + operation }

// DueAt is when the letter expires.
func (l *Letter) DueAt() rules.Instant { return l.ExpiresAt }

// OrderBy sorts letters by when they were last dead-lettered.
func (l *Letter) OrderBy() int64 { return int64(l.LastDeadLettered) }

// Expired reports whether the letter is gone at now.
func (l *Letter) Expired(now rules.Instant) bool { return now >= l.ExpiresAt }

// Put returns the letter to store when fresh is dead-lettered at now and old,
// which may be nil, is there already. The row stays the same, and so does its
// count of replays.
func Put(old *Letter, fresh Letter, now rules.Instant) *Letter {
	failure := Failure{At: now, Target: fresh.Target, Class: fresh.Class, Reason: fresh.Reason}
	fresh.State = Open
	fresh.DeadLetteredAt, fresh.FirstFailedAt = now, now
	if old != nil && !old.Expired(now) {
		fresh.DeadLetteredAt, fresh.FirstFailedAt = old.DeadLetteredAt, old.FirstFailedAt
		fresh.History, fresh.Replays, fresh.State = old.History, old.Replays, old.State
	}
	history := append(make([]Failure, 0, len(fresh.History)+1), fresh.History...)
	history = append(history, failure)
	fresh.History = history[max(len(history)-maxHistory, 0):]
	fresh.LastDeadLettered = now
	fresh.ExpiresAt = now.Add(ReplayableRetention)
	if fresh.Kind == KnownBad {
		fresh.ExpiresAt = now.Add(KnownBadRetention)
	}
	return &fresh
}

// PolicyFor is the replay policy of a letter by why it was made (C24).
func PolicyFor(reason classify.Reason, ambiguousOnce bool) ReplayPolicy {
	switch reason {
	case classify.ReasonAuth, classify.ReasonQuotaExhausted, classify.ReasonUnknown, classify.ReasonRunBudget:
		return Manual
	default:
	}
	if ambiguousOnce {
		return Manual
	}
	return Auto
}

// Facts are the letter's state.
func (l *Letter) Facts() rules.Facts { return rules.Facts{State: l.State.String()} }

// String returns the state in upper snake case.
func (s State) String() string {
	return rules.Word(uint8(s), "", "OPEN", "PARKED")
}

// String returns the kind in upper snake case.
func (k Kind) String() string { return [...]string{"", "REPLAYABLE", "KNOWN_BAD"}[k] }

// String returns the policy in upper snake case.
func (p ReplayPolicy) String() string { return [...]string{"", "AUTO", "MANUAL", "FORBIDDEN"}[p] }
