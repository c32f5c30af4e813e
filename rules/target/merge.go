// SPDX-License-Identifier: Apache-2.0

package target

import (
	"cmp"
	"slices"
	"time"

	"github.com/resilienced/resilienced/rules"
	"github.com/resilienced/resilienced/rules/breaker"
	"github.com/resilienced/resilienced/rules/retry"
)

// Merge returns what several stripes of one tally say together. It shares
// nothing with them. The order in which they come does not matter, and one
// stripe is itself. Windows of an older generation of the breaker than the
// newest do not count.
func Merge(stripes ...*Tally) *Tally {
	sum := &Tally{}
	for _, s := range stripes {
		sum.Generation = max(sum.Generation, s.Generation)
		sum.UpdatedAt = max(sum.UpdatedAt, s.UpdatedAt)
		sum.Deposits = append(sum.Deposits, s.Deposits...)
		sum.Reporters = append(sum.Reporters, s.Reporters...)
	}
	for _, s := range stripes {
		if s.Generation == sum.Generation {
			sum.Window = append(sum.Window, s.Window...)
		}
	}
	sum.Window = mergeBuckets(sum.Window)
	sum.Deposits = mergeDeposits(sum.Deposits)
	sum.Reporters = mergeReporters(sum.Reporters)
	sum.Durations = mergeHistograms(stripes, func(t *Tally) *Histogram { return &t.Durations })
	sum.Costs = mergeHistograms(stripes, func(t *Tally) *Histogram { return &t.Costs })
	return sum
}

// mergeBuckets sorts buckets and makes one of those of the same tenth.
func mergeBuckets(all []Bucket) []Bucket {
	slices.SortFunc(all, func(a, b Bucket) int { return cmp.Compare(a.Index, b.Index) })
	kept := all[:0]
	for _, b := range all {
		if n := len(kept); n > 0 && kept[n-1].Index == b.Index {
			kept[n-1].Counts = plus(kept[n-1].Counts, b.Counts)
			continue
		}
		kept = append(kept, b)
	}
	return kept
}

func plus(a, b breaker.Counts) breaker.Counts {
	a.Failures += b.Failures
	a.Successes += b.Successes
	a.Slow += b.Slow
	return a
}

func mergeDeposits(all []retry.Entry) []retry.Entry {
	slices.SortFunc(all, func(a, b retry.Entry) int { return cmp.Compare(a.At, b.At) })
	kept := all[:0]
	for _, e := range all {
		if n := len(kept); n > 0 && kept[n-1].At == e.At {
			kept[n-1].Milli += e.Milli
			continue
		}
		kept = append(kept, e)
	}
	return kept
}

// mergeReporters keeps the reporters that were seen last, each once.
func mergeReporters(all []Seen) []Seen {
	slices.SortFunc(all, func(a, b Seen) int {
		return cmp.Or(cmp.Compare(b.At, a.At), cmp.Compare(a.Reporter, b.Reporter))
	})
	kept := all[:0]
	for _, s := range all {
		if len(kept) < maxReporters && !slices.ContainsFunc(kept, func(k Seen) bool { return k.Reporter == s.Reporter }) {
			kept = append(kept, s)
		}
	}
	return kept
}

// mergeHistograms adds counts up and halves them, as Add does, until they are
// few enough.
func mergeHistograms(stripes []*Tally, of func(*Tally) *Histogram) Histogram {
	var counts []int
	total := 0
	for _, s := range stripes {
		h := of(s)
		if more := len(h.Counts) - len(counts); more > 0 {
			counts = append(counts, make([]int, more)...)
		}
		for i, n := range h.Counts {
			counts[i] += int(n)
		}
		total += h.Total
	}
	for total >= decayAt {
		total = 0
		for i := range counts {
			counts[i] /= 2
			total += counts[i]
		}
	}
	sum := Histogram{Total: total}
	if len(counts) > 0 {
		sum.Counts = make([]byte, len(counts))
	}
	for i, n := range counts {
		sum.Counts[i] = byte(n)
	}
	return sum
}

// Settled is Counts without the buckets in which something may still be
// counted elsewhere: those that ended less than a while ago.
func (t *Tally) Settled(cfg *Config, generation uint64, now rules.Instant, while time.Duration) breaker.Counts {
	var sum breaker.Counts
	if t.Generation != generation || cfg.Breaker.Window <= 0 {
		return sum
	}
	oldest, newest := bucketIndex(cfg, now)-windowBuckets, bucketIndex(cfg, now.Add(-while))
	for _, b := range t.Window {
		if b.Index > oldest && b.Index < newest {
			sum = plus(sum, b.Counts)
		}
	}
	return sum
}
