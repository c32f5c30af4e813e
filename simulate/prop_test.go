// SPDX-License-Identifier: Apache-2.0

package simulate_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/resilienced/resilienced/engine"
	"github.com/resilienced/resilienced/rules/budget"
	"github.com/resilienced/resilienced/rules/classify"
	"github.com/resilienced/resilienced/rules/operation"
	"github.com/resilienced/resilienced/server"
	"github.com/resilienced/resilienced/simulate"
	"github.com/resilienced/resilienced/statestore/memory"
)

// everything is a policy with a bound of every kind.
const everything = `
version: 1
targets:
  - {match: "limited", preset: llm, call_timeout: 5s, lease_margin: 1s, limit: {concurrency: 2, rate: {tokens: 5, per: 10s}}}
  - {match: "tool", preset: tool, breaker: {consecutive_failures: 2, cooldown_base: 2s}, retry: {jitter: FULL}}
  - {match: "pay", preset: action, price: {per_call: 100}, unknown_price: DENY}
  - {match: "*", preset: llm, call_timeout: 5s, lease_margin: 1s, breaker: {cooldown_base: 3s, min_calls: 5}, price: {per_call: 50}}
chains:
  c: {levels: [{target: main, kind: PRIMARY}, {target: small, kind: SAME_PROVIDER_CHEAPER}, {target: spare, kind: CROSS_PROVIDER}]}
runs: {caps: {cost_micros: 3000, calls: 60}}
`

// traffic makes calls on an engine and forgets none of its permits.
type traffic struct {
	*rapid.T
	engine  *engine.Engine
	flying  []*engine.Grant
	granted int
	started map[string]bool
	asked   []engine.AcquireRequest // by operation
}

func (f *traffic) acquire() {
	req := &engine.AcquireRequest{}
	if len(f.asked) > 0 && rapid.IntRange(0, 2).Draw(f.T, "again") == 0 {
		*req = f.asked[rapid.IntRange(0, len(f.asked)-1).Draw(f.T, "which")]
	} else {
		*req = f.operation()
		f.asked = append(f.asked, *req)
	}
	req.Reporter = rapid.SampledFrom([]string{"", "a", "b"}).Draw(f.T, "reporter")
	got, err := f.engine.Acquire(context.Background(), req)
	if err != nil {
		f.Fatal(err)
	}
	if got.Grant != nil {
		f.granted++
		f.flying = append(f.flying, got.Grant)
	}
}

// operation is the Acquire of a new operation.
func (f *traffic) operation() engine.AcquireRequest {
	req := engine.AcquireRequest{Namespace: "n", OperationID: fmt.Sprint("o", len(f.asked))}
	if req.Target = rapid.SampledFrom([]string{"", "limited", "tool", "pay", "main", "other"}).Draw(f.T, "target"); req.Target == "" {
		req.Chain = "c"
	}
	req.Idempotency = rapid.SampledFrom([]operation.Idempotency{0, operation.Idempotent, operation.NonIdempotent}).Draw(f.T, "mode")
	if rapid.Bool().Draw(f.T, "in a run") {
		req.RunID = rapid.SampledFrom([]string{"r1", "r2", "r1/child"}).Draw(f.T, "run")
		req.TaskID = rapid.SampledFrom([]string{"", "t1", "t2"}).Draw(f.T, "task")
		req.Fingerprint = rapid.SampledFrom([]string{"", "f1"}).Draw(f.T, "fingerprint")
		f.start(req.RunID)
	}
	return req
}

func (f *traffic) start(id string) {
	if f.started[id] {
		return
	}
	f.started[id] = true
	req := &engine.StartRunRequest{Namespace: "n", RunID: id}
	if id == "r1/child" {
		f.start("r1")
		req.Parent = "r1"
	}
	if _, err := f.engine.StartRun(context.Background(), req); err != nil {
		f.Fatal(err)
	}
}

