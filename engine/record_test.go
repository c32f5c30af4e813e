// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/resilienced/resilienced/rules/admit"
	"github.com/resilienced/resilienced/rules/budget"
	"github.com/resilienced/resilienced/rules/classify"
	"github.com/resilienced/resilienced/rules/operation"
	"github.com/resilienced/resilienced/statestore"
	"github.com/resilienced/resilienced/statestore/memory"
)

// recording is an engine in a bubble, and what it keeps.
type recording struct {
	*testing.T
	engine *Engine
	store  statestore.Store
}

// recorded runs a test in a bubble with an engine.
func recorded(t *testing.T, cfg Config, test func(*recording)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		store := memory.New(memory.Config{})
		cfg.Store = store
		e, err := New(context.Background(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		test(&recording{t, e, store})
		if err := e.Close(context.Background()); err != nil {
			t.Error(err)
		}
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
}

func (r *recording) acquire(req AcquireRequest) *Grant {
	r.Helper()
	if req.Namespace == "" {
		req.Namespace = "n"
	}
	if req.Target == "" && req.Chain == "" {
		req.Target = "x"
	}
	got, err := r.engine.Acquire(context.Background(), &req)
	if err != nil || got.Decision != admit.Granted {
		r.Fatalf("acquire %+v: %+v, %v", req, got, err)
	}
	return got.Grant
}

func (r *recording) report(g *Grant, req ReportRequest) {
	r.Helper()
	if req.Namespace == "" {
		req.Namespace = "n"
	}
	req.PermitID = g.PermitID
	if _, err := r.engine.Report(context.Background(), &req); err != nil {
		r.Fatal(err)
	}
}

// export returns everything that is recorded, and checks what every export
// must be like.
func (r *recording) export(namespace string, since time.Duration) ([]*Call, []*CallsPart) {
	r.Helper()
	var calls []*Call
	var parts []*CallsPart
	err := r.engine.ExportCalls(context.Background(), &CallsQuery{Namespace: namespace, Since: since}, func(p *CallsPart) error {
		if len(p.Calls) > maxChunk || (len(parts) > 0 && (p.Expected != 0 || p.From != 0 || p.Missing < parts[len(parts)-1].Missing)) {
			r.Errorf("part %d: %d calls, %+v", len(parts), len(p.Calls), p)
		}
		parts, calls = append(parts, p), append(calls, p.Calls...)
		return nil
	})
	if err != nil || len(parts) == 0 {
		r.Fatalf("%d parts, %v", len(parts), err)
	}
	last := instant(0)
	for _, c := range calls {
		if c.ReportedAt != 0 && c.ReportedAt < last {
			r.Errorf("a call of %v comes after one of %v", c.ReportedAt.Time(), last.Time())
		}
		last = max(last, c.ReportedAt)
	}
	return calls, parts
}

func good() ReportRequest {
	return ReportRequest{Signal: classify.Signal{Outcome: classify.OutcomeSuccess, HTTPStatus: 200}, Hash: 1}
}

func TestARecordedCallHasNoTexts(t *testing.T) {
	recorded(t, Config{}, func(r *recording) {
		if _, err := r.engine.StartRun(context.Background(), &StartRunRequest{Namespace: "n", RunID: "r"}); err != nil {
			t.Fatal(err)
		}
		g := r.acquire(AcquireRequest{
			RunID: "r", TaskID: "t", OperationID: "o", Idempotency: operation.Idempotent, Reporter: "host-7", Fingerprint: "f", Credential: "c",
			Estimate: budget.Estimate{Cost: new(int64(0)), Input: new(int64(7)), MaxOutput: new(int64(9))},
		})
		at := rulesNow(r)
		time.Sleep(2 * time.Second)
		r.report(g, ReportRequest{
			Signal: classify.Signal{
				Outcome: classify.OutcomeFailure, HTTPStatus: 429, BodyCode: "rate_limit_error", Message: "secret words", Duration: time.Second,
				Headers:    map[string]string{"retry-after": "0", "x-request-id": "77", "x-ratelimit-reset": strings.Repeat("9", 200)},
				RetryAfter: 0, HasRetryAfter: true, ClassHint: classify.Pressure, Phase: classify.FirstByte,
			},
			Usage: budget.Usage{Cost: new(int64(5)), Input: new(int64(0))}, ResultRef: "secret place", Hash: 1,
		})
		calls, parts := r.export("n", 0)
		if len(calls) != 1 {
			t.Fatalf("%d calls", len(calls))
		}
		want := &Call{
			AcquiredAt: at, ReportedAt: at.Add(2 * time.Second), Target: "x", Run: "r", Task: "t", Operation: "o",
			Idempotency: operation.Idempotent, Credential: "c", Reporter: digest(reporterID("host-7")), Fingerprint: "f",
			Estimate: budget.Estimate{Cost: new(int64(0)), Input: new(int64(7)), MaxOutput: new(int64(9))},
			Signal: classify.Signal{
				Outcome: classify.OutcomeFailure, HTTPStatus: 429, BodyCode: "rate_limit_error", Duration: time.Second,
				Headers: map[string]string{"retry-after": "0"}, HasRetryAfter: true, ClassHint: classify.Pressure, Phase: classify.FirstByte,
			},
			Usage: budget.Usage{Cost: new(int64(5)), Input: new(int64(0))},
		}
		if !reflect.DeepEqual(calls[0], want) {
			t.Errorf("recorded\n%+v\nwant\n%+v", calls[0], want)
		}
		if parts[0].Expected != 1 || parts[0].From != want.ReportedAt || parts[0].Missing != 0 {
			t.Errorf("first part %+v", parts[0])
		}
	})
}

func rulesNow(r *recording) instant {
	now, err := r.store.Now(context.Background())
	if err != nil {
		r.Fatal(err)
	}
	return now
}

// Every settled attempt is recorded once; refusals, repeats, releases and
// reports of nothing are none.
func TestWhatIsRecorded(t *testing.T) {
	recorded(t, Config{}, func(r *recording) {
		ctx := context.Background()
		g := r.acquire(AcquireRequest{OperationID: "o", Idempotency: operation.Idempotent})
		r.report(g, good())
		r.report(g, good()) // a repeat
		back := r.acquire(AcquireRequest{OperationID: "p", Idempotency: operation.Idempotent})
		r.report(back, ReportRequest{Signal: classify.Signal{Outcome: classify.OutcomeReleased}, Hash: 2})
		given := r.acquire(AcquireRequest{OperationID: "q", Idempotency: operation.Idempotent})
		if _, err := r.engine.Release(ctx, &ReleaseRequest{Namespace: "n", PermitID: given.PermitID}); err != nil {
			t.Fatal(err)
		}
		if _, err := r.engine.Acquire(ctx, &AcquireRequest{Namespace: "n", Target: "x", DryRun: true}); err != nil {
			t.Fatal(err)
		}
		if calls, _ := r.export("n", 0); len(calls) != 1 || calls[0].Operation != "o" {
			t.Errorf("%d calls", len(calls))
		}
		if calls, parts := r.export("other", 0); len(calls) != 0 || parts[0].From != 0 || parts[0].Expected != 0 {
			t.Errorf("another namespace sees %d calls", len(calls))
		}
	})
}

// A lease that ends is a lost call, whoever finds it; a late report of it
// comes in addition and says that it is late.
func TestLostAndLateCalls(t *testing.T) {
	for _, sweeps := range []bool{true, false} {
		recorded(t, Config{NoSweeper: !sweeps}, func(r *recording) {
			g := r.acquire(AcquireRequest{OperationID: "o", Idempotency: operation.Idempotent, Lease: time.Second})
			acquired := rulesNow(r)
			time.Sleep(time.Minute)
			again := r.acquire(AcquireRequest{OperationID: "o", Idempotency: operation.Idempotent})
			r.report(again, good())
			time.Sleep(time.Second)
			r.report(g, good())
			calls, _ := r.export("n", 0)
			if len(calls) != 3 {
				t.Fatalf("sweeper %v: %d calls", sweeps, len(calls))
			}
			lost, next, late := calls[0], calls[1], calls[2]
			if lost.ReportedAt != 0 || lost.AcquiredAt != acquired || lost.Operation != "o" || lost.Late {
				t.Errorf("sweeper %v: lost call %+v", sweeps, lost)
			}
			if next.Late || next.AcquiredAt != acquired.Add(time.Minute) || !late.Late || late.AcquiredAt != acquired || late.ReportedAt == 0 {
				t.Errorf("sweeper %v: then %+v and %+v", sweeps, next, late)
			}
		})
	}
}

func TestRecordingIsOff(t *testing.T) {
	recorded(t, Config{NoRecording: true}, func(r *recording) {
		r.report(r.acquire(AcquireRequest{}), good())
		if calls, _ := r.export("n", 0); len(calls) != 0 {
			t.Errorf("%d calls", len(calls))
		}
	})
	recorded(t, Config{AllowDrills: true}, func(r *recording) {
		drill, err := r.engine.StartDrill(context.Background(), "", 0)
		if err != nil {
			t.Fatal(err)
		}
		report := good()
		report.Namespace = drill.Namespace
		r.report(r.acquire(AcquireRequest{Namespace: drill.Namespace}), report)
		time.Sleep(time.Minute)
		if calls, _ := r.export(drill.Namespace, 0); len(calls) != 0 {
			t.Errorf("a drill has %d calls", len(calls))
		}
		if n, err := r.store.Count(context.Background(), statestore.KindCalls, drill.Namespace); n != 0 || err != nil {
			t.Errorf("a drill has %d chunks, %v", n, err)
		}
	})
}

// chunks counts what the store has.
func (r *recording) chunks(namespace string) (chunks, calls int) {
	r.Helper()
	page, err := r.store.List(context.Background(), statestore.Query{Kind: statestore.KindCalls, Namespace: namespace, Limit: 100_000})
	if err != nil {
		r.Fatal(err)
	}
	for _, row := range page.Rows {
		chunk, ok := row.Record.(*CallChunk)
		if !ok || chunk.Count > maxChunk {
			r.Errorf("row %q: %+v", row.Name, row.Record)
			continue
		}
		calls += chunk.Count
	}
	return len(page.Rows), calls
}

func TestChunksAreWrittenByAgeAndSize(t *testing.T) {
	recorded(t, Config{}, func(r *recording) {
		r.report(r.acquire(AcquireRequest{}), good())
		time.Sleep(5 * time.Second)
		if n, _ := r.chunks("n"); n != 0 {
			t.Errorf("%d chunks of one young call", n)
		}
		time.Sleep(chunkAge + recordEvery/2) // and between two looks at the queue
		if n, calls := r.chunks("n"); n != 1 || calls != 1 {
			t.Errorf("%d chunks with %d calls", n, calls)
		}
		for range 2*maxChunk + 1 {
			r.report(r.acquire(AcquireRequest{}), good())
		}
		time.Sleep(2 * recordEvery)
		if n, calls := r.chunks("n"); n != 4 || calls != 2*maxChunk+2 {
			t.Errorf("%d chunks with %d calls", n, calls)
		}
	})
}

// Of too many at once the rest is missing and counted; the recording goes on
// afterwards.
func TestOverflowIsCounted(t *testing.T) {
	recorded(t, Config{}, func(r *recording) {
		rec := r.engine.record
		rec.writing.Lock() // nobody takes from the queue
		rec.mu.Lock()
		rec.limit = 10
		rec.mu.Unlock()
		for range 25 {
			r.report(r.acquire(AcquireRequest{}), good())
		}
		rec.writing.Unlock()
		if calls, parts := r.export("n", 0); len(calls) != 10 || parts[len(parts)-1].Missing != 15 {
			t.Errorf("%d calls, missing %d", len(calls), parts[len(parts)-1].Missing)
		}
		time.Sleep(time.Second)
		r.report(r.acquire(AcquireRequest{}), good())
		if calls, parts := r.export("n", 0); len(calls) != 11 || parts[len(parts)-1].Missing != 15 {
			t.Errorf("%d calls, missing %d", len(calls), parts[len(parts)-1].Missing)
		}
	})
}

func TestRecordingIsBounded(t *testing.T) {
	recorded(t, Config{}, func(r *recording) {
		r.engine.record.writing.Lock()
		r.engine.record.keep = 3000
		r.engine.record.writing.Unlock()
		for i := range 8000 {
			r.report(r.acquire(AcquireRequest{OperationID: fmt.Sprint("o", i)}), good())
			if i%100 == 0 {
				time.Sleep(time.Second)
			}
		}
		calls, _ := r.export("n", 0)
		if len(calls) > 3000 || len(calls) < 3000-maxChunk || calls[len(calls)-1].Operation != "o7999" {
			t.Errorf("%d calls are kept, the last is %q", len(calls), calls[len(calls)-1].Operation)
		}
	})
}

// Calls go after 7 days. No engine runs in between, for a week of its ticks
// takes a while even in a bubble.
func TestOldCallsGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memory.New(memory.Config{})
		for _, op := range []string{"first", "second", "third"} {
			e, err := New(context.Background(), Config{Store: store})
			if err != nil {
				t.Fatal(err)
			}
			r := &recording{t, e, store}
			r.report(r.acquire(AcquireRequest{OperationID: op}), good())
			time.Sleep(2 * sweepEvery)
			if calls, parts := r.export("n", 0); op == "third" && (len(calls) != 2 || calls[0].Operation != "second" || parts[0].Expected != 2) {
				t.Errorf("%d calls are left after 7 days, %+v", len(calls), parts[0])
			}
			if _, kept := r.chunks("n"); op == "third" && kept != 2 {
				t.Errorf("the store has %d calls", kept)
			}
			if err := e.Close(context.Background()); err != nil {
				t.Fatal(err)
			}
			time.Sleep(callRetention/2 + time.Hour)
		}
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
}
