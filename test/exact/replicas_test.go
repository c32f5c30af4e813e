// SPDX-License-Identifier: Apache-2.0

package exact

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/resilienced/resilienced/engine"
	"github.com/resilienced/resilienced/test/distant"
)

// spread sends each call to any of several replicas. A caller that is told to
// come again does so, with the same ids, at another one.
type spread struct{ replicas []direct }

func (s spread) any() direct { return s.replicas[rand.IntN(len(s.replicas))] }

// again repeats a call for as long as the replicas say that waiting helps.
func again[T any](ctx context.Context, s spread, call func(direct) (T, error)) (T, error) {
	for {
		v, err := call(s.any())
		d, ok := errors.AsType[*engine.DelayedError](err)
		if !ok || ctx.Err() != nil {
			return v, err
		}
		time.Sleep(d.Delay)
	}
}

func (s spread) start(ctx context.Context, run, parent string, limit int64) error {
	_, err := again(ctx, s, func(d direct) (struct{}, error) { return struct{}{}, d.start(ctx, run, parent, limit) })
	return err
}

func (s spread) acquire(ctx context.Context, a ask) (*reply, error) {
	return again(ctx, s, func(d direct) (*reply, error) { return d.acquire(ctx, a) })
}

func (s spread) report(ctx context.Context, permit string, t tell) (string, error) {
	return again(ctx, s, func(d direct) (string, error) { return d.report(ctx, permit, t) })
}

func (s spread) balance(ctx context.Context, run string) (sums, error) {
	return again(ctx, s, func(d direct) (sums, error) { return d.balance(ctx, run) })
}

// onReplicas opens three engines on one distant store, whose connections stall
// now and then.
func onReplicas(t *testing.T) *place {
	t.Helper()
	net := distant.New(distant.Config{Lanes: 3, Latency: 2 * time.Millisecond})
	at := &place{}
	var all spread
	ctx, stop := context.WithCancel(t.Context())
	for range 3 {
		store := net.Connect()
		e, err := engine.New(t.Context(), engine.Config{
			Store: store, Logger: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelError})),
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := errors.Join(e.Close(context.Background()), store.Close()); err != nil {
				t.Error(err)
			}
		})
		all.replicas = append(all.replicas, direct{e})
		at.store = store // commits are counted over all
		go trouble(ctx, store)
	}
	at.system = all
	at.quiet = func(*testing.T) system { stop(); return all }
	t.Cleanup(stop)
	return at
}

// trouble stalls a connection now and then, before or after its commits, for
// longer than a caller waits.
func trouble(ctx context.Context, store *distant.Store) {
	for {
		pause := time.NewTimer(time.Duration(500+rand.IntN(1500)) * time.Millisecond)
		select {
		case <-ctx.Done():
			pause.Stop()
			return
		case <-pause.C:
		}
		hold := store.Stall
		if rand.IntN(2) == 0 {
			hold = store.Delay
		}
		resume := hold()
		time.Sleep(time.Duration(50+rand.IntN(400)) * time.Millisecond)
		resume()
	}
}
