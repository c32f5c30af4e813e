// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"slices"
	"strconv"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/resilienced/resilienced/rules"
	"github.com/resilienced/resilienced/rules/target"
	"github.com/resilienced/resilienced/statestore"
)

// TestIdleTalliesGo holds what is forgotten to a model that looks at every
// target each time: when everything about a target is idle it has gone, and not
// before; and each flush has what was counted since the one before.
func TestIdleTalliesGo(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := &Engine{tallies: newTallies()}
		now := rules.Instant(1_000_000)
		type known map[string]rules.Instant // when each replica counted last; "" is this one
		model, dirty := map[statestore.Key]known{}, map[statestore.Key]bool{}
		draw := func(t *rapid.T) statestore.Key {
			return tallyKey(rapid.SampledFrom([]string{"a", "b"}).Draw(t, "namespace"), strconv.Itoa(rapid.IntRange(0, 5).Draw(t, "target")))
		}
		note := func(k statestore.Key, replica string) {
			if model[k] == nil {
				model[k] = known{}
			}
			model[k][replica] = now
		}
		t.Repeat(map[string]func(*rapid.T){
			"count": func(t *rapid.T) {
				k := draw(t)
				e.tallies.apply([]tallyOp{{key: k, config: &target.Config{}, now: now, deposit: true}})
				note(k, "")
				dirty[k] = true
			},
			"hear": func(t *rapid.T) {
				k, replica := draw(t), rapid.SampledFrom([]string{"r1", "r2"}).Draw(t, "replica")
				e.tallies.mu.Lock()
				e.tallies.entry(k).take(replica, &Stripe{Tally: target.Tally{UpdatedAt: now}, FlushedAt: now})
				e.tallies.mu.Unlock()
				note(k, replica)
			},
			"wait": func(t *rapid.T) {
				now = now.Add(target.TallyRetention / 10 * time.Duration(rapid.IntRange(1, 12).Draw(t, "tenths")))
				e.storeTime.Store(int64(now))
			},
			"flush": func(t *rapid.T) {
				var flushed, want []string
				for _, d := range e.dirtyTallies() {
					flushed = append(flushed, d.key.Namespace+d.key.Name)
				}
				for k, replicas := range model {
					for replica, at := range replicas {
						if now >= at.Add(target.TallyRetention) {
							delete(replicas, replica)
						}
					}
					if _, own := replicas[""]; dirty[k] && own {
						want = append(want, k.Namespace+k.Name)
					}
					if len(replicas) == 0 {
						delete(model, k)
					}
				}
				clear(dirty)
				slices.Sort(flushed)
				slices.Sort(want)
				if !slices.Equal(flushed, want) {
					t.Fatalf("flushed %v, want %v", flushed, want)
				}
				if len(e.tallies.byKey) != len(model) || len(e.tallies.idles) < len(model) {
					t.Fatalf("%d targets are known, %d are to be looked at, want %d", len(e.tallies.byKey), len(e.tallies.idles), len(model))
				}
			},
		})
	})
}
