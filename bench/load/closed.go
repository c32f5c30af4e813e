// SPDX-License-Identifier: Apache-2.0

package load

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// Closed is a load of callers that each wait for their answer.
type Closed struct {
	Callers int
	Warm    time.Duration // before the window
	For     time.Duration // the window
}

// Run runs the load. It returns when every caller has ended its last
// operation, with the first error of any.
func (c Closed) Run(ctx context.Context, callers Callers, probe Probe) (*Result, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	f := &failure{cancel: cancel}
	base := time.Now()
	laps := make([]*Laps, c.Callers)
	var stop atomic.Bool
	var all sync.WaitGroup
	for i := range c.Callers {
		l := &Laps{base: base}
		laps[i] = l
		all.Go(func() {
			op := callers(i)
			l.last = int64(time.Since(base))
			for !stop.Load() {
				if err := op(ctx, l); err != nil {
					f.fail(err)
					return
				}
				l.ended()
			}
		})
	}
	w, err := measure(ctx, base, c.Warm, c.For, probe)
	stop.Store(true)
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
