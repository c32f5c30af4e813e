// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/resilienced/resilienced/rules/admit"
	"github.com/resilienced/resilienced/rules/budget"
	"github.com/resilienced/resilienced/rules/classify"
	"github.com/resilienced/resilienced/rules/operation"
)

// TestChunkRoundTrip: what is packed is unpacked, sorted by its end.
func TestChunkRoundTrip(t *testing.T) {
	p := &packer{}
	rapid.Check(t, func(t *rapid.T) {
		var f filling
		var want []ended
		at := instant(1_700_000_000_000_000)
		for range rapid.IntRange(1, 20).Draw(t, "calls") {
			e := drawCall(t)
			at += instant(rapid.Int64Range(0, 1000).Draw(t, "later"))
			e.at = at
			e.call.AcquiredAt = at - instant(rapid.Int64Range(0, 5_000_000).Draw(t, "took"))
			if !rapid.Bool().Draw(t, "lost") {
				e.call.ReportedAt = at
			}
			want = append(want, e)
		}
		for _, i := range rapid.Permutation(indexes(len(want))).Draw(t, "order") {
			if err := p.add(&f, &want[i]); err != nil {
				t.Fatal(err)
			}
		}
		chunk, err := p.close(&f)
		if err != nil || chunk.Count != len(want) || chunk.From != want[0].at || chunk.Until != want[len(want)-1].at {
			t.Fatalf("chunk %+v, %v", chunk, err)
		}
		got, err := chunk.unpack()
		if err != nil || len(got) != len(want) {
			t.Fatalf("%d of %d calls, %v", len(got), len(want), err)
		}
		seen := map[string]bool{}
		for i := range got {
			if got[i].at != want[i].at {
				t.Fatalf("call %d ended at %d, want %d", i, got[i].at, want[i].at)
			}
			seen[show(&got[i])] = true
		}
		for i := range want {
			if !seen[show(&want[i])] {
				t.Fatalf("%s is not among %v", show(&want[i]), seen)
			}
		}
	})
}

func indexes(n int) []int {
	list := make([]int, n)
	for i := range list {
		list[i] = i
	}
	return list
}

// show is a call with what its pointers point to.
func show(e *ended) string {
	c, value := &e.call, func(p *int64) string {
		if p == nil {
			return "-"
		}
		return strconv.FormatInt(*p, 10)
	}
	plain := *c
	plain.Estimate, plain.Usage = budget.Estimate{}, budget.Usage{}
	return fmt.Sprintf("%d %+v %s %s %s %s %s %s %s", e.at, plain, value(c.Estimate.Cost), value(c.Estimate.Input), value(c.Estimate.MaxOutput),
		value(c.Usage.Cost), value(c.Usage.Input), value(c.Usage.Output), value(c.Usage.Cached))
}

func drawCall(t *rapid.T) ended {
	word := rapid.SampledFrom([]string{"", "a", "b/c", "ü"})
	amount := func(name string) *int64 {
		if rapid.Bool().Draw(t, name) {
			return nil
		}
		return new(rapid.Int64Range(0, 1<<50).Draw(t, name+" value"))
	}
	c := Call{
		Late: rapid.Bool().Draw(t, "late"), Target: "t", Chain: word.Draw(t, "chain"), Level: rapid.IntRange(0, 15).Draw(t, "level"),
		Run: word.Draw(t, "run"), Task: word.Draw(t, "task"), Operation: word.Draw(t, "op"),
		Idempotency: operation.Idempotency(rapid.IntRange(0, 3).Draw(t, "mode")), Credential: word.Draw(t, "credential"),
		Reporter: word.Draw(t, "reporter"), Fingerprint: word.Draw(t, "fingerprint"), Would: admit.Reason(word.Draw(t, "would")),
		Estimate: budget.Estimate{Cost: amount("est cost"), Input: amount("est in"), MaxOutput: amount("est out")},
		Usage:    budget.Usage{Cost: amount("cost"), Input: amount("in"), Output: amount("out"), Cached: amount("cached")},
		Signal: classify.Signal{
			Outcome: classify.Outcome(rapid.IntRange(0, 4).Draw(t, "outcome")), HTTPStatus: rapid.IntRange(0, 599).Draw(t, "status"),
			GRPCCode: word.Draw(t, "grpc"), MCPCode: rapid.IntRange(-40000, 10).Draw(t, "mcp"), Exception: word.Draw(t, "exception"),
			Phase: classify.Phase(rapid.IntRange(0, 4).Draw(t, "phase")), BodyCode: word.Draw(t, "code"),
			Quality:   classify.QualityVerdict(rapid.IntRange(0, 12).Draw(t, "quality")),
			ClassHint: classify.Class(rapid.IntRange(0, 9).Draw(t, "hint")), Duration: time.Duration(rapid.Int64Range(0, 1<<45).Draw(t, "duration")),
		},
	}
	if rapid.Bool().Draw(t, "headers") {
		c.Signal.Headers = map[string]string{"retry-after": word.Draw(t, "value")}
	}
	if rapid.Bool().Draw(t, "wait") {
		c.Signal.HasRetryAfter, c.Signal.RetryAfter = true, time.Duration(rapid.Int64Range(0, 1<<45).Draw(t, "wait value"))
	}
	return ended{call: c}
}

// A damaged chunk is an error and no panic.
func FuzzUnpack(f *testing.F) {
	var fill filling
	p := &packer{}
	if err := p.add(&fill, &ended{at: 5, call: Call{Target: "t", ReportedAt: 5}}); err != nil {
		f.Fatal(err)
	}
	chunk, err := p.close(&fill)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(chunk.Packed, 1)
	f.Add([]byte{1, 2, 3}, 2)
	f.Fuzz(func(t *testing.T, packed []byte, n int) {
		c := &CallChunk{Packed: packed, Count: min(max(n, 0), 1000)}
		if calls, err := c.unpack(); err == nil && len(calls) != c.Count {
			t.Errorf("%d calls of %d", len(calls), c.Count)
		}
	})
}

func TestExportOfOverlappingChunksIsOrdered(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := &packer{}
		var chunks []*CallChunk
		total := 0
		for range rapid.IntRange(1, 6).Draw(t, "chunks") {
			var f filling
			for _, at := range rapid.SliceOfN(rapid.Int64Range(1, 50), 1, 10).Draw(t, "times") {
				if err := p.add(&f, &ended{at: instant(at), call: Call{Target: "t", ReportedAt: instant(at)}}); err != nil {
					t.Fatal(err)
				}
				total++
			}
			chunk, err := p.close(&f)
			if err != nil {
				t.Fatal(err)
			}
			chunks = append(chunks, chunk)
		}
		slices.SortStableFunc(chunks, func(a, b *CallChunk) int { return cmp.Compare(a.OrderBy(), b.OrderBy()) })
		last, n := instant(0), 0
		x := &export{ctx: context.Background(), send: func(p *CallsPart) error {
			for _, c := range p.Calls {
				if c.ReportedAt < last {
					t.Fatalf("%d after %d", c.ReportedAt, last)
				}
				last = c.ReportedAt
				n++
			}
			return nil
		}}
		for _, chunk := range chunks {
			if err := x.add(chunk); err != nil {
				t.Fatal(err)
			}
		}
		if err := x.finish(); err != nil || n != total {
			t.Fatalf("%d of %d calls, %v", n, total, err)
		}
	})
}
