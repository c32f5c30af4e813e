// SPDX-License-Identifier: Apache-2.0

package direct

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/resilienced/resilienced/bench/load"
	"github.com/resilienced/resilienced/engine"
	"github.com/resilienced/resilienced/rules/breaker"
)

// Trips turns a breaker on one engine and waits until others, on the same
// store, have told their watchers. Close it.
type Trips struct {
	at     *Engine
	seen   []chan uint64 // generations, by engine
	stop   context.CancelFunc
	failed chan error
	turned int
}

// OpenTrips starts to watch the target on every engine but the first. It
// returns when each has sent what is there.
func OpenTrips(ctx context.Context, engines []*Engine) (*Trips, error) {
	watching, stop := context.WithCancel(ctx)
	t := &Trips{at: engines[0], stop: stop, failed: make(chan error, len(engines))}
	// A target that nobody has touched is not watched yet.
	if _, err := t.turn(ctx); err != nil {
		stop()
		return nil, err
	}
	for _, e := range engines[1:] {
		seen := make(chan uint64, 16)
		t.seen = append(t.seen, seen)
		go func() {
			t.failed <- e.WatchTargets(watching, namespace, Target, func(v *engine.TargetView, _ bool) error {
				seen <- v.Control.Breaker.Generation
				return nil
			})
		}()
	}
	return t, t.await(ctx, 0)
}

// Close ends the watching.
func (t *Trips) Close() error {
	t.stop()
	var errs []error
	for range t.seen {
		if err := <-t.failed; !errors.Is(err, context.Canceled) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// Slice turns the breaker so many times. The latency is from the answer, which
// follows the commit, until the last watcher has been told.
func (t *Trips) Slice(ctx context.Context, times int) (*load.Result, error) {
	return load.Each(ctx, times, func(ctx context.Context) (time.Duration, error) {
		generation, err := t.turn(ctx)
		if err != nil {
			return 0, err
		}
		answered := time.Now()
		err = t.await(ctx, generation)
		return time.Since(answered), err
	})
}

// turn opens the breaker, or gives it back.
func (t *Trips) turn(ctx context.Context) (uint64, error) {
	t.turned++
	mode := breaker.ForcedOpen
	if t.turned%2 == 0 {
		mode = breaker.Closed
	}
	v, err := t.at.SetBreaker(ctx, &engine.SetBreakerRequest{
		Namespace: namespace, RequestID: "turn-" + strconv.Itoa(t.turned), Target: Target,
		Mode: mode, Actor: "bench", Reason: "to see who hears of it",
	})
	if err != nil {
		return 0, err
	}
	return v.Control.Breaker.Generation, nil
}

// await waits until every watcher was told of a generation, or a newer one.
func (t *Trips) await(ctx context.Context, generation uint64) error {
	for _, seen := range t.seen {
		for {
			select {
			case got := <-seen:
				if got < generation {
					continue
				}
			case err := <-t.failed:
				t.failed <- err // for Close
				return errors.Join(err, errors.New("direct: a watcher ended"))
			case <-ctx.Done():
				return context.Cause(ctx)
			}
			break
		}
	}
	return nil
}
