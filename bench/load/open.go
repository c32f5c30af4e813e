// SPDX-License-Identifier: Apache-2.0

package load

import (
	"context"
	"errors"
	"sync"
	"time"
)

// Open is a load that comes at a rate, whatever becomes of it.
type Open struct {
	Rate    float64       // operations a second, evenly spaced
	Callers int           // at most so many operations at once; the others are late
	Warm    time.Duration // before the window
	For     time.Duration // the window

	sleep func(time.Duration) // of tests; nil: exactly
}

// backlog is how many operations may wait for a caller, for each of them. A
// load that falls further behind has no steady state to measure.
const backlog = 64

// ErrNoRate says that the rate is not above zero.
var ErrNoRate = errors.New("load: there is no rate")

// longestSleep bounds how late the pace notices that a load has ended.
const longestSleep = 50 * time.Millisecond

// ErrBehind says that the rate is more than the server can take.
var ErrBehind = errors.New("load: the rate is too high to keep up with")

// Run runs the load. An operation's first call is timed from when it was due.
func (o Open) Run(ctx context.Context, callers Callers, probe Probe) (*Result, error) {
	if !(o.Rate > 0) { // not a number either
		return nil, ErrNoRate
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	f := &failure{cancel: cancel}
	base := time.Now()
	due := make(chan int64, o.Callers*backlog)
	laps := make([]*Laps, o.Callers)
	var all sync.WaitGroup
	for i := range o.Callers {
		l := &Laps{base: base}
		laps[i] = l
		all.Go(func() {
			op := callers(i)
			for at := range due {
				l.last = at
				if err := op(ctx, l); err != nil {
					f.fail(err)
					return
				}
				l.ended()
			}
		})
	}
	paced, stop := context.WithCancel(ctx)
	var pacing sync.WaitGroup
	pacing.Go(func() {
		defer close(due)
		if err := o.pace(paced, base, due); err != nil {
			f.fail(err)
		}
	})
	w, err := measure(ctx, base, o.Warm, o.For, probe)
	stop()
	pacing.Wait()
	if err != nil {
		cancel(err)
	}
	all.Wait()
	if f.err != nil {
		return nil, f.err
	}
	if err != nil {
		return nil, err
	}
	return w.result(laps), nil
}

// pace sends the time of every operation when it is due, until ctx ends.
func (o Open) pace(ctx context.Context, base time.Time, due chan<- int64) error {
	sleep := o.sleep
	if sleep == nil {
		s := newSleeper()
		defer s.end()
		sleep = s.sleep
	}
	for n := 0; ctx.Err() == nil; n++ {
		at := time.Duration(float64(n) / o.Rate * float64(time.Second))
		for ctx.Err() == nil {
			ahead := at - time.Since(base)
			if ahead <= 0 {
				break
			}
			sleep(min(ahead, longestSleep))
		}
		if ctx.Err() != nil {
			return nil
		}
		select {
		case due <- int64(at):
		default:
			return ErrBehind
		}
	}
	return nil
}