func (f *traffic) report() {
	if len(f.flying) == 0 {
		return
	}
	i := rapid.IntRange(0, len(f.flying)-1).Draw(f.T, "which")
	g := f.flying[i]
	s := classify.Signal{Outcome: classify.OutcomeFailure, Duration: time.Millisecond}
	switch rapid.SampledFrom([]string{"good", "good", "503", "429", "timeout", "quality", "400", "lost"}).Draw(f.T, "signal") {
	case "good":
		s.Outcome, s.HTTPStatus = classify.OutcomeSuccess, 200
	case "503":
		s.HTTPStatus = 503
	case "429":
		s.HTTPStatus, s.Headers = 429, map[string]string{"retry-after": strconv.Itoa(rapid.IntRange(0, 4).Draw(f.T, "wait"))}
	case "timeout":
		s.Exception = "timeout"
	case "quality":
		s.Outcome, s.HTTPStatus, s.Quality = classify.OutcomeSuccess, 200, classify.Empty
	case "400":
		s.HTTPStatus = 400
	case "lost":
		return
	}
	usage := budget.Usage{}
	if rapid.Bool().Draw(f.T, "says its cost") {
		usage.Cost = new(rapid.Int64Range(0, 200).Draw(f.T, "cost"))
	}
	_, err := f.engine.Report(context.Background(), &engine.ReportRequest{Namespace: "n", PermitID: g.PermitID, Signal: s, Usage: usage, Hash: 1})
	if err != nil {
		f.Fatal(err)
	}
	f.flying = append(f.flying[:i], f.flying[i+1:]...)
}

func (f *traffic) beat() {
	for _, g := range f.flying {
		_, err := f.engine.Heartbeat(context.Background(), "n", g.PermitID, 0)
		if err != nil && !errors.Is(err, engine.ErrLeaseLost) {
			f.Fatal(err)
		}
	}
}

// TestTheSameNumbersRefuseNothing: what an engine granted and recorded, its own
// policy grants again, also after a way through a file, and the result is the same every time.
func TestTheSameNumbersRefuseNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) { rapid.SyncTest(t, sameNumbers) })
}

func sameNumbers(t *rapid.T) {
	store := memory.New(memory.Config{})
	e, err := engine.New(context.Background(), engine.Config{Store: store})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := errors.Join(e.Close(context.Background()), store.Close()); err != nil {
			t.Fatal(err)
		}
	}()
	if _, err := e.ApplyPolicy(context.Background(), &engine.ApplyPolicyRequest{Namespace: "n", Text: []byte(everything)}); err != nil {
		t.Fatal(err)
	}
	f := &traffic{T: t, engine: e, started: map[string]bool{}}
	for range rapid.IntRange(1, 80).Draw(t, "steps") {
		// No two things happen in one microsecond.
		time.Sleep(time.Duration(rapid.SampledFrom([]int{1, 1000, 100_000, 700_000, 2_500_000}).Draw(t, "later")) * time.Microsecond)
		switch rapid.IntRange(0, 9).Draw(t, "step") {
		case 0:
			f.beat()
		case 1, 2, 3, 4:
			f.report()
		default:
			f.acquire()
		}
	}
	time.Sleep(10 * time.Second) // leases end
	var list []*engine.Call
	var file bytes.Buffer
	err = e.ExportCalls(context.Background(), &engine.CallsQuery{Namespace: "n"}, func(p *engine.CallsPart) error {
		list = append(list, p.Calls...)
		for _, c := range p.Calls {
			if err := server.WriteCall(&file, c); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	in := simulate.Input{Calls: server.ReadCalls(bytes.NewReader(file.Bytes())), New: text(everything), Old: text(everything), Runs: []simulate.AgentRun{{ID: "r1/child", Parent: "r1"}}}
	first, err := simulate.Run(context.Background(), in)
	if err != nil {
		t.Fatal(err)
	}
	if refused := first.Totals.New.Denied + first.Totals.New.Waits; refused != 0 {
		for _, c := range list {
			t.Logf("%+v", *c)
		}
		t.Fatalf("%d of %d calls are refused: %+v", refused, first.Calls, first.Totals.New.Refusals)
	}
	// Permits that may still be held are no calls yet.
	if n := int(first.Calls); n > f.granted || n < f.granted-len(f.flying) {
		t.Fatalf("%d calls of %d grants, of which %d were not reported", n, f.granted, len(f.flying))
	}
	in.Calls = calls(list...)
	again, err := simulate.Run(context.Background(), in)
	if err != nil {
		t.Fatal(err)
	}
	one, _ := json.Marshal(first)
	two, _ := json.Marshal(again)
	if string(one) != string(two) {
		t.Fatalf("one result\n%s\nand another\n%s", one, two)
	}
}
