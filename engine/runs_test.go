// SPDX-License-Identifier: Apache-2.0

package engine_test

import (
	"errors"
	"testing"

	"github.com/resilienced/resilienced/engine"
	"github.com/resilienced/resilienced/rules/budget"
)

// TestRunsMakeNoCircle: a run cannot begin again below itself, near or far, and
// the attempt changes nothing.
func TestRunsMakeNoCircle(t *testing.T) {
	inBubble(t, "", func(t *testing.T, e *engine.Engine) {
		parent := ""
		for _, id := range []string{"a", "b", "c"} {
			if _, err := e.StartRun(t.Context(), &engine.StartRunRequest{Namespace: "n", RunID: id, Parent: parent}); err != nil {
				t.Fatal(err)
			}
			parent = id
		}
		for _, below := range []string{"a", "b", "c"} {
			_, err := e.StartRun(t.Context(), &engine.StartRunRequest{Namespace: "n", RunID: "a", Parent: below})
			if invalid, ok := errors.AsType[*engine.InvalidError](err); !ok || invalid.Field != "parent_run_id" {
				t.Errorf("a below %s: %v", below, err)
			}
		}
		if v, err := e.GetRun(t.Context(), "n", "a"); err != nil || len(v.Run.Path) != 1 {
			t.Errorf("the root: %+v, %v", v, err)
		}
	})
}

// TestNoRunBeginsBelowOneThatHasEnded: whether it was stopped or completed, and
// whichever ancestor it was.
func TestNoRunBeginsBelowOneThatHasEnded(t *testing.T) {
	inBubble(t, "", func(t *testing.T, e *engine.Engine) {
		for root, end := range map[string]func(*engine.EndRunRequest) error{
			"stopped":   func(r *engine.EndRunRequest) error { _, err := e.StopRun(t.Context(), r); return err },
			"completed": func(r *engine.EndRunRequest) error { _, err := e.FinishRun(t.Context(), r); return err },
		} {
			start := func(id, parent string) error {
				_, err := e.StartRun(t.Context(), &engine.StartRunRequest{Namespace: "n", RunID: id, Parent: parent})
				return err
			}
			if err := errors.Join(start(root, ""), start(root+"-child", root)); err != nil {
				t.Fatal(err)
			}
			if err := end(&engine.EndRunRequest{Namespace: "n", RunID: root, Reason: "enough"}); err != nil {
				t.Fatal(err)
			}
			for _, parent := range []string{root, root + "-child"} {
				if err := start(parent+"-late", parent); !errors.Is(err, engine.ErrRunFinal) {
					t.Errorf("below %s: %v", parent, err)
				}
			}
			if err := start(root+"-child", root); err != nil {
				t.Errorf("the repeat of one that began before: %v", err)
			}
		}
	})
}

// TestARequestIDIsOfItsMethod: the same id with two methods is two requests.
func TestARequestIDIsOfItsMethod(t *testing.T) {
	inBubble(t, "", func(t *testing.T, e *engine.Engine) {
		_, err := e.StartRun(t.Context(), &engine.StartRunRequest{Namespace: "n", RunID: "r", RequestID: "q", Hash: 1, Caps: budget.Caps{Cost: new(int64(10))}})
		if err != nil {
			t.Fatal(err)
		}
		adjust := &engine.AdjustRunRequest{Namespace: "n", RunID: "r", RequestID: "q", Hash: 1, Delta: budget.Amounts{Cost: 5}}
		if v, err := e.AdjustRun(t.Context(), adjust); err != nil || *v.Run.Caps.Cost != 15 {
			t.Errorf("adjusted: %+v, %v", v, err)
		}
		stop := &engine.EndRunRequest{Namespace: "n", RunID: "r", RequestID: "q", Hash: 2, Reason: "enough"}
		if v, err := e.StopRun(t.Context(), stop); err != nil || v.State != budget.Stopped {
			t.Errorf("stopped: %+v, %v", v, err)
		}
	})
}
