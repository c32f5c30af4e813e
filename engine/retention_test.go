// SPDX-License-Identifier: Apache-2.0

package engine_test

import (
	"errors"
	"testing"
	"time"

	"github.com/resilienced/resilienced/engine"
	"github.com/resilienced/resilienced/rules/admit"
	"github.com/resilienced/resilienced/rules/budget"
	"github.com/resilienced/resilienced/rules/classify"
	"github.com/resilienced/resilienced/rules/operation"
)

const keepingPolicy = `
version: 1
targets:
  - {match: "pay/*", preset: action, idempotency_ttl: 10m}
  - {match: "long/*", preset: tool, max_hold: 10m}
`

// TestAPaymentIsKnownForItsTTL: as long as the policy says it is not made again,
// and its result is told; then its name is free.
func TestAPaymentIsKnownForItsTTL(t *testing.T) {
	inBubble(t, keepingPolicy, func(t *testing.T, e *engine.Engine) {
		g := mustAcquire(t, e, engine.AcquireRequest{Target: "pay/x", OperationID: "o"}).Grant
		_, err := e.Report(t.Context(), &engine.ReportRequest{
			Namespace: "n", PermitID: g.PermitID, ResultRef: "receipt", Signal: classify.Signal{Outcome: classify.OutcomeSuccess},
		})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(10*time.Minute - 2*time.Second)
		if r := mustAcquire(t, e, engine.AcquireRequest{Target: "pay/x", OperationID: "o"}); r.Grant != nil || r.ResultRef != "receipt" {
			t.Errorf("before its time is over: %+v", r)
		}
		time.Sleep(5 * time.Second)
		if r := mustAcquire(t, e, engine.AcquireRequest{Target: "pay/x", OperationID: "o"}); r.Decision != admit.Granted || r.Grant.Attempt != 1 {
			t.Errorf("after its time: %+v", r)
		}
	})
}

// TestAPermitIsHeldNoLongerThanAllowed: heartbeats keep it up to the policy's
// max_hold. Its reservation moves along, and is assumed when it is lost.
func TestAPermitIsHeldNoLongerThanAllowed(t *testing.T) {
	inBubble(t, keepingPolicy, func(t *testing.T, e *engine.Engine) {
		for _, id := range []string{"root", "leaf"} {
			req := &engine.StartRunRequest{Namespace: "n", RunID: id, Caps: budget.Caps{Calls: new(int64(5))}}
			if id == "leaf" {
				req.Parent = "root"
			}
			if _, err := e.StartRun(t.Context(), req); err != nil {
				t.Fatal(err)
			}
		}
		begun := time.Now()
		g := mustAcquire(t, e, engine.AcquireRequest{
			Target: "long/x", OperationID: "o", RunID: "leaf", Lease: time.Minute, Idempotency: operation.Idempotent,
		}).Grant
		books := func(reserved, assumed int64) {
			t.Helper()
			for _, id := range []string{"root", "leaf"} {
				v, err := e.GetRun(t.Context(), "n", id)
				if err != nil || v.Run.Reserved.Calls != reserved || v.Run.Assumed.Calls != assumed {
					t.Errorf("after %v run %s has reserved %d and assumes %d calls, want %d and %d, %v",
						time.Since(begun), id, v.Run.Reserved.Calls, v.Run.Assumed.Calls, reserved, assumed, err)
				}
			}
		}
		for {
			time.Sleep(20 * time.Second)
			h, err := e.Heartbeat(t.Context(), "n", g.PermitID, g.Fence)
			held := time.Since(begun)
			if errors.Is(err, engine.ErrLeaseLost) {
				if held != 10*time.Minute {
					t.Errorf("it was lost after %v", held)
				}
				break
			}
			if err != nil || h.Lease > time.Minute || held+h.Lease > 10*time.Minute {
				t.Fatalf("after %v: %+v, %v", held, h, err)
			}
			books(1, 0)
		}
		time.Sleep(2 * time.Second)
		books(0, 1)
	})
}
