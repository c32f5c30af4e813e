// SPDX-License-Identifier: Apache-2.0

package target

import (
	"math/bits"
	"slices"
	"time"

	"github.com/resilienced/resilienced/rules"
	"github.com/resilienced/resilienced/rules/breaker"
	"github.com/resilienced/resilienced/rules/classify"
	"github.com/resilienced/resilienced/rules/retry"
)

// The rate window is a ring of that many buckets.
const windowBuckets = 10

// reporterSpan is how long a reporter counts as seen.
const reporterSpan = time.Minute

// maxReporters bounds the reporters remembered: the question is only whether
// there are several.
const maxReporters = 4

// depositGrain is how finely deposits are kept outside of drills.
const depositGrain = 250 * time.Millisecond

// Tally is what is counted about a target. Unlike other records it is changed
// in place by its owner; a store is given a Clone.
type Tally struct {
	Generation uint64        `json:"g,omitempty"` // of the breaker that the window belongs to
	Window     []Bucket      `json:"w,omitempty"`
	Deposits   []retry.Entry `json:"d,omitempty"`
	Reporters  []Seen        `json:"r,omitempty"`
	Durations  Histogram     `json:"du"` // milliseconds
	Costs      Histogram     `json:"co"` // micro-USD
	UpdatedAt  rules.Instant `json:"u,omitempty"`
}

// Bucket is one tenth of the window.
type Bucket struct {
	Index  int64          `json:"i"`
	Counts breaker.Counts `json:"c"`
}

// Seen is when a reporter was last seen.
type Seen struct {
	Reporter uint64        `json:"r"`
	At       rules.Instant `json:"a"`
}

// TallyRetention is how long an idle tally is kept.
const TallyRetention = time.Hour

// DueAt is when an idle tally may go.
func (t *Tally) DueAt() rules.Instant { return t.UpdatedAt.Add(TallyRetention) }

// Clone returns a copy that shares nothing with t.
func (t *Tally) Clone() *Tally {
	c := *t
	c.Window = slices.Clone(t.Window)
	c.Deposits = slices.Clone(t.Deposits)
	c.Reporters = slices.Clone(t.Reporters)
	c.Durations.Counts = slices.Clone(t.Durations.Counts)
	c.Costs.Counts = slices.Clone(t.Costs.Counts)
	return &c
}

// Deposit records the first attempt of an operation on the target.
func (t *Tally) Deposit(cfg *Config, now rules.Instant) {
	t.UpdatedAt = max(t.UpdatedAt, now)
	grain := depositGrain
	if cfg.Exact {
		grain = 0
	}
	at := now
	if g := rules.Instant(grain / time.Microsecond); g > 0 {
		at -= at % g
	}
	if n := len(t.Deposits); n > 0 && t.Deposits[n-1].At == at {
		t.Deposits[n-1].Milli += cfg.Retry.FleetRatio
		return
	}
	t.Deposits = retry.Add(t.Deposits, now, cfg.Retry.FleetRatio, cfg.Retry.FleetTTL, grain)
}

// Sample is one counted report.
type Sample struct {
	Effect     classify.Effect
	Slow       bool
	Generation uint64
	Reporter   uint64
	Duration   time.Duration // of a success; 0: none
	Cost       int64         // -1: unknown
}

// Record adds a counted report and returns the window with it.
func (t *Tally) Record(cfg *Config, s Sample, now rules.Instant) breaker.Counts {
	t.UpdatedAt = max(t.UpdatedAt, now)
	t.see(s.Reporter, now)
	if s.Effect == classify.Success && s.Duration > 0 {
		t.Durations.Add(s.Duration.Milliseconds())
	}
	if s.Cost >= 0 {
		t.Costs.Add(s.Cost)
	}
	if cfg.Breaker.Window <= 0 || s.Effect == classify.Neutral {
		return t.Counts(cfg, s.Generation, now)
	}
	t.advance(cfg, s.Generation, now)
	last := &t.Window[len(t.Window)-1].Counts
	if s.Effect == classify.Failure {
		last.Failures++
	} else {
		last.Successes++
	}
	if s.Slow {
		last.Slow++
	}
	return t.Counts(cfg, s.Generation, now)
}

