// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/resilienced/resilienced/rules"
	"github.com/resilienced/resilienced/rules/admit"
	"github.com/resilienced/resilienced/statestore"
)

const (
	// observeInterval is the time that one observation counts.
	observeInterval = 5 * time.Minute
	// ObservationRetention is how long observations are kept.
	ObservationRetention = 7 * 24 * time.Hour
	// OtherTargets stands for the targets beyond those that are told apart.
	OtherTargets = "__other__"
	// maxObserved is how many targets are told apart in a namespace and
	// interval, and in a summary.
	maxObserved = 1000
)

// Observation counts the calls of one target in one interval. Every replica
// adds its part to the stored record.
type Observation struct {
	Start    instant       `json:"s"`
	Acquires int64         `json:"a,omitempty"`
	Granted  int64         `json:"g,omitempty"`
	Reports  int64         `json:"r,omitempty"`
	Failures int64         `json:"f,omitempty"`
	Cost     int64         `json:"c,omitempty"` // micro-USD
	Early    int64         `json:"e,omitempty"`
	Opened   int64         `json:"o,omitempty"`
	Unpriced int64         `json:"u,omitempty"`
	Refused  []ReasonCount `json:"re,omitempty"`
	Would    []ReasonCount `json:"w,omitempty"`
	// Undated: the sweeper leaves the record, because the drill that it belongs
	// to drops it.
	Undated bool `json:"un,omitempty"`
}

// ReasonCount is how many calls one reason concerned, and what those cost that
// were made all the same.
type ReasonCount struct {
	Reason admit.Reason `json:"r"`
	Calls  int64        `json:"n,omitempty"`
	Cost   int64        `json:"c,omitempty"` // micro-USD
	Tokens int64        `json:"t,omitempty"`
}

// DueAt is when the record may go.
func (o *Observation) DueAt() rules.Instant {
	if o.Undated {
		return 0
	}
	return o.Start.Add(observeInterval + ObservationRetention)
}

// OrderBy sorts observations by their time.
func (o *Observation) OrderBy() int64 { return int64(o.Start) }

// intervalOf is the beginning of the interval that an instant lies in.
func intervalOf(at instant) instant { return at - at%instant(observeInterval/time.Microsecond) }

func observationKey(ns string, start instant, target string) statestore.Key {
	name := fmt.Sprintf("%016x", uint64(start)) + sep + target
	return statestore.Key{Kind: statestore.KindObservation, Namespace: ns, Name: name}
}

// observedTarget reads the target from the name of a record.
func observedTarget(name string) string {
	_, target, _ := strings.Cut(name, sep)
	return target
}

// plus returns the sum of both. Neither is changed.
func (o *Observation) plus(other *Observation) *Observation {
	sum := *o
	sum.Refused, sum.Would = slices.Clone(o.Refused), slices.Clone(o.Would)
	sum.add(other)
	return &sum
}

// add takes another one in.
func (o *Observation) add(other *Observation) {
	o.Acquires += other.Acquires
	o.Granted += other.Granted
	o.Reports += other.Reports
	o.Failures += other.Failures
	o.Cost += other.Cost
	o.Early += other.Early
	o.Opened += other.Opened
	o.Unpriced += other.Unpriced
	for _, r := range other.Refused {
		at(&o.Refused, r.Reason).add(r)
	}
	for _, r := range other.Would {
		at(&o.Would, r.Reason).add(r)
	}
}

func (r *ReasonCount) add(other ReasonCount) {
	r.Calls += other.Calls
	r.Cost += other.Cost
	r.Tokens += other.Tokens
}

// at returns the count of a reason, for change.
func at(counts *[]ReasonCount, reason admit.Reason) *ReasonCount {
	i := slices.IndexFunc(*counts, func(r ReasonCount) bool { return r.Reason == reason })
	if i < 0 {
		i = len(*counts)
		*counts = append(*counts, ReasonCount{Reason: reason})
	}
	return &(*counts)[i]
}

// clear makes it count from zero again, with the room that it has.
func (o *Observation) clear() {
	refused, would := o.Refused[:0], o.Would[:0]
	*o = Observation{Start: o.Start, Undated: o.Undated, Refused: refused, Would: would}
}

// sightingKind is what was seen.
type sightingKind uint8

const (
	sawAcquire sightingKind = iota
	sawReport
	sawLoss // of a permit that was granted against a rule: its cost is assumed
	sawOpening
)

// sighting is one thing to count, noted by a command and counted after its
// commit.
type sighting struct {
	kind      sightingKind
	granted   bool
	failure   bool
	unpriced  int8 // 1: nobody knows what it cost; -1: somebody said after all
	namespace string
	target    string
	at        instant
	refused   admit.Reason // of a refusal
	would     admit.Reason // of a grant that enforced rules would have refused
	cost      int64        // micro-USD
	// What the call of a would cost, less what was assumed of it before.
	wouldCost, wouldTokens int64
}

// count takes one sighting in.
func (o *Observation) count(s *sighting) {
	switch s.kind {
	case sawAcquire:
		o.Acquires++
		reason := s.would
		switch {
		case !s.granted:
			reason = s.refused
			at(&o.Refused, reason).Calls++
		case reason != admit.None:
			at(&o.Would, reason).Calls++
		}
		if s.granted {
			o.Granted++
		}
		if reason == admit.Backoff || reason == admit.Cooldown {
			o.Early++
		}
	case sawReport:
		o.Reports++
		o.Cost += s.cost
		if s.failure {
			o.Failures++
		}
	case sawOpening:
		o.Opened++
	case sawLoss:
	}
	o.Unpriced += int64(s.unpriced)
	if s.wouldCost != 0 || s.wouldTokens != 0 {
		at(&o.Would, s.would).add(ReasonCount{Cost: s.wouldCost, Tokens: s.wouldTokens})
	}
}
