// SPDX-License-Identifier: Apache-2.0

package engine_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/resilienced/resilienced/engine"
	"github.com/resilienced/resilienced/statestore"
	"github.com/resilienced/resilienced/statestore/memory"
)

// stuckStore says that a record is due, whatever is done about it.
type stuckStore struct {
	statestore.Store
	key  statestore.DueKey
	left int // how often it says so; less than 0: for ever
}

func (s *stuckStore) Due(_ context.Context, q statestore.DueQuery) ([]statestore.DueKey, error) {
	if q.Namespace == s.key.Key.Namespace && s.key.Key.Name != "" && s.left != 0 {
		s.left--
		return []statestore.DueKey{s.key}, nil
	}
	return nil, nil
}

// TestAdvanceClockEnds: a record that stays due is a fault of ours, and no
// reason to turn round for ever. One that comes again is none: another replica
// logs the same decision, after the row of the first has gone.
func TestAdvanceClockEnds(t *testing.T) {
	for _, c := range []struct {
		name string
		due  int
		want error
	}{{"for ever", -1, engine.ErrInternal}, {"three times", 3, nil}} {
		t.Run(c.name, func(t *testing.T) {
			store := &stuckStore{Store: memory.New(memory.Config{})}
			e, err := engine.New(t.Context(), engine.Config{Store: store, AllowDrills: true, NoSweeper: true})
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = e.Close(context.Background()) }()
			drill, err := e.StartDrill(t.Context(), "", 0)
			if err != nil {
				t.Fatal(err)
			}
			store.left, store.key = c.due, statestore.DueKey{
				Key: statestore.Key{Kind: statestore.KindTask, Namespace: drill.Namespace, Name: "t"}, Due: drill.Now.Add(time.Second),
			}
			if _, err := e.AdvanceClock(t.Context(), drill.Namespace, "", time.Minute); !errors.Is(err, c.want) {
				t.Errorf("%v", err)
			}
		})
	}
}
