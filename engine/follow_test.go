// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/resilienced/resilienced/rules/admit"
	"github.com/resilienced/resilienced/statestore"
	"github.com/resilienced/resilienced/statestore/memory"
	"github.com/resilienced/resilienced/test/distant"
)

// interrupted is a store where something happens after one of the reads of what
// operators set.
type interrupted struct {
	statestore.Store
	left int // reads until then; 0: never
	then func()
}

func (s *interrupted) Get(ctx context.Context, k statestore.Key) (statestore.Record, instant, error) {
	r, now, err := s.Store.Get(ctx, k)
	if k.Kind == statestore.KindMeta || k.Kind == statestore.KindPolicy {
		if s.left--; s.left == 0 {
			s.then()
		}
	}
	return r, now, err
}

// TestAChangeWhilePoliciesAreRead: between whichever two reads of a replica that
// catches up another policy is applied, it decides by that one.
func TestAChangeWhilePoliciesAreRead(t *testing.T) {
	for reads := 1; ; reads++ {
		s := memory.New(memory.Config{})
		between := &interrupted{Store: s}
		a, b := replica(t, s), replica(t, between)
		mustApply(t, a, "n", allowAll)
		if d, _ := asked(t, b, "n"); d != admit.Granted {
			t.Fatalf("at first: %v", d)
		}
		mustApply(t, a, "m", allowAll) // b has to catch up, though not for n
		changed := false
		between.left, between.then = reads, func() { mustApply(t, a, "n", denyAll); changed = true }
		d, epoch := asked(t, b, "n")
		if changed && (d != admit.Denied || epoch != 3) {
			t.Errorf("changed after read %d, b decides %v by epoch %d", reads, d, epoch)
		}
		closeAll(t, a, b)
		if !changed {
			if reads < 4 {
				t.Fatalf("only %d reads were interrupted", reads-1)
			}
			return
		}
	}
}

// TestAQuietReplicaFollows: one that has no calls and hears nothing knows of a
// policy soon after it was applied elsewhere.
func TestAQuietReplicaFollows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := distant.New(distant.Config{Lanes: 2, Latency: 2 * time.Millisecond})
		engines := make([]*Engine, 2)
		for i := range engines {
			s := net.Connect()
			s.Mute()
			e, err := New(t.Context(), Config{Store: s})
			if err != nil {
				t.Fatal(err)
			}
			engines[i] = e
			defer closeAll(t, e)
		}
		for i := range 3 {
			mustApply(t, engines[0], "n", allowAll+fmt.Sprintf("# %d\n", i))
			time.Sleep(2 * sweepEvery)
			if got, want := engines[1].PolicyState().Epoch, engines[0].PolicyState().Epoch; got != want {
				t.Errorf("the quiet replica is at epoch %d, the other at %d", got, want)
			}
		}
	})
}
