// SPDX-License-Identifier: Apache-2.0

package engine_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/resilienced/resilienced/engine"
	"github.com/resilienced/resilienced/rules"
	"github.com/resilienced/resilienced/rules/operation"
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

// TestADrillBeginsAnew: one that is started again with the request id of one
// that has ended has its namespace, and nothing else of it.
func TestADrillBeginsAnew(t *testing.T) {
	inBubble(t, "", func(t *testing.T, e *engine.Engine) {
		for turn := range 3 {
			drill, err := e.StartDrill(t.Context(), "d", 0)
			if err != nil {
				t.Fatal(err)
			}
			ns, parent := drill.Namespace, ""
			if turn%2 == 0 {
				parent = "root"
				if _, err := e.StartRun(t.Context(), &engine.StartRunRequest{Namespace: ns, RunID: parent, RequestID: "root"}); err != nil {
					t.Fatal(err)
				}
			}
			// The same request id, with other content each time.
			req := &engine.StartRunRequest{Namespace: ns, RunID: "r", Parent: parent, RequestID: "q", Hash: uint64(turn)}
			if _, err := e.StartRun(t.Context(), req); err != nil {
				t.Fatalf("turn %d: %v", turn, err)
			}
			if _, err := e.Acquire(t.Context(), &engine.AcquireRequest{Namespace: ns, Target: "x", RunID: "r"}); err != nil {
				t.Fatal(err)
			}
			run, err := e.GetRun(t.Context(), ns, "r")
			if err != nil || len(run.Run.Path) != 2-turn%2 || run.Run.Reserved.Calls != 1 {
				t.Errorf("turn %d: %+v, %v", turn, run, err)
			}
			if err := e.EndDrill(t.Context(), ns); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// TestDrillsEndByRealTime: their own clock does not end them, and nobody gets
// more than an hour.
func TestDrillsEndByRealTime(t *testing.T) {
	inBubble(t, "", func(t *testing.T, e *engine.Engine) {
		lives := map[string]time.Duration{}
		for _, asked := range []time.Duration{0, 10 * time.Minute, 5 * time.Hour} {
			drill, err := e.StartDrill(t.Context(), "", asked)
			if err != nil {
				t.Fatal(err)
			}
			if lives[drill.Namespace] = engine.DrillLife; asked > 0 {
				lives[drill.Namespace] = min(asked, engine.DrillLife)
			}
			if _, err := e.AdvanceClock(t.Context(), drill.Namespace, "", 100*24*time.Hour); err != nil {
				t.Fatal(err)
			}
		}
		begun := time.Now()
		for _, at := range []time.Duration{time.Minute, 9 * time.Minute, 11 * time.Minute, 59 * time.Minute, 61 * time.Minute} {
			time.Sleep(at - time.Since(begun))
			if _, err := e.Sweep(t.Context()); err != nil {
				t.Fatal(err)
			}
			for ns, life := range lives {
				_, err := e.Acquire(t.Context(), &engine.AcquireRequest{Namespace: ns, Target: "x", DryRun: true})
				if ended := errors.Is(err, engine.ErrNotDrill); ended != (at > life) {
					t.Errorf("after %v a drill of %v: %v", at, life, err)
				}
			}
		}
	})
}

// laterStore has a clock that is far ahead of every drill's.
type laterStore struct{ statestore.Store }

const ahead = 100 * 365 * 24 * time.Hour

func (s laterStore) Now(ctx context.Context) (rules.Instant, error) {
	now, err := s.Store.Now(ctx)
	return now.Add(ahead), err
}

func (s laterStore) Update(ctx context.Context, entries []*statestore.Entry, fn statestore.Func) error {
	return s.Store.Update(ctx, entries, func(now rules.Instant) (statestore.Durability, error) { return fn(now.Add(ahead)) })
}

// TestTheSweeperLeavesDrillsAlone: what is due by the real clock is not by that
// of a drill.
func TestTheSweeperLeavesDrillsAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, err := engine.New(t.Context(), engine.Config{Store: laterStore{memory.New(memory.Config{})}, AllowDrills: true, NoSweeper: true})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = e.Close(context.Background()) }()
		drill, err := e.StartDrill(t.Context(), "", 0)
		if err != nil {
			t.Fatal(err)
		}
		permits := map[string]*engine.Grant{}
		for _, ns := range []string{"n", drill.Namespace} {
			r, err := e.Acquire(t.Context(), &engine.AcquireRequest{Namespace: ns, Target: "x", OperationID: "o", Idempotency: operation.Idempotent})
			if err != nil || r.Grant == nil {
				t.Fatalf("%+v, %v", r, err)
			}
			permits[ns] = r.Grant
		}
		time.Sleep(permits["n"].Lease + time.Second)
		if n, err := e.Sweep(t.Context()); err != nil || n == 0 {
			t.Fatalf("%d records were due, %v", n, err)
		}
		if n, err := e.Sweep(t.Context()); err != nil || n != 0 {
			t.Errorf("%d records are due after the sweep, %v", n, err)
		}
		for ns, want := range map[string]error{"n": engine.ErrLeaseLost, drill.Namespace: nil} {
			if _, err := e.Heartbeat(t.Context(), ns, permits[ns].PermitID, permits[ns].Fence); !errors.Is(err, want) {
				t.Errorf("namespace %s: %v, want %v", ns, err, want)
			}
		}
	})
}

// TestARepeatedAdvanceGoesNoFurther: it ends where the first was going.
func TestARepeatedAdvanceGoesNoFurther(t *testing.T) {
	inBubble(t, "", func(t *testing.T, e *engine.Engine) {
		drill, err := e.StartDrill(t.Context(), "d", 0)
		if err != nil {
			t.Fatal(err)
		}
		for i, id := range []string{"q", "q", "r", "", ""} {
			v, err := e.AdvanceClock(t.Context(), drill.Namespace, id, time.Hour)
			want := drill.Now.Add(time.Duration(max(i, 1)) * time.Hour)
			if err != nil || v.Now != want {
				t.Errorf("advance %d ends at %v, want %v, %v", i, v.Now.Time(), want.Time(), err)
			}
		}
	})
}