// advance makes the last bucket the one of now and drops what left the window.
func (t *Tally) advance(cfg *Config, generation uint64, now rules.Instant) {
	index := bucketIndex(cfg, now)
	if t.Generation != generation {
		t.Window, t.Generation = t.Window[:0], generation
	}
	if n := len(t.Window); n > 0 && t.Window[n-1].Index >= index {
		return
	}
	t.Window = slices.DeleteFunc(t.Window, func(b Bucket) bool { return b.Index <= index-windowBuckets })
	t.Window = append(t.Window, Bucket{Index: index})
}

func bucketIndex(cfg *Config, now rules.Instant) int64 {
	width := int64(cfg.Breaker.Window / time.Microsecond / windowBuckets)
	return int64(now) / max(width, 1)
}

// Counts sums the window of one generation of the breaker.
func (t *Tally) Counts(cfg *Config, generation uint64, now rules.Instant) breaker.Counts {
	var sum breaker.Counts
	if t.Generation != generation || cfg.Breaker.Window <= 0 {
		return sum
	}
	oldest := bucketIndex(cfg, now) - windowBuckets
	for _, b := range t.Window {
		if b.Index > oldest {
			sum.Failures += b.Counts.Failures
			sum.Successes += b.Counts.Successes
			sum.Slow += b.Counts.Slow
		}
	}
	return sum
}

func (t *Tally) see(reporter uint64, now rules.Instant) {
	oldest := 0
	for i := range t.Reporters {
		if t.Reporters[i].Reporter == reporter {
			t.Reporters[i].At = now
			return
		}
		if t.Reporters[i].At < t.Reporters[oldest].At {
			oldest = i
		}
	}
	if len(t.Reporters) < maxReporters {
		t.Reporters = append(t.Reporters, Seen{Reporter: reporter, At: now})
		return
	}
	t.Reporters[oldest] = Seen{Reporter: reporter, At: now}
}

// Alone reports whether no other reporter was seen in the last minute.
func (t *Tally) Alone(reporter uint64, now rules.Instant) bool {
	return !slices.ContainsFunc(t.Reporters, func(s Seen) bool {
		return s.Reporter != reporter && now < s.At.Add(reporterSpan)
	})
}

// Median is the middle of recent durations; zero without any.
func (t *Tally) Median() time.Duration {
	return time.Duration(max(t.Durations.Quantile(50), 0)) * time.Millisecond
}

// Histogram counts values in buckets that are a quarter of an octave wide, and
// forgets: when it holds decayAt values, every count is halved. A quantile is
// the upper end of its bucket, so never less than the true one and less than a
// quarter more.
type Histogram struct {
	Counts []byte `json:"c,omitempty"`
	Total  int    `json:"n,omitempty"`
}

// decayAt makes about a hundred recent values weigh most (semantics §1.7.2).
const decayAt = 200

// Add counts one value; negative values count as zero.
func (h *Histogram) Add(v int64) {
	i := slot(uint64(max(v, 0)))
	if i >= len(h.Counts) {
		h.Counts = append(h.Counts, make([]byte, i+1-len(h.Counts))...)
	}
	h.Counts[i]++
	h.Total++
	if h.Total < decayAt {
		return
	}
	h.Total = 0
	for i := range h.Counts {
		h.Counts[i] /= 2
		h.Total += int(h.Counts[i])
	}
}

// Quantile returns the value that percent of the values do not exceed, or -1
// without values.
func (h *Histogram) Quantile(percent int) int64 {
	if h.Total == 0 {
		return -1
	}
	rank, seen := (h.Total*percent+99)/100, 0
	for i, n := range h.Counts {
		if seen += int(n); seen >= rank {
			return upper(i)
		}
	}
	return upper(len(h.Counts) - 1)
}

// slot maps 0..7 to themselves and larger values to four buckets an octave.
func slot(v uint64) int {
	if v < 8 {
		return int(v)
	}
	exp := bits.Len64(v) - 3
	return 4*exp + int(v>>exp)
}

// upper is the largest value of a bucket.
func upper(i int) int64 {
	if i < 8 {
		return int64(i)
	}
	exp := i/4 - 1
	return int64(uint64(i-4*exp+1)<<exp) - 1
}
