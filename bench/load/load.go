// SPDX-License-Identifier: Apache-2.0

package load

import (
	"context"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Reading is what a server has used since its start.
type Reading struct {
	CPU     time.Duration // user and system
	Commits uint64        // transactions of its store
	Memory  int64         // resident bytes
}

// Probe takes a reading. A nil Probe reads zeros.
type Probe func(context.Context) (Reading, error)

// Op makes one operation and calls Lap after each call that it consists of, at
// least once. An error ends the whole load.
type Op func(context.Context, *Laps) error

// Callers makes the Op of each caller, which one goroutine uses.
type Callers func(caller int) Op

// Laps times the calls of one caller.
type Laps struct {
	base time.Time
	last int64
	took []lap
	// passed is how many answers came too late or not at all and were asked
	// for again.
	passed int
}

// insistent is how often a call is made before its failure counts. Its caller
// waits a little longer from time to time.
const (
	insistent   = 40
	firstWait   = 10 * time.Millisecond
	longestWait = 250 * time.Millisecond
)

// Insist makes a call and calls Lap. A failure that passes is what a client
// makes again, so the call then takes as long as all its attempts together.
func (l *Laps) Insist(ctx context.Context, passes func(error) bool, call func(context.Context) error) error {
	for turn := 1; ; turn++ {
		err := call(ctx)
		if err == nil {
			l.Lap()
			return nil
		}
		if !passes(err) || turn >= insistent || ctx.Err() != nil {
			return err
		}
		l.passed++
		if err := wait(ctx, time.Now().Add(min(time.Duration(turn)*firstWait, longestWait))); err != nil {
			return err
		}
	}
}

// lap is a call: when it ended and how long it took, in nanoseconds.
type lap struct {
	end, took int64
	last      bool // of its operation
}

// Lap notes that a call has ended and that the next one begins.
func (l *Laps) Lap() {
	now := int64(time.Since(l.base))
	l.took = append(l.took, lap{end: now, took: now - l.last})
	l.last = now
}

// ended marks the last lap as the end of its operation.
func (l *Laps) ended() {
	if n := len(l.took); n > 0 {
		l.took[n-1].last = true
	}
}

// Result is what a load did within its window.
type Result struct {
	Ops    int           // operations that ended
	Calls  int           // calls that ended; an operation may be several
	Passed int           // calls of the whole load that failed and were made again
	Window time.Duration // between the readings
	Used   Reading       // of the server in the window; Memory is as it was at the end
	// Latency is of calls, in nanoseconds.
	Latency *hdrhistogram.Histogram
}

// Rate is operations a second.
func (r *Result) Rate() float64 { return per(float64(r.Ops), r.Window.Seconds()) }

// CPU is the server's processor time for an operation, in nanoseconds.
func (r *Result) CPU() float64 { return per(float64(r.Used.CPU), float64(r.Ops)) }

// Commits is the store's transactions for a call.
func (r *Result) Commits() float64 { return per(float64(r.Used.Commits), float64(r.Calls)) }

// Quantile returns the latency below which percent of the calls are, in
// nanoseconds.
func (r *Result) Quantile(percent float64) float64 {
	return float64(r.Latency.ValueAtQuantile(percent))
}

func per(a, b float64) float64 {
	if b == 0 {
		return 0
	}
	return a / b
}

// Latencies are kept from 1 µs to a minute with three significant digits.
const (
	shortest = int64(time.Microsecond)
	longest  = int64(time.Minute)
	digits   = 3
)

// NewLatency returns an empty histogram for nanoseconds.
func NewLatency() *hdrhistogram.Histogram { return hdrhistogram.New(shortest, longest, digits) }

// window is the measured part of a load.
type window struct {
	base     time.Time
	from, to int64
	at, end  Reading
}

// measure waits for the window and takes the readings at its ends. It is cut
// short by the context.
func measure(ctx context.Context, base time.Time, warm, length time.Duration, probe Probe) (window, error) {
	w := window{base: base}
	var err error
	if err = wait(ctx, base.Add(warm)); err != nil {
		return w, err
	}
	if w.from, w.at, err = read(ctx, base, probe); err != nil {
		return w, err
	}
	if err = wait(ctx, base.Add(warm+length)); err != nil {
		return w, err
	}
	w.to, w.end, err = read(ctx, base, probe)
	return w, err
}

func wait(ctx context.Context, until time.Time) error {
	t := time.NewTimer(time.Until(until))
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// read takes a reading; it was taken halfway between asking and the answer.
func read(ctx context.Context, base time.Time, probe Probe) (int64, Reading, error) {
	before := time.Since(base)
	var r Reading
	var err error
	if probe != nil {
		r, err = probe(ctx)
	}
	after := time.Since(base)
	return int64(before+after) / 2, r, err
}

// result counts what ended in the window.
func (w window) result(callers []*Laps) *Result {
	r := &Result{Window: time.Duration(w.to - w.from), Latency: NewLatency()}
	r.Used = Reading{CPU: w.end.CPU - w.at.CPU, Commits: w.end.Commits - w.at.Commits, Memory: w.end.Memory}
	for _, l := range callers {
		r.Passed += l.passed
		for _, lap := range l.took {
			if lap.end < w.from || lap.end >= w.to {
				continue
			}
			r.Calls++
			if lap.last {
				r.Ops++
			}
			// Clamped to what the histogram takes, so it cannot fail.
			_ = r.Latency.RecordValue(min(max(lap.took, shortest), longest))
		}
	}
	return r
}

// failure keeps the first error of a load and ends it.
type failure struct {
	once   sync.Once
	err    error
	cancel context.CancelCauseFunc
}

func (f *failure) fail(err error) {
	f.once.Do(func() {
		f.err = err
		f.cancel(err)
	})
}
