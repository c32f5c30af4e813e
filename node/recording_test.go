// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"github.com/resilienced/resilienced/engine"
	"github.com/resilienced/resilienced/rules/budget"
	"github.com/resilienced/resilienced/rules/classify"
	"github.com/resilienced/resilienced/rules/operation"
	"github.com/resilienced/resilienced/statestore"
)

// makeCalls makes n calls on a node's engine, the way that an SDK with a
// provider's headers does.
func makeCalls(tb testing.TB, n *Node, from, to int) {
	tb.Helper()
	ctx := context.Background()
	for i := from; i < to; i++ {
		a, err := n.Engine().Acquire(ctx, &engine.AcquireRequest{
			Namespace: "n", Target: fmt.Sprint("openai/gpt-", i%5), OperationID: fmt.Sprintf("0f8fad5b-d9cb-469f-a165-%012x", i*7919),
			Idempotency: operation.Idempotent, Reporter: "host-7", Estimate: budget.Estimate{Input: new(int64(1200 + i%700)), MaxOutput: new(int64(800))},
		})
		if err != nil || a.Grant == nil {
			tb.Fatal(a, err)
		}
		s := classify.Signal{Outcome: classify.OutcomeSuccess, HTTPStatus: 200, Duration: time.Duration(800+i%977) * time.Millisecond}
		if i%50 == 0 {
			s = classify.Signal{
				Outcome: classify.OutcomeFailure, HTTPStatus: 400, BodyCode: "invalid_request_error",
				Headers: map[string]string{"x-ratelimit-remaining-requests": "59", "x-ratelimit-reset-requests": "1s"},
			}
		}
		_, err = n.Engine().Report(ctx, &engine.ReportRequest{
			Namespace: "n", PermitID: a.Grant.PermitID, Signal: s, Hash: 1,
			Usage: budget.Usage{Input: new(int64(1200 + i%700)), Output: new(int64(i % 800)), Cost: new(int64(3000 + i%5000))},
		})
		if err != nil {
			tb.Fatal(err)
		}
	}
}

func exported(tb testing.TB, n *Node) []*engine.Call {
	tb.Helper()
	var calls []*engine.Call
	err := n.Engine().ExportCalls(context.Background(), &engine.CallsQuery{Namespace: "n"}, func(p *engine.CallsPart) error {
		if p.Missing > 0 {
			tb.Errorf("%d calls are missing", p.Missing)
		}
		calls = append(calls, p.Calls...)
		return nil
	})
	if err != nil {
		tb.Fatal(err)
	}
	return calls
}

// What was recorded is there after a restart, call by call, and recording goes
// on where it stopped.
func TestRecordingOutlivesARestart(t *testing.T) {
	cfg := Config{Store: "sqlite", DataDir: t.TempDir()}
	var before []*engine.Call
	for round := range 3 {
		n, err := New(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		if got := exported(t, n); len(got) != len(before) || (len(got) > 0 && !reflect.DeepEqual(got, before)) {
			t.Fatalf("round %d: %d calls after a restart, %d before", round, len(got), len(before))
		}
		makeCalls(t, n, round*700, (round+1)*700)
		if before = exported(t, n); len(before) != (round+1)*700 {
			t.Fatalf("round %d: %d calls", round, len(before))
		}
		if err := n.Shutdown(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

func TestRecordingIsSwitchedOff(t *testing.T) {
	n, err := New(t.Context(), Config{Store: "memory", NoRecording: true})
	if err != nil {
		t.Fatal(err)
	}
	makeCalls(t, n, 0, 3)
	if got := exported(t, n); len(got) != 0 {
		t.Errorf("%d calls", len(got))
	}
	if err := n.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// BenchmarkRecording shows what a recorded call takes: of Acquire and Report
// together, with and without it, and on the disk.
func BenchmarkRecording(b *testing.B) {
	for _, off := range []bool{true, false} {
		for _, store := range []string{"memory", "sqlite"} {
			b.Run(fmt.Sprintf("store=%s/off=%v", store, off), func(b *testing.B) {
				dir := b.TempDir()
				n, err := New(b.Context(), Config{Store: store, DataDir: dir, NoRecording: off})
				if err != nil {
					b.Fatal(err)
				}
				b.ReportAllocs()
				b.ResetTimer()
				makeCalls(b, n, 0, b.N)
				b.StopTimer()
				if !off {
					b.ReportMetric(float64(packed(b, n))/float64(b.N), "packed-B/call")
				}
				if err := n.Shutdown(context.Background()); err != nil {
					b.Fatal(err)
				}
				b.ReportMetric(float64(size(b, dir))/float64(b.N), "disk-B/call")
			})
		}
	}
}

// packed is how many bytes the chunks of the recording have.
func packed(b *testing.B, n *Node) int {
	b.Helper()
	exported(b, n)
	q := statestore.Query{Kind: statestore.KindCalls, Namespace: "n", Limit: 100}
	sum := 0
	for {
		page, err := n.Store().List(context.Background(), q)
		if err != nil {
			b.Fatal(err)
		}
		for _, row := range page.Rows {
			if chunk, ok := row.Record.(*engine.CallChunk); ok {
				sum += len(chunk.Packed)
			}
		}
		if page.Cursor == "" {
			return sum
		}
		q.After = page.Cursor
	}
}

func size(b *testing.B, dir string) int64 {
	b.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		b.Fatal(err)
	}
	var sum int64
	for _, e := range entries {
		info, err := os.Stat(filepath.Join(dir, e.Name()))
		if err != nil {
			b.Fatal(err)
		}
		sum += info.Size()
	}
	return sum
}
