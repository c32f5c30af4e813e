// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/resilienced/resilienced/rules"
	"github.com/resilienced/resilienced/rules/breaker"
	"github.com/resilienced/resilienced/statestore"
	"github.com/resilienced/resilienced/statestore/memory"
)

// readCounter counts what is read one by one.
type readCounter struct {
	statestore.Store
	gets atomic.Int64
}

func (s *readCounter) Get(ctx context.Context, k statestore.Key) (statestore.Record, rules.Instant, error) {
	s.gets.Add(1)
	return s.Store.Get(ctx, k)
}

// TestAWatcherOfManyReadsWhatChanged: of 200 targets one changes, and that one
// is read.
func TestAWatcherOfManyReadsWhatChanged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &readCounter{Store: memory.New(memory.Config{})}
		e, err := New(t.Context(), Config{Store: s, NoSweeper: true})
		if err != nil {
			t.Fatal(err)
		}
		const targets = 200
		for i := range targets {
			if _, err := e.Acquire(t.Context(), &AcquireRequest{Namespace: "n", Target: fmt.Sprint("t", i)}); err != nil {
				t.Fatal(err)
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		sent := make(chan *TargetView, 2*targets)
		ended := make(chan error, 1)
		go func() {
			ended <- e.WatchTargets(ctx, "n", "", func(v *TargetView, _ bool) error { sent <- v; return nil })
		}()
		for range targets {
			<-sent
		}
		synctest.Wait()
		before := s.gets.Load()
		if _, err := e.SetBreaker(t.Context(), &SetBreakerRequest{Namespace: "n", Target: "t7", Mode: breaker.ForcedOpen, Actor: "a", Reason: "r"}); err != nil {
			t.Fatal(err)
		}
		if v := <-sent; v.Name != "t7" || v.Control.Breaker.Phase != breaker.ForcedOpen {
			t.Errorf("sent %s, %v", v.Name, v.Control.Breaker.Phase)
		}
		synctest.Wait()
		if gets := s.gets.Load() - before; gets > 20 {
			t.Errorf("%d records were read one by one for one change", gets)
		}
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		if err := e.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}
